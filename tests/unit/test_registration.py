"""Mistakes of whoever builds a Riverflow: named at once, before anything is served."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow import Endpoint, Riverflow
from riverflow.errors import ConfigError, PluginError

URL = "https://api.example.com/webhooks/ai"


def _river(**options: Any) -> Riverflow:
    return Riverflow(environ={}, discover_plugins=False, **options)


def test_endpoints_that_share_a_url_need_an_id_each() -> None:
    one, two = (Endpoint(url=URL, secret=secret) for secret in ("whsec_one", "whsec_two"))
    with pytest.raises(ConfigError) as refused:
        _river(endpoints=[one, two])
    assert "id" in str(refused.value)
    assert URL in str(refused.value)
    assert "whsec" not in str(refused.value)
    _river(endpoints=[one, Endpoint(id="ep_two", url=URL, secret="whsec_two")])


@pytest.mark.parametrize("decorator", ["on", "stage"])
def test_a_decorator_without_its_brackets_is_refused(decorator: str) -> None:
    with pytest.raises(ConfigError, match=f'write @river.{decorator}\\("'):
        getattr(_river(), decorator)(lambda event: {})


def test_a_plugin_is_no_text() -> None:
    with pytest.raises(PluginError, match="not the text 'x'"):
        _river(plugins=["x"])


def test_an_environment_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError) as refused:
        _river(env="dev")
    assert "keyword env" in str(refused.value)
    assert "one of production, development" in str(refused.value)
