"""Runs by filter, and runs counted: the reading side of series and tallies. It writes nothing."""

from __future__ import annotations

import re
from functools import cache
from sqlite3 import Connection
from typing import Any

from ...codec import decode, encode
from ...errors import InvalidRequest
from ...models import RunFilter, Standing, Total
from ...ports import RunPage
from .queries import query
from .rows import NO_TEXT, run_from
from .series import APPROVAL, HOUR, MINUTE

__all__ = ["LOOKED_THROUGH", "find_runs", "find_standing", "find_totals", "statement"]

LOOKED_THROUGH = 100_000
"""Runs that one search by customer data looks at."""

_SPECIAL = re.compile(r"[*?\[]")
_FEW = 8  # runs of each series that a page is sized up by


def find_runs(
    db: Connection, project_id: str, wanted: RunFilter, before: str | None, after: str | None, limit: int
) -> RunPage:
    """See ports.RunLog.runs."""
    values = _words(project_id, wanted) | {
        # A space sorts before everything that an id may go on with, and ids are of one length.
        "first": max(wanted.first_id, f"{after} " if after is not None else ""),
        "end": min(wanted.end_id, before) if before is not None else wanted.end_id,
        "limit": limit + 1,
        "few": _FEW,
    }
    back = "_back" if after is not None and before is None else ""
    if wanted.customer is None:
        rows, stopped = db.execute(statement(f"runs_page{back}"), values).fetchall(), None
    else:
        rows, stopped = _search(db, wanted.customer, values, back)
    has_more = len(rows) > limit
    runs = tuple(map(run_from, rows[:limit]))
    return RunPage(
        runs=runs[::-1] if back else runs,
        has_more=has_more or stopped is not None,
        searched_to=None if has_more else stopped,
    )


def find_totals(
    db: Connection, project_id: str, since: float, until: float, bucket: int, wanted: RunFilter
) -> tuple[Total, ...]:
    """See ports.RunLog.totals."""
    if wanted.phase not in (None, "done") or wanted.approval:
        return ()
    words = (wanted.workflow, wanted.event_name, wanted.provider, wanted.model)
    values = _words(project_id, wanted) | {
        "phase": NO_TEXT if words == (None,) * len(words) else "done",  # see the schema
        "span": MINUTE if bucket % HOUR else HOUR,
        "since": since,
        "until": until,
        "bucket": bucket,
    }
    return tuple(
        Total(at=at, status=status, duration_class=its_class, runs=runs, prompt_tokens=asked, completion_tokens=told)
        for at, status, its_class, runs, asked, told in db.execute(statement("totals"), values).fetchall()
    )


def find_standing(db: Connection, project_id: str) -> Standing:
    """See ports.RunLog.standing."""
    running, waiting, held = db.execute(query("standing"), {"project_id": project_id}).fetchone()
    return Standing(running=running, waiting=waiting + held, approvals=held)


@cache
def statement(name: str) -> str:
    """A statement over the series that a filter takes: `matching`, and what is read of them."""
    return f"{query('matching')}\n{query(name)}"


def _words(project_id: str, wanted: RunFilter) -> dict[str, Any]:
    """What `matching` asks for."""
    return {
        "project_id": project_id,
        "statuses": encode(wanted.statuses).decode() if wanted.statuses else None,
        "tags": encode(wanted.tags).decode() if wanted.tags else None,
        "phase": APPROVAL if wanted.approval else wanted.phase,
        "workflow": wanted.workflow,
        "event_name": wanted.event_name,
        "provider": wanted.provider,
        "model": wanted.model,
    }


def _search(
    db: Connection, customer: tuple[str, str], values: dict[str, Any], back: str
) -> tuple[list[Any], str | None]:
    """What a search finds, and the last run that it has looked at (None: there is nothing beyond)."""
    key, value = customer
    last = db.execute(query(f"looked_to{back}"), values | {"looked": LOOKED_THROUGH}).fetchone()
    sought = values | {
        "key": key,
        "value": value,
        "text": f"*{_literally(encode(value).decode()[1:])}*",
        "bare": f"*{_literally(value)}*" if _is_bare(value) else None,
    }
    if last is not None:  # it is looked at, too
        sought |= {"end": f"{last[0]} "} if back else {"first": last[0]}
    rows = db.execute(statement(f"runs_search{back}"), sought).fetchall()
    return rows, None if last is None else last[0]


def _literally(text: str) -> str:
    """A pattern of GLOB that only this text matches."""
    return _SPECIAL.sub(r"[\g<0>]", text)


def _is_bare(value: str) -> bool:
    """Whether JSON may write this without quotes."""
    try:
        return not isinstance(decode(value.encode()), str)
    except InvalidRequest:
        return False
