"""What goes wrong, and when: drawn from the seed, counted, and over once the world is calm.

It does nothing wrong itself; stores, wires and backends ask it.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import msgspec

__all__ = ["Faults", "Odds"]


class Odds(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each fault is, each time that it could happen (0 to 1). `delay` is the longest that anything takes on
    its way, in seconds; most take a small part of it."""

    store_refuses: float = 0.0  # nothing was written
    store_forgets: float = 0.0  # done, but whoever asked is told of an error
    killed_before: float = 0.0  # at a call of the store
    killed_after: float = 0.0
    news_lost: float = 0.0  # between processes
    unreachable: float = 0.0  # no connection
    request_lost: float = 0.0
    answer_lost: float = 0.0
    doubled: float = 0.0  # the request arrives twice
    provider_fails: float = 0.0
    receiver_fails: float = 0.0
    handler_fails: float = 0.0
    delay: float = 0.05

    @classmethod
    def drawn(cls, rng: Random) -> Odds:
        """Each seed has its own few faults, so that none hides behind another (swarm testing: Groce et al., 2012)."""
        scale = {"store_refuses": 0.1, "store_forgets": 0.15, "killed_before": 0.004, "killed_after": 0.004}
        odds = {
            name: scale.get(name, 0.4) * rng.random() ** 2 if rng.random() < 0.5 else 0.0
            for name in cls.__struct_fields__
            if name != "delay"
        }
        return cls(**odds, delay=rng.choice((0.005, 0.05, 0.5, 4.0)))


class Faults:
    """Draws faults by name from `odds` until `calm`. `counted` says how often each was drawn."""

    def __init__(self, rng: Random, odds: Odds) -> None:
        self.calm = False
        self._outages = 0
        self.counted: Counter[str] = Counter()
        self._rng = rng
        self._odds = odds

    def begin_outage(self) -> None:
        """From now on the store refuses everything."""
        self._outages += 1

    def end_outage(self) -> None:
        self._outages -= 1

    def strikes(self, name: str) -> bool:
        """Whether this fault happens now."""
        if name == "store_refuses" and self._outages:
            return True
        odds: float = getattr(self._odds, name)
        if self.calm or odds == 0.0 or self._rng.random() >= odds:
            return False
        self.count(name)
        return True

    def count(self, name: str) -> None:
        """Note a fault that somebody else has decided on."""
        self.counted[name] += 1

    def delay(self) -> float:
        """Seconds that something takes on its way: mostly little, sometimes all of it."""
        longest = min(self._odds.delay, 0.01) if self.calm else self._odds.delay
        return float(longest * self._rng.random() ** 4)

    def choice(self, **weights: float) -> str:
        """One of the names, by weight; the first of them once it is calm."""
        if self.calm:
            return next(iter(weights))
        return self._rng.choices(tuple(weights), tuple(weights.values()))[0]

    def between(self, least: float, most: float) -> float:
        """Seconds, evenly drawn."""
        return self._rng.uniform(least, most)
