-- What can be told from other rows is not written: the number of a run's newest entry stands in its log. (Nor is it written
-- any more that a delivery went well: the schema says how that is told.)

ALTER TABLE runs RENAME TO counted_runs;

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    workflow    TEXT NOT NULL,
    event_name  TEXT,
    status      TEXT NOT NULL,
    stage       TEXT NOT NULL,
    phase       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    deadline_at REAL,
    finished_at REAL,
    summary     TEXT NOT NULL,
    series      INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO runs (id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at,
    deadline_at, finished_at, summary, series)
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at, finished_at,
    summary, series
FROM counted_runs ORDER BY id;

DROP TABLE counted_runs;
CREATE INDEX runs_of_series ON runs (series, id);
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;
