"""Modes R, I and S: saturation, in which floor and riverflow take turns, and latency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from .control import Child
from .rig import Figures, Rig, median, rig

__all__ = ["MODES", "Comparison", "Mode", "compare", "durability"]

WARM_UP = 300


class Mode(msgspec.Struct, frozen=True):
    """A way of using riverflow: what it is called, the mode of the systems, the kind of flows. `tls` is between system
    and stub; `size` of payloads and `rounds` stand before what is asked for (`rounds`: where that is more); `paced`
    says whether it is measured at a modest rate as well."""

    title: str
    mode: str
    kind: str
    tls: bool = False
    size: int | None = None
    rounds: int | None = None
    paced: bool = True


MODES = {
    "R": Mode("R  remote: webhook, callback", "R", "callback"),
    "I": Mode("I  in process, push (open WebSocket)", "I", "push"),
    "W": Mode("W  in process, a new WebSocket a run", "I", "socket", rounds=5, paced=False),
    "S": Mode("S  standard: task.completed webhook", "S", "callback", rounds=5, paced=False),
    "R-tls": Mode("R  … provider and backend over TLS", "R", "callback", tls=True, rounds=5, paced=False),
    "R-25kB": Mode("R  … payloads of 25 kB", "R", "callback", size=25_000, rounds=5, paced=False),
}


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A mode's figures: medians over the rounds; `ratio` is the median of their CPU a flow over the floor's,
    `ratios` all of them."""

    title: str
    ratio: float
    ratios: list[float]
    river: Figures
    floor: Figures
    p50_ms: float
    p99_ms: float
    floor_p50_ms: float
    floor_p99_ms: float


async def compare(
    folder: Path,
    mode: Mode,
    *,
    flows: int,
    rounds: int,
    slow_flows: int,
    rate: float,
    size: int,
    structured: bool,
    say: Callable[[str], None],
) -> Comparison:
    """Rounds of floor and riverflow in turn, then (`slow_flows`) both at a modest rate."""
    size, rounds = mode.size or size, min(rounds, mode.rounds or rounds)
    async with rig(folder, size=size, structured=structured, tls=mode.tls) as set_up:
        floor = await set_up.system("floor", mode.mode)
        river = await set_up.system("riverflow", mode.mode, name=f"{mode.title[0]}-{size}-{structured}-{mode.tls}")
        for system in (floor, river):
            await set_up.load(system, mode.kind, min(WARM_UP, flows))
        pairs = await _rounds(set_up, mode, floor, river, flows, rounds, say)
        slow = None
        if slow_flows and mode.paced:
            slow = [await set_up.load(s, mode.kind, slow_flows, rate=rate) for s in (floor, river)]
    ratios = [run.cpu_us / beside.cpu_us for beside, run in pairs]
    return Comparison(
        title=mode.title,
        ratio=median(ratios),
        ratios=[round(each, 3) for each in ratios],
        floor=_middle([beside for beside, _ in pairs]),
        river=_middle([run for _, run in pairs]),
        floor_p50_ms=slow[0].p50_ms if slow else 0.0,
        floor_p99_ms=slow[0].p99_ms if slow else 0.0,
        p50_ms=slow[1].p50_ms if slow else 0.0,
        p99_ms=slow[1].p99_ms if slow else 0.0,
    )


async def _rounds(
    set_up: Rig, mode: Mode, floor: Child, river: Child, flows: int, rounds: int, say: Callable[[str], None]
) -> list[tuple[Figures, Figures]]:
    pairs: list[tuple[Figures, Figures]] = []
    for number in range(1, rounds + 1):
        beside, run = await set_up.round([floor, river], mode.kind, flows)
        say(
            f"{mode.title[0]} round {number}: floor {beside.cpu_us:.0f} µs, riverflow {run.cpu_us:.0f} µs a flow "
            f"({run.cpu_us / beside.cpu_us:.2f})"
        )
        pairs.append((beside, run))
    return pairs


async def durability(
    folder: Path, *, flows: int, rounds: int, size: int, structured: bool, say: Callable[[str], None]
) -> tuple[float, list[float]]:
    """CPU a flow of mode R with `synchronous=FULL` over the same with NORMAL, in turn: the median and all."""
    mode = MODES["R"]
    ratios: list[float] = []
    async with rig(folder, size=size, structured=structured) as set_up:
        normal = await set_up.system("riverflow", "R", name="normal", synchronous="normal")
        full = await set_up.system("riverflow", "R", name="full")
        for system in (normal, full):
            await set_up.load(system, mode.kind, min(WARM_UP, flows))
        for number in range(1, rounds + 1):
            relaxed, run = await set_up.round([normal, full], mode.kind, flows)
            ratios.append(run.cpu_us / relaxed.cpu_us)
            say(f"durability round {number}: FULL {run.cpu_us:.0f} µs, NORMAL {relaxed.cpu_us:.0f} µs a flow")
    return median(ratios), [round(each, 3) for each in ratios]


def _middle(runs: list[Figures]) -> Figures:
    values = {name: median([getattr(run, name) for run in runs]) for name in Figures.__struct_fields__}
    return msgspec.convert({**values, "flows": runs[0].flows}, Figures, strict=False)
