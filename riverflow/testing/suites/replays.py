"""The conformance suite of webhooks.ReplayStore.

It asks only what the port promises: one of many gets a message, a failure gives it back, and what is done stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutine
from typing import Any, cast

import pytest

from ...webhooks import ReplayStore, Standing

__all__ = ["ReplaySuite"]

_NOW = 1_700_000_000.0
_CALLERS = 8


class ReplaySuite:
    """Subclass it, and override the fixture `store`; `call` too, where its methods are coroutine functions::

    class TestMine(ReplaySuite):
        @pytest.fixture
        def store(self):
            return MyReplays(URL)

        def call(self, outcome):
            return asyncio.run(outcome)
    """

    @pytest.fixture
    def store(self) -> ReplayStore:
        """An empty store; to be overridden."""
        raise NotImplementedError("override the fixture `store`")

    def call(self, outcome: Any) -> Any:
        """What a method comes to."""
        assert not iscoroutine(outcome), "override `call`"
        return outcome

    def begin(self, store: ReplayStore, *keys: str, claim: str = "a", now: float = _NOW, lease: float = 30) -> Standing:
        return cast("Standing", self.call(store.begin(keys, claim, now=now, until=now + lease)))

    def finish(self, store: ReplayStore, keys: Sequence[str], claim: str = "a", until: float = _NOW + 600) -> None:
        self.call(store.finish(keys, claim, until=until))

    def test_a_message_is_new_then_running_then_done(self, store: ReplayStore) -> None:
        assert self.begin(store, "k") == "new"
        assert self.begin(store, "k", claim="b") == "running"
        assert self.begin(store, "other", claim="b") == "new"
        self.finish(store, ["k"])
        assert self.begin(store, "k", claim="b") == "done"
        assert self.begin(store, "other", claim="c") == "running"

    def test_any_key_is_enough(self, store: ReplayStore) -> None:
        assert self.begin(store, "id", "body") == "new"
        assert self.begin(store, "body", claim="b") == "running"
        self.finish(store, ["id", "body"])
        assert self.begin(store, "unknown", "body", claim="b") == "done"
        assert self.begin(store, "unknown", claim="b") == "new"  # it was not claimed with what was known

    def test_done_weighs_more_than_running(self, store: ReplayStore) -> None:
        assert self.begin(store, "one") == "new"
        assert self.begin(store, "two", claim="b") == "new"
        self.finish(store, ["two"], "b")
        assert self.begin(store, "one", "two", claim="c") == "done"

    def test_what_failed_can_be_begun_again(self, store: ReplayStore) -> None:
        assert self.begin(store, "k", "l") == "new"
        self.call(store.forget(["k", "l"], "a"))
        assert self.begin(store, "k", claim="b") == "new"
        assert self.begin(store, "l", claim="c") == "new"

    def test_only_ones_own_claim_is_forgotten_and_never_what_is_done(self, store: ReplayStore) -> None:
        assert self.begin(store, "k") == "new"
        self.call(store.forget(["k", "unknown"], "b"))
        assert self.begin(store, "k", claim="b") == "running"
        self.finish(store, ["k"])
        self.call(store.forget(["k"], "a"))
        assert self.begin(store, "k", claim="b") == "done"

    def test_a_claim_ends_with_its_lease(self, store: ReplayStore) -> None:
        assert self.begin(store, "k", lease=30) == "new"
        assert self.begin(store, "k", claim="b", now=_NOW + 29.9) == "running"
        assert self.begin(store, "k", claim="b", now=_NOW + 30) == "new"
        self.call(store.forget(["k"], "a"))  # too late: it is another's
        assert self.begin(store, "k", claim="c", now=_NOW + 31) == "running"
        self.finish(store, ["k"])  # late, but the work is done
        assert self.begin(store, "k", claim="c", now=_NOW + 31) == "done"

    def test_what_is_finished_is_done_though_its_claim_is_gone(self, store: ReplayStore) -> None:
        self.finish(store, ["k"])
        assert self.begin(store, "k", claim="b") == "done"

    def test_what_is_done_is_kept_until_its_end(self, store: ReplayStore) -> None:
        assert self.begin(store, "k") == "new"
        self.finish(store, ["k"], until=_NOW + 600)
        assert self.begin(store, "k", claim="b", now=_NOW + 599.9) == "done"
        assert self.begin(store, "k", claim="b", now=_NOW + 600) == "new"

    def test_of_many_at_once_one_gets_it(self, store: ReplayStore) -> None:
        for number in range(10):
            found = _at_once(lambda caller, key=f"k{number}": self.begin(store, key, claim=f"c{caller}"))  # type: ignore[misc]
            assert sorted(found) == ["new"] + ["running"] * (_CALLERS - 1)


def _at_once(act: Callable[[int], Standing]) -> list[Standing]:
    barrier = threading.Barrier(_CALLERS)

    def run(caller: int) -> Standing:
        barrier.wait(10)
        return act(caller)

    with ThreadPoolExecutor(_CALLERS) as pool:
        return list(pool.map(run, range(_CALLERS)))
