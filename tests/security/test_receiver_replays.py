"""Cases 7 and 11 of the receiver's list: one effect for each message, whoever sends it how often, and whatever dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from riverflow.errors import ConfigError, Conflict, StoreUnavailable
from riverflow.webhooks import MemoryReplays, Receiver, ReplayStore, SQLiteReplays, Standing

from .receiver_sender import BODY, ID, KEY, NOW, SECRET, mr, signature, standard, x

pytestmark = pytest.mark.anyio


class Time:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplayStore]:
    if request.param == "memory":
        yield MemoryReplays()
        return
    file = SQLiteReplays(tmp_path / "replays.db")
    yield file
    file.close()


@pytest.fixture
def receiver(store: ReplayStore, time: Time) -> Receiver:
    return Receiver(SECRET, replays=store, clock=time)


def take(receiver: Receiver, headers: dict[str, str] | None = None, body: bytes = BODY) -> bool:
    """Whether it had its effect."""
    with receiver.receive(body, standard() if headers is None else headers) as reception:
        return not reception.duplicate


async def take_async(receiver: Receiver, headers: dict[str, str] | None = None) -> bool:
    async with receiver.receive(BODY, standard() if headers is None else headers) as reception:
        return not reception.duplicate


def test_case_7_the_same_id_twice_has_one_effect(receiver: Receiver, time: Time) -> None:
    assert take(receiver)
    assert not take(receiver)
    time.now += 10_000  # tried again: the same id and body, a fresh time and signature
    assert not take(receiver, standard(at=NOW + 10_000))
    assert take(receiver, standard(id="dl_other", at=NOW + 10_000))


async def test_case_7_the_same_for_asynchronous_receivers(receiver: Receiver) -> None:
    assert await take_async(receiver)
    assert not await take_async(receiver)
    assert not take(receiver)


ALL = standard() | x() | mr()


@pytest.mark.parametrize(
    "again",
    [standard(), x(), mr(), x() | mr(), x(at=NOW + 1)],
    ids=["standard", "x-modelriver", "mr", "both", "tried again"],
)
def test_case_7_a_copy_without_its_better_signature_is_the_same_message(
    receiver: Receiver, again: dict[str, str]
) -> None:
    assert take(receiver, ALL)
    assert not take(receiver, again)


def test_case_7_a_copy_with_its_body_written_otherwise_is_the_same_message(receiver: Receiver) -> None:
    assert take(receiver, mr(b'{"a":1}'), b'{"a":1}')
    assert not take(receiver, mr(b'{"a":1}'), b'{ "a": 1 }')
    assert take(receiver, x(b'{"b":1}'), b'{"data":{"b":1}}')
    assert not take(receiver, x(b'{"b":1}'), b'{"data":{"b":1},"callback_url":"https://evil.example"}')


def test_case_7_two_messages_may_say_the_same(receiver: Receiver) -> None:
    """Of a sender of ids, the id counts; of data signed with its time, the time."""
    ping = b'{"type":"ping"}'
    assert take(receiver, standard(ping, id="one"), ping)
    assert take(receiver, standard(ping, id="two"), ping)
    assert take(receiver, x(b'{"a":1}', at=NOW), b'{"data":{"a":1},"channel_id":"one"}')
    assert take(receiver, x(b'{"a":1}', at=NOW + 1), b'{"data":{"a":1},"channel_id":"two"}')


def test_case_7_receivers_of_different_scope_do_not_meet(store: ReplayStore, time: Time) -> None:
    first, second = (Receiver(SECRET, replays=store, clock=time, scope=scope) for scope in ("audit", "enrich"))
    assert take(first)
    assert take(second)
    assert not take(first)


def test_case_7_concurrent_duplicates_have_one_effect(receiver: Receiver) -> None:
    """In threads: one works, the others are told to come again, and find it done."""
    barrier, effects, told = threading.Barrier(8), [], []
    working = threading.Event()

    def run(caller: int) -> None:
        barrier.wait(10)
        try:
            with receiver.receive(BODY, standard()) as reception:
                assert not reception.duplicate
                effects.append(caller)
                working.wait(10)
        except Conflict as conflict:
            told.append(conflict.retry_after)
            if len(told) == 7:
                working.set()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert len(effects) == 1
    assert told == [5.0] * 7
    assert not take(receiver)


async def test_case_7_concurrent_duplicates_in_one_loop(receiver: Receiver) -> None:
    finish, effects = asyncio.Event(), []

    async def run() -> str:
        try:
            async with receiver.receive(BODY, standard()) as reception:
                assert not reception.duplicate
                effects.append(reception.message.id)
                await finish.wait()
                return "done"
        except Conflict:
            return "conflict"

    tasks = [asyncio.create_task(run()) for _ in range(8)]
    while sum(task.done() for task in tasks) < 7:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    finish.set()
    assert sorted(await asyncio.gather(*tasks)) == ["conflict"] * 7 + ["done"]
    assert effects == [ID]


class Failing:
    """A store that fails at one of its methods."""

    def __init__(self, method: str, error: Exception) -> None:
        self._inner = MemoryReplays()
        self._method, self._error = method, error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            if name == self._method:
                raise self._error
            return getattr(self._inner, name)(*arguments, **options)

        return act


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), OSError("gone"), RuntimeError("gone")])
async def test_case_7_without_the_store_nothing_is_taken(time: Time, error: Exception) -> None:
    receiver = Receiver(SECRET, replays=Failing("begin", error), clock=time)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        take(receiver)
    with pytest.raises(StoreUnavailable):
        await take_async(receiver)


@pytest.mark.parametrize("nonsense", [None, True, 1, "", "NEW", object()])
async def test_case_7_a_store_that_answers_nonsense_lets_nothing_through(time: Time, nonsense: object) -> None:
    class Nonsense(MemoryReplays):
        def begin(self, keys: Any, claim: str, *, now: float, until: float) -> Any:
            return nonsense

    receiver = Receiver(SECRET, replays=Nonsense(), clock=time)
    with pytest.raises(StoreUnavailable):
        take(receiver)
    with pytest.raises(StoreUnavailable):
        await take_async(receiver)


@pytest.mark.parametrize("failed", ["finish", "forget"])
async def test_case_7_a_store_that_fails_afterwards_changes_no_outcome(
    time: Time, failed: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(SECRET, replays=Failing(failed, OSError("gone")), clock=time)  # type: ignore[arg-type]
    done = failed == "finish"
    with receiver.receive(BODY, standard(id="dl_1")) as reception:
        reception.settle(done=done)
    async with receiver.receive(BODY, standard(id="dl_2")) as reception:
        await reception.settle_async(done=done)
    assert "dl_1" in caplog.text
    assert "dl_2" in caplog.text


def test_case_10_an_asynchronous_store_in_a_plain_receiver_fails_loudly(time: Time) -> None:
    """Its coroutine would count as true."""

    class Asynchronous:
        async def begin(self, keys: Any, claim: str, *, now: float, until: float) -> Standing:
            return "new"

        finish = forget = begin

    receiver = Receiver(SECRET, replays=Asynchronous(), clock=time)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="async with"):
        take(receiver)


@pytest.mark.parametrize("setting", [{"lease": 0}, {"lease": float("nan")}, {"keep": 599}, {"keep": float("nan")}])
def test_a_window_shorter_than_a_replay_is_good_for_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="keep"):
        Receiver(SECRET, **setting)  # type: ignore[arg-type]


def test_what_is_remembered_tells_nothing(tmp_path: Path, time: Time) -> None:
    store = SQLiteReplays(tmp_path / "replays.db")
    assert take(Receiver(SECRET, replays=store, clock=time), ALL)
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for part in (ID, SECRET[6:], signature()[3:], mr()["mr-signature"], x()["X-ModelRiver-Signature"], KEY.hex()):
        assert part.encode() not in kept


# 11: acknowledge, then work -----------------------------------------------------------------------------------


async def test_case_11_what_failed_is_taken_when_it_comes_again(receiver: Receiver) -> None:
    with pytest.raises(RuntimeError), receiver.receive(BODY, standard()):
        raise RuntimeError("the database is down")
    with pytest.raises(RuntimeError):
        async with receiver.receive(BODY, standard()):
            raise RuntimeError("the database is down")
    with receiver.receive(BODY, standard()) as reception:
        reception.settle(done=False)
        reception.settle(done=True)  # the first word counts
    assert take(receiver)
    assert not take(receiver)


async def test_case_11_a_cancelled_receiver_gives_the_message_back(receiver: Receiver) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with receiver.receive(BODY, standard()):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert take(receiver)


KILLED = """
import os, signal, sys
from riverflow.webhooks import Receiver, SQLiteReplays
receiver = Receiver(sys.argv[1], replays=SQLiteReplays(sys.argv[2]), clock=lambda: float(sys.argv[3]))
body = sys.stdin.buffer.read()
with receiver.receive(body, [tuple(line.split("=", 1)) for line in sys.argv[5:]]) as reception:
    if sys.argv[4] == "work":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("killed", ["work", "after"])
def test_case_11_kill_9_loses_nothing(tmp_path: Path, time: Time, killed: str) -> None:
    """Killed over the work, it is taken again when the lease is over; killed after it, it is known."""
    path = tmp_path / "replays.db"
    fields = [f"{name}={value}" for name, value in standard().items()]
    command = [sys.executable, "-c", KILLED, SECRET, str(path), str(NOW), killed, *fields]
    done = subprocess.run(command, input=BODY, capture_output=True, timeout=30, check=False)
    assert done.returncode == -9, done.stderr
    store = SQLiteReplays(path)
    receiver = Receiver(SECRET, replays=store, clock=time)
    if killed == "work":
        with pytest.raises(Conflict):
            take(receiver)
        time.now += 30
        assert take(receiver, standard(at=NOW + 30))
    assert not take(receiver, standard(at=int(time.now)))
    store.close()
