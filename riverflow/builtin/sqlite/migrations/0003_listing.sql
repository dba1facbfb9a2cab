-- What lists and statistics stand on: a summary of each run, series of runs alike, and tallies of those that ended.

ALTER TABLE runs ADD COLUMN summary TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN series INTEGER NOT NULL DEFAULT 0;

CREATE TABLE series (
    id         INTEGER PRIMARY KEY,
    project_id TEXT NOT NULL,
    tag        TEXT NOT NULL,
    workflow   TEXT NOT NULL,
    event_name TEXT NOT NULL,
    provider   TEXT NOT NULL,
    model      TEXT NOT NULL,
    status     TEXT NOT NULL,
    phase      TEXT NOT NULL
);

CREATE INDEX series_of_project ON series (project_id);

CREATE TABLE tallies (
    span              INTEGER NOT NULL,
    series            INTEGER NOT NULL,
    at                INTEGER NOT NULL,
    duration_class    INTEGER NOT NULL,
    runs              INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (span, series, at, duration_class)
) WITHOUT ROWID;

-- The runs there are. Who answered them stands in their logs only.
INSERT INTO series (project_id, tag, workflow, event_name, provider, model, status, phase)
SELECT DISTINCT project_id, 'live', workflow, coalesce(event_name, ''), '', '', status, phase FROM runs
UNION ALL
SELECT DISTINCT project_id, 'live', '', '', '', '', status, '' FROM runs WHERE finished_at IS NOT NULL;

UPDATE runs SET series = (
    SELECT series.id FROM series
    WHERE series.project_id = runs.project_id AND series.workflow = runs.workflow
        AND series.event_name = coalesce(runs.event_name, '')
        AND series.status = runs.status AND series.phase = runs.phase);

INSERT INTO tallies (span, series, at, duration_class, runs, prompt_tokens, completion_tokens)
WITH RECURSIVE borders (duration_class, seconds) AS (
    SELECT 0, 0.001
    UNION ALL
    SELECT duration_class + 1, seconds * 1.189207115002721 FROM borders WHERE duration_class < 126
),
ended AS (
    SELECT series, CAST(finished_at AS INTEGER) AS second,
        coalesce((SELECT min(duration_class) FROM borders WHERE seconds >= finished_at - created_at), 127) AS duration_class
    FROM runs WHERE finished_at IS NOT NULL
)
SELECT spans.column1, series, second / spans.column1 * spans.column1, duration_class, count(*), 0, 0
FROM (VALUES (60), (3600)) AS spans CROSS JOIN ended
GROUP BY 1, 2, 3, 4;

INSERT INTO tallies (span, series, at, duration_class, runs, prompt_tokens, completion_tokens)
SELECT span, whole.id, at, duration_class, sum(runs), 0, 0
FROM tallies JOIN series AS own ON own.id = tallies.series
    JOIN series AS whole ON whole.project_id = own.project_id AND whole.status = own.status AND whole.phase = ''
GROUP BY 1, 2, 3, 4;

-- A list of everything is put together from its series.
DROP INDEX runs_of_project;
CREATE INDEX runs_of_series ON runs (series, id);

-- The same rows as deliveries_dead: this one counts them without reading any.
CREATE INDEX deliveries_given_up ON deliveries (project_id, status) WHERE status IN ('dead', 'expired');
