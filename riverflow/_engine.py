"""The verbs of riverflow: submit, resume, cancel, look, subscribe.

Routes and the Python API speak to this and nothing below it. It knows no HTTP and makes no rule about runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from . import _machine, _payloads, _tokens, codec
from ._approvals import Approvals
from ._doubts import doubts
from ._engine_room import EngineRoom
from ._idempotency import Marker
from ._intake import Intake, Submission, parse_callback
from ._limits import Windows, judged
from ._parts import Parts
from ._purge import Purge
from ._queries import Queries
from ._replays import replay
from ._trial import Trials
from .errors import NotFound, Overloaded, Unauthenticated, VersionConflict
from .models import SIDE_KINDS, Frame, Json, Project, Record, Run, TokenClaims
from .ports import EntryPage, Subscription

__all__ = ["Accepted", "Engine", "Resumed"]

PROGRESS_A_MINUTE = 120  # messages of one run: each is an entry of its log and goes to every reader
TOKEN_MARGIN = 60.0  # seconds a socket token outlives the run's last deadline


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted run and the browser's way to it. `repeated`: an earlier request with the same key has started it."""

    run: Run
    token: str
    topic: str
    customer_data: Json
    warnings: list[str]
    repeated: bool = False


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that was taken, for the first time or again: the run as it stands, and the form of the answer."""

    run: Run
    stage: str
    form: str


class Engine:
    """One running riverflow over one store."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._clock = parts.clock
        self._store = parts.store
        self._directory = parts.directory
        self._accepting = False
        self._progress = Windows("progress", PROGRESS_A_MINUTE, parts.clock.monotonic)
        self._intake = Intake(parts.directory, parts.settings)
        self._room = room = EngineRoom(parts)
        self._runner = room.runner
        self._admission = room.admission
        self.hub = room.hub
        self.queries: Queries = parts.queries(lanes=room.lanes, connections=room.hub.connections)
        self.trials = Trials(room.courier, parts.directory, parts.clock, parts.ids)
        self.deliveries = parts.deliveries(told=room.runner.told, notice=room.notice)
        self.approvals = Approvals(parts.store.log, room.runner, parts.directory, parts.clock)
        self.purge = Purge(parts.store.log, room.hub, room.runner, self.cancel)
        self._idempotency = parts.idempotency(room.founder)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry what is due and take requests until left; then take nothing new, and drain."""
        async with self._room.running():
            self._accepting = True
            try:
                yield
            finally:
                self._accepting = False

    # Verbs

    async def submit(
        self,
        project_id: str,
        body: bytes,
        base_url: str,
        key: str | None = None,
        *,
        playground: bool = False,
        simulated: bool = False,
    ) -> Accepted:
        """Accept a request: durable when this returns. A repetition with the same idempotency `key` is answered alike
        and starts nothing. `playground` keeps the run out of statistics; there the backend may be `simulated`. Raises
        Overloaded, Conflict (the first with the key is not answered yet) and what reading the request raises."""
        self.check_accepting()
        await self._directory.known_project(project_id)  # raises NotFound before anything is written
        if key is not None:
            with self._idempotency.in_hand(project_id, key):
                return await self._submit_once(project_id, body, base_url, key)
        if not self._admission.at_ease:
            await self._admission.check()
        submission = await self._intake.submission(project_id, body, base_url)
        if playground:
            submission = submission.in_playground(simulated=simulated)
        decision = await self._decided(project_id, submission, self._parts.ids.channel_id())
        await self._begin(decision)
        run = decision.record.run
        return self._accepted(run, submission, token_id=run.id)

    async def resume(self, project_id: str, run_id: str, stage: str | None, body: bytes) -> Resumed:
        """Take a callback. Raises NotFound, NotWaiting (409), Expired (410) and what parsing raises."""
        outcome = parse_callback(body)
        decision = await self._runner.answer(project_id, run_id, _machine.Answered.by("callback", stage, outcome))
        if isinstance(decision, _machine.Repeated):
            receipt, run = decision.receipt, decision.run
        else:
            receipt, run = decision.record.receipts[-1], decision.record.run
        return Resumed(run=run, stage=receipt.stage, form=receipt.form)

    async def extend(self, project_id: str, run_id: str, stage: str | None, seconds: float | None) -> Run:
        """Give whoever works on a hand-off more time, `seconds` from now. Raises as `resume` does."""
        return await self._heard(project_id, run_id, _machine.Extended(stage, seconds))

    async def progress(self, project_id: str, run_id: str, stage: str | None, said: Json) -> Run:
        """Tell the channel how far a hand-off is. Raises as `resume` does, and RateLimited."""
        judged(self._progress.take(run_id))
        return await self._heard(project_id, run_id, _machine.Progressed(stage, said))

    async def _heard(self, project_id: str, run_id: str, said: _machine.Extended | _machine.Progressed) -> Run:
        decision = await self._runner.answer(project_id, run_id, said)
        assert isinstance(decision, _machine.Decision)
        return decision.record.run

    async def cancel(self, project_id: str, run_id: str) -> Run:
        """End a run as `error` with code `cancelled`; the provider's request is dropped. Raises NotFound,
        NotWaiting."""
        record = await self.record(project_id, run_id)
        decision = await self._runner.apply(record, _machine.Cancelled(), cut=True)
        assert isinstance(decision, _machine.Decision)
        return decision.record.run

    async def replay(self, project_id: str, run_id: str, stage: str | None = None) -> Accepted:
        """Start a new run that repeats this one from `stage` (None: from the start), by the plan it was accepted with;
        what earlier stages have made is taken over. Raises NotFound, Unprocessable and Overloaded."""
        self.check_accepting()
        await self._admission.check()
        original = await self.record(project_id, run_id)
        routing = await self._directory.routing(project_id)
        decision = replay(self._parts.ids.channel_id(), original, stage, self._clock.now(), routing)
        plan, request = decision.record.plan, decision.record.request
        project = await self._directory.known_project(project_id)
        submission = Submission(plan=plan, request=request, warnings=doubts(plan, routing, self._settings, project))
        await self._begin(decision)
        return self._accepted(decision.record.run, submission)

    async def unfinished(self, project_id: str) -> bool:
        """Whether a project has runs that have not ended."""
        standing = await self._store.log.standing(project_id)
        return standing.running + standing.waiting > 0

    async def record(self, project_id: str, run_id: str) -> Record:
        """A run with what its log says. Raises NotFound."""
        record = await self._runner.load(project_id, run_id)
        if record is None:
            raise NotFound(f"no run {run_id!r} in this project", code="channel_not_found")
        return record

    async def state(self, project_id: str, run_id: str) -> bytes:
        """The newest message of a run with its dates, as JSON. Raises NotFound."""
        record = await self.record(project_id, run_id)
        page = await self.entries(project_id, run_id, 0, public=True)
        messages = [entry.data for entry in page.entries if entry.kind not in SIDE_KINDS]
        return _payloads.state(record, messages[-1] if messages else None, page.latest)

    async def entries(self, project_id: str, run_id: str, after: int, *, public: bool = False) -> EntryPage:
        """A run's log after a number. Raises NotFound."""
        page = await self._store.log.entries_after(project_id, run_id, after, public=public)
        if page is None:
            raise NotFound(f"no run {run_id!r} in this project", code="channel_not_found")
        return page

    async def result(self, project_id: str, run_id: str) -> Frame:
        """Wait for the final message. Raises NotFound, SubscriptionClosed."""
        async with await self.subscribe(project_id, run_id) as subscription:
            async for frame in subscription:
                if frame.final:
                    return frame
        raise AssertionError("a subscription ends with the final frame")

    # Channels (ports.Channels, but for `authenticate`, which is the door's)

    async def subscribe(
        self,
        project_id: str,
        channel_id: str,
        *,
        after: int | None = None,
        everything: bool = False,
        transport: str = "",
    ) -> Subscription:
        """See ports.Channels."""
        return await self.hub.subscribe(project_id, channel_id, after=after, everything=everything, transport=transport)

    async def reconnect(self, project_id: str, run_id: str) -> Accepted:
        """A fresh socket token for an existing run. Raises NotFound."""
        await self._directory.known_project(project_id)
        record = await self.record(project_id, run_id)
        return self._accepted(record.run, Submission(plan=record.plan, request=record.request, warnings=[]))

    async def read_token(self, token: str) -> TokenClaims:
        """See ports.Channels."""
        claims = _tokens.peek(token)
        try:
            project = await self._directory.known_project(claims.project_id)
        except NotFound:
            raise Unauthenticated("the socket token is not valid", code="token_invalid") from None
        return _tokens.read(token, project.token_secret, self._clock.now())

    async def use_token(self, claims: TokenClaims) -> None:
        """See ports.Channels."""
        if self._settings.token_rule != "strict":
            return
        now = self._clock.now()
        seen = await self._store.documents.mark(
            claims.project_id, "token", claims.jti, b"1", now=now, expires_at=float(claims.exp)
        )
        if seen is not None:
            raise Unauthenticated("the socket token has been used", code="token_used")

    # Inside

    async def _submit_once(self, project_id: str, body: bytes, base_url: str, key: str) -> Accepted:
        """The marker first, then the run that it names: after a crash in between, the next request with the key finds
        the marker and writes the run; who writes it twice is refused by the log."""
        request = codec.canonical(body)
        marker = await self._idempotency.known(project_id, key, request)
        if marker is not None:
            again = await self._accepted_before(project_id, marker)
            if again is not None:
                return again
            self._idempotency.check_abandoned(marker)
        if not self._admission.at_ease:
            await self._admission.check()
        submission = await self._intake.submission(project_id, body, base_url)
        run_id = self._parts.ids.channel_id() if marker is None else marker.run_id
        decision = await self._decided(project_id, submission, run_id)
        if marker is None:
            marker = await self._idempotency.leave(project_id, key, request, run_id, submission.warnings)
        try:
            await self._begin(decision)
        except VersionConflict:  # somebody who also thought that the first had given up
            again = await self._accepted_before(project_id, marker)
            if again is None:
                raise
            return again
        return self._accepted(decision.record.run, submission)

    async def _accepted_before(self, project_id: str, marker: Marker) -> Accepted | None:
        record = await self._runner.load(project_id, marker.run_id)
        if record is None:
            return None
        submission = Submission(plan=record.plan, request=record.request, warnings=list(marker.warnings))
        return self._accepted(record.run, submission, repeated=True)

    async def _decided(self, project_id: str, submission: Submission, run_id: str) -> _machine.Decision:
        now = self._clock.now()
        routing = await self._directory.routing(project_id)
        plan, request, warnings = submission.plan, submission.request, submission.warnings
        warnings += doubts(plan, routing, self._settings, self._directory.project(project_id))
        return _machine.start(run_id, project_id, plan, request, now, routing, warnings)

    async def _begin(self, decision: _machine.Decision) -> None:
        owned = self._room.has_room
        await self._runner.begin(decision, owned=owned)
        if not owned:
            self._admission.queued()

    def _accepted(
        self, run: Run, submission: Submission, *, repeated: bool = False, token_id: str | None = None
    ) -> Accepted:
        """The way to a run. Each token has an id of its own; a run's first one may take the run's."""
        return Accepted(
            run=run,
            token=self._token(run, submission, token_id or self._parts.ids.opaque("tok")),
            topic=_tokens.topic_of(run.project_id, run.id),
            customer_data=submission.plan.customer_data,
            warnings=submission.warnings,
            repeated=repeated,
        )

    def _token(self, run: Run, submission: Submission, token_id: str) -> str:
        expires_at = self._clock.now() + self._settings.token_ttl
        if run.phase != "done":
            expires_at = max(expires_at, run.created_at + submission.plan.longest + TOKEN_MARGIN)
        project: Project = self._directory.project(run.project_id)
        return _tokens.mint(project, run.id, expires_at=expires_at, jti=token_id)

    def check_accepting(self) -> None:
        """Raises Overloaded once riverflow is stopping."""
        if not self._accepting:
            raise Overloaded("riverflow is shutting down; try again", code="shutting_down")
