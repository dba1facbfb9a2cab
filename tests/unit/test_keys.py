"""The key ring: what a request with a known key costs, and when it is asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from riverflow._directory import Directory
from riverflow._gate import Gate
from riverflow._keys import STRANGERS, KeyRing
from riverflow._vault import Vault
from riverflow.builtin.sqlite.address import Address
from riverflow.builtin.sqlite.store import SqliteStore
from riverflow.config import Declarations
from riverflow.errors import StoreUnavailable, Unauthenticated
from riverflow.models import SCOPES, SUBMIT, Identity
from riverflow.testing import FakeClock, SequenceIds

pytestmark = pytest.mark.anyio


class Counted:
    """Documents that count what they are asked, and fail where they are told to."""

    def __init__(self, documents: Any) -> None:
        self._documents = documents
        self.asked: Counter[str] = Counter()
        self.failing = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._documents, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.asked[name] += 1
            if self.failing:
                raise StoreUnavailable("gone")
            return await method(*arguments, **options)

        return counted


class Desk:
    """A gate over a real store."""

    def __init__(self, documents: Counted, clock: FakeClock) -> None:
        ids, declared = SequenceIds(), Declarations()
        vault = Vault([], plain=True)
        self.documents: Any = documents
        self.clock = clock
        self.directory = Directory(self.documents, vault=vault, clock=clock, ids=ids, declared=declared, handlers={})
        self.keys = KeyRing(self.directory, self.documents, clock=clock, ids=ids)

    async def open(self) -> None:
        await self.directory.open()
        root = Identity(project_id=self.directory.default_project, root=True)
        self.gate = Gate(self.keys, "mr_live_root", root, [], self.directory.known_project)

    async def knock(self, key: str) -> Identity:
        return await self.gate.authenticate({"headers": [(b"authorization", b"Bearer " + key.encode())]})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = FakeClock()
    store = SqliteStore(Address.parse(f"sqlite:///{tmp_path}/river.db"), clock)
    await store.open()
    desk = Desk(Counted(store.documents), clock)
    await desk.open()
    yield desk
    await store.aclose()


async def test_a_known_key_asks_the_store_nothing(desk: Desk) -> None:
    stored, key = await desk.keys.issue(desk.directory.default_project, "k", {SUBMIT})
    known = await desk.knock(key)
    assert (known.scopes, known.subject, known.key_id, known.root) == (
        frozenset({SUBMIT}),
        stored.name,
        stored.name,
        False,
    )
    desk.documents.asked.clear()
    for _ in range(100):
        assert await desk.knock(key) is known
    assert (await desk.knock("mr_live_root")).root
    assert not desk.documents.asked


async def test_a_bad_key_asks_the_store_once_and_is_asked_about_anew_when_a_key_is_made(desk: Desk) -> None:
    async def refused(key: str) -> bool:
        try:
            await desk.knock(key)
        except Unauthenticated:
            return True
        return False

    project_id = desk.directory.default_project
    assert await refused("mr_live_wrong")  # memory is warm
    desk.documents.asked.clear()
    assert await refused("mr_live_bad")
    assert desk.documents.asked.total() == 1
    for _ in range(100):
        assert await refused("mr_live_bad")
        assert await refused("mr_live_wrong")
    assert desk.documents.asked.total() == 1
    for number in range(STRANGERS + 10):
        assert await refused(f"mr_live_{number}")
    assert len(desk.keys._strange) == STRANGERS  # bounded, however many are tried
    _, key = await desk.keys.issue(project_id, "k", SCOPES)
    assert not await refused(key)
    assert await refused("mr_live_bad")


async def test_a_verdict_is_found_anew_after_a_change_and_holds_again(desk: Desk) -> None:
    project_id = desk.directory.default_project
    _, key = await desk.keys.issue(project_id, "k", SCOPES)
    await desk.knock(key)
    desk.directory.forget()
    desk.documents.asked.clear()
    await desk.knock(key)
    assert desk.documents.asked
    desk.documents.asked.clear()
    await desk.knock(key)
    assert not desk.documents.asked


async def test_a_verdict_read_while_something_changed_is_not_kept(desk: Desk) -> None:
    project_id = desk.directory.default_project
    stored, key = await desk.keys.issue(project_id, "k", SCOPES)
    finding, find = desk.directory.find, desk.directory.find

    async def interrupted(*arguments: Any) -> Any:
        found = await finding(*arguments)
        desk.directory.find = find  # type: ignore[method-assign]
        await desk.keys.revoke(project_id, stored.name)
        with pytest.raises(Unauthenticated):
            await desk.knock("mr_live_other")  # for whom all that was kept is dropped
        return found

    desk.directory.find = interrupted  # type: ignore[method-assign]
    await desk.knock(key)  # it began before the revocation
    with pytest.raises(Unauthenticated):
        await desk.knock(key)


async def test_a_key_that_expired_is_refused_by_memory(desk: Desk) -> None:
    _, key = await desk.keys.issue(desk.directory.default_project, "k", SCOPES, desk.clock.now() + 10)
    await desk.knock(key)
    await desk.clock.advance(10)
    with pytest.raises(Unauthenticated):
        await desk.knock(key)
    assert await desk.keys.identity_of(desk.directory.default_project, "key_" + "1".zfill(26)) is None


async def test_uses_that_could_not_be_written_are_written_later(desk: Desk) -> None:
    project_id = desk.directory.default_project
    stored, key = await desk.keys.issue(project_id, "k", SCOPES)
    await desk.knock(key)
    used = desk.clock.now()
    desk.documents.failing = True
    with pytest.raises(StoreUnavailable):
        await desk.keys.note()
    desk.documents.failing = False
    await desk.keys.note()
    desk.documents.asked.clear()
    await desk.keys.note()
    assert not desk.documents.asked, "nothing was used since"
    again = KeyRing(desk.directory, desk.documents, clock=desk.clock, ids=SequenceIds())
    assert await again.last_used(project_id) == {stored.name: used}


async def test_an_older_use_does_not_overwrite_a_newer_one(desk: Desk) -> None:
    """Two processes note in any order."""
    project_id = desk.directory.default_project
    stored, key = await desk.keys.issue(project_id, "k", SCOPES)
    other = KeyRing(desk.directory, desk.documents, clock=desk.clock, ids=SequenceIds())
    await desk.knock(key)
    await desk.clock.advance(5)
    newer = desk.clock.now()
    desk.gate = Gate(other, None, Identity(project_id=project_id), [], desk.directory.known_project)
    await desk.knock(key)
    await other.note()
    await desk.keys.note()
    assert (await other.last_used(project_id)) == {stored.name: newer}


async def test_a_use_of_a_key_that_was_deleted_is_not_written(desk: Desk) -> None:
    project_id = desk.directory.default_project
    stored, key = await desk.keys.issue(project_id, "k", SCOPES)
    other = KeyRing(desk.directory, desk.documents, clock=desk.clock, ids=SequenceIds())
    await desk.knock(key)
    await other.remove(project_id, stored.name)
    await desk.keys.note()
    assert await other.last_used(project_id) == {}
