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
