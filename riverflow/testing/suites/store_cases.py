"""What the store suites share: the fixtures, and rows to write. It asserts nothing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import msgspec
import pytest

from ...codec import from_python
from ...models import Append, Delivery, DeliveryStatus, Entry, Run, Settlement
from ...ports import Store

__all__ = ["HTTP", "ME", "MINE", "NOW", "THEIRS", "YOU", "StoreCases"]

NOW = 1_700_000_000.0
"""The time at which everything begins here. No store may read a clock of its own."""

MINE, THEIRS = "prj_mine", "prj_theirs"
ME, YOU = "process_me", "process_you"
HTTP = frozenset({"http"})


class StoreCases:
    """Fixtures and builders; `make` is what a subclass gives."""

    pytestmark = pytest.mark.anyio

    durable: ClassVar[bool] = True
    """Whether what was written is still there when the database is opened again."""

    shared: ClassVar[bool] = True
    """Whether several stores (in several processes) may have the same database open at once."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        """Makes a store that is not open yet; each call of one test is for the same, at first empty, database."""
        raise NotImplementedError("override the fixture `make`")

    @pytest.fixture
    async def store(self, make: Callable[[], Store]) -> AsyncIterator[Store]:
        store = make()
        await store.open()
        yield store
        await store.aclose()

    def run_of(self, number: int, **changes: Any) -> Run:
        """A new run; ids sort by number, as UUIDv7s do by time."""
        run = Run(
            id=f"018bcfe5-6800-7000-8000-{number:012d}",
            project_id=MINE,
            workflow="chat",
            event_name=None,
            status="pending",
            stage="generate",
            phase="running",
            version=1,
            generation=1,
            created_at=NOW,
        )
        return msgspec.structs.replace(run, **changes)

    def entry(self, kind: str = "stage.started", **changes: Any) -> Entry:
        return msgspec.structs.replace(Entry(kind=kind, at=NOW, data=from_python({"kind": kind})), **changes)

    def delivery_of(self, run: Run, name: str, **changes: Any) -> Delivery:
        delivery = Delivery(
            id=f"dlv_{name}",
            run_id=run.id,
            project_id=run.project_id,
            stage=run.stage,
            type="task.completed",
            url="https://example.com/hook",
            lane="http",
            body=b'{"for":"%s"}' % name.encode(),
            created_at=NOW,
            due_at=NOW,
        )
        return msgspec.structs.replace(delivery, **changes)

    def settlement_of(
        self,
        delivery: Delivery,
        status: DeliveryStatus,
        *,
        attempt: int = 1,
        due_at: float | None = None,
        **more: Any,
    ) -> Settlement:
        return Settlement(
            delivery_id=delivery.id,
            run_id=delivery.run_id,
            attempt=attempt,
            status=status,
            entry=self.entry(f"delivery.{status}", attempt=attempt),
            due_at=due_at,
            **more,
        )

    async def accept(self, store: Store, run: Run, *deliveries: Delivery, owner: str = ME) -> None:
        """Write a new run with one entry."""
        await store.log.append(
            Append(run=run, owner=owner, entries=(self.entry("run.accepted"),), deliveries=deliveries)
        )

    async def follow(
        self, store: Store, run: Run, *deliveries: Delivery, owner: str | None = ME, **changes: Any
    ) -> Run:
        """Write the next version of a run with one entry; `closes` and `settled` are the append's, the rest the
        run's."""
        append = {name: changes.pop(name) for name in ("closes", "settled") if name in changes}
        following: Run = msgspec.structs.replace(run, version=run.version + 1, **changes)
        await store.log.append(
            Append(
                run=following,
                owner=owner,
                entries=(self.entry("stage.completed"),),
                expected_version=run.version,
                deliveries=deliveries,
                **append,
            )
        )
        return following

    async def end(self, store: Store, run: Run, at: float = NOW) -> Run:
        """Write a run's last version."""
        return await self.follow(store, run, status="success", phase="done", stage="finalise", finished_at=at)

    async def ended(self, store: Store, number: int = 99) -> Run:
        """A run that is done: it is never due itself."""
        run = self.run_of(number)
        await self.accept(store, run)
        return await self.end(store, run)
