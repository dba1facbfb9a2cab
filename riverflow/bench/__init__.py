"""`riverflow bench`: what a durable run costs, beside the same HTTP exchanges with no durability.

It uses riverflow from outside, as real processes over loopback, and changes nothing in it.
"""

from __future__ import annotations

from .console import LIMIT_MS, too_slow
from .report import Report, table
from .suite import PARTS, Plan, run

__all__ = ["LIMIT_MS", "PARTS", "Plan", "Report", "run", "table", "too_slow"]
