"""The ordered plan of a workflow: stages, each with a name and a kind, validated when built.

This module knows nothing of runs, stores or wires.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

import msgspec

from .errors import PipelineError

__all__ = ["APPROVAL", "APPROVAL_TIMEOUT", "FINALISE", "GENERATE", "HAND_OFF", "Pipeline", "Stage"]

GENERATE = "generate"
HAND_OFF = "hand_off"
APPROVAL = "approval"
FINALISE = "finalise"

RESERVED = frozenset({"heartbeat", "progress"})  # `{callback_url}/heartbeat` is no stage

APPROVAL_TIMEOUT = 7 * 86_400.0
"""Seconds that a person has to decide, unless the stage says otherwise."""

_MAX_APPROVAL = 30 * 86_400.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_EVENT_NAME = 200


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """One place in a pipeline.

    `kind` names who runs it: `generate`, `hand_off`, `finalise`, or a kind that a plugin or
    `river.stage` supplies. A hand-off tells `event_name` to a handler or to webhook endpoints and waits
    `timeout` seconds for the answer (None: the workflow's `callback_timeout`). An approval waits `timeout` seconds for
    a person's decision (None: a week); `on_timeout` says what counts where none has come: `reject` (also without it),
    `approve`, or `fail`.
    """

    name: str
    kind: str
    event_name: str | None = None
    timeout: float | None = None
    on_timeout: Literal["reject", "approve", "fail"] | None = None

    @property
    def event(self) -> str:
        """What it is told under: `event_name`, else the stage's own name."""
        return self.event_name or self.name

    @classmethod
    def hand_off(cls, name: str, *, event_name: str | None = None, timeout: float | None = None) -> Stage:
        """A hand-off stage; the event is named after the stage unless said otherwise."""
        return cls(name=name, kind=HAND_OFF, event_name=event_name or name, timeout=timeout)

    @classmethod
    def approval(
        cls,
        name: str,
        *,
        timeout: float = APPROVAL_TIMEOUT,
        on_timeout: Literal["reject", "approve", "fail"] = "reject",
        event_name: str | None = None,
    ) -> Stage:
        """A stage at which a person approves, edits or rejects what the stages before it have made. `timeout` is in
        seconds, 30 days at most; the browser is told `event_name` (the stage's name, unless said otherwise) where no
        hand-off came before."""
        return cls(name=name, kind=APPROVAL, event_name=event_name or name, timeout=timeout, on_timeout=on_timeout)


class Pipeline:
    """An ordered, validated sequence of stages.

    Rules: names are unique lower-case identifiers, none of them `heartbeat` or `progress` (a callback URL may end with
    these); `finalise` comes last, once; at most one `generate`,
    before every hand-off and every approval; a hand-off has an event name; an approval is not the first stage and waits
    30 days at most; timeouts are positive.

    Raises PipelineError that names the stage and the rule.
    """

    __slots__ = ("_places", "approvals", "hand_offs", "stages")

    def __init__(self, stages: Iterable[Stage]) -> None:
        self.stages: tuple[Stage, ...] = tuple(stages)
        self.hand_offs: tuple[Stage, ...] = tuple(s for s in self.stages if s.kind == HAND_OFF)
        self.approvals: tuple[Stage, ...] = tuple(s for s in self.stages if s.kind == APPROVAL)
        self._places = {stage.name: place for place, stage in enumerate(self.stages)}
        self._validate()

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(stages: tuple[Stage, ...]) -> Pipeline:
        """The pipeline of these stages, validated once: every decision about a run asks for its plan's pipeline."""
        return Pipeline(stages)

    @classmethod
    def default(cls, event_name: str | None) -> Pipeline:
        """`generate → enrich → finalise`; without an event name there is nobody to enrich."""
        enrich = [Stage.hand_off("enrich", event_name=event_name)] if event_name else []
        return cls(
            [
                Stage(name=GENERATE, kind=GENERATE),
                *enrich,
                Stage(name=FINALISE, kind=FINALISE),
            ]
        )

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def __repr__(self) -> str:
        return f"Pipeline({' → '.join(self._places)})"

    def __getitem__(self, name: str) -> Stage:
        return self.stages[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def after(self, name: str) -> Stage:
        """The stage that follows `name`; `finalise` has none and is never asked."""
        return self.stages[self._places[name] + 1]

    def _validate(self) -> None:
        names = [stage.name for stage in self.stages]
        for name in names:
            if not _NAME.fullmatch(name):
                raise PipelineError(
                    f"stage name {name!r}: use a lower-case letter, then letters, digits or '_' (64 at most)"
                )
            if name in RESERVED:
                raise PipelineError(f"stage name {name!r} is taken by a callback URL's {name}; choose another")
            if names.count(name) > 1:
                raise PipelineError(f"stage name {name!r} is used twice; names are unique in a pipeline")
        kinds = [stage.kind for stage in self.stages]
        if kinds.count(FINALISE) != 1 or kinds[-1] != FINALISE:
            raise PipelineError("a pipeline ends with exactly one 'finalise' stage")
        if kinds.count(GENERATE) > 1:
            raise PipelineError("a pipeline has at most one 'generate' stage")
        if GENERATE in kinds and HAND_OFF in kinds and kinds.index(HAND_OFF) < kinds.index(GENERATE):
            raise PipelineError("'generate' comes before the first hand-off: it makes what is handed off")
        if GENERATE in kinds and APPROVAL in kinds and kinds.index(APPROVAL) < kinds.index(GENERATE):
            raise PipelineError("'generate' comes before the first approval: it makes what is approved")
        if kinds[0] == APPROVAL:
            raise PipelineError(f"approval stage {names[0]!r} comes first: there is nothing yet to approve")
        if len(kinds) < 2:
            raise PipelineError("a pipeline needs a stage before 'finalise', such as 'generate'")
        for stage in self.stages:
            if stage.kind == HAND_OFF and not stage.event_name:
                raise PipelineError(f"hand-off stage {stage.name!r} needs an event_name")
            if stage.event_name is not None and not _is_event_name(stage.event_name):
                raise PipelineError(
                    f"event name {stage.event_name[:_MAX_EVENT_NAME]!r}: use 1 to {_MAX_EVENT_NAME} printable "
                    "characters, with no space at either end"
                )
            if stage.timeout is not None and not stage.timeout > 0:
                raise PipelineError(f"stage {stage.name!r}: timeout is a number of seconds above 0")
            if stage.kind == APPROVAL and stage.timeout is not None and stage.timeout > _MAX_APPROVAL:
                raise PipelineError(f"approval stage {stage.name!r}: timeout is 30 days (2592000 seconds) at most")
            if stage.on_timeout is not None and stage.kind != APPROVAL:
                raise PipelineError(f"stage {stage.name!r}: only an approval has on_timeout")


def _is_event_name(name: str) -> bool:
    """It stands in logs, on terminals and in receivers' headers: nothing that ends a line or moves a cursor."""
    return 0 < len(name) <= _MAX_EVENT_NAME and name.isprintable() and name == name.strip()
