"""Fakes, a real server for tests, and (in `suites`) each port's conformance suite, for riverflow and for its users.

Names are loaded when they are first used: pytest imports this package for its plugin before coverage measures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import FakeClock
    from .context import make_context, stage_context
    from .ids import SequenceIds
    from .provider import ScriptedProvider, generation
    from .sender import RecordingSender, Sent
    from .server import serve
    from .stub_openai import Reply, StubOpenAI

__all__ = [
    "FakeClock",
    "RecordingSender",
    "Reply",
    "ScriptedProvider",
    "Sent",
    "SequenceIds",
    "StubOpenAI",
    "generation",
    "make_context",
    "serve",
    "stage_context",
]

_HOMES = {
    "FakeClock": "clock",
    "RecordingSender": "sender",
    "Reply": "stub_openai",
    "ScriptedProvider": "provider",
    "Sent": "sender",
    "SequenceIds": "ids",
    "StubOpenAI": "stub_openai",
    "generation": "provider",
    "make_context": "context",
    "serve": "server",
    "stage_context": "context",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
