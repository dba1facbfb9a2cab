"""A deterministic simulation of riverflow: the real thing on a virtual clock, over a network and a store that fail.

`play(seed)` plays one seed and says what broke the promise; `python -m riverflow.testing.simulation` plays many. No
play knows of another.
"""

from __future__ import annotations

from .scenario import Scenario
from .witness import AuditedTables
from .world import Play, play

__all__ = ["AuditedTables", "Play", "Scenario", "play"]
