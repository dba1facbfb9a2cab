"""The verbs of riverflow: submit, resume, cancel, look, subscribe; and the owner of every task.

Routes and the Python API speak to this and nothing below it. It knows no HTTP and makes no rule about runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from . import _machine, _payloads, _tokens
from ._channels import Hub
from ._courier import Courier
from ._crew import Crew
from ._directory import Directory
from ._intake import Intake, Submission, parse_callback
from ._recent import Recent
from ._runner import RETRY_AFTER, Runner, answer_digest
from ._sweeper import Sweeper
from .config import Settings
from .errors import NotFound, Overloaded, StoreError, Unauthenticated, Unprocessable
from .models import Claim, Entry, Frame, Json, Plan, Project, Record, Run, TokenClaims
from .ports import (
    Clock,
    EntryPage,
    Handler,
    Ids,
    Notifier,
    Provider,
    Sender,
    Signer,
    StageMiddleware,
    StageRunner,
    Store,
    Subscription,
)
from .retry import MODELRIVER

__all__ = ["Accepted", "Engine", "Parts", "Resumed"]

logger = logging.getLogger("riverflow.engine")

TOKEN_MARGIN = 60.0  # seconds a socket token outlives the run's last deadline


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of."""

    settings: Settings
    store: Store
    notifier: Notifier | None
    directory: Directory
    clock: Clock
    ids: Ids
    handlers: Mapping[str, Handler]
    providers: Mapping[str, Provider]
    senders: Mapping[str, Sender]
    signers: Mapping[str, Signer]
    stages: Mapping[str, StageRunner]
    middleware: Sequence[StageMiddleware]
    observe: Callable[[str, Sequence[Entry]], None] | None
    can_call_app: Callable[[], bool]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted run and the browser's way to it."""

    run: Run
    token: str
    topic: str
    customer_data: Json
    warnings: list[str]


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
        self._intake = Intake(parts.directory, parts.settings)
        # Where nobody would tell of another process's writes, memory would not be known to be old.
        recent = Recent(parts.clock.monotonic) if parts.notifier is not None else None
        self.hub = Hub(parts.store.log, recent=recent)
        owner = parts.ids.opaque("proc")
        self._owner = owner
        self._sweeper: Sweeper = Sweeper(
            parts.store.queue,
            parts.clock,
            owner=owner,
            lease=parts.settings.lease,
            lanes=self._lanes,
            room=lambda: self._crew.room,
            take=self._take,
        )
        self._crew: Crew = Crew(
            parts.settings.concurrency,
            freed=lambda: self._sweeper.notice(parts.clock.now()),
            stranded=lambda run_id: self._runner.give_back(run_id, None, RETRY_AFTER),
        )
        self._runner: Runner = Runner(
            log=parts.store.log,
            queue=parts.store.queue,
            hub=self.hub,
            notifier=parts.notifier,
            directory=parts.directory,
            courier=Courier(
                senders=parts.senders,
                signers=parts.signers,
                directory=parts.directory,
                clock=parts.clock,
                policy=MODELRIVER,
                timeout=parts.settings.delivery_timeout,
                handler_timeout=parts.settings.callback_timeout,
                secret=parts.settings.webhook_secret,
            ),
            stages=parts.stages,
            middleware=parts.middleware,
            clock=parts.clock,
            policy=MODELRIVER,
            owner=owner,
            spawn=self._crew.spawn,
            cut=self._crew.cut,
            stopped=lambda: self._crew.closed,
            notice=self._sweeper.notice,
            observe=parts.observe,
        )

    # Life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the lease, sweep and watch until left; then drain."""
        await self._sweeper.renew()
        async with asyncio.TaskGroup() as group:
            service = [
                group.create_task(self._sweeper.keep_lease(), name="riverflow lease"),
                group.create_task(self._sweeper.run(), name="riverflow sweeper"),
                group.create_task(self._directory.watch(1.0), name="riverflow directory"),
            ]
            if self._parts.notifier is not None:
                listening = self._listen(self._parts.notifier)
                service.append(group.create_task(listening, name="riverflow notifier"))
            self._accepting = True
            try:
                yield
            finally:
                await self._drain(service)

    async def _listen(self, notifier: Notifier) -> None:
        """Listen to other processes until cancelled. A notifier that breaks is listened to again; what it missed
        meanwhile, the readers find in the log."""
        while True:
            try:
                await notifier.listen(self._woken)
            except Exception:
                logger.warning("the notifier failed; it is listened to again", exc_info=True)
            await self._clock.sleep(1.0)
            self.hub.wake(None)

    def _woken(self, run_id: str | None) -> None:
        """Another process has written to a run (None: to some)."""
        self.hub.wake(run_id)
        if run_id is not None and self._runner.runs_stage_of(run_id):
            self._crew.spawn(run_id, self._runner.look(run_id))

    async def _drain(self, service: list[asyncio.Task[None]]) -> None:
        """Take nothing new, let what runs finish within `drain_timeout`, give the rest back."""
        self._accepting = False
        for task in service[1:]:
            task.cancel()
        self.hub.close("shutting_down")
        await self._crew.finish(self._settings.drain_timeout)
        service[0].cancel()
        try:
            await self._store.queue.release(self._owner)
        except StoreError:
            logger.warning("the lease could not be given back; it will run out", exc_info=True)

    # Verbs

    async def submit(self, project_id: str, body: bytes, base_url: str) -> Accepted:
        """Accept a request: durable when this returns."""
        self._check_accepting()
        await self._directory.known_project(project_id)  # raises NotFound before anything is written
        submission = await self._intake.submission(project_id, body, base_url)
        decision = await self._start(project_id, submission)
        run = decision.record.run
        return Accepted(
            run=run,
            token=self._token(run, submission),
            topic=_tokens.topic_of(project_id, run.id),
            customer_data=submission.plan.customer_data,
            warnings=submission.warnings,
        )

    async def resume(self, project_id: str, run_id: str, stage: str | None, body: bytes) -> Resumed:
        """Take a callback. Raises NotFound, NotWaiting (409), Expired (410) and what parsing raises."""
        outcome = parse_callback(body)
        answered = _machine.Answered(stage, outcome, answer_digest(outcome))
        decision = await self._runner.answer(project_id, run_id, answered)
        if isinstance(decision, _machine.Repeated):
            receipt, run = decision.receipt, decision.run
        else:
            receipt, run = decision.record.receipts[-1], decision.record.run
        return Resumed(run=run, stage=receipt.stage, form=receipt.form)

    async def cancel(self, project_id: str, run_id: str) -> Run:
        """End a run as `error` with code `cancelled`; the provider's request is dropped. Raises NotFound,
        NotWaiting."""
        record = await self.record(project_id, run_id)
        decision = await self._runner.apply(record, _machine.Cancelled(), cut=True)
        assert isinstance(decision, _machine.Decision)
        return decision.record.run

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
        messages = [entry.data for entry in page.entries if entry.kind != "stage.chunk"]
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
        self, project_id: str, channel_id: str, *, after: int | None = None, everything: bool = False
    ) -> Subscription:
        """See ports.Channels."""
        return await self.hub.subscribe(project_id, channel_id, after=after, everything=everything)

    async def reconnect(self, project_id: str, run_id: str) -> Accepted:
        """A fresh socket token for an existing run. Raises NotFound."""
        await self._directory.known_project(project_id)
        record = await self.record(project_id, run_id)
        submission = Submission(plan=record.plan, request=record.request, warnings=[])
        return Accepted(
            run=record.run,
            token=self._token(record.run, submission),
            topic=_tokens.topic_of(project_id, run_id),
            customer_data=record.plan.customer_data,
            warnings=[],
        )

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

    async def _start(self, project_id: str, submission: Submission) -> _machine.Decision:
        now = self._clock.now()
        run_id = self._parts.ids.channel_id()
        routing = await self._directory.routing(project_id)
        plan, request, warnings = submission.plan, submission.request, submission.warnings
        warnings += self._doubts(plan, routing)
        decision = _machine.start(run_id, project_id, plan, request, now, routing, warnings)
        await self._runner.begin(decision, owned=self._crew.room > 0)
        return decision

    def _doubts(self, plan: Plan, routing: _machine.Routing) -> list[str]:
        """What may keep an accepted run from succeeding. Raises Unprocessable for what must not be tried."""
        type = "task.completed" if plan.event_name is None else "task.ai_generated"
        targets = routing.targets(plan, type, plan.event_name)
        remote = [target for target in targets if not target.url.startswith("local:")]
        doubts = []
        if plan.event_name is not None and not targets:
            doubts.append(
                f"no handler and no enabled webhook endpoint takes {plan.event_name!r}: unless a callback comes, the "
                f"run fails {plan.callback_timeout:g} seconds after the AI has answered"
            )
        if plan.event_name is not None and remote and not plan.base_url:
            if not self._settings.development:
                raise Unprocessable(
                    "set public_url (RIVERFLOW_PUBLIC_URL) first: a backend is told to call back there",
                    code="public_url_required",
                )
            doubts.append("public_url is not set: the backend is told a callback URL without a host")
        if any(target.endpoint_id is None for target in remote) and not self._settings.webhook_secret:
            doubts.append(
                "webhook_url is not a registered endpoint and no webhook_secret is set: the receiver cannot verify the "
                "signature"
            )
        return doubts

    def _token(self, run: Run, submission: Submission) -> str:
        now = self._clock.now()
        plan = submission.plan
        longest = plan.provider_timeout + sum(
            stage.timeout or plan.callback_timeout for stage in plan.pipeline.hand_offs
        )
        deadline = run.created_at + longest + TOKEN_MARGIN if run.phase != "done" else 0.0
        expires_at = max(now + self._settings.token_ttl, deadline)
        project: Project = self._directory.project(run.project_id)
        return _tokens.mint(project, run.id, expires_at=expires_at, jti=self._parts.ids.opaque("tok"))

    def _check_accepting(self) -> None:
        if not self._accepting:
            raise Overloaded("riverflow is shutting down; try again", code="shutting_down")

    def _lanes(self) -> list[str]:
        """What this process can deliver to."""
        lanes = {"http" if scheme == "https" else scheme for scheme in self._parts.senders if scheme != "local"}
        if not self._parts.can_call_app():
            lanes.discard("asgi")
        return [*lanes, *(f"local:{name}" for name in self._parts.handlers)]

    def _take(self, claim: Claim) -> None:
        self._crew.spawn(claim.run_id, self._runner.take(claim))
