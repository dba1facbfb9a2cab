"""Canonical JSON is what JavaScript writes, byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riverflow import codec
from riverflow.errors import InvalidRequest
from riverflow.models import Json

Judge = Callable[[str], bytes]

# One line in, one line out, so that one process judges every example.
JUDGE = """
require('readline').createInterface({input: process.stdin}).on('line', line => {
  process.stdout.write(JSON.stringify(JSON.parse(JSON.parse(line))) + '\\n')
})
"""


@pytest.fixture(scope="module")
def javascript() -> Iterator[Judge]:
    """JSON.stringify(JSON.parse(text)), by Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    with subprocess.Popen([node, "-e", JUDGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def judge(text: str) -> bytes:
            process.stdin.write(json.dumps(text).encode() + b"\n")
            process.stdin.flush()
            return process.stdout.readline().rstrip(b"\n")

        yield judge
        process.stdin.close()


def canonical(text: str | bytes) -> bytes:
    return bytes(codec.canonical(text.encode() if isinstance(text, str) else text))


# Against Node -----------------------------------------------------------------------------------------------

EXACT = 2**53
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.one_of(
    TEXT,
    st.integers(0, 2**33).map(str),
    st.sampled_from(
        ["0", "00", "01", "-1", "1.0", "4294967294", "4294967295", "9", "10", "\u0663", "", "\\", '"', "1e3"]
    ),
)
NUMBERS = st.one_of(
    st.integers(-EXACT, EXACT),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-30, 30).map(lambda power: float(f"1e{power}")),
    st.integers(-EXACT, EXACT).map(float),
)
LEAVES = st.one_of(
    st.none(), st.booleans(), NUMBERS, TEXT, st.sampled_from([",1.0,", '{"1":', '":1e5,', "[8.0]", "\u2028"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
WRITERS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    lambda value: json.dumps(value, indent=2),
    lambda value: msgspec.json.encode(value).decode(),
]
RELAXED = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@RELAXED
@given(value=VALUES, writer=st.sampled_from(WRITERS))
def test_canonical_is_what_javascript_writes(javascript: Judge, value: Any, writer: Callable[[Any], str]) -> None:
    text = writer(value)
    assert canonical(text) == javascript(text)


@RELAXED
@given(
    number=st.from_regex(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).filter(
        lambda text: abs(float(text)) < 1e308
    )
)
def test_every_spelling_of_a_number_is_written_as_javascript_does(javascript: Judge, number: str) -> None:
    for text in (number, f"[{number}]", f'{{"a":{number},"b":"{number}"}}', f" [ 1 , {number} ] "):
        assert canonical(text) == javascript(text)


@pytest.mark.parametrize(
    "text",
    [
        "8.0",
        "-0.0",
        "-0",
        "1e21",
        "1e20",
        "123456789012345680000",
        "1e-6",
        "1e-7",
        "1E+5",
        "0.1e1",
        "5e-324",
        "1.7976931348623157e308",
        "9007199254740991",
        "9007199254740993.0",
        '{"b":1,"10":2,"9":3,"a":4,"01":5,"-1":6,"4294967294":7,"4294967295":8}',
        '{"a":1,"b":2,"a":3}',
        '{"1":{"2":{"10":0,"9":0}},"0":[{"3":1,"2":1.0}]}',
        r'"\u0041\/\b\f\n\r\t\u0000\u001f\u007f\u2028\u2029"',
        r'"\ud83d\ude00"',
        r'"{\"10\":1,\"9\":8.0}"',
        r'["\\",1.0,"\\\"",2.0,"[1e21,"]',
        '"Amélie – 東京 – 😀"',
        '{"":{"":[]},"é":{}}',
        " [ 1 , [ ] , { } , null , true ] ",
    ],
)
def test_known_differences(javascript: Judge, text: str) -> None:
    assert canonical(text) == javascript(text)


# On its own terms -------------------------------------------------------------------------------------------


@given(value=VALUES)
def test_canonical_is_a_fixed_point(value: Any) -> None:
    once = canonical(json.dumps(value))
    assert canonical(once) == once


@given(number=st.integers(EXACT, 10**30))
def test_integers_beyond_javascripts_stay_exact(number: int) -> None:
    assert canonical(f'{{"n":{number}}}') == f'{{"n":{number}}}'.encode()


@given(value=VALUES)
def test_python_json_is_what_pythons_json_module_writes_of_it(value: Any) -> None:
    """A receiver that parses and re-serialises in Python gets the bytes that were signed."""
    written = codec.python_json(canonical(json.dumps(value)))
    assert json.dumps(json.loads(written)).encode() == written
    assert json.loads(written) == json.loads(canonical(json.dumps(value)))


def test_python_json_has_spaces_and_ascii_only() -> None:
    assert codec.python_json('{"a":[1,"é😀"]}'.encode()) == b'{"a": [1, "\\u00e9\\ud83d\\ude00"]}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{}{}",
        b"[1,]",
        b"{'a':1}",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"01",
        b"+1",
        b'"\xff"',
        b'"\n"',
        rb'"\ud800"',
        rb'"\ude00\ud83d"',
        rb'"\x41"',
        b"\xef\xbb\xbf1",
        b"// comment\n1",
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    for read in (codec.canonical, codec.decode):
        with pytest.raises(InvalidRequest) as refused:
            read(text)
        assert refused.value.code == "invalid_json"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"1":', b"}]")])
def test_nesting_is_bounded_whatever_is_inside(opening: bytes, closing: bytes) -> None:
    levels = codec.MAX_DEPTH // (len(opening) - len(opening.translate(None, b"[{")))
    for leaf in (b"1", b"1e21"):
        assert codec.canonical(opening * levels + leaf + closing * levels)
        with pytest.raises(InvalidRequest):
            codec.canonical(opening * levels + b"[" + leaf + b"]" + closing * levels)
    with pytest.raises(InvalidRequest):
        codec.canonical(opening * 100_000 + b"1" + closing * 100_000)


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert codec.canonical(b"[" + b",".join([b"[]"] * 5000) + b"]")
    assert codec.canonical(json.dumps("[" * 5000).encode())


def test_from_python_takes_what_msgspec_writes() -> None:
    class Point(msgspec.Struct):
        x: float
        y: float

    value = {
        "at": datetime(2026, 1, 5, tzinfo=UTC),
        "point": Point(1.0, 1e21),
        "raw": Json(b'{"k":8}'),
        "tuple": (1, 2.0),
    }
    assert (
        bytes(codec.from_python(value))
        == b'{"at":"2026-01-05T00:00:00Z","point":{"x":1,"y":1e+21},"raw":{"k":8},"tuple":[1,2]}'
    )


def test_from_python_writes_what_is_no_number_as_null() -> None:
    nan, infinity = float("nan"), float("inf")
    assert bytes(codec.from_python([nan, infinity, -infinity, {"a": nan}])) == b'[null,null,null,{"a":null}]'
    assert bytes(codec.from_python(nan)) == b"null"


def test_from_python_refuses_what_has_no_json_form() -> None:
    with pytest.raises(TypeError):
        codec.from_python({"f": object()})
    with pytest.raises(ValueError, match="surrogate"):
        codec.from_python({"a": "\ud800"})
    deep: Any = 1
    for _ in range(codec.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        codec.from_python(deep)


def test_splice_leaves_out_none_and_puts_json_in_as_it_is() -> None:
    assert codec.splice(a=1, b=None, c=Json(b'{ "odd" :1}'), d=[]) == b'{"a":1,"c":{ "odd" :1},"d":[]}'
