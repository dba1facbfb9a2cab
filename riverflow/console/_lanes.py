"""The timeline of one request as lanes: each stage, each try of a provider, each delivery, and what the browser was
told, as bars and dots on one scale.

It arranges what is known of the run and draws it; it looks nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

import msgspec

from .._attendance import Connection
from .._queries import DeliveryShown, RequestDetail, StageShown, TryShown
from ._format import duration
from ._markup import Html
from ._scale import Cut, Scale

__all__ = ["Lane", "Timeline", "timeline_of"]

_THIN = 0.45  # percent: no bar is thinner
_ROOMY, _NARROW = 14.0, 7.0  # percent: in between, a label is short; below, there is none
_HATCHED = ' fill="url(#hatch)"'  # a pattern of the page's: waiting is not told by colour alone
_TONES = {"running": "run", "waiting": "wait", "failed": "bad"}
_IDLE = ("wait", "here")  # nobody is at work there
_TRANSPORTS = {"sse": "SSE", "websocket": "WebSocket", "timeline": "timeline feed"}
_ICONS = {"generate": "spark", "hand_off": "webhooks", "approval": "approvals", "finalise": "broadcast"}


class Bar(msgspec.Struct, frozen=True):
    begin: float
    end: float
    tone: str
    said: str


class Dot(msgspec.Struct, frozen=True):
    at: float
    tone: str
    said: str


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One row: its name, what stands at its right end, and its marks. `inner` lanes belong to the one above."""

    name: str
    detail: str
    icon: str
    tone: str
    time: str
    inner: bool = False
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()


class Timeline(msgspec.Struct, frozen=True):
    """All lanes over one axis. `begin` and `end` are Unix seconds; `took` is how long the request took (so far), and
    `later` how much longer something went on after it, both in seconds."""

    lanes: tuple[tuple[Lane, Html], ...]
    axis: Html
    begin: float
    end: float
    cut: bool
    took: float
    later: float


def timeline_of(detail: RequestDetail, now: float) -> Timeline:
    """The lanes of a request as they stand at `now`."""
    lanes = list(_lanes(detail, now))
    moments = [detail.row.created_at]
    for lane in lanes:
        moments += [moment for bar in lane.bars for moment in (bar.begin, bar.end)]
        moments += [dot.at for dot in lane.dots]
    if detail.row.finished_at is None:
        moments.append(max(now, detail.row.created_at))
    busy = [(bar.begin, bar.end) for lane in lanes for bar in lane.bars if bar.tone not in _IDLE]
    scale = Scale(moments, busy)
    finished = detail.row.finished_at
    drawn = tuple((lane, _track(lane, scale, now if finished is None else None, finished)) for lane in lanes)
    took = (finished if finished is not None else now) - detail.row.created_at
    sent = [bar.end for lane in lanes for bar in lane.bars if bar.tone != "here"]  # who still looks holds nothing up
    later = max(0.0, max(sent, default=finished) - finished) if finished is not None else 0.0
    return Timeline(drawn, _axis(scale), scale.begin, scale.end, bool(scale.cuts), took, later)


def _lanes(detail: RequestDetail, now: float) -> Sequence[Lane]:
    lanes: list[Lane] = []
    told = [each for each in detail.deliveries if each.type == "task.ai_generated"]
    for stage in detail.stages:
        if stage.began_at is None or stage.copied:
            continue
        lanes.append(_stage_lane(detail, stage, now))
        lanes += _try_lanes([each for each in detail.tries if each.stage == stage.name], stage.began_at)
        lanes += [_delivery_lane(each, now, inner=True) for each in told if each.stage == stage.name]
    lanes.append(_browser_lane(detail, now))
    lanes += [_delivery_lane(each, now) for each in detail.deliveries if each.type != "task.ai_generated"]
    return lanes


def _stage_lane(detail: RequestDetail, stage: StageShown, now: float) -> Lane:
    began = stage.began_at or detail.row.created_at
    ended = stage.ended_at if stage.ended_at is not None else now
    took = duration(max(ended - began, 0.0))
    tone = _bar_tone(stage)
    bars = (Bar(began, ended, tone, f"{stage.name}: {took}"),) if stage.kind != "finalise" else ()
    answers = tuple(
        Dot(receipt.at, "ok" if receipt.form == "success" else "bad", f"answered by {receipt.via}")
        for receipt in detail.receipts
        if receipt.stage == stage.name
    )
    ends = (Dot(ended, "ok" if stage.state == "done" else "bad", stage.name),) if stage.kind == "finalise" else ()
    return Lane(
        name=stage.name,
        detail=stage.event_name or "",
        icon=_ICONS.get(stage.kind, "plug"),
        tone={"done": "ok", "running": "run", "waiting": "wait", "failed": "bad"}.get(stage.state, "idle"),
        time=took if stage.kind != "finalise" else "",
        bars=bars,
        dots=(*answers, *ends),
    )


def _bar_tone(stage: StageShown) -> str:
    """What the time of a stage was spent with: the AI's work, waiting for somebody, or its own."""
    if stage.state == "running" or (stage.state != "done" and stage.kind not in ("hand_off", "approval")):
        return _TONES.get(stage.state, "idle")
    return {"generate": "think", "hand_off": "wait", "approval": "wait"}.get(stage.kind, "soft")


def _try_lanes(tries: Sequence[TryShown], began: float) -> Sequence[Lane]:
    """Tries follow one another; where rounds wait between them, a try stands earlier than it was."""
    lanes, at = [], began
    for each in tries:
        end = at + each.duration_ms / 1000
        took = duration(each.duration_ms / 1000)
        tone = "think" if each.success else "bad"
        said = took if each.success else f"{took}, {each.reason or 'failed'}"
        bar = Bar(at, end, tone, f"{each.provider} {each.model}: {said}")
        mark = ("ok", "ok") if each.success else ("bad", "bad")
        lanes.append(
            Lane(
                name=each.provider,
                detail=each.model if each.success else f"{each.model} · {each.reason or 'failed'}",
                icon=mark[0],
                tone=mark[1],
                time=took,
                inner=True,
                bars=(bar,),
            )
        )
        at = end
    return lanes


def _delivery_lane(each: DeliveryShown, now: float, *, inner: bool = False) -> Lane:
    bars = tuple(
        Bar(
            attempt.began_at,
            attempt.at,
            "ok" if attempt.ok else "bad",
            f"attempt {attempt.attempt}: {attempt.status or attempt.error or attempt.outcome}, "
            f"{duration(attempt.duration_ms / 1000)}",
        )
        for attempt in each.attempts
    )
    return Lane(
        name=place_of(each.url),
        detail=each.type if not inner else _tried(each),
        icon={"delivered": "ok", "pending": "again", "dead": "bad", "expired": "gone"}[each.status],
        tone={"delivered": "ok", "pending": "wait", "dead": "bad", "expired": "idle"}[each.status],
        time=_when(each, now),
        inner=inner,
        bars=bars,
    )


def _when(each: DeliveryShown, now: float) -> str:
    """How long it took; how often it was tried in vain, or when it is next."""
    if not each.attempts:
        return ""
    if each.status == "pending" and each.due_at > now:
        return f"in {duration(each.due_at - now)}"
    if each.status in ("dead", "expired"):
        return f"{len(each.attempts)} ×"
    return duration(each.attempts[-1].duration_ms / 1000)


def _tried(each: DeliveryShown) -> str:
    attempts = len(each.attempts)
    if attempts == 0:
        return "not sent yet" if each.owed else "in progress"
    last = each.attempts[-1]
    said = str(last.status or last.error or last.outcome)
    return said if attempts == 1 else f"{said}, {attempts} attempts"


def _browser_lane(detail: RequestDetail, now: float) -> Lane:
    names = {"run.completed": "ok", "run.failed": "bad"}
    dots = tuple(Dot(entry.at, names.get(entry.kind, "think"), entry.kind) for entry in detail.entries if entry.public)
    here = tuple(
        Bar(each.since, end, "here", _present(each, end))
        for each in detail.connections
        for end in [now if each.until is None else each.until]
    )
    came = ", ".join(sorted({_TRANSPORTS.get(each.transport, each.transport) for each in detail.connections} - {""}))
    there = f"{detail.subscribers} connected" if detail.subscribers else ""
    return Lane(
        name="browser",
        detail=" · ".join(filter(None, (there, came))),
        icon="broadcast",
        tone="think",
        time=f"{len(dots)} ×",
        bars=here,
        dots=dots,
    )


def _present(each: Connection, end: float) -> str:
    name = _TRANSPORTS.get(each.transport, each.transport)
    return f"{name} connected for {duration(max(end - each.since, 0.0))}{', still' if each.until is None else ''}"


def place_of(url: str) -> str:
    """Where a delivery goes, short: host and path, the handler, or the path in the app."""
    scheme, _, rest = url.partition(":")
    if scheme == "local":
        return f"handler {rest}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.netloc}{parts.path}".rstrip("/")


# Drawing ---------------------------------------------------------------------------------------------------


def _track(lane: Lane, scale: Scale, now: float | None, finished: float | None) -> Html:
    parts = [_lines(scale)]
    if finished is not None and finished < scale.end:
        at = scale.place(finished)
        parts.append(f'<line class="g-end" x1="{at:.3f}%" x2="{at:.3f}%" y1="0" y2="100%"/>')
    for bar in lane.bars:
        left = scale.place(bar.begin)
        width = max(scale.place(bar.end) - left, _THIN)
        left = min(left, 100 - width)
        tall = 8 if lane.inner else 12
        parts.append(
            f'<g><title>{escape(bar.said)}</title><rect class="g-bar {bar.tone}" x="{left:.3f}%" y="50%" '
            f'width="{width:.3f}%" height="{tall}" rx="{tall / 4:g}" transform="translate(0 -{tall / 2:g})"'
            f"{_HATCHED if bar.tone == 'wait' else ''}/></g>"
        )
    for dot in lane.dots:
        parts.append(
            f'<g><title>{escape(dot.said)}</title><circle class="g-dot {dot.tone}" '
            f'cx="{min(max(scale.place(dot.at), 0.8), 99.2):.3f}%" cy="50%" r="4.5"/></g>'
        )
    if now is not None:
        parts.append(
            f'<line class="g-now" x1="{scale.place(now):.3f}%" x2="{scale.place(now):.3f}%" y1="0" y2="100%"/>'
        )
    return Html(f'<svg class="lane-track" aria-hidden="true">{"".join(parts)}</svg>')


def _axis(scale: Scale) -> Html:
    parts = [_lines(scale)]
    for tick in scale.ticks:
        label = "0" if tick.seconds == 0 else _round(duration(tick.seconds))
        anchor = "start" if tick.place < 2 else "middle"
        parts.append(f'<text x="{tick.place:.3f}%" y="15" text-anchor="{anchor}">{label}</text>')
    for cut in scale.cuts:
        if said := _said_of(cut):
            middle = (cut.start + cut.end) / 2
            parts.append(f'<text class="g-cut" x="{middle:.3f}%" y="15" text-anchor="middle">{said}</text>')
    return Html(f'<svg class="lane-track" aria-hidden="true">{"".join(parts)}</svg>')


def _round(said: str) -> str:
    """Without the noughts that an axis needs not."""
    number, _, unit = said.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _said_of(cut: Cut) -> str:
    """How long it was, as exactly as there is room for."""
    wide, said = cut.end - cut.start, duration(cut.seconds)
    if wide >= _ROOMY:
        return f"⋯ {said} ⋯"
    return " ".join(said.split()[:2]) if wide >= _NARROW else ""


def _lines(scale: Scale) -> str:
    parts = [
        f"<g><title>{duration(cut.seconds)} of idle time, shortened</title>"
        f'<rect class="g-break" x="{cut.start:.3f}%" width="{cut.end - cut.start:.3f}%" y="0" height="100%"/></g>'
        f'<line class="g-break-edge" x1="{cut.start:.3f}%" x2="{cut.start:.3f}%" y1="0" y2="100%"/>'
        f'<line class="g-break-edge" x1="{cut.end:.3f}%" x2="{cut.end:.3f}%" y1="0" y2="100%"/>'
        for cut in scale.cuts
    ]
    parts += [
        f'<line class="g-line" x1="{tick.place:.3f}%" x2="{tick.place:.3f}%" y1="0" y2="100%"/>' for tick in scale.ticks
    ]
    return "".join(parts)
