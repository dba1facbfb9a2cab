"""How the benchmark speaks with its processes: one JSON object a line, asked on stdin and answered on stdout.

A child ends when its stdin does, so none outlives the benchmark, whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["BenchError", "Child", "Verb", "many_files", "measure", "pin", "serve_control"]

Verb = Callable[[dict[str, Any]], Awaitable[Any]]


class BenchError(Exception):
    """A process of the benchmark failed; the text says which and how."""


def pin(core: int) -> bool:
    """Keep this process on one core, where the system can and the machine has more than one; whether it is so."""
    if not hasattr(os, "sched_setaffinity") or core not in os.sched_getaffinity(0):
        return False
    os.sched_setaffinity(0, {core})
    return True


def many_files() -> None:
    """Allow as many open files as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def measure() -> dict[str, float]:
    """This process so far: CPU seconds (user + system, all threads, `cpu`) and proportional memory (`pss`, bytes)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": used.ru_utime + used.ru_stime, "pss": _pss()}


def _pss() -> float:
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as file:
            found = next((line for line in file if line.startswith("Pss:")), None)
    except OSError:
        return 0.0  # not Linux: the memory figures are left out
    return float(found.split()[1]) * 1024 if found else 0.0


async def serve_control(verbs: Mapping[str, Verb], **ready: Any) -> None:
    """The child's side: say that it is ready, then answer until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(ready)
    while line := await reader.readline():
        asked = msgspec.json.decode(line)
        try:
            _say({"ok": await verbs[asked.pop("do")](asked)})
        except Exception as error:
            _say({"error": f"{type(error).__name__}: {error}"})


def _say(message: object) -> None:
    os.write(1, msgspec.json.encode(message) + b"\n")


class Child:
    """A process of the benchmark, seen from its parent."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self._name = name
        self._process = process
        self.ready = ready

    @classmethod
    async def start(cls, name: str, module: str, options: object, *, runner: Sequence[str] = ()) -> Child:
        """Start `module.main` with its options as JSON in argv, and wait until it is ready. Raises BenchError."""
        process = await asyncio.create_subprocess_exec(
            *(runner or (sys.executable,)),
            "-c",
            f"from {module} import main; main()",
            msgspec.json.encode(options).decode(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        child = cls(name, process, {})
        child.ready = await child._answer(60.0)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, do: str, *, within: float = 120.0, **options: Any) -> Any:
        """One question and its answer, `within` seconds. Raises BenchError."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode({"do": do, **options}) + b"\n")
        answer = await self._answer(within)
        if "error" in answer:
            raise BenchError(f"{self._name}: {do}: {answer['error']}")
        return answer["ok"]

    async def stop(self, *, kill: bool = False) -> None:
        """End it by ending its stdin; by force where it does not follow, or where `kill` asks for it."""
        assert self._process.stdin is not None
        if kill:
            self._process.kill()
        self._process.stdin.close()
        try:
            async with asyncio.timeout(15):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _answer(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self._process.stdout.readline()
        except TimeoutError:
            await self.stop(kill=True)
            raise BenchError(f"{self._name}: no answer within {within:g} s") from None
        if not line:
            await self._process.wait()
            raise BenchError(f"{self._name}: ended with exit code {self._process.returncode}")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer
