"""The one error body: both published shapes at once, and nothing of what went wrong inside."""

from __future__ import annotations

import json

import pytest

from riverflow import errors
from riverflow.problems import problem_body, problem_messages


def test_a_request_error_is_told_in_both_shapes() -> None:
    error = errors.NotWaiting("stage 'enrich' is not waiting", extra={"stage": "enrich"})
    assert json.loads(problem_body(error)) == {
        "message": "stage 'enrich' is not waiting",
        "error": {
            "message": "stage 'enrich' is not waiting",
            "type": "invalid_request_error",
            "code": "not_waiting",
            "stage": "enrich",
        },
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "stage 'enrich' is not waiting",
    }


@pytest.mark.parametrize("error", [errors.StoreUnavailable("disk /var/x full"), errors.ConfigError("secret whsec_1")])
def test_what_went_wrong_inside_stays_inside(error: errors.RiverflowError) -> None:
    body = problem_body(error)
    assert str(error).encode() not in body
    assert json.loads(body)["status"] == error.status


def test_the_messages_answer_a_request() -> None:
    start, body = problem_messages(errors.NotFound("there is no such run"))
    headers = dict(start["headers"])
    assert start["status"] == 404
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert b"www-authenticate" not in headers


def test_a_401_names_the_scheme() -> None:
    start, _ = problem_messages(errors.Unauthenticated("no key"))
    assert (b"www-authenticate", b"Bearer") in start["headers"]


def told(error: errors.RiverflowError) -> dict[bytes, bytes]:
    return dict(problem_messages(error)[0]["headers"])


def test_what_knows_when_to_come_back_says_so_in_whole_seconds() -> None:
    assert told(errors.Overloaded("full", retry_after=5.0))[b"retry-after"] == b"5"
    assert told(errors.Conflict("not yet", retry_after=0.2))[b"retry-after"] == b"1"
    limited = errors.RateLimited("too many", retry_after=12.3, headers=((b"ratelimit", b"x"),))
    assert told(limited)[b"retry-after"] == b"13"
    assert told(limited)[b"ratelimit"] == b"x"
    assert b"retry-after" not in told(errors.Conflict("never"))


@pytest.mark.parametrize("error", [errors.StoreUnavailable("locked"), errors.Overloaded("stopping")])
def test_every_503_says_when_to_come_back(error: errors.RiverflowError) -> None:
    assert told(error)[b"retry-after"] == b"1"


def test_no_error_is_kept_sniffed_or_referred_to() -> None:
    headers = told(errors.Unauthenticated("no key"))
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
