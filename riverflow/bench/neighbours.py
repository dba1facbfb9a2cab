"""What bad receivers do to a good one: the latency of flows over one endpoint, alone and beside one that never answers
and one that always answers 500. It judges nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from .rig import Figures, median, rig

__all__ = ["FACTOR", "Neighbours", "neighbours"]

FACTOR = 2.0
"""What the p99 may grow by: each flow has three receivers to tell where it had one, and two of them fail it."""

BAD = ("/mute", "/failing")


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of the flows in ms: alone, and beside the two. `factor` is the median over the rounds of the p99's
    ratio."""

    rate: float
    flows: int
    p50_alone_ms: float
    p99_alone_ms: float
    p50_beside_ms: float
    p99_beside_ms: float
    factor: float


async def neighbours(
    folder: Path, *, flows: int, rate: float, rounds: int, size: int, say: Callable[[str], None]
) -> Neighbours:
    """Flows at a rate, in turn through a system that has the good endpoint alone and one that has all three."""
    async with rig(folder, size=size, structured=False) as set_up:
        settings = {"drain_timeout": 0.5}
        alone = await set_up.system("riverflow", "R", name="alone", settings=settings)
        beside = await set_up.system("riverflow", "R", name="beside", settings=settings, neighbours=BAD)
        pairs: list[tuple[Figures, Figures]] = []
        for number in range(rounds + 1):
            pair = (
                await set_up.load(alone, "callback", flows, rate=rate),
                await set_up.load(beside, "callback", flows, rate=rate),
            )
            if number:  # in the first round everything is new, and the breakers are closed still
                pairs.append(pair)
    factor = median([there.p99_ms / here.p99_ms for here, there in pairs])
    found = Neighbours(
        rate=rate,
        flows=flows,
        p50_alone_ms=median([here.p50_ms for here, _ in pairs]),
        p99_alone_ms=median([here.p99_ms for here, _ in pairs]),
        p50_beside_ms=median([there.p50_ms for _, there in pairs]),
        p99_beside_ms=median([there.p99_ms for _, there in pairs]),
        factor=factor,
    )
    say(f"neighbours: p99 {found.p99_alone_ms:.1f} ms alone, {found.p99_beside_ms:.1f} ms beside ({factor:.2f} times)")
    return found
