"""Both HTTP clients under the shipped suite, and the choice between them."""

from __future__ import annotations

from typing import Any

import pytest

from riverflow.builtin.http import build_client
from riverflow.builtin.http.httpx_client import HttpxClient
from riverflow.builtin.http.pyreqwest_client import PyreqwestClient
from riverflow.config import Settings
from riverflow.errors import ConfigError
from riverflow.ports import HttpClient
from riverflow.testing import FakeClock
from riverflow.testing.suites.http import HttpClientSuite, names


class TestHttpx(HttpClientSuite):
    def build(self, *, env: Any, clock: Any, resolve: Any, authorities: Any) -> HttpClient:
        settings = Settings(env=env, http_client="httpx")
        return build_client(settings, clock, resolve=resolve, authorities=authorities)


class TestPyreqwest(HttpClientSuite):
    def build(self, *, env: Any, clock: Any, resolve: Any, authorities: Any) -> HttpClient:
        settings = Settings(env=env, http_client="pyreqwest")
        return build_client(settings, clock, resolve=resolve, authorities=authorities)

    async def test_a_name_that_its_parser_reads_otherwise_is_refused(self, make: Any) -> None:
        """A pin for one spelling would not hold for another."""
        client = make(resolve=names(**{"xn--0_test": ("127.0.0.1",)}))
        assert await self.refused(client, self.post("http://xn--0.test/")) == "policy"


def without_pyreqwest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riverflow.builtin.http.find_spec", lambda name: None)


def test_pyreqwest_is_taken_when_it_is_there() -> None:
    assert isinstance(build_client(Settings(), FakeClock()), PyreqwestClient)


def test_httpx_is_taken_when_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pyreqwest(monkeypatch)
    assert isinstance(build_client(Settings(), FakeClock()), HttpxClient)


def test_a_client_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pyreqwest(monkeypatch)
    with pytest.raises(ConfigError, match="riverflow\\[server\\]"):
        build_client(Settings(http_client="pyreqwest"), FakeClock())
