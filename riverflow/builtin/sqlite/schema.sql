-- The schema as of today. It is documentation that is tested: the migrations, applied in order, add up to exactly this.
-- Times are Unix seconds. Lists of ids are passed as JSON arrays, times never are: SQLite's JSON text has 15 digits.

-- A text key without rowid: a run is always looked up by its id, and UUIDv7 ids sort by time, so inserts stay at the
-- right edge of the one tree there is.
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
    summary     TEXT NOT NULL, -- models.Summary as JSON
    series      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX runs_of_series ON runs (series, id);
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- Runs that lists tell apart by the same words. There are few series and many runs: a list takes the newest of each that
-- is wanted, so one index of numbers serves every filter. The id of a series is a hash of its words. The phase of those
-- that wait for a person's decision is `approval` here.
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

-- How many runs of a series ended in a minute (for the last days) and in an hour (for ever), by classes of duration.
-- Each is counted twice: in its own series, and in one of its project, tag and status alone (with no phase), from which
-- the figures of everything are added up.
CREATE TABLE tallies (
    span              INTEGER NOT NULL, -- 60 or 3600
    series            INTEGER NOT NULL,
    at                INTEGER NOT NULL, -- when it begins
    duration_class    INTEGER NOT NULL,
    runs              INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    PRIMARY KEY (span, series, at, duration_class)
) WITHOUT ROWID;

-- What one decision adds to a run's log is one row. A rowid table: rows are of any size, and a tree of large rows is
-- filled fastest at its end.
CREATE TABLE entries (
    run_id     TEXT NOT NULL,
    number     INTEGER NOT NULL, -- of the last entry in the row; those before it count backwards from there
    public     INTEGER NOT NULL, -- 1: one of them is
    checkpoint INTEGER NOT NULL, -- 1: one of them is of models.CHECKPOINTS; new kinds there need a migration
    data       BLOB NOT NULL     -- an array of models.Entry as JSON text, without numbers and what is absent
);

CREATE UNIQUE INDEX entries_of_run ON entries (run_id, number);

-- Cold: what was ever owed. What is still owed has a row in `due` as well: a delivery that is `pending` here and has none
-- there went well. So what goes well, as most does, is written once.
CREATE TABLE deliveries (
    id          TEXT NOT NULL UNIQUE,
    run_id      TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    stage       TEXT NOT NULL,
    type        TEXT NOT NULL,
    url         TEXT NOT NULL,
    lane        TEXT NOT NULL,
    body        BLOB NOT NULL,
    created_at  REAL NOT NULL,
    due_at      REAL NOT NULL,
    event_name  TEXT,
    endpoint_id TEXT,
    attempt     INTEGER NOT NULL,
    expires_at  REAL,
    status      TEXT NOT NULL
);

CREATE INDEX deliveries_of_run ON deliveries (run_id);
CREATE INDEX deliveries_by_time ON deliveries (project_id, created_at);
CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint_id, created_at) WHERE endpoint_id IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (project_id, created_at) WHERE status IN ('dead', 'expired');
CREATE INDEX deliveries_given_up ON deliveries (project_id, status) WHERE status IN ('dead', 'expired');

-- Hot and small: one row for each run that is not done (delivery_id and lane are empty) and for each pending delivery.
CREATE TABLE due (
    run_id      TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    stage       TEXT NOT NULL,
    lane        TEXT NOT NULL,
    target      TEXT NOT NULL, -- whose turn it takes: the endpoint's id, else the URL
    due_at      REAL NOT NULL,
    owner       TEXT,          -- the process that has it on lease
    PRIMARY KEY (run_id, delivery_id)
) WITHOUT ROWID;

CREATE INDEX due_turn ON due (owner, lane, target, due_at);

CREATE TABLE processes (
    owner      TEXT PRIMARY KEY,
    expires_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE documents (
    project_id TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    body       BLOB NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (project_id, kind, name)
) WITHOUT ROWID;

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE markers (
    project_id TEXT NOT NULL,
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      BLOB NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (project_id, scope, key)
) WITHOUT ROWID;

CREATE INDEX markers_expiry ON markers (expires_at);
