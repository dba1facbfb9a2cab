"""A run's timeline as a table in the terminal, one row an entry, as it happens.

It reads entries and changes nothing.
"""

from __future__ import annotations

from typing import Any

from ..codec import decode
from ..hookspecs import hookimpl
from ..models import Entry
from .terminal import Screen, printable

__all__ = ["Timeline"]

_GLYPHS = {
    "run.accepted": ("●", "blue"),
    "stage.completed": ("✔", "green"),
    "stage.failed": ("✘", "red"),
    "stage.retrying": ("↻", "yellow"),
    "stage.interrupted": ("↻", "bright_black"),
    "stage.chunk": ("·", "bright_black"),
    "stage.progress": ("·", "bright_black"),
    "stage.unattended": ("!", "yellow"),
    "run.ai_generated": ("◆", "cyan"),
    "delivery.attempted": ("→", "magenta"),
    "callback.received": ("←", "magenta"),
    "approval.requested": ("?", "yellow"),
    "approval.decided": ("←", "magenta"),
    "approval.expired": ("✘", "red"),
    "callback.extended": ("↦", "magenta"),
    "callback.timed_out": ("✘", "red"),
    "run.completed": ("★", "green"),
    "run.failed": ("✘", "red"),
}
_FINAL = ("run.completed", "run.failed")


class Timeline:
    """A plugin (`riverflow_entry`) that writes each entry when it is durable.

    Columns: number, seconds since the run was accepted, seconds since the entry before, kind, stage, what it says.
    `▸ browser` marks what the browser saw. A run that others interrupt is introduced again.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._run: str | None = None
        self._times: dict[str, tuple[float, float]] = {}

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        if run_id != self._run:
            self._run = run_id
            self._introduce(run_id)
        begun, before = self._times.get(run_id, (entry.at, entry.at))
        self._times[run_id] = (begun, entry.at)
        self._screen.line(self._row(entry, entry.at - begun, entry.at - before))
        if entry.kind in _FINAL:
            del self._times[run_id]

    def aside(self, who: str, text: str) -> None:
        """A line of another process, under the table's last columns."""
        self._screen.line(self._screen.paint(f"{'':28}│ {who}  {text}", fg="bright_black"))

    def _introduce(self, run_id: str) -> None:
        paint = self._screen.paint
        self._screen.line(f"\n  {paint('run', bold=True)} {run_id}\n")
        heading = f"  {'#':>3}  {'elapsed':>9}  {'step':>8}    {'what happened':<20}{'stage':<12}"
        self._screen.line(paint(heading, fg="bright_black"))

    def _row(self, entry: Entry, elapsed: float, step: float) -> str:
        paint = self._screen.paint
        glyph, colour = _GLYPHS.get(entry.kind, ("·", "white"))
        bad = glyph == "✘"
        step_text = f"{'+' + _milliseconds(step) if step >= 0.0005 else '':>8}"
        return "".join(
            (
                paint(f"  {entry.number:>3}", fg="bright_black"),
                f"  {_milliseconds(elapsed):>9}  ",
                paint(step_text, fg="yellow" if step >= 0.1 else "bright_black"),
                f"  {paint(glyph, fg=colour, bold=True)} ",
                paint(f"{entry.kind:<20}", fg="red" if bad else None, bold=entry.kind in _FINAL),
                paint(f"{entry.stage or '':<12}", fg="bright_black"),
                self._said(entry),
            )
        ).rstrip()

    def _said(self, entry: Entry) -> str:
        said = printable(_said(entry.kind, decode(entry.data)))
        if not entry.public:
            return said
        return self._screen.paint("▸ browser", fg="cyan", bold=True) + (f"  {said}" if said else "")


def _milliseconds(seconds: float) -> str:
    """`3 ms`, `240 ms`, `12.4 s`."""
    return f"{max(seconds, 0) * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _said(kind: str, data: dict[str, Any]) -> str:
    match kind:
        case "run.accepted":
            return f"workflow {data['plan']['workflow']}"
        case "stage.completed" if data.get("meta"):
            meta = data["meta"]
            answerer = " / ".join(dict.fromkeys((meta["provider"], meta["model"])))
            return f"{answerer}, {meta['tokens']['total']} tokens"
        case "stage.completed":
            return data.get("task_id") or ""
        case "delivery.attempted":
            return f"{data.get('status') or data.get('error')} from {data['url']}{_again(data)}"
        case "stage.retrying":
            return f"{data.get('error')}{_again(data)}"
        case "approval.decided":
            return f"{data['ruling']['decision']} by {data['ruling']['by']}"
        case "callback.received":
            return ": ".join(data[name] for name in ("form", "code", "message") if data.get(name))
        case "run.completed" | "run.ai_generated":
            return str(data["status"])
    message = data.get("message") or data.get("code") or ""
    return message if isinstance(message, str) else ""


def _again(data: dict[str, Any]) -> str:
    return f", again at {data['next_attempt_at']}" if data.get("next_attempt_at") else ""
