"""The cases of ports.Documents: versions, the counter of changes, markers that expire."""

from __future__ import annotations

import asyncio

import pytest

from ...errors import VersionConflict
from ...models import Document
from ...ports import Store
from .store_cases import MINE, NOW, THEIRS, StoreCases

__all__ = ["DocumentCases"]


class DocumentCases(StoreCases):
    """What every Documents promises."""

    async def test_versions_count_from_one(self, store: Store) -> None:
        assert await store.documents.get(MINE, "workflow", "chat") is None
        assert await store.documents.put(MINE, "workflow", "chat", b"{}", now=NOW) == 1
        assert await store.documents.put(MINE, "workflow", "chat", b"\x00\xff", now=NOW + 0.25) == 2
        assert await store.documents.get(MINE, "workflow", "chat") == Document(
            kind="workflow", name="chat", project_id=MINE, version=2, body=b"\x00\xff", updated_at=NOW + 0.25
        )

    async def test_the_expected_version_is_kept_to(self, store: Store) -> None:
        with pytest.raises(VersionConflict):
            await store.documents.put(MINE, "key", "k", b"1", now=NOW, expected_version=1)
        assert await store.documents.put(MINE, "key", "k", b"1", now=NOW, expected_version=0) == 1
        with pytest.raises(VersionConflict):
            await store.documents.put(MINE, "key", "k", b"2", now=NOW, expected_version=0)
        assert await store.documents.put(MINE, "key", "k", b"3", now=NOW, expected_version=1) == 2
        with pytest.raises(VersionConflict):
            await store.documents.put(MINE, "key", "k", b"4", now=NOW, expected_version=1)
        document = await store.documents.get(MINE, "key", "k")
        assert document is not None
        assert (document.version, document.body) == (2, b"3")

    async def test_of_two_who_create_one_succeeds(self, store: Store) -> None:
        results = await asyncio.gather(
            *(store.documents.put(MINE, "key", "k", b"x", now=NOW, expected_version=0) for _ in range(8)),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["VersionConflict"] * 7 + ["int"]

    async def test_a_kind_is_listed_by_name(self, store: Store) -> None:
        for kind, name in (("key", "b"), ("key", "a"), ("workflow", "c"), ("key", "B")):
            await store.documents.put(MINE, kind, name, b"{}", now=NOW)
        assert [document.name for document in await store.documents.list(MINE, "key")] == ["B", "a", "b"]
        assert await store.documents.list(MINE, "endpoint") == ()

    async def test_what_is_deleted_is_gone(self, store: Store) -> None:
        await store.documents.put(MINE, "key", "k", b"{}", now=NOW)
        assert await store.documents.delete(MINE, "key", "k")
        assert not await store.documents.delete(MINE, "key", "k")
        assert await store.documents.get(MINE, "key", "k") is None
        assert await store.documents.put(MINE, "key", "k", b"{}", now=NOW, expected_version=0) == 1

    async def test_another_project_s_documents_do_not_exist(self, store: Store) -> None:
        await store.documents.put(MINE, "key", "k", b"mine", now=NOW)
        assert await store.documents.get(THEIRS, "key", "k") is None
        assert await store.documents.list(THEIRS, "key") == ()
        assert not await store.documents.delete(THEIRS, "key", "k")
        assert await store.documents.put(THEIRS, "key", "k", b"theirs", now=NOW, expected_version=0) == 1
        document = await store.documents.get(MINE, "key", "k")
        assert document is not None
        assert document.body == b"mine"

    async def test_the_counter_grows_with_what_changes_and_only_then(self, store: Store) -> None:
        seen = [await store.documents.changes()]
        await store.documents.put(MINE, "key", "k", b"{}", now=NOW)
        seen.append(await store.documents.changes())
        await store.documents.put(MINE, "key", "k", b"{}", now=NOW)
        seen.append(await store.documents.changes())
        await store.documents.delete(MINE, "key", "k")
        seen.append(await store.documents.changes())
        assert seen == sorted(set(seen))
        with pytest.raises(VersionConflict):
            await store.documents.put(MINE, "key", "k", b"{}", now=NOW, expected_version=5)
        await store.documents.delete(MINE, "key", "k")
        assert await store.documents.changes() == seen[-1]

    async def test_a_silent_write_is_written_and_not_counted(self, store: Store) -> None:
        await store.documents.put(MINE, "key_use", "k", b"1", now=NOW)
        before = await store.documents.changes()
        assert await store.documents.put(MINE, "key_use", "k", b"2", now=NOW, silent=True) == 2
        assert await store.documents.put(MINE, "key_use", "other", b"1", now=NOW, silent=True) == 1
        assert await store.documents.changes() == before
        document = await store.documents.get(MINE, "key_use", "k")
        assert document is not None
        assert (document.version, document.body) == (2, b"2")
        await store.documents.put(MINE, "key_use", "k", b"3", now=NOW)
        assert await store.documents.changes() > before

    async def test_a_marker_is_left_once(self, store: Store) -> None:
        mark = store.documents.mark
        assert await mark(MINE, "idempotency", "a", b"first", now=NOW, expires_at=NOW + 10) is None
        assert await mark(MINE, "idempotency", "a", b"second", now=NOW + 9, expires_at=NOW + 99) == b"first"
        assert await mark(MINE, "token", "a", b"", now=NOW, expires_at=NOW + 10) is None
        assert await mark(MINE, "token", "a", b"x", now=NOW, expires_at=NOW + 10) == b""
        assert await mark(THEIRS, "idempotency", "a", b"theirs", now=NOW, expires_at=NOW + 10) is None

    async def test_an_expired_marker_is_as_good_as_none(self, store: Store) -> None:
        mark = store.documents.mark
        await mark(MINE, "token", "a", b"first", now=NOW, expires_at=NOW + 10)
        assert await mark(MINE, "token", "a", b"second", now=NOW + 10, expires_at=NOW + 20) is None
        assert await mark(MINE, "token", "a", b"third", now=NOW + 11, expires_at=NOW + 21) == b"second"

    async def test_a_marker_is_found_until_it_expires_and_by_its_project_alone(self, store: Store) -> None:
        marked = store.documents.marked
        assert await marked(MINE, "idempotency", "a", now=NOW) is None
        await store.documents.mark(MINE, "idempotency", "a", b"first", now=NOW, expires_at=NOW + 10)
        assert await marked(MINE, "idempotency", "a", now=NOW + 9) == b"first"
        assert await marked(MINE, "idempotency", "a", now=NOW + 10) is None
        assert await marked(MINE, "token", "a", now=NOW) is None
        assert await marked(MINE, "idempotency", "b", now=NOW) is None
        assert await marked(THEIRS, "idempotency", "a", now=NOW) is None
        assert await store.documents.mark(MINE, "idempotency", "b", b"", now=NOW, expires_at=NOW + 10) is None
        assert await marked(MINE, "idempotency", "b", now=NOW) == b""

    async def test_of_many_who_mark_one_is_first(self, store: Store) -> None:
        values = [b"%d" % number for number in range(8)]
        results = await asyncio.gather(
            *(store.documents.mark(MINE, "token", "a", value, now=NOW, expires_at=NOW + 10) for value in values)
        )
        assert results.count(None) == 1
        assert set(results) == {None, values[results.index(None)]}
