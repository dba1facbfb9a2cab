"""Every provider keeps the port's promises: riverflow ships the suite that says so."""

from __future__ import annotations

import pytest
from riverflow_parrot import Parrot

from riverflow.ports import Provider
from riverflow.testing.suites.provider import ProviderSuite


class TestParrot(ProviderSuite):
    model = "parrot-1"

    @pytest.fixture
    def provider(self) -> Provider:
        return Parrot()

    async def test_it_says_what_it_heard(self) -> None:
        chat = {"messages": [{"role": "user", "content": "Polly!"}]}
        assert (await Parrot(prefix="Squawk: ").generate(self.ask(chat))).content == "Squawk: Polly!"
