"""Where a measurement was made: cores, memory, versions, and how long the disk takes for an fsync."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

__all__ = ["Machine", "describe", "fsync_microseconds"]

_PACKAGES = (
    "riverflow",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "aiohttp",
    "msgspec",
    "websockets",
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine and what is installed on it. `fsync_us` is the median of one small append and fsync, in µs."""

    system: str
    processor: str
    cores: int
    memory_gib: float
    python: str
    sqlite: str
    packages: dict[str, str]
    fsync_us: float
    pinned: bool
    load_average: tuple[float, ...]


def describe(folder: Path, *, pinned: bool) -> Machine:
    """This machine, and the disk under `folder`."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        fsync_us=round(fsync_microseconds(folder)),
        pinned=pinned,
        load_average=tuple(round(each, 2) for each in os.getloadavg()),
    )


def fsync_microseconds(folder: Path, times: int = 100) -> float:
    """The median of appending 4 kB and an fsync, in µs."""
    path = folder / "fsync-probe"
    taken: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"\0" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(taken) * 1e6


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
