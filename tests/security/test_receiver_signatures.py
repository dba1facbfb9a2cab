"""Cases 1 to 6, 8 to 10, 12 and 14 of the receiver's list: what is verified, what is refused, and what it costs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import math
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from riverflow import RiverflowError
from riverflow.errors import ConfigError, InvalidRequest, TooLarge
from riverflow.testing import make_context
from riverflow.webhooks import (
    DIALECTS,
    Dialect,
    Message,
    RawBodyRequired,
    Receiver,
    Secret,
    WebhookVerificationError,
    verify,
)
from riverflow.webhooks.dialects import Proof

from .receiver_sender import BODY, HAND_OFF, ID, KEY, NOW, OTHER, SECRET, mr, signature, standard, x

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
PUBLIC_SECRET = "whpk_" + base64.b64encode(PUBLIC).decode()


def check(body: Any = BODY, headers: Any = None, secrets: Any = SECRET, **options: Any) -> Message:
    return verify(body, standard() if headers is None else headers, secrets, **({"now": NOW} | options))


def reason(*arguments: Any, **options: Any) -> str:
    """Why it is refused."""
    with pytest.raises(WebhookVerificationError) as refused:
        check(*arguments, **options)
    assert (refused.value.status, str(refused.value)) == (401, "the webhook could not be verified")
    return refused.value.reason


def asymmetric(body: bytes = BODY, *, at: int = NOW) -> dict[str, str]:
    signed = PRIVATE.sign(f"{ID}.{at}.".encode() + body)
    return standard(at=at) | {"webhook-signature": "v1a," + base64.b64encode(signed).decode()}


def pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()


# 1: raw bytes ------------------------------------------------------------------------------------------------


def test_case_1_the_raw_bytes_are_verified() -> None:
    message = check()
    assert (message.id, message.dialect, message.timestamp) == (ID, "standard", NOW)
    assert (message.payload, message.body, message.unsigned) == (HAND_OFF, BODY, {})
    assert check(bytearray(BODY)).body == BODY
    assert check(memoryview(BODY)).payload == HAND_OFF


def test_case_1_nothing_is_parsed_before_it_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("riverflow.codec.decode", parsed.append)
    assert reason(BODY + b" ") == "wrong_signature"
    assert parsed == []


@pytest.mark.parametrize("body", [BODY.decode(), HAND_OFF, None, [], 7, object()], ids=lambda body: type(body).__name__)
def test_case_1_a_body_that_was_parsed_before_is_refused_with_the_cure(body: Any) -> None:
    with pytest.raises(RawBodyRequired, match=r"request\.body\(\)"):
        check(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"{", b"", b"\xff\xfe", b"[" * 100_000])
def test_case_1_signed_bytes_that_are_no_json_object_are_400(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check(body, standard(body))


def test_case_1_a_body_over_the_bound_is_413() -> None:
    assert check(max_body=len(BODY)).payload == HAND_OFF
    with pytest.raises(TooLarge):
        check(max_body=len(BODY) - 1)


# 2: the timestamp --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [standard, x], ids=["standard", "x-modelriver"])
@pytest.mark.parametrize("offset", [-300, -299, -1, 0, 1, 299, 300])
def test_case_2_within_the_tolerance(sign: Callable[..., dict[str, str]], offset: int) -> None:
    assert check(headers=sign(at=NOW + offset)).timestamp == NOW + offset


@pytest.mark.parametrize("sign", [standard, x], ids=["standard", "x-modelriver"])
@pytest.mark.parametrize(
    ("offset", "why"), [(-301, "too_old"), (301, "too_new"), (-86400, "too_old"), (86400, "too_new")]
)
def test_case_2_beyond_the_tolerance(sign: Callable[..., dict[str, str]], offset: int, why: str) -> None:
    assert reason(headers=sign(at=NOW + offset)) == why


@pytest.mark.parametrize("sign", [standard, x], ids=["standard", "x-modelriver"])
@pytest.mark.parametrize(
    "at",
    ["NaN", "nan", "Infinity", "-1", "+1700000000", "1700000000.0", "1.7e9", "0x6553f100", "1 700 000 000",
     "1_700_000_000", str(2**63), str(2**64), str(10**400), f"{NOW}000", "now", "١٧٠٠٠٠٠٠٠٠", "1700000000\x00"],
)  # fmt: skip
def test_case_2_a_time_that_is_not_whole_seconds(sign: Callable[..., dict[str, str]], at: str) -> None:
    assert reason(headers=sign(at=at)) in ("malformed_timestamp", "malformed_header")


def test_case_2_milliseconds_by_mistake_are_called_that() -> None:
    with pytest.raises(WebhookVerificationError) as refused:
        check(headers=standard(at=NOW * 1000))
    assert "milliseconds" in "".join(refused.value.__notes__)


@pytest.mark.parametrize("missing", ["", "  ", None])
@pytest.mark.parametrize("name", ["webhook-timestamp", "X-ModelRiver-Timestamp"])
def test_case_2_a_missing_time_is_refused(name: str, missing: str | None) -> None:
    headers = x() if name.startswith("X") else standard()
    headers = {key: value for key, value in headers.items() if key != name} | (
        {} if missing is None else {name: missing}
    )
    assert reason(headers=headers) == "missing_header"


@pytest.mark.parametrize("tolerance", [math.nan, -math.nan, math.inf, -math.inf, 0, -1, True, None, "300", 1 + 2j])
def test_case_2_a_tolerance_that_would_turn_the_check_off_is_refused(tolerance: Any) -> None:
    with pytest.raises(ConfigError, match="tolerance"):
        check(tolerance=tolerance)
    with pytest.raises(ConfigError, match="tolerance"):
        Receiver(SECRET, tolerance=tolerance)


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf])
def test_case_2_a_clock_that_has_gone_mad_accepts_nothing(now: float) -> None:
    assert reason(now=now) in ("too_old", "too_new", "no_active_secret")


def test_case_2_the_tolerance_reaches_the_check() -> None:
    for tolerance in (10, 1000):
        assert check(headers=standard(at=NOW - tolerance), tolerance=tolerance)
        assert reason(headers=standard(at=NOW - tolerance - 1), tolerance=tolerance) == "too_old"
        receiver = Receiver(SECRET, tolerance=tolerance, clock=lambda: NOW)
        assert receiver.verify(BODY, standard(at=NOW - tolerance))
        with pytest.raises(WebhookVerificationError):
            receiver.verify(BODY, standard(at=NOW - tolerance - 1))


def test_case_2_the_clock_is_the_real_one_unless_told() -> None:
    assert verify(BODY, standard(at=int(time.time())), SECRET).payload == HAND_OFF
    with pytest.raises(WebhookVerificationError):
        verify(BODY, standard(), SECRET)


def test_case_2_a_time_beside_an_untimed_signature_is_looked_at_but_not_believed() -> None:
    assert check(headers=mr() | {"mr-timestamp": str(NOW)}).timestamp is None
    assert reason(headers=mr() | {"mr-timestamp": str(NOW - 301)}) == "too_old"
    assert reason(headers=mr() | {"mr-timestamp": "NaN"}) == "malformed_timestamp"


# 3: what is signed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"webhook-id": "dl_other"}, {"webhook-timestamp": str(NOW + 1)}],
    ids=["id", "timestamp"],
)
def test_case_3_id_and_time_are_inside_the_signed_text(changed: dict[str, str]) -> None:
    assert reason(headers=standard() | changed) == "wrong_signature"


def test_case_3_the_time_is_inside_x_modelriver() -> None:
    assert reason(headers=x() | {"X-ModelRiver-Timestamp": str(NOW + 1)}) == "wrong_signature"


def test_case_3_the_parts_cannot_be_moved_against_each_other() -> None:
    """`a` + `1.…` and `a.1` + `…` would be one text: no id has a dot."""
    body = b'{"type":"t"}'
    signed = signature(body, id="a", at=f"{NOW}.5")
    for id_, at, text in (("a", f"{NOW}", b"5." + body), (f"a.{NOW}", "5", body)):
        headers = {"webhook-id": id_, "webhook-timestamp": at, "webhook-signature": signed}
        with pytest.raises(RiverflowError):
            check(text, headers, now=int(at))


def test_case_3_where_only_data_is_signed_nothing_else_is_believed() -> None:
    data = {"title": "Amélie", "callback_url": "https://data.example"}
    signed = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    body = pretty(
        {"data": data, "channel_id": "c-1", "type": "task.ai_generated", "callback_url": "https://evil.example"}
    )
    message = check(body, x(signed))
    assert message.dialect == "x-modelriver-data"
    assert (message.payload, message.data, message.timestamp) == ({"data": data}, data, NOW)
    assert (message.type, message.channel_id, message.callback_url) == (None, None, None)
    assert message.unsigned == {
        "channel_id": "c-1",
        "type": "task.ai_generated",
        "callback_url": "https://evil.example",
    }


@pytest.mark.parametrize("data", ["null", "false", "0", "-0.0", '""'])
def test_case_3_data_that_javascript_takes_for_none_proves_nothing(data: str) -> None:
    """Such a signature would be good for any body of that second; senders sign the body then."""
    body = f'{{"type":"t","data":{data}}}'.encode()
    for text in (data, "0", "undefined", "null", "{}", ""):
        assert reason(body, x(text.encode())) == "wrong_signature"
    assert check(body, x(body)).type == "t"
    assert reason(b'{"type":"t"}', x(b"undefined")) == "wrong_signature"


def test_case_3_two_weak_signatures_make_a_whole_one() -> None:
    """`x-modelriver` signs the time and `data`, `mr` the whole body."""
    body = json.dumps({"type": "task.completed", "data": {"a": 1}}, separators=(",", ":")).encode()
    message = check(body, x(b'{"a":1}') | mr(body))
    assert (message.dialect, message.timestamp, message.type) == ("mr", NOW, "task.completed")
    assert check(body, x(b'{"a":1}') | mr(b"other")).dialect == "x-modelriver-data"


def test_case_3_the_payload_is_read_from_what_was_signed() -> None:
    """A key that comes twice is read alike by everybody: from the text that was signed, which has it once."""
    body = b'{"type":"one","type":"two"}'
    assert check(body, mr(b'{"type":"two"}')).payload == {"type": "two"}
    assert reason(body, mr(b'{"type":"one"}')) == "wrong_signature"
    assert check('{"a":1}'.encode("utf-16"), mr(b'{"a": 1}')).payload == {"a": 1}  # Python's json reads it so
    with pytest.raises(InvalidRequest):
        check(b'{"a":NaN}', mr(b'{"a": NaN}'))
    twice = b'{"data":{"a":1},"data":{"a":2}}'
    assert check(twice, x(b'{"a":2}')).data == {"a": 2}
    assert reason(twice, x(b'{"a":1}')) == "wrong_signature"


# The dialects of the contract ------------------------------------------------------------------------------

AWKWARD = {"n": 8.0, "big": 1e21, "small": 1e-7, "10": 1, "9": {"b": None}, "name": "Zoë \u2028 😀", "list": [True, []]}


@pytest.mark.parametrize(
    ("dialect", "body", "headers"),
    [
        ("mr", b'{ "n": 8.0 }', mr(b'{ "n": 8.0 }')),
        ("mr-javascript", b'{ "n": 8.0, "1": 2 }', mr(b'{"1":2,"n":8}')),
        ("mr-python", '{"n":8.0,"a":"ë"}'.encode(), mr(b'{"n": 8.0, "a": "\\u00eb"}')),
        ("x-modelriver", b'{"n":1}', x(b'{"n":1}')),
        ("x-modelriver", b'{"n":1,"data":0}', x(b'{"n":1,"data":0}')),
        ("x-modelriver-data", b'{ "data": { "n": 8.0 } }', x(b'{"n":8}')),
        ("standard", b'{"n":1}', standard(b'{"n":1}')),
        ("standard", BODY, standard(BODY) | x(b"wrong") | mr(b"wrong")),
    ],
)
def test_every_dialect_is_accepted_and_each_can_be_asked_for_alone(
    dialect: Dialect, body: bytes, headers: dict[str, str]
) -> None:
    assert check(body, headers).dialect == dialect
    assert check(body, headers, accept=(dialect,)).dialect == dialect
    assert check(body, headers, accept=dialect).dialect == dialect
    assert reason(body, headers, accept=DIALECTS - {dialect}) in (
        "missing_signature", "dialect_not_accepted", "wrong_signature",
    )  # fmt: skip


@pytest.mark.parametrize("accept", [(), {"sha1"}, {"standard", "none"}, "none", ""])
def test_an_unknown_dialect_cannot_be_accepted(accept: Any) -> None:
    with pytest.raises(ConfigError, match="accept"):
        check(accept=accept)


@pytest.mark.parametrize("signers", [["mr"], ["x-modelriver"], ["standard"], ["mr", "x-modelriver", "standard"]])
@pytest.mark.parametrize("secret", [SECRET, "plain text", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
@pytest.mark.parametrize("encoding", ["javascript", "python-json"])
def test_riverflows_own_signers_are_accepted(signers: list[str], secret: str, encoding: str) -> None:
    from riverflow import codec
    from riverflow.builtin.signing import riverflow_signers
    from riverflow.models import OutgoingMessage

    body = bytes(codec.from_python({"type": "task.completed", "channel_id": "c-1", "data": AWKWARD}))
    body = codec.python_json(body) if encoding == "python-json" else body
    outgoing = OutgoingMessage(id=ID, timestamp=NOW, body=body, channel_id="c-1", callback_url=None)
    headers: dict[str, str] = {}
    for name in signers:
        headers |= riverflow_signers()[name](make_context()).sign(outgoing, secret)
    message = check(body, headers, secret)
    assert message.data == AWKWARD
    assert message.dialect == {"mr": "mr", "x-modelriver": "x-modelriver-data", "standard": "standard"}[signers[-1]]


@given(st.binary(max_size=60), st.text(max_size=60))
def test_no_body_and_no_header_breaks_it(body: bytes, text: str) -> None:
    """Whatever comes is an answer, never another exception."""
    names = [*standard(), *x(), *mr(), "mr-timestamp", "content-encoding"]
    for headers in (dict.fromkeys(names, text), standard(body) | {"mr-signature": text}, mr(body), x(body)):
        with suppress(WebhookVerificationError, InvalidRequest):
            check(body, headers)


# 4: many signatures ------------------------------------------------------------------------------------------

RIGHT = signature().removeprefix("v1,")
WRONG = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "header",
    [
        f"v1,{WRONG} v1,{RIGHT}",
        f"v1,{RIGHT} v1,{WRONG}",
        f"v2,{WRONG} v1a,{WRONG} v1,{RIGHT}",
        f"v1,{RIGHT} v1,{RIGHT}",
        f"  v1,{RIGHT}   ",
        f"v1,{WRONG}  \t v1,{RIGHT}",
        f"v1,{WRONG}, v1,{RIGHT}",
        f"v1,{WRONG},v1,{RIGHT}",
        f"v1, v1,{RIGHT}",
        f", ,v1,{RIGHT},",
        f"v1, {RIGHT}",
        f"junk v1,{RIGHT} =",
    ],
)
def test_case_4_the_right_one_among_others(header: str) -> None:
    assert check(headers=standard() | {"webhook-signature": header}).id == ID


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1",
        "v1,",
        ",",
        RIGHT,
        f",{RIGHT}",
        f"v2,{RIGHT}",
        f"v1a,{RIGHT}",
        f"V1,{RIGHT}",
        f"v1b,{RIGHT}",
        f"v1={RIGHT}",
        f"v1,{WRONG} {RIGHT}",
        f"v1,{RIGHT[:-1]}",
        f"v1,{RIGHT}=",
        f"v1,{RIGHT.swapcase()}",
        f"v1,{base64.b64decode(RIGHT).hex()}",
        f"none,{RIGHT}",
        f"sha256={RIGHT}",
    ],
)
def test_case_4_what_does_not_count(header: str) -> None:
    assert reason(headers=standard() | {"webhook-signature": header}) == "wrong_signature"


def test_case_4_v1_does_not_satisfy_v1a_nor_the_other_way_round() -> None:
    assert check(headers=asymmetric(), secrets=PUBLIC_SECRET).dialect == "standard"
    of_public = standard(key=PUBLIC)["webhook-signature"]  # the public key taken for a shared one
    text = standard(key=PUBLIC_SECRET.encode())["webhook-signature"]
    good = asymmetric()["webhook-signature"].removeprefix("v1a,")
    for header in (of_public, of_public.replace("v1,", "v1a,"), text, f"v1,{good}"):
        assert reason(headers=standard() | {"webhook-signature": header}, secrets=PUBLIC_SECRET) == "wrong_signature"
    assert reason(headers=asymmetric()) == "wrong_signature"
    assert reason(headers=mr(secret=PUBLIC_SECRET), secrets=PUBLIC_SECRET) == "wrong_signature"
    assert reason(headers=x(secret=PUBLIC_SECRET), secrets=PUBLIC_SECRET) == "wrong_signature"


class Counting:
    """Stands in for a function of hmac, and remembers how often it was asked and for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._function = getattr(hmac, name)
        monkeypatch.setattr(hmac, name, self)

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return self._function(*arguments)


def test_case_4_a_thousand_entries_cost_no_more_digests_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = Counting(monkeypatch, "digest")
    secrets = [OTHER, SECRET]
    many = " ".join(f"v1,{base64.b64encode(number.to_bytes(32)).decode()}" for number in range(1000))
    assert reason(headers=standard() | {"webhook-signature": many}, secrets=secrets) == "wrong_signature"
    refused = len(digests.calls)
    assert check(headers=standard() | {"webhook-signature": f"{many} v1,{RIGHT}"}, secrets=secrets).id == ID
    digests.calls.clear()
    assert reason(headers=standard() | {"webhook-signature": f"v1,{WRONG}"}, secrets=secrets) == "wrong_signature"
    assert len(digests.calls) == refused <= 2 * len(secrets)


def test_case_4_costly_signatures_are_tried_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    class Public:
        def verify(self, signature: bytes, signed: bytes) -> None:
            from cryptography.exceptions import InvalidSignature

            tried.append(signature)
            raise InvalidSignature

    monkeypatch.setattr(
        "cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PublicKey.from_public_bytes", lambda key: Public()
    )
    many = " ".join(f"v1a,{base64.b64encode(number.to_bytes(64)).decode()}" for number in range(700))
    assert reason(headers=standard() | {"webhook-signature": many}, secrets=PUBLIC_SECRET) == "wrong_signature"
    assert 0 < len(tried) <= 16


def test_case_4_a_header_without_end_is_refused_unread() -> None:
    assert reason(headers=standard() | {"webhook-signature": "v1,x " * 20_000}) == "malformed_header"
    assert reason(headers=standard() | {"webhook-id": "i" * 257}) == "malformed_header"
    assert reason(headers=mr() | {"mr-signature": "0" * 257}) == "malformed_header"


# 5: comparing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["café", "\u212a", "v1,\udcff", "😀", "a\nb", "a\r\nb", "a\x00b", b"\xff", 7, None, ["v1"]]
)
@pytest.mark.parametrize("name", ["webhook-signature", "webhook-id", "webhook-timestamp", "mr-signature"])
def test_case_5_what_is_not_ascii_is_refused_and_raises_nothing_else(name: str, value: Any) -> None:
    assert reason(headers=standard() | {name: value}) == "malformed_header"


def test_case_5_a_header_of_somebody_else_may_be_anything() -> None:
    assert check(headers=standard() | {"x-other": "café", "ünï": "x"}).id == ID
    assert check(headers=[*standard().items(), (b"\xff", b"\xff")]).id == ID


@pytest.mark.parametrize(
    ("name", "given"),
    [("webhook-signature", standard()), ("mr-signature", mr()), ("X-ModelRiver-Signature", x())],
)
def test_case_5_signatures_are_compared_in_constant_time_on_bytes(
    monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, str]
) -> None:
    """Each candidate goes through hmac.compare_digest, and there are as many wherever it differs."""
    comparisons = Counting(monkeypatch, "compare_digest")
    secrets, seen = [OTHER, SECRET], []
    right = given[name]
    start = 3 if right.startswith("v1,") else 0
    for place in (start, start + 20, len(right) - 2):
        comparisons.calls.clear()
        wrong = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
        assert reason(headers=given | {name: wrong}, secrets=secrets) == "wrong_signature"
        assert all(type(one) is bytes and len(one) == len(other) for one, other in comparisons.calls)
        seen.append(len(comparisons.calls))
    assert len(set(seen)) == 1
    assert seen[0] >= len(secrets)


def test_case_5_a_comparison_takes_no_longer_the_more_of_it_is_right() -> None:
    """By the fastest of many rounds in turn: a comparison that stops at the first difference is found out."""
    right = signature()
    early, late = f"v1,{'A' if right[3] != 'A' else 'B'}{right[4:]}", f"{right[:-2]}{'A' if right[-2] != 'A' else 'B'}="
    fields = [standard() | {"webhook-signature": " ".join([entry] * 400)} for entry in (early, late)]
    fastest = [math.inf, math.inf]
    for _ in range(60):
        for which, headers in enumerate(fields):
            started = time.perf_counter()
            assert reason(headers=headers) == "wrong_signature"
            fastest[which] = min(fastest[which], time.perf_counter() - started)
    assert max(fastest) / min(fastest) < 1.3, fastest


# 6: secrets --------------------------------------------------------------------------------------------------

AWKWARD_KEY = bytes.fromhex("fbefbefbefbefbefbefbefbefbefbefbefbefbefbefbefbefbef")  # all `-` and `+` in base64


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (SECRET, KEY),
        (SECRET.rstrip("="), KEY),
        (base64.b64encode(KEY).decode(), KEY),  # without its prefix
        ("whsec_" + base64.b64encode(AWKWARD_KEY).decode(), AWKWARD_KEY),
        ("whsec_" + base64.urlsafe_b64encode(AWKWARD_KEY).decode(), AWKWARD_KEY),
        ("whsec_" + base64.urlsafe_b64encode(AWKWARD_KEY).decode().rstrip("="), AWKWARD_KEY),
        (KEY, KEY),
        ("plain text ✓", "plain text ✓".encode()),
        (Secret(SECRET), KEY),
    ],
)
def test_case_6_a_secret_may_have_any_of_its_forms(secret: Any, key: bytes) -> None:
    assert check(headers=standard(key=key), secrets=secret).id == ID
    assert reason(headers=standard(key=key[::-1]), secrets=secret) == "wrong_signature"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), "24 to 64"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), "24 to 64"),
        ("whsec_", "8 characters"),
        ("whsec_AAAA", "24 to 64"),
        ("whsec_not base64!", "base64"),
        ("whpk_" + base64.b64encode(b"k" * 31).decode(), "32 bytes"),
        ("whpk_!", "8 characters"),
        ("whpk_!!!!", "32 bytes"),
        ("whsk_" + base64.b64encode(b"k" * 32).decode(), "private"),
        ("short", "8 characters"),
        (b"short", "8 bytes"),
        (f"{SECRET}\n", "white space"),
        (f" {SECRET}", "white space"),
        (["plain text", 7], "int"),
        (7, "int"),
        ([SECRET] * 17, "1 to 16"),
        (Secret(SECRET, expires_at=math.nan), "expires_at"),
    ],
)
def test_case_6_what_cannot_be_a_secret_is_said_at_once(secret: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        Receiver(secret)
    assert not any(
        isinstance(secret, str) and len(secret) > 8 and secret.strip() in text for text in refused.value.args
    )


def test_case_6_several_secrets_count_until_each_expires() -> None:
    secrets = [Secret(SECRET), Secret(OTHER, expires_at=NOW + 60)]
    for secret, key in ((SECRET, KEY), (OTHER, bytes(range(1, 33)))):
        for sign in (standard(key=key), mr(secret=secret), x(secret=secret)):
            assert check(headers=sign, secrets=secrets)
    old = standard(at=NOW + 60, key=bytes(range(1, 33)))
    assert check(headers=old, secrets=secrets, now=NOW + 59)
    assert reason(headers=old, secrets=secrets, now=NOW + 60) == "wrong_signature"
    assert reason(headers=mr(secret=OTHER), secrets=secrets, now=NOW + 60) == "wrong_signature"
    both = f"{signature(key=bytes(range(1, 33)))} {signature()}"  # what a sender that rotates sends
    assert check(headers=standard() | {"webhook-signature": both}, secrets=OTHER).id == ID


def test_case_6_when_all_have_expired_nothing_is_accepted() -> None:
    assert reason(secrets=Secret(SECRET, expires_at=NOW)) == "no_active_secret"


def test_secrets_show_nowhere() -> None:
    from riverflow.webhooks.secrets import Keyring

    receiver = Receiver([SECRET, KEY, PUBLIC_SECRET])
    ring = Keyring([SECRET, PUBLIC_SECRET])
    told = f"{Secret(SECRET)!r} {ring!r} {ring.active(NOW)!r} {receiver!r} {check()!r}"
    assert not [part for part in (SECRET[6:], PUBLIC_SECRET[5:], repr(KEY)) if part in told]
    with pytest.raises(WebhookVerificationError) as refused:
        check(headers=standard(key=b"x" * 32))
    assert SECRET[6:] not in f"{refused.value!r} {refused.value.__notes__}"


# 8: compressed bodies ----------------------------------------------------------------------------------------


def compressed(content: bytes) -> tuple[bytes, dict[str, str]]:
    body = gzip.compress(content, mtime=0)
    return body, standard(body) | {"content-encoding": "gzip"}


def test_case_8_the_signature_is_over_the_bytes_that_were_sent() -> None:
    body, headers = compressed(BODY)
    assert check(body, headers).payload == HAND_OFF
    assert reason(BODY, headers) == "wrong_signature"  # a server in front that undid the coding
    assert reason(body, standard() | {"content-encoding": "gzip"}) == "wrong_signature"
    assert check(headers=standard() | {"content-encoding": "identity"}).payload == HAND_OFF


def test_case_8_a_bomb_is_bounded_and_not_opened_unsigned() -> None:
    bomb, headers = compressed(b'{"a":"' + b"0" * 20_000_000 + b'"}')
    assert len(bomb) < 50_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            check(bomb, headers, max_body=100_000)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert reason(bomb, headers | {"webhook-signature": f"v1,{WRONG}"}) == "wrong_signature"


@pytest.mark.parametrize("spoil", [lambda body: body[:-4], lambda body: body + b"x", lambda body: b"not gzip"])
def test_case_8_what_is_not_one_whole_gzip_is_400(spoil: Callable[[bytes], bytes]) -> None:
    body = spoil(gzip.compress(BODY))
    with pytest.raises(InvalidRequest):
        check(body, standard(body) | {"content-encoding": "gzip"})


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "compress"])
def test_case_8_other_codings_are_400(coding: str) -> None:
    with pytest.raises(InvalidRequest, match="gzip"):
        check(headers=standard() | {"content-encoding": coding})


# 9: headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_case_9_names_have_no_case_and_any_frameworks_headers_do(case: Callable[[str], str]) -> None:
    from starlette.datastructures import Headers
    from werkzeug.datastructures import Headers as FlaskHeaders

    fields = {case(name): value for name, value in standard().items()}
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    for headers in (fields, raw, iter(raw), list(fields.items()), Headers(fields), FlaskHeaders(fields)):
        assert check(headers=headers).id == ID


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "X-ModelRiver-Signature", "mr-signature"])
def test_case_9_a_field_that_comes_twice_is_refused(name: str) -> None:
    fields = list((standard() | x() | mr()).items())
    again = [(name.upper(), value) for key, value in fields if key == name]
    for repeated in ([*fields, *again], [*again, *fields], [*fields, (name, "other")]):
        assert reason(headers=repeated) == "repeated_header"
    joined = dict(fields) | {name: f"{again[0][1]},{again[0][1]}"}  # as a proxy or a WSGI server joins them
    assert reason(headers={key: value for key, value in joined.items() if _of(name, key)}) in (
        "malformed_header", "malformed_timestamp", "wrong_signature",
    )  # fmt: skip


def _of(name: str, key: str) -> bool:
    return name[:2].lower() == key[:2].lower()


def test_case_9_signatures_may_come_in_several_fields() -> None:
    fields = [*standard().items(), ("Webhook-Signature", f"v1,{WRONG}")]
    assert check(headers=fields).id == ID
    assert check(headers=reversed(fields)).id == ID


@pytest.mark.parametrize("spelt", ["webhook_id", "webhook.id", "webhook id", "HTTP_WEBHOOK_ID", " webhook-id"])
def test_case_9_another_spelling_is_another_field(spelt: str) -> None:
    assert check(headers=standard() | {spelt: "evil"}).id == ID
    without = {name: value for name, value in standard().items() if name != "webhook-id"}
    assert reason(headers=without | {spelt: ID}) == "missing_header"


@pytest.mark.parametrize("id_", ["a.b", "a b", "a,b", "\u00e9"])
def test_case_9_an_id_that_no_sender_gives_is_refused(id_: str) -> None:
    assert reason(headers=standard(id=id_)) == "malformed_header"


# 10: await and samples ---------------------------------------------------------------------------------------


def test_case_10_verify_is_no_coroutine() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY, {}, SECRET)  # raised here and now: no await to forget
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).receive(BODY, {})


def test_case_10_a_body_that_was_not_awaited_is_refused() -> None:
    async def body() -> bytes:
        return BODY

    with pytest.raises(RawBodyRequired, match="await"):
        check(body())


def test_case_10_a_reception_that_was_not_entered_tells_nothing() -> None:
    reception = Receiver(SECRET, clock=lambda: NOW).receive(BODY, standard())
    with pytest.raises(ConfigError, match="async with"):
        _ = reception.duplicate


# 12: the algorithm -------------------------------------------------------------------------------------------


def test_case_12_the_key_says_the_algorithm_and_the_message_does_not() -> None:
    """No header names an algorithm, a key or a place to fetch one from; each kind of secret has its one use."""
    assert check(headers=asymmetric(), secrets=[SECRET, PUBLIC_SECRET]).id == ID
    assert check(headers=standard(), secrets=[PUBLIC_SECRET, SECRET]).id == ID
    sha1 = base64.b64encode(hmac.new(KEY, f"{ID}.{NOW}.".encode() + BODY, hashlib.sha1).digest()).decode()
    plain = base64.b64encode(hashlib.sha256(f"{ID}.{NOW}.".encode() + BODY).digest()).decode()
    for header in ("none", "none,", "v0,", f"v1,{sha1}", f"v1,{plain}"):
        assert reason(headers=standard() | {"webhook-signature": header}) == "wrong_signature"
    jwks = {"webhook-key-id": "1", "webhook-jwks": "https://evil.example/jwks", "kid": "1"}
    assert reason(headers=asymmetric() | jwks) == "wrong_signature"


def test_case_12_an_asymmetric_signature_is_checked_in_full() -> None:
    assert reason(BODY + b" ", asymmetric(), PUBLIC_SECRET) == "wrong_signature"
    assert reason(headers=asymmetric(at=NOW - 301), secrets=PUBLIC_SECRET) == "too_old"
    stranger = "whpk_" + base64.b64encode(bytes(reversed(PUBLIC))).decode()
    assert reason(headers=asymmetric(), secrets=stranger) == "wrong_signature"
    for broken in ("v1a,!", "v1a,AAAA", f"v1a,{base64.b64encode(bytes(64)).decode()}"):
        assert reason(headers=standard() | {"webhook-signature": broken}, secrets=PUBLIC_SECRET) == "wrong_signature"


def test_case_12_without_the_library_ed25519_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(ConfigError, match="pip install"):
        Receiver(PUBLIC_SECRET)
    assert check(secrets=SECRET).id == ID


# 14: no way round --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "", b"", [], (), [None], [""], {}])
def test_case_14_no_secret_is_never_no_check(secret: Any) -> None:
    for headers in ({}, standard(), mr(secret="")):
        with pytest.raises(ConfigError):
            check(headers=headers, secrets=secret)
    with pytest.raises(ConfigError):
        Receiver(secret)


@pytest.mark.parametrize("headers", [{}, {"webhook-id": ID}, {"x-signature": "x"}, {"authorization": "Bearer x"}])
def test_case_14_no_signature_is_never_no_check(headers: dict[str, str]) -> None:
    assert reason(headers=headers) == "missing_signature"


def test_case_14_no_environment_variable_turns_it_off() -> None:
    code = (
        "import os\n"
        "for name in ('RIVERFLOW_ENV', 'ENV', 'DEBUG', 'FLASK_DEBUG', 'DJANGO_DEBUG', 'INNGEST_DEV'):\n"
        "    os.environ[name] = '1' if name != 'RIVERFLOW_ENV' else 'development'\n"
        "from riverflow.webhooks import WebhookVerificationError, verify\n"
        "for secret in ('', None):\n"
        "    try: verify(b'{}', {}, secret)\n"
        "    except Exception as error: print(type(error).__name__)\n"
        "try: verify(b'{}', {}, 'plain text')\n"
        "except WebhookVerificationError as error: print(error.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["ConfigError", "ConfigError", "missing_signature"]


def test_case_14_a_weaker_signature_is_no_way_round_a_stronger_one() -> None:
    for headers in (
        standard(at=NOW - 301) | x() | mr(),
        standard(key=b"k" * 32) | x() | mr(),
        {"webhook-signature": signature()} | x() | mr(),
        x(at=NOW - 301) | mr(),
        x(b"wrong") | mr(),
    ):
        assert reason(headers=headers) in ("too_old", "wrong_signature", "missing_header")
    stripped = mr()  # what is left of a good message without its better signatures: refused where that is asked
    assert reason(headers=stripped, accept={"standard"}) == "missing_signature"


def test_the_engine_is_not_needed() -> None:
    """Nothing of riverflow but the pure files, and none of its dependencies but msgspec."""
    code = (
        "import sys\n"
        "from riverflow.webhooks import Receiver, SQLiteReplays, verify\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in "
        "('riverflow', 'starlette', 'httpx', 'anyio', 'pluggy', 'cryptography', 'flask', 'django')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.split(".")[0] != "riverflow"} == set()
    rooms = {name.split(".")[1] for name in loaded if "." in name}
    assert rooms <= {"webhooks", "codec", "errors", "problems", "models", "pipeline", "retry", "addresses"}


def test_a_proof_that_holds_says_what_it_covers() -> None:
    assert Proof("x-modelriver-data", b"{}", ("one", "two")).id == "sig_one"
    assert Proof("x-modelriver", b"{}", ("one", "two")).id == "sig_two"
