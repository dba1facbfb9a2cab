"""What goes to a store and comes from it, beside runs and deliveries themselves."""

from __future__ import annotations

import msgspec

from .delivery import Delivery, Settlement
from .run import Entry, Run

__all__ = ["Append", "Claim", "Document"]


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, written whole or not at all.

    `run` is the new state. `expected_version` is None for a new run; else the stored run must have this
    version and `run.generation`, or the append is refused with VersionConflict. `settled` ends a delivery
    attempt in the same breath. `closes` names a stage whose pending deliveries expire, because the stage
    is decided. `owner` is the process that keeps the run and the new deliveries on lease (None: a running run stays on
    whose it is); a run that waits or is done is on nobody's lease.
    """

    run: Run
    owner: str | None
    entries: tuple[Entry, ...]
    expected_version: int | None = None
    deliveries: tuple[Delivery, ...] = ()
    settled: Settlement | None = None
    closes: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Work taken over: a delivery to try, or (where `delivery` is None) a run to advance or time out, which this claim
    has brought to `generation`: who reads the run in a newer one has lost it to another claim."""

    run_id: str
    project_id: str
    delivery: Delivery | None = None
    generation: int | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A small versioned JSON document. `version` counts from 1."""

    kind: str
    name: str
    project_id: str
    version: int
    body: bytes
    updated_at: float
