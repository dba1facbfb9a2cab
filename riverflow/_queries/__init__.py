"""The questions that the console and the listing API ask, and their typed answers: both stand on the same ones.

It reads and computes; it changes nothing, and how an answer is shown is its caller's business.
"""

from __future__ import annotations

from ._detail import AttemptShown, DeliveryShown, ReceiptShown, RequestDetail, StageShown, TryShown
from ._excerpt import Excerpt
from ._explain import explain
from ._export import FORMATS, exported
from ._figures import Figures, Period, Stats
from ._fixture import Fixture
from ._health import ProviderHealth
from ._questions import MAX_PAGE, Overview, Queries
from ._rows import RequestPage, RequestRow
from ._wanted import DEFAULT_TAGS, moment, wanted

__all__ = [
    "DEFAULT_TAGS",
    "FORMATS",
    "MAX_PAGE",
    "AttemptShown",
    "DeliveryShown",
    "Excerpt",
    "Figures",
    "Fixture",
    "Overview",
    "Period",
    "ProviderHealth",
    "Queries",
    "ReceiptShown",
    "RequestDetail",
    "RequestPage",
    "RequestRow",
    "StageShown",
    "Stats",
    "TryShown",
    "explain",
    "exported",
    "moment",
    "wanted",
]
