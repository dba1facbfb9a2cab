"""A seed's scenario: how many processes, which settings, which flows when, which faults, for how long.

Pure arithmetic over the seed; it starts nothing.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from ...models import Endpoint, Fallback, Workflow
from ...pipeline import Stage
from .faults import Odds

__all__ = ["API_KEY", "ENDPOINTS", "REVIEWED", "SECRET", "WORKFLOWS", "Flow", "Scenario"]

API_KEY = "mr_sim_key"
SECRET = "whsec_c2ltdWxhdGlvbnNpbXVsYXRpb25zaW11bGF0aW9uMTI="

_GENERATE = Stage(name="generate", kind="generate")
_FINALISE = Stage(name="finalise", kind="finalise")
_MODEL: dict[str, Any] = {"model": "first", "fallbacks": (Fallback(provider="openai", model="second"),)}

WORKFLOWS = (
    Workflow(name="standard", **_MODEL),
    Workflow(name="remote", event_name="remote_enrichment", **_MODEL),
    Workflow(name="wide", event_name="wide_enrichment", **_MODEL),
    Workflow(name="lonely", event_name="nobody_listens", **_MODEL),
    Workflow(name="local", event_name="local_enrichment", **_MODEL),
    Workflow(
        name="stages",
        pipeline=(
            _GENERATE,
            Stage.hand_off("validation"),
            Stage(name="score", kind="score", timeout=30),
            Stage.hand_off("enrichment", event_name="local_enrichment"),
            Stage.hand_off("formatting"),
            _FINALISE,
        ),
        **_MODEL,
    ),
)

APPROVED_WITHIN = 30.0  # seconds: then it goes on as it is

REVIEWED = Workflow(
    name="reviewed",
    pipeline=(
        _GENERATE,
        Stage.approval("review", timeout=APPROVED_WITHIN, on_timeout="approve"),
        Stage(name="score", kind="score", timeout=30),
        _FINALISE,
    ),
    **_MODEL,
)
"""For which people are needed; drawn aside (see `Scenario.drawn`)."""

ENDPOINTS = (
    Endpoint(
        id="ep_one",
        url="https://one.sim/hook",
        secret=SECRET,
        events=("remote_enrichment", "wide_enrichment", "validation", "formatting", "task.completed", "task.failed"),
    ),
    Endpoint(id="ep_two", url="https://two.sim/hook", secret=SECRET, events=("wide_enrichment", "task.failed")),
)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One submission and who follows it. `keyed`: it carries an Idempotency-Key. `cancel_after` (seconds) is None where
    nobody cancels."""

    number: int
    workflow: str
    at: float
    readers: tuple[str, ...]
    keyed: bool
    cancel_after: float | None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is drawn before the beginning. `trouble` is how many seconds faults last; `kills` and `stops`
    when a process is killed or asked to stop, `jumps` when a clock is set (time, process, seconds)."""

    processes: int
    window: int
    heard: bool
    settings: dict[str, Any]
    odds: Odds
    trouble: float
    flows: tuple[Flow, ...]
    kills: tuple[float, ...]
    stops: tuple[float, ...]
    outages: tuple[tuple[float, float], ...]
    jumps: tuple[tuple[float, int, float], ...]

    @classmethod
    def drawn(cls, rng: Random) -> Scenario:
        """A scenario from the seed's random numbers. What waits for people is drawn aside, from a copy of them: seeds
        that are known for a defect stay what they were, unless they have people."""
        aside = Random()
        aside.setstate(rng.getstate())
        trouble = rng.choice((10.0, 40.0, 120.0))
        processes = rng.choice((1, 2, 2, 3))
        return cls(
            processes=processes,
            window=rng.choice((0, 0, 4, 40)),
            heard=rng.random() < 0.8,
            settings=_settings(rng),
            odds=Odds.drawn(rng),
            trouble=trouble,
            flows=_peopled(tuple(_flow(number, rng, trouble) for number in range(rng.randint(1, 6))), aside),
            kills=_times(rng, trouble, rng.choice((0, 1, 3))),
            stops=_times(rng, trouble, rng.choice((0, 0, 1))),
            outages=tuple((at, rng.uniform(0.5, 15)) for at in _times(rng, trouble, rng.choice((0, 0, 0, 1)))),
            jumps=tuple(
                (at, rng.randrange(processes), rng.uniform(-30, 30))
                for at in _times(rng, trouble, rng.choice((0, 0, 0, 2)))
            ),
        )


def _settings(rng: Random) -> dict[str, Any]:
    return {
        "lease": rng.choice((2.0, 10.0)),
        "callback_timeout": rng.choice((8.0, 45.0, 200.0)),
        "provider_timeout": rng.choice((3.0, 20.0)),
        "delivery_timeout": rng.choice((2.0, 10.0)),
        "heartbeat": rng.choice((3.0, 15.0)),
        "close_grace": rng.choice((0.0, 1.0)),
        "concurrency": rng.choice((1, 3, 1000, 1000)),
        "drain_timeout": rng.choice((0.5, 10.0)),
        "token_ttl": rng.choice((20.0, 300.0)),
    }


def _flow(number: int, rng: Random, trouble: float) -> Flow:
    return Flow(
        number=number,
        workflow=rng.choice(WORKFLOWS).name,
        at=rng.uniform(0, trouble) if rng.random() < 0.6 else 0.0,
        readers=tuple(rng.choices(("sse", "sse", "socket", "poll", "late"), k=rng.randint(1, 3))),
        keyed=rng.random() < 0.5,
        cancel_after=rng.uniform(0, 20) if rng.random() < 0.1 else None,
    )


def _peopled(flows: tuple[Flow, ...], aside: Random) -> tuple[Flow, ...]:
    """In a third of all scenarios, half of the flows wait for a person."""
    if Random(f"persons {aside.random()}").random() > 1 / 3:
        return flows
    return tuple(
        msgspec.structs.replace(flow, workflow=REVIEWED.name) if flow.number % 2 == 0 else flow for flow in flows
    )


def _times(rng: Random, trouble: float, number: int) -> tuple[float, ...]:
    return tuple(sorted(rng.uniform(0, trouble) for _ in range(number)))
