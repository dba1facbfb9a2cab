"""Socket tokens: what is minted can be read, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverflow import _tokens
from riverflow.errors import Unauthenticated
from riverflow.models import Project

PROJECT = Project(id="11111111-1111-7111-8111-111111111111", name="p", secret="whsec_a", token_secret="whsec_t")
CHANNEL = "22222222-2222-7222-8222-222222222222"
TOKEN = _tokens.mint(PROJECT, CHANNEL, expires_at=1000.5, jti="tok_1")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: object, claims: object, secret: str = PROJECT.token_secret) -> str:
    """A well-made JWT of any content, signed with HMAC-SHA256."""
    signed = f"{part(header)}.{part(claims)}"
    digest = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def refused(token: str, now: float = 0.0) -> str:
    with pytest.raises(Unauthenticated) as caught:
        _tokens.read(token, PROJECT.token_secret, now)
    return caught.value.code


def test_a_token_is_a_jwt_that_any_reader_of_jwts_understands() -> None:
    header, payload, signature = TOKEN.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == {
        "project_id": PROJECT.id,
        "channel_id": CHANNEL,
        "topic": f"ai_response:{PROJECT.id}:{CHANNEL}",
        "exp": 1001,
        "jti": "tok_1",
    }
    expected = hmac.digest(b"whsec_t", f"{header}.{payload}".encode(), hashlib.sha256)
    assert base64.urlsafe_b64decode(signature + "==") == expected


def test_what_was_minted_is_read_until_it_expires() -> None:
    claims = _tokens.read(TOKEN, PROJECT.token_secret, 1000.9)
    assert (claims.project_id, claims.channel_id, claims.jti) == (PROJECT.id, CHANNEL, "tok_1")
    assert claims == _tokens.peek(TOKEN)
    assert refused(TOKEN, now=1001) == "token_expired"


def test_a_token_of_another_secret_is_not_valid_even_when_expired() -> None:
    with pytest.raises(Unauthenticated) as caught:
        _tokens.read(TOKEN, "whsec_other", 5000)
    assert caught.value.code == "token_invalid"


CLAIMS = {"project_id": "p", "channel_id": "c", "topic": "t", "exp": 5000, "jti": "j"}
HEADER = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "none", "typ": "JWT"}, {"alg": "HS512"}, {}, []])
def test_the_algorithm_is_pinned(header: object) -> None:
    assert refused(forged(header, CLAIMS)) == "token_invalid"
    unsigned = f"{part(header)}.{part(CLAIMS)}."
    assert refused(unsigned) == "token_invalid"


@pytest.mark.parametrize("lost", sorted(CLAIMS))
def test_every_claim_is_needed_and_typed(lost: str) -> None:
    assert refused(forged(HEADER, {key: value for key, value in CLAIMS.items() if key != lost})) == "token_invalid"
    assert refused(forged(HEADER, CLAIMS | {lost: None})) == "token_invalid"
    assert refused(forged(HEADER, CLAIMS | {lost: [1]})) == "token_invalid"


def test_the_signature_is_compared_as_it_is_written() -> None:
    assert refused(TOKEN + "=") == "token_invalid"
    assert refused(TOKEN[:-1]) == "token_invalid"
    assert refused(TOKEN.replace(".", ".=", 1)) == "token_invalid"


@given(
    st.one_of(
        st.text(), st.text(alphabet=".eyJ019_-=\ud800é", max_size=200), st.binary().map(lambda b: b.decode("latin-1"))
    )
)
def test_any_garbage_is_unauthenticated(token: str) -> None:
    for attempt in (token, f"{part(HEADER)}.{token}", f"{token}.{token}.{token}", f"{part(HEADER)}.{token}.{token}"):
        assert refused(attempt) == "token_invalid"
        with pytest.raises(Unauthenticated):
            _tokens.peek(attempt)


@given(place=st.integers(min_value=0, max_value=len(TOKEN) - 1), letter=st.sampled_from("ABYZabyz0189-_.=~"))
def test_any_changed_letter_spoils_a_token(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if changed != TOKEN:
        assert refused(changed) == "token_invalid"


@pytest.mark.parametrize("depth", [2000, 100_000])
def test_depth_and_length_are_bounded(depth: int) -> None:
    nested = base64.urlsafe_b64encode(b"[" * depth).rstrip(b"=").decode()
    assert refused(f"{part(HEADER)}.{nested}.x") == "token_invalid"
