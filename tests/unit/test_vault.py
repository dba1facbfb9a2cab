"""Secrets at rest: what is sealed, what opens it, and what must not lie open."""

from __future__ import annotations

import base64
import logging
from typing import Any

import msgspec
import pytest

from riverflow._kinds import CREDENTIAL, ENDPOINT, PROJECT, WORKFLOW, Kind
from riverflow._vault import Vault, new_key
from riverflow.config import Settings
from riverflow.errors import ConfigError
from riverflow.models import Credential, Endpoint, Project, RetiredSecret, Workflow

SECRET = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"
OLD = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xk"
ENDPOINT_ = Endpoint(
    id="ep_1", url="https://example.com", secret=SECRET, retired=(RetiredSecret(secret=OLD, until=9.5),)
)
PROJECT_ = Project(id="p", name="mine", secret=SECRET, token_secret="whsec_t")


def vault(*keys: str, env: str = "production") -> Vault:
    return Vault.of(Settings.load({"secret_key": " , ".join(keys) or None, "env": env}))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ENDPOINT, ENDPOINT_),
        (PROJECT, PROJECT_),
        (CREDENTIAL, Credential(provider="openai", api_key=SECRET)),
        (WORKFLOW, Workflow(name="w", sample_data={"sealed": "A256GCM"})),
    ],
)
def test_what_is_sealed_opens_again_and_shows_nothing(kind: Kind, value: msgspec.Struct) -> None:
    safe = vault(new_key())
    body = safe.pack(kind, "p", "name", value)
    for secret in (SECRET, OLD, "whsec_t"):
        assert secret.encode() not in body
    assert safe.unpack(kind, "p", "name", body) == value


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    safe = vault(new_key())
    assert safe.pack(ENDPOINT, "p", "ep_1", ENDPOINT_) != safe.pack(ENDPOINT, "p", "ep_1", ENDPOINT_)


@pytest.mark.parametrize("place", [("other", "name"), ("p", "other")])
def test_it_opens_in_no_other_place(place: tuple[str, str]) -> None:
    safe = vault(new_key())
    body = safe.pack(ENDPOINT, "p", "name", ENDPOINT_)
    with pytest.raises(ConfigError, match="moved here from another place"):
        safe.unpack(ENDPOINT, *place, body)


def test_it_opens_as_no_other_member_or_kind() -> None:
    safe = vault(new_key())
    members: dict[str, Any] = msgspec.json.decode(safe.pack(PROJECT, "p", "name", PROJECT_))
    members["secret"], members["token_secret"] = members["token_secret"], members["secret"]
    with pytest.raises(ConfigError, match="does not open"):
        safe.unpack(PROJECT, "p", "name", msgspec.json.encode(members))
    credential = {"provider": "openai", "api_key": members["secret"]}
    with pytest.raises(ConfigError, match="does not open"):
        safe.unpack(CREDENTIAL, "p", "name", msgspec.json.encode(credential))


def test_what_was_tampered_with_does_not_open() -> None:
    safe = vault(new_key())
    members: dict[str, Any] = msgspec.json.decode(safe.pack(ENDPOINT, "p", "name", ENDPOINT_))
    text = bytearray(base64.b64decode(members["secret"]["text"]))
    for changed in (text[:-1], text[:5], b"", bytes([text[0] ^ 1, *text[1:]]), bytes([*text[:-1], text[-1] ^ 1])):
        members["secret"]["text"] = base64.b64encode(changed).decode()
        with pytest.raises(ConfigError, match="does not open"):
            safe.unpack(ENDPOINT, "p", "name", msgspec.json.encode(members))
    members["secret"]["text"] = "not base64!"
    with pytest.raises(ConfigError, match="does not open"):
        safe.unpack(ENDPOINT, "p", "name", msgspec.json.encode(members))


def test_the_newest_key_seals_and_all_open() -> None:
    old, new = new_key(), new_key()
    before, both, after = vault(old), vault(new, old), vault(new)
    body = before.pack(ENDPOINT, "p", "name", ENDPOINT_)
    assert both.unpack(ENDPOINT, "p", "name", body) == ENDPOINT_
    assert both.sealed_with(ENDPOINT, body) == set(before.key_ids)
    again = both.pack(ENDPOINT, "p", "name", ENDPOINT_)
    assert both.sealed_with(ENDPOINT, again) == set(after.key_ids) == {both.key_ids[0]}
    assert after.unpack(ENDPOINT, "p", "name", again) == ENDPOINT_
    with pytest.raises(ConfigError) as refused:
        after.unpack(ENDPOINT, "p", "name", body)
    assert before.key_ids[0] in str(refused.value)
    assert "RIVERFLOW_SECRET_KEY" in str(refused.value)


def test_without_a_key_nothing_sealed_is_read() -> None:
    body = vault(new_key()).pack(ENDPOINT, "p", "name", ENDPOINT_)
    for env in ("production", "development"):
        with pytest.raises(ConfigError, match="no key at all"):
            vault(env=env).unpack(ENDPOINT, "p", "name", body)


def test_without_a_key_production_keeps_no_secret_and_says_the_cure() -> None:
    with pytest.raises(ConfigError) as refused:
        vault().pack(ENDPOINT, "p", "name", ENDPOINT_)
    assert "riverflow secrets new-key" in str(refused.value)
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError):
        vault().pack(PROJECT, "p", "name", PROJECT_)


def test_without_a_key_production_keeps_what_signs_socket_tokens() -> None:
    unissued = Project(id="p", name="mine", token_secret="whsec_t")
    body = vault().pack(PROJECT, "", "mine", unissued)
    assert vault().sealed_with(PROJECT, body) == {None}
    assert vault(new_key()).unpack(PROJECT, "", "mine", body) == unissued


def test_without_a_key_development_keeps_all_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        plain = vault(env="development")
    assert "RIVERFLOW_SECRET_KEY" in caplog.text
    body = plain.pack(ENDPOINT, "p", "name", ENDPOINT_)
    assert SECRET.encode() in body
    assert plain.unpack(ENDPOINT, "p", "name", body) == ENDPOINT_
    caplog.clear()
    vault(new_key(), env="development")
    vault()
    assert caplog.text == ""


def test_keys_are_read_in_every_spelling_of_base64() -> None:
    raw = bytes(range(224, 256))
    spellings = [
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
    ]
    assert len({vault(text).key_ids for text in spellings}) == 1
    assert vault(f"{new_key()}\n{new_key()}").key_ids != ()
    assert len(base64.b64decode(new_key())) == 32
    assert new_key() != new_key()


@pytest.mark.parametrize("text", ["hunter2!", "c2hvcnQ=", "a" * 45, base64.b64encode(bytes(33)).decode()])
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    for keys in ((text,), (new_key(), text)):
        with pytest.raises(ConfigError, match=f"key number {len(keys)} is not the base64 text of 32 bytes") as refused:
            vault(*keys)
        assert text not in str(refused.value)


def test_a_key_is_in_no_repr() -> None:
    key = new_key()
    assert key not in repr(Settings.load({"secret_key": key}))
    for value in (ENDPOINT_, PROJECT_, Credential(provider="openai", api_key=SECRET), *ENDPOINT_.retired):
        assert not any(secret in repr(value) for secret in (SECRET, OLD, "whsec_t"))
