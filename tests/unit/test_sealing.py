"""Sealing everything anew with the newest key: whole, once, and again after a stop half-way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from riverflow._kinds import CREDENTIAL, ENDPOINT, PROJECT
from riverflow._sealing import reseal, survey
from riverflow._vault import Vault, new_key
from riverflow.builtin.sqlite.address import Address
from riverflow.builtin.sqlite.store import SqliteStore
from riverflow.config import Settings
from riverflow.errors import ConfigError, StoreUnavailable
from riverflow.models import Credential, Endpoint, Project, RetiredSecret
from riverflow.ports import Documents, Store
from riverflow.testing import FakeClock

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000.0
OLD, NEW = new_key(), new_key()
PROJECTS = ("one", "two")


def vault(*keys: str, env: str = "production") -> Vault:
    return Vault.of(Settings.load({"secret_key": ",".join(keys) or None, "env": env}))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(Address.parse(f"sqlite:///{tmp_path}/river.db"), FakeClock())
    await store.open()
    yield store
    await store.aclose()


async def fill(documents: Documents, safe: Vault) -> None:
    """Two projects with an endpoint and a credential each: six documents with secrets."""
    for name in PROJECTS:
        project = Project(id=f"id-{name}", name=name, secret="whsec_p", token_secret="whsec_t")
        await put(documents, safe, "", name, PROJECT, project)
        endpoint = Endpoint(id="ep", url="https://example.com", secret=f"whsec_{name}")
        await put(documents, safe, project.id, "ep", ENDPOINT, endpoint)
        await put(documents, safe, project.id, "openai", CREDENTIAL, Credential(provider="openai", api_key=name))


async def put(documents: Documents, safe: Vault, project_id: str, name: str, kind: Any, value: Any) -> None:
    await documents.put(project_id, kind.name, name, safe.pack(kind, project_id, name, value), now=NOW)


async def secret_of(documents: Documents, safe: Vault, name: str) -> str:
    document = await documents.get(f"id-{name}", ENDPOINT.name, "ep")
    assert document is not None
    secret: str = safe.unpack(ENDPOINT, f"id-{name}", "ep", document.body).secret
    return secret


class Failing:
    """Documents whose store goes away after so many writes."""

    def __init__(self, documents: Documents, writes: int) -> None:
        self._documents = documents
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def put(self, *place: Any, **options: Any) -> int:
        if self._left == 0:
            raise StoreUnavailable("gone")
        self._left -= 1
        return await self._documents.put(*place, **options)


@pytest.mark.parametrize("before", [(OLD,), ()], ids=["sealed", "plain"])
async def test_everything_is_sealed_with_the_newest_key(store: Store, before: tuple[str, ...]) -> None:
    documents, both = store.documents, vault(NEW, OLD)
    first = vault(*before, env="development")
    await fill(documents, first)
    assert await survey(documents, both) == {first.key_ids[0] if before else None: 6}
    assert await reseal(documents, both, NOW) == 6
    assert await survey(documents, both) == {both.key_ids[0]: 6}
    assert await reseal(documents, both, NOW) == 0
    assert [await secret_of(documents, vault(NEW), name) for name in PROJECTS] == ["whsec_one", "whsec_two"]


async def test_a_document_is_dated_as_before_and_counted_as_changed(store: Store) -> None:
    await fill(store.documents, vault(OLD))
    changes = await store.documents.changes()
    await reseal(store.documents, vault(NEW, OLD), NOW + 99)
    document = await store.documents.get("id-one", ENDPOINT.name, "ep")
    assert document is not None
    assert (document.version, document.updated_at) == (2, NOW)
    assert await store.documents.changes() == changes + 6


@pytest.mark.parametrize("writes", range(6))
async def test_stopped_half_way_it_is_begun_again(store: Store, writes: int) -> None:
    both = vault(NEW, OLD)
    await fill(store.documents, vault(OLD))
    failing: Any = Failing(store.documents, writes)
    with pytest.raises(StoreUnavailable):
        await reseal(failing, both, NOW)
    assert [await secret_of(store.documents, both, name) for name in PROJECTS] == ["whsec_one", "whsec_two"]
    assert await reseal(store.documents, both, NOW) == 6 - writes
    assert await survey(store.documents, both) == {both.key_ids[0]: 6}


async def test_what_changes_meanwhile_is_not_overwritten(store: Store) -> None:
    old, both = vault(OLD), vault(NEW, OLD)
    await fill(store.documents, old)

    edited: set[str] = set()

    class Busy(Failing):
        async def put(self, *place: Any, **options: Any) -> int:
            if place[1] == ENDPOINT.name and place[0] not in edited:
                edited.add(place[0])
                changed = Endpoint(id="ep", url="https://example.com", secret=f"whsec_changed_{place[0]}")
                await put(self._documents, old, place[0], "ep", ENDPOINT, changed)
            return await self._documents.put(*place, **options)

    busy: Any = Busy(store.documents, 2)
    assert await reseal(busy, both, NOW) == 6
    secrets = [await secret_of(store.documents, vault(NEW), name) for name in PROJECTS]
    assert secrets == ["whsec_changed_id-one", "whsec_changed_id-two"]


async def test_what_is_removed_meanwhile_stays_away(store: Store) -> None:
    await fill(store.documents, vault(OLD))

    class Removing(Failing):
        async def put(self, *place: Any, **options: Any) -> int:
            if place[1] == CREDENTIAL.name:
                await self._documents.delete(*place[:3])
            return await self._documents.put(*place, **options)

    removing: Any = Removing(store.documents, 9)
    assert await reseal(removing, vault(NEW, OLD), NOW) == 4
    assert await store.documents.list("id-one", CREDENTIAL.name) == ()


async def test_secrets_whose_overlap_is_over_are_forgotten_on_the_way(store: Store) -> None:
    safe = vault(NEW)
    over, holds = (RetiredSecret(secret=text, until=NOW + wait) for text, wait in (("whsec_a", 0), ("whsec_b", 1)))
    await fill(store.documents, safe)
    endpoint = Endpoint(id="ep", url="https://example.com", secret="whsec_c", retired=(holds, over))
    await put(store.documents, safe, "id-one", "ep", ENDPOINT, endpoint)
    assert await reseal(store.documents, safe, NOW) == 1
    document = await store.documents.get("id-one", ENDPOINT.name, "ep")
    assert document is not None
    assert safe.unpack(ENDPOINT, "id-one", "ep", document.body).retired == (holds,)


async def test_a_missing_key_is_named_and_nothing_is_lost(store: Store) -> None:
    await fill(store.documents, vault(OLD))
    with pytest.raises(ConfigError, match=vault(OLD).key_ids[0]):
        await reseal(store.documents, vault(NEW), NOW)
    with pytest.raises(ConfigError, match="no secret key to seal with"):
        await reseal(store.documents, vault(), NOW)
    assert await survey(store.documents, vault(OLD)) == {vault(OLD).key_ids[0]: 6}
