"""A store as an operator finds it after a busy week: runs of many kinds, some failed, some waiting for a callback or a
person, some whose webhook nobody took, with their logs, deliveries and tallies, written in bulk past the store's doors.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from pathlib import Path

from ..models import duration_class

__all__ = ["WEEK", "fill_listed"]

WEEK = 7 * 86_400

_STEP = 20_000
_KINDS = """
CREATE TEMP TABLE kinds AS
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
SELECT i AS kind,
    CASE WHEN i % 50 = 7 THEN 'pg' WHEN i % 100 = 9 THEN 'test' ELSE 'live' END AS tag,
    printf('workflow_%d', i % 12) AS workflow,
    CASE WHEN i % 3 THEN printf('event_%d', i % 12) ELSE '' END AS event_name,
    CASE i % 7 WHEN 0 THEN 'anthropic' WHEN 1 THEN 'google' ELSE 'openai' END AS provider,
    CASE i % 7 WHEN 0 THEN 'claude-sonnet' WHEN 1 THEN 'gemini-pro' ELSE 'gpt-4o' END AS model,
    CASE WHEN i % 25 = 3 THEN 'error' WHEN i % 100 = 50 THEN 'ai_generated'
        WHEN i % 3 THEN 'completed' ELSE 'success' END AS status,
    CASE WHEN i = 150 THEN 'approval' WHEN i % 100 = 50 THEN 'waiting' ELSE 'done' END AS phase,
    i % 200 = 11 AS dead
FROM n
"""
_SERIES = """
INSERT INTO series (project_id, tag, workflow, event_name, provider, model, status, phase)
SELECT DISTINCT :project, tag, workflow, event_name, provider, model, status, phase FROM kinds
UNION ALL
SELECT DISTINCT :project, tag, '', '', '', '', status, '' FROM kinds WHERE phase = 'done'
"""
_OF_SERIES = """
CREATE TEMP TABLE kinds_of_series AS
SELECT kind, series.id AS series
FROM kinds JOIN series USING (tag, workflow, event_name, provider, model, status, phase)
WHERE series.project_id = :project
"""
_LIVES = """
CREATE TEMP TABLE lives AS
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :first + :count),
    lives AS (
        SELECT i, :begin + i * :pace AS at, CAST((:begin + i * :pace) * 1000 AS INTEGER) AS ms, kinds.*, series,
            0.4 + (i * 7919 % 1000) / 150.0 AS seconds
        FROM n JOIN kinds ON kinds.kind = i * 17 % 1000 JOIN kinds_of_series USING (kind)
    )
SELECT *, printf('%08x-%04x-7000-8000-%012x', ms >> 16, ms & 65535, i) AS id FROM lives
"""
_RUNS = """
INSERT INTO runs (id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at,
    deadline_at, finished_at, summary, series)
SELECT id, :project, workflow, nullif(event_name, ''), status,
    CASE phase WHEN 'done' THEN 'finalise' WHEN 'approval' THEN 'review' ELSE 'enrich' END,
    CASE phase WHEN 'done' THEN 'done' ELSE 'waiting' END, 3, 1, at,
    CASE WHEN phase <> 'done' THEN :now + 3600 END, CASE phase WHEN 'done' THEN at + seconds END,
    printf('{"tag":"%s","provider":"%s","model":"%s","duration_ms":%d,"prompt_tokens":120,"completion_tokens":340,'
        || '"attempts":1,"customer":{"user_id":"user_%d","plan":"pro"}%s}',
        tag, provider, model, CAST(seconds * 900 AS INTEGER), i % 50000,
        CASE phase WHEN 'approval' THEN printf(',"approval":%.3f', at + 0.4) ELSE '' END),
    series
FROM lives
"""
_ENTRIES = """
INSERT INTO entries (run_id, number, public, checkpoint, data)
WITH k (number) AS (VALUES (1), (2), (4))
SELECT id, number, number = 4, number < 4, CAST(
    CASE number
        WHEN 1 THEN printf('[{"kind":"run.accepted","at":%.3f,"attempt":1,"data":%s}]', at,
            CASE phase WHEN 'approval' THEN :accepted_to_review ELSE :accepted END)
        WHEN 2 THEN printf('[{"kind":"stage.completed","at":%.3f,"stage":"generate","attempt":1,"data":%s}]',
            at + 0.2, :completed)
        ELSE printf('[{"kind":"delivery.attempted","at":%.3f,"stage":"generate","attempt":1,"data":%s},'
            || '{"kind":"%s","at":%.3f,"stage":"generate","attempt":1,"public":true,"data":%s}]',
            at + 0.4, iif(dead, printf(:refused, i, 'retrying'), printf(:attempted, i)), CASE status
                WHEN 'error' THEN 'run.failed' WHEN 'ai_generated' THEN 'run.ai_generated' ELSE 'run.completed' END,
            at + 0.6, :final)
    END AS BLOB)
FROM lives CROSS JOIN k
"""
_TRIES = """
INSERT INTO entries (run_id, number, public, checkpoint, data)
WITH k (number) AS (VALUES (5), (6), (7), (8), (9), (10))
SELECT id, number, 0, 0, CAST(
    printf('[{"kind":"delivery.attempted","at":%.3f,"stage":"enrich","attempt":%d,"data":%s}]',
        at + 1 + (number - 5) * 60, number - 3, printf(:refused, i, iif(number = 10, 'dead', 'retrying'))) AS BLOB)
FROM lives CROSS JOIN k WHERE dead
"""
_DELIVERIES = """
INSERT INTO deliveries (id, run_id, project_id, stage, type, url, lane, body, created_at, due_at, event_name,
    endpoint_id, attempt, expires_at, status)
SELECT printf('msg_%d', i), id, :project, 'enrich', 'task.ai_generated', 'https://backend.example.com/hook', 'http',
    CAST(:final AS BLOB), at, at, nullif(event_name, ''), printf('ep_%d', i % 5), 1, NULL,
    iif(dead, 'dead', 'delivered')
FROM lives
"""
_DUE = """
INSERT INTO due (run_id, delivery_id, project_id, stage, lane, target, due_at, owner)
SELECT id, '', :project, iif(phase = 'waiting', 'enrich', 'review'), '', '', :now + 3600, NULL
FROM lives WHERE phase <> 'done'
"""
_FORGET = "DROP TABLE lives"
_ENDED = """
SELECT runs.series, whole.id, CAST(finished_at AS INTEGER), finished_at - created_at
FROM runs JOIN series AS own ON own.id = runs.series
    JOIN series AS whole ON whole.project_id = own.project_id AND whole.tag = own.tag AND whole.status = own.status
        AND whole.phase = ''
WHERE finished_at IS NOT NULL
"""
_TALLIES = """
INSERT INTO tallies (span, series, at, duration_class, runs, prompt_tokens, completion_tokens)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

_PLAN = (
    '{"plan":{"workflow":"workflow_1","workflow_id":"wf_1","stages":[{"name":"generate","kind":"generate"},'
    '{"name":"enrich","kind":"hand_off","event_name":"event_1"},{"name":"finalise","kind":"finalise"}],'
    '"provider":"openai","model":"gpt-4o","event_name":"event_1","customer_data":{"user_id":"user_1","plan":"pro"}},'
    '"request":{"workflow":"workflow_1","messages":[{"role":"user","content":"a film"}]}}'
)
_REVIEWED = _PLAN.replace(
    '{"name":"finalise"', '{"name":"review","kind":"approval","timeout":86400},{"name":"finalise"'
)
_COMPLETED = (
    '{"stage":"generate","data":{"title":"Inception","year":2010},"meta":{"provider":"openai","model":"gpt-4o",'
    '"duration_ms":900,"attempts":[{"provider":"openai","model":"gpt-4o","duration_ms":900,"success":true,'
    '"status":"success"}]}}'
)
_ATTEMPTED = (
    '{"delivery_id":"msg_%d","type":"task.ai_generated","url":"https://backend.example.com/hook",'
    '"outcome":"delivered","status":200,"duration_ms":80}'
)
_REFUSED = (
    '{"delivery_id":"msg_%d","type":"task.ai_generated","url":"https://backend.example.com/hook",'
    '"outcome":"%s","status":503,"duration_ms":80,"response":"upstream connect error, reset before headers",'
    '"response_headers":{"content-type":"text/plain","date":"Sat, 02 May 2026 12:00:00 GMT","server":"envoy"}}'
)
_FINAL = '{"status":"completed","data":{"title":"Inception"}}'


def fill_listed(path: Path, project: str, count: int) -> None:
    """Add `count` runs, spread over the last week."""
    now = time.time()
    values = {
        "project": project, "now": now, "begin": now - WEEK, "pace": WEEK / count, "accepted": _PLAN,
        "accepted_to_review": _REVIEWED, "completed": _COMPLETED, "attempted": _ATTEMPTED, "refused": _REFUSED,
        "final": _FINAL,
    }  # fmt: skip
    db = sqlite3.connect(path, isolation_level=None)
    try:
        # Nobody else has the file: without a journal the pages are written once, and few of them twice.
        for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -400000"):
            db.execute(f"PRAGMA {pragma}")
        for statement in (_KINDS, _SERIES, _OF_SERIES):
            db.execute(statement, values)
        for first in range(0, count, _STEP):
            db.execute("BEGIN")
            for statement in (_LIVES, _RUNS, _ENTRIES, _TRIES, _DELIVERIES, _DUE, _FORGET):
                db.execute(statement, {**values, "first": first, "count": min(_STEP, count - first)})
            db.execute("COMMIT")
        _tally(db)
        db.execute("PRAGMA journal_mode = WAL")
    finally:
        db.close()


def _tally(db: sqlite3.Connection) -> None:
    counted: defaultdict[tuple[int, int, int, int], int] = defaultdict(int)
    for own, whole, ended, seconds in db.execute(_ENDED):
        its_class = duration_class(seconds)
        for span in (60, 3600):
            at = ended - ended % span
            counted[span, own, at, its_class] += 1
            counted[span, whole, at, its_class] += 1
    db.execute("BEGIN")
    db.executemany(_TALLIES, ((*key, runs, 120 * runs, 340 * runs) for key, runs in counted.items()))
    db.execute("COMMIT")
