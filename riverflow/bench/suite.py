"""What one invocation measures, in which order and size. Each part stands for itself; nothing is kept between them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from .console import console
from .filled import history, recovery
from .flows import MODES, compare, durability
from .idle import idle
from .machine import describe
from .neighbours import neighbours
from .passthrough import passthrough_microseconds
from .profiling import profile
from .report import Report

__all__ = ["PARTS", "Plan", "run"]

PARTS = (*MODES, "durability", "idle", "history", "recovery", "neighbours", "console", "passthrough")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure. `flows` are a round's at saturation, `slow_flows` at `rate` a second; `folder` is on the disk to
    measure, `profile` names modes."""

    parts: tuple[str, ...] = PARTS
    rounds: int = 15
    flows: int = 1000
    slow_flows: int = 300
    rate: float = 20.0
    payload: int = 1000
    structured: bool = False
    subscribers: int = 5000
    history: int = 100_000
    waiting: int = 100_000
    listed: int = 1_000_000
    profile: tuple[str, ...] = ()
    folder: Path | None = None


async def run(plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure; `say` is told of the progress. Raises BenchError where a process fails."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="riverflow-bench-", dir=plan.folder) as name:
        folder = Path(name)
        report = Report(
            machine=describe(folder, pinned=_can_pin()),
            payload=plan.payload,
            structured=plan.structured,
            rounds=plan.rounds,
        )
        await _flows(plan, report, folder, say)
        await _beside(plan, report, folder, say)
        for mode in plan.profile:
            say(f"profile of {mode}")
            report.profiles[mode] = await profile(
                folder, MODES[mode], flows=plan.flows, size=plan.payload, structured=plan.structured
            )
    report.seconds = time.monotonic() - began
    return report


async def _flows(plan: Plan, report: Report, folder: Path, say: Callable[[str], None]) -> None:
    for name in (part for part in plan.parts if part in MODES):
        found = await compare(
            folder,
            MODES[name],
            flows=plan.flows,
            rounds=plan.rounds,
            slow_flows=plan.slow_flows,
            rate=plan.rate,
            size=plan.payload,
            structured=plan.structured,
            say=say,
        )
        report.flows.append(found)


async def _beside(plan: Plan, report: Report, folder: Path, say: Callable[[str], None]) -> None:
    size, rounds, flows = plan.payload, plan.rounds, plan.flows
    if "durability" in plan.parts:
        report.durability = await durability(
            folder, flows=flows, rounds=min(rounds, 9), size=size, structured=plan.structured, say=say
        )
    if "idle" in plan.parts:
        for transport in ("sse", "ws"):
            report.idle.append(await idle(folder, transport, subscribers=plan.subscribers, size=size, say=say))
    if "history" in plan.parts:
        report.history = await history(
            folder, done=plan.history, waiting=plan.waiting, flows=flows, rounds=min(rounds, 7), size=size, say=say
        )
        report.history_runs, report.waiting_runs = plan.history, plan.waiting
    if "recovery" in plan.parts:
        report.recovery = await recovery(folder, waiting=plan.waiting, size=size, say=say)
        report.waiting_runs = plan.waiting
    if "neighbours" in plan.parts:
        report.neighbours = await neighbours(
            folder, flows=plan.slow_flows, rate=plan.rate, rounds=min(rounds, 3), size=size, say=say
        )
    if "console" in plan.parts:
        report.console = await console(folder, runs=plan.listed, say=say)
        report.listed_runs = plan.listed
    if "passthrough" in plan.parts:
        report.passthrough_us = await passthrough_microseconds()


def _can_pin() -> bool:
    return hasattr(os, "sched_getaffinity") and {0, 1} <= os.sched_getaffinity(0)
