"""The results as a table for people and as JSON for machines. It measures nothing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .console import LIMIT_MS, Answered
from .flows import Comparison
from .idle import Idle
from .machine import Machine
from .neighbours import FACTOR, Neighbours
from .profiling import Profile

__all__ = ["Report", "table"]


class Report(msgspec.Struct, kw_only=True):
    """Everything that one invocation has measured; what was left out is None or empty."""

    machine: Machine
    payload: int
    structured: bool
    rounds: int
    seconds: float = 0.0
    flows: list[Comparison] = []
    durability: tuple[float, list[float]] | None = None
    history: dict[str, tuple[float, list[float]]] | None = None
    history_runs: int = 0
    recovery: dict[str, float] | None = None
    waiting_runs: int = 0
    console: list[Answered] = []
    listed_runs: int = 0
    neighbours: Neighbours | None = None
    idle: list[Idle] = []
    passthrough_us: float | None = None
    profiles: dict[str, Profile] = {}


def table(report: Report) -> str:
    """The report as Markdown: it reads well in a terminal and can be pasted."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    machine = report.machine
    pinned = "system on core 0, stub on core 1" if machine.pinned else "not pinned"
    yield f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}; {pinned}"
    yield f"{machine.python}, SQLite {machine.sqlite}; " + ", ".join(f"{k} {v}" for k, v in machine.packages.items())
    yield (
        f"fsync {machine.fsync_us:.0f} µs, load average {machine.load_average[0]}; payloads {report.payload} bytes, "
        f"structured output {'on' if report.structured else 'off'}, {report.rounds} rounds, {report.seconds:.0f} s"
    )
    if report.flows:
        yield ""
        yield "| 64 in flight | flows/s | floor | CPU µs/flow | floor | ratio (least–most) | commits/flow | PSS MB |"
        yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        yield from map(_saturation, report.flows)
        yield ""
        yield "| open loop | p50 ms | p99 ms | floor p50 | floor p99 |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        yield from map(_latency, (each for each in report.flows if each.p50_ms))
    yield ""
    yield "| beside | value |"
    yield "| --- | ---: |"
    yield from _beside(report)
    if report.console:
        yield ""
        yield f"| the console over {report.listed_runs} runs | median ms | worst ms | under {LIMIT_MS:.0f} ms |"
        yield "| --- | ---: | ---: | --- |"
        yield from map(_answered, report.console)
    for name, found in report.profiles.items():
        yield ""
        yield from _profile(name, found)


def _saturation(each: Comparison) -> str:
    river, floor = each.river, each.floor
    ratios = f"{min(each.ratios):.2f}–{max(each.ratios):.2f}"
    return (
        f"| {each.title} | {river.flows_per_second:.0f} | {floor.flows_per_second:.0f} | {river.cpu_us:.0f} | "
        f"{floor.cpu_us:.0f} | **{each.ratio:.2f}** ({ratios}) | {river.commits:.2f} | {river.pss_mb:.0f} |"
    )


def _latency(each: Comparison) -> str:
    return (
        f"| {each.title} | {each.p50_ms:.1f} | {each.p99_ms:.1f} | {each.floor_p50_ms:.1f} | {each.floor_p99_ms:.1f} |"
    )


def _answered(each: Answered) -> str:
    within = "yes" if each.worst_ms < LIMIT_MS else "the median" if each.median_ms < LIMIT_MS else "no"
    return f"| {each.page} | {each.median_ms:.1f} | {each.worst_ms:.1f} | {within} |"


def _beside(report: Report) -> Iterator[str]:
    if report.durability is not None:
        yield f"| synchronous FULL ÷ NORMAL, CPU a flow (R) | {report.durability[0]:.2f} |"
    for each in report.idle:
        yield f"| {each.subscribers} idle {each.transport} subscribers: kB each | {each.kb_each:.1f} |"
        yield f"| {each.transport}: CPU µs to connect one | {each.connect_us:.0f} |"
        yield f"| {each.transport}: CPU µs to push one message to one | {each.push_us:.0f} |"
    if report.history is not None:
        done, waiting = report.history["done"][0], report.history["waiting"][0]
        yield f"| CPU a flow with {report.history_runs} runs of history ÷ with none (R) | {done:.2f} |"
        yield f"| CPU a flow beside {report.waiting_runs} runs that wait ÷ beside none (R) | {waiting:.2f} |"
    if report.recovery is not None:
        found = report.recovery
        yield f"| start with {report.waiting_runs} waiting runs: serves after s | {found['serves_s']:.2f} |"
        yield f"| … with none | {found['empty_serves_s']:.2f} |"
        yield f"| … and takes over a dead process's run after s | {found['claims_s']:.2f} |"
        yield f"| … with none | {found['empty_claims_s']:.2f} |"
    if report.neighbours is not None:
        beside = report.neighbours
        yield f"| p99 of flows over one endpoint, {beside.rate:.0f} a second: ms | {beside.p99_alone_ms:.1f} |"
        yield f"| … beside one that never answers and one that answers 500 | {beside.p99_beside_ms:.1f} |"
        yield f"| … ratio, to be under {FACTOR:.0f} | {beside.factor:.2f} |"
    if report.passthrough_us is not None:
        yield f"| an unrelated request through the middleware: µs | {report.passthrough_us:.2f} |"


def _profile(name: str, found: Profile) -> Iterator[str]:
    yield f"Profile of {name} ({found.tool})"
    for title, shares in (("thread", found.threads), ("alone", found.alone), ("with calls", found.with_calls)):
        for what, share in shares:
            yield f"  {share:6.1%}  {title}: {what}"
