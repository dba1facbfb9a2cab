"""The command line as a user has it: a process of its own, with nothing of this environment's settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

__all__ = ["ended", "run", "started", "until"]


def _environ(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RIVERFLOW_", "OPENAI_", "COV_", "PYTEST_"))
    }
    return {**kept, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **extra}


def _heed_interrupts() -> None:
    """Where the tests run in a shell's background, SIGINT is ignored, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`riverflow …` in `folder`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "riverflow", *arguments],
        cwd=folder,
        env=_environ(folder, environ),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def started(folder: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """`riverflow …` in `folder`, running; stdout and stderr are one stream. Killed on leaving, if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "riverflow", *arguments],
        cwd=folder,
        env=_environ(folder, environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=_heed_interrupts,
    )
    overdue = Timer(50, process.kill)  # ends a wait for a line that never comes
    overdue.start()
    try:
        with process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        overdue.cancel()


def ended(process: subprocess.Popen[str], within: float) -> int:
    """Wait for its end: the exit status. One that does not end says where each of its threads is."""
    try:
        return process.wait(within)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER
        said = process.communicate(timeout=10)[0]
        raise AssertionError(f"it has not ended within {within:g} s:\n{said}") from None


def until(process: subprocess.Popen[str], wanted: str) -> str:
    """Read lines up to the one that has `wanted` in it; all that was read."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if wanted in line:
            return read
    raise AssertionError(f"{wanted!r} was never said; what was said: {read}")
