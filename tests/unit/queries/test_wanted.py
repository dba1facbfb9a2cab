"""Query parameters and the filters that they mean."""

from __future__ import annotations

import pytest

from riverflow._queries import wanted
from riverflow.errors import InvalidRequest
from riverflow.models import RunFilter


@pytest.mark.parametrize(
    ("params", "meant"),
    [
        ({}, RunFilter(tags=("live",))),
        ({"status": "", "workflow": "  "}, RunFilter(tags=("live",))),
        ({"tag": "all"}, RunFilter()),
        ({"tag": "pg,test"}, RunFilter(tags=("pg", "test"))),
        ({"status": "error, success,error"}, RunFilter(tags=("live",), statuses=("error", "success"))),
        ({"workflow": " movie "}, RunFilter(tags=("live",), workflow="movie")),
        ({"provider": "openai", "model": "o3"}, RunFilter(tags=("live",), provider="openai", model="o3")),
        ({"event_name": "made"}, RunFilter(tags=("live",), event_name="made")),
        ({"since": "1700000000.5"}, RunFilter(tags=("live",), since=1_700_000_000.5)),
        ({"until": "2023-11-14T22:13:20Z"}, RunFilter(tags=("live",), until=1_700_000_000.0)),
        ({"until": "2023-11-14T22:13:20"}, RunFilter(tags=("live",), until=1_700_000_000.0)),
        ({"since": "2023-11-14T23:13:20+01:00"}, RunFilter(tags=("live",), since=1_700_000_000.0)),
        ({"since": "2023-11-14"}, RunFilter(tags=("live",), since=1_699_920_000.0)),
        ({"channel_id": "018BCFE5-68"}, RunFilter(tags=("live",), channel_id="018bcfe5-68")),
        ({"customer": "user_id=u1"}, RunFilter(tags=("live",), customer=("user_id", "u1"))),
        ({"customer": "a=b=c"}, RunFilter(tags=("live",), customer=("a", "b=c"))),
        ({"something": "else"}, RunFilter(tags=("live",))),
    ],
)
def test_parameters_mean_a_filter(params: dict[str, str], meant: RunFilter) -> None:
    assert wanted(params) == meant


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"status": "failed"}, "status: 'failed' is none of pending, ai_generated, completed, success, error"),
        ({"tag": "live,playground"}, "tag: 'playground' is none of live, test, pg, pg_test_mode"),
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"since": "nan"}, "since: 'nan' is out of range"),
        ({"until": "-1"}, "until: '-1' is out of range"),
        ({"until": "1e300"}, "out of range"),
        ({"channel_id": "movie"}, "channel_id: 'movie' is not the beginning of a channel id"),
        ({"channel_id": "0" * 37}, "is not the beginning of a channel id"),
        ({"customer": "u1"}, "customer: 'u1': give key=value"),
        ({"customer": "=u1"}, "give key=value"),
    ],
)
def test_what_means_nothing_is_refused_by_name(params: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        wanted(params)
    assert refused.value.extra == {"param": next(iter(params))}
