"""Where the time goes at saturation: py-spy where it is installed, else cProfile of the loop's thread.

py-spy samples from outside and sees every thread; cProfile slows Python down and not C, so its shares lean to small
functions.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import msgspec

from .flows import WARM_UP, Mode
from .rig import rig

__all__ = ["Profile", "profile"]

_LINE = re.compile(r":\d+\)$")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the samples: by thread, by function alone, and by function with all that it called."""

    tool: str
    threads: list[tuple[str, float]]
    alone: list[tuple[str, float]]
    with_calls: list[tuple[str, float]]


async def profile(folder: Path, mode: Mode, *, flows: int, size: int, structured: bool) -> Profile:
    """One run of riverflow at saturation under a profiler."""
    spy = shutil.which("py-spy")
    async with rig(folder, size=size, structured=structured) as set_up:
        system = await set_up.system("riverflow", mode.mode, name=f"profile-{mode.title[0]}")
        await set_up.load(system, mode.kind, WARM_UP)
        if spy is None:
            await system.ask("profile")
            await set_up.load(system, mode.kind, flows)
            alone, with_calls = await system.ask("profiled")
            return Profile(tool="cProfile", threads=[], alone=alone, with_calls=with_calls)
        raw = folder / "profile.raw"
        command = [spy, "record", "-p", str(system.pid), "-r", "400", "-d", "600", "-f", "raw", "-o", str(raw)]
        watching = await asyncio.create_subprocess_exec(
            *command, "--threads", "--nonblocking", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await asyncio.sleep(1.0)
        await set_up.load(system, mode.kind, flows)
        watching.send_signal(signal.SIGINT)
        await watching.wait()
    return _read(await asyncio.to_thread(raw.read_text, encoding="utf-8"))


def _read(raw: str) -> Profile:
    """Shares from py-spy's raw form: `thread;frame;frame count` a line."""
    threads: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    with_calls: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        names = [_LINE.sub(")", frame) for frame in frames] or ["(no Python frame)"]
        threads[thread.partition(": ")[2] or "other"] += int(count)
        alone[names[-1]] += int(count)
        with_calls.update(dict.fromkeys(names, int(count)))
    total = max(1, sum(threads.values()))

    def shares(counter: Counter[str], most: int) -> list[tuple[str, float]]:
        return [(name, count / total) for name, count in counter.most_common(most)]

    return Profile(
        tool="py-spy", threads=shares(threads, 6), alone=shares(alone, 25), with_calls=shares(with_calls, 60)
    )
