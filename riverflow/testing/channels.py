"""Channels without an engine: a test writes a run's entries, and the readers of a transport get them.

It is the real hub over a log in memory; only what decides about runs is missing.
"""

from __future__ import annotations

from typing import Any, cast

from .. import _tokens
from .._channels import Hub
from ..codec import from_python
from ..errors import Unauthenticated
from ..models import FINAL_KINDS, Entry, Identity, Project, Run, TokenClaims
from ..pipeline import FINALISE, GENERATE
from ..ports import ASGIApp, Channels, Clock, EntryPage, Receive, RunLog, Scope, Send, StoredRun, Transport

__all__ = ["ScriptedChannels", "app_of"]

_OTHER_PROJECT = "0190a000-0000-7000-8000-00000000000b"


class ScriptedChannels:
    """ports.Channels for tests.

    `start` begins a run and returns its channel id, `tell` appends an entry and publishes it, `write` appends without
    telling anyone (a lost notification), `token` mints a socket token. Bearer `key` may read, `other_key` is of
    another project, `blind_key` may not read. `used` lists the tokens noted as used; with `strict`, each but once.
    """

    key = "mr_test_key"
    other_key = "mr_test_other"
    blind_key = "mr_test_blind"

    def __init__(self, clock: Clock, *, buffer: int = 256, strict: bool = False) -> None:
        self.project = Project(
            id="0190a000-0000-7000-8000-00000000000a", name="test", secret="whsec_s", token_secret="whsec_t"
        )
        self.used: list[str] = []
        self._clock = clock
        self._strict = strict
        self._log = _Log(self.project.id)
        self.hub = Hub(cast("RunLog", self._log), buffer=buffer)
        self._runs = 0
        self._tokens = 0

    # The test's side -------------------------------------------------------------------------------------

    def start(self) -> str:
        """Begin a run (entry 1, private): its channel id."""
        self._runs += 1
        channel_id = f"0190a000-0000-7000-8000-{self._runs:012x}"
        self._log.entries[channel_id] = []
        self.write(channel_id, "run.accepted", {}, public=False)
        return channel_id

    def tell(self, channel_id: str, kind: str, data: Any, *, public: bool = True) -> int:
        """Append an entry, tell its readers, and return its number."""
        number = self.write(channel_id, kind, data, public=public)
        self.hub.tell(channel_id, self._log.entries[channel_id][number - 1 :], number)
        return number

    def write(self, channel_id: str, kind: str, data: Any, *, public: bool = True) -> int:
        """Append an entry and tell nobody."""
        entries = self._log.entries[channel_id]
        number = len(entries) + 1
        entries.append(Entry(kind=kind, at=self._clock.now(), number=number, public=public, data=from_python(data)))
        return number

    def token(self, channel_id: str, *, ttl: float = 300.0) -> str:
        """A socket token for a channel."""
        self._tokens += 1
        return _tokens.mint(self.project, channel_id, expires_at=self._clock.now() + ttl, jti=f"tok_{self._tokens}")

    @property
    def reads(self) -> int:
        """How often the log was asked."""
        return self._log.reads

    # The transport's side (ports.Channels) ---------------------------------------------------------------

    async def subscribe(
        self,
        project_id: str,
        channel_id: str,
        *,
        after: int | None = None,
        everything: bool = False,
        transport: str = "",
    ) -> Any:
        return await self.hub.subscribe(project_id, channel_id, after=after, everything=everything, transport=transport)

    async def read_token(self, token: str) -> TokenClaims:
        return _tokens.read(token, self.project.token_secret, self._clock.now())

    async def use_token(self, claims: TokenClaims) -> None:
        if self._strict and claims.jti in self.used:
            raise Unauthenticated("the socket token was used before", code="token_used")
        self.used.append(claims.jti)

    async def authenticate(self, scope: Scope) -> Identity:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        identities = {
            self.key: Identity(project_id=self.project.id),
            self.other_key: Identity(project_id=_OTHER_PROJECT),
            self.blind_key: Identity(project_id=self.project.id, scopes=frozenset({"submit"})),
        }
        identity = identities.get(given.removeprefix("Bearer "))
        if identity is None:
            raise Unauthenticated("no such key")
        return identity


def app_of(transport: Transport, channels: Channels) -> ASGIApp:
    """An ASGI app that serves nothing but a transport's routes."""
    from starlette.routing import Route, Router, WebSocketRoute

    kinds: dict[str, type[Route | WebSocketRoute]] = {"http": Route, "websocket": WebSocketRoute}
    return Router([kinds[route.type](route.path, _Bare(route.app)) for route in transport.routes(channels)])


class _Bare:
    """A bare ASGI app as Starlette knows one: an object, not a function."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Log:
    """The part of ports.RunLog that the hub reads."""

    def __init__(self, project_id: str) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.reads = 0
        self._project_id = project_id

    async def entries_after(
        self, project_id: str, run_id: str, after: int, *, limit: int = 1000, public: bool = False
    ) -> EntryPage | None:
        self.reads += 1
        entries = self.entries.get(run_id)
        if entries is None or project_id != self._project_id:
            return None
        shown = [entry for entry in entries[after:] if entry.public or not public]
        return EntryPage(entries=tuple(shown[:limit]), latest=len(entries))

    async def load(self, project_id: str | None, run_id: str) -> StoredRun | None:
        entries = self.entries.get(run_id)
        if entries is None or project_id != self._project_id:
            return None
        done = any(entry.kind in FINAL_KINDS for entry in entries)
        run = Run(
            id=run_id,
            project_id=self._project_id,
            workflow="test",
            event_name=None,
            status="success" if done else "pending",
            stage=FINALISE if done else GENERATE,
            phase="done" if done else "running",
            version=1,
            generation=0,
            created_at=0.0,
        )
        return StoredRun(run=run, checkpoints=())
