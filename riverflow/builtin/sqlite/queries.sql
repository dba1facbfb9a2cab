-- Every statement riverflow gives to SQLite, apart from the schema.
--
-- Format: a line `-- name --`, one line that says what it is for, the statement. Nothing newer than SQLite 3.33 is used.
-- A statement whose VALUES are one row may be repeated for many rows (bulk.py); in it '' and -1 stand for what is absent,
-- because Python's sqlite3 takes 0.9 µs to bind a None and 0.06 to bind a number. Lists of ids are JSON arrays. Many new
-- rows are inserted OR FAIL: who writes them rolls back whole where one will not do, so SQLite need not put aside every
-- page as it was before the statement (https://www.sqlite.org/tempfiles.html#statement_journal_files).

-- delivery_status --
-- How a delivery stands. Other statements have this in the place of its name in braces.
CASE WHEN deliveries.status <> 'pending' THEN deliveries.status
    WHEN EXISTS (SELECT 1 FROM due WHERE due.run_id = deliveries.run_id AND due.delivery_id = deliveries.id) THEN 'pending'
    ELSE 'delivered' END

-- of_status --
-- A condition: deliveries that stand so.
{delivery_status} IN (SELECT value FROM json_each(:status))

-- run_heads --
-- The id of the last run of all, and what deciding an append or a settlement needs to know of the runs of a group, as one row
-- of JSON: a row each would be a turn of the GIL each.
SELECT coalesce((SELECT max(id) FROM runs), ''), CAST(json_group_array(json_array(
    id, project_id, version, generation, coalesce((SELECT max(number) FROM entries WHERE run_id = runs.id), 0),
    json(CASE phase WHEN 'done' THEN 'true' ELSE 'false' END),
    json((SELECT json_group_array(json_array(deliveries.id, attempt, {delivery_status}, deliveries.stage))
        FROM deliveries INDEXED BY deliveries_of_run WHERE run_id = runs.id)))) AS BLOB)
FROM runs WHERE id IN (SELECT value FROM json_each(?))

-- write_runs --
-- New runs, and new states of known ones; what a run was accepted with does not change.
INSERT INTO runs (id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at,
    deadline_at, finished_at, summary, series)
VALUES (?, ?, ?, nullif(?, ''), ?, ?, ?, ?, ?, ?, nullif(?, -1), nullif(?, -1), ?, ?)
ON CONFLICT (id) DO UPDATE SET
    event_name = excluded.event_name, status = excluded.status, stage = excluded.stage, phase = excluded.phase,
    version = excluded.version, deadline_at = excluded.deadline_at, finished_at = excluded.finished_at,
    summary = excluded.summary, series = excluded.series

-- write_series --
-- Words that no run has had before; another process may have written them meanwhile.
INSERT OR IGNORE INTO series (id, project_id, tag, workflow, event_name, provider, model, status, phase)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- write_tallies --
-- Runs that have ended.
INSERT INTO tallies (span, series, at, duration_class, runs, prompt_tokens, completion_tokens)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (span, series, at, duration_class) DO UPDATE SET
    runs = runs + excluded.runs, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens

-- forget_minutes --
-- Minutes that are summed up in their hours for long.
DELETE FROM tallies WHERE span = 60 AND series IN (SELECT id FROM series) AND at < ?

-- write_entries --
-- What each decision adds to a log, numbered already.
INSERT OR FAIL INTO entries (run_id, number, public, checkpoint, data)
VALUES (?, ?, ?, ?, ?)

-- write_deliveries --
-- New deliveries.
INSERT OR FAIL INTO deliveries (id, run_id, project_id, stage, type, url, lane, body, created_at, due_at, event_name,
    endpoint_id, attempt, expires_at, status)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, nullif(?, -1), ?)

-- change_deliveries --
-- How attempts ended that did not end well; an absent value leaves a column as it is.
UPDATE deliveries SET
    status = changed.column2,
    attempt = coalesce(nullif(changed.column3, -1), attempt),
    due_at = coalesce(nullif(changed.column4, -1), due_at)
FROM (VALUES (?, ?, ?, ?)) AS changed WHERE id = changed.column1

-- write_due --
-- Work that is due or on lease. Work that stays on the same lease is not touched: that is the common case.
INSERT INTO due (run_id, delivery_id, project_id, stage, lane, target, due_at, owner)
VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, ''))
ON CONFLICT (run_id, delivery_id) DO UPDATE SET due_at = excluded.due_at, owner = excluded.owner
WHERE due.owner IS NOT excluded.owner OR due.owner IS NULL

-- move_due --
-- Work given back, to be due at another time.
UPDATE due SET due_at = moved.column3, owner = NULL
FROM (VALUES (?, ?, ?)) AS moved WHERE run_id = moved.column1 AND delivery_id = moved.column2

-- delete_due --
-- Work that is done. (Pairs that are IN a bare list of more than one, SQLite looks for in every row of the table.)
DELETE FROM due WHERE (run_id, delivery_id) IN (SELECT column1, column2 FROM (VALUES (?, ?)))

-- run --
-- One run; without a project for claimed work.
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs WHERE id = :run_id AND (:project_id IS NULL OR project_id = :project_id)

-- checkpoints --
-- The rows with the entries a run is rebuilt from.
SELECT number, data FROM entries WHERE run_id = :run_id AND checkpoint ORDER BY number

-- newest_entry --
-- The number of a run's newest entry.
SELECT coalesce((SELECT max(number) FROM entries WHERE run_id = runs.id), 0)
FROM runs WHERE id = :run_id AND project_id = :project_id

-- entries_after --
-- The rows of a run's log in which there may be entries after a number. They are read one by one, as many as fill a page.
SELECT number, data FROM entries
WHERE run_id = :run_id AND number > :after AND public >= :public ORDER BY number

-- matching --
-- The series that a filter takes: the beginning of the statements below, which read runs or tallies of these series.
WITH matching (series) AS (
    SELECT id FROM series
    WHERE project_id = :project_id
        AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        AND (:tags IS NULL OR tag IN (SELECT value FROM json_each(:tags)))
        AND (:phase IS NULL OR phase = :phase OR (phase = 'approval' AND :phase = 'waiting'))
        AND (:workflow IS NULL OR workflow = :workflow)
        AND (:event_name IS NULL OR event_name = :event_name)
        AND (:provider IS NULL OR provider = :provider)
        AND (:model IS NULL OR model = :model)
)

-- runs_page --
-- Runs, newest first. Only the series with the newest heads can have a part in a page, so at most as many are read as
-- the page has lines. A few runs of each say how far back the page can reach at most; so far each is read.
, heads (series, newest) AS (
    SELECT series, (SELECT max(id) FROM runs WHERE runs.series = matching.series AND id >= :first AND id < :end)
    FROM matching
),
nearest (series) AS (SELECT series FROM heads WHERE newest IS NOT NULL ORDER BY newest DESC LIMIT :limit),
some (id) AS (
    SELECT found.id FROM nearest CROSS JOIN runs AS found INDEXED BY runs_of_series
        ON found.series = nearest.series AND found.id IN (
            SELECT id FROM runs WHERE runs.series = nearest.series AND id >= :first AND id < :end
            ORDER BY id DESC LIMIT :few)
),
page (id) AS (
    SELECT found.id FROM nearest CROSS JOIN runs AS found INDEXED BY runs_of_series
        ON found.series = nearest.series AND found.id IN (
            SELECT id FROM runs WHERE runs.series = nearest.series AND id < :end
                AND id >= coalesce((SELECT id FROM some ORDER BY id DESC LIMIT 1 OFFSET :limit - 1), :first)
            ORDER BY id DESC LIMIT :limit)
    ORDER BY found.id DESC LIMIT :limit
)
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs WHERE id IN (SELECT id FROM page) ORDER BY id DESC

-- runs_page_back --
-- The same, oldest first.
, heads (series, oldest) AS (
    SELECT series, (SELECT min(id) FROM runs WHERE runs.series = matching.series AND id >= :first AND id < :end)
    FROM matching
),
nearest (series) AS (SELECT series FROM heads WHERE oldest IS NOT NULL ORDER BY oldest LIMIT :limit),
some (id) AS (
    SELECT found.id FROM nearest CROSS JOIN runs AS found INDEXED BY runs_of_series
        ON found.series = nearest.series AND found.id IN (
            SELECT id FROM runs WHERE runs.series = nearest.series AND id >= :first AND id < :end
            ORDER BY id LIMIT :few)
),
page (id) AS (
    SELECT found.id FROM nearest CROSS JOIN runs AS found INDEXED BY runs_of_series
        ON found.series = nearest.series AND found.id IN (
            SELECT id FROM runs WHERE runs.series = nearest.series AND id >= :first
                AND id < coalesce((SELECT id || ' ' FROM some ORDER BY id LIMIT 1 OFFSET :limit - 1), :end)
            ORDER BY id LIMIT :limit)
    ORDER BY found.id LIMIT :limit
)
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs WHERE id IN (SELECT id FROM page) ORDER BY id

-- runs_search --
-- Runs with a member of their customer data, newest first. Most are passed over by their text alone; they are read in the
-- order of the list (the plus keeps SQLite from reading them series by series).
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs
WHERE id >= :first AND id < :end AND (summary GLOB :text OR (:bare IS NOT NULL AND summary GLOB :bare))
    AND +series IN (SELECT series FROM matching)
    AND EXISTS (
        SELECT 1 FROM json_each(summary, '$.customer')
        WHERE key = :key AND CASE WHEN type IN ('true', 'false', 'null') THEN type ELSE CAST(value AS TEXT) END = :value)
ORDER BY id DESC LIMIT :limit

-- runs_search_back --
-- The same, oldest first.
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs
WHERE id >= :first AND id < :end AND (summary GLOB :text OR (:bare IS NOT NULL AND summary GLOB :bare))
    AND +series IN (SELECT series FROM matching)
    AND EXISTS (
        SELECT 1 FROM json_each(summary, '$.customer')
        WHERE key = :key AND CASE WHEN type IN ('true', 'false', 'null') THEN type ELSE CAST(value AS TEXT) END = :value)
ORDER BY id LIMIT :limit

-- looked_to --
-- The last run that a search looks at; none where it looks at all.
SELECT id FROM runs WHERE id >= :first AND id < :end ORDER BY id DESC LIMIT 1 OFFSET :looked

-- looked_to_back --
-- The same, oldest first.
SELECT id FROM runs WHERE id >= :first AND id < :end ORDER BY id LIMIT 1 OFFSET :looked

-- totals --
-- Ended runs by period, status and class of duration.
SELECT at / :bucket * :bucket, status, duration_class, sum(runs), sum(prompt_tokens), sum(completion_tokens)
FROM matching CROSS JOIN series ON series.id = matching.series
    CROSS JOIN tallies ON span = :span AND tallies.series = matching.series AND at >= :since AND at < :until
GROUP BY 1, 2, 3

-- standing --
-- How many runs of open series there are.
SELECT coalesce(sum(series.phase = 'running'), 0), coalesce(sum(series.phase = 'waiting'), 0),
    coalesce(sum(series.phase = 'approval'), 0)
FROM series CROSS JOIN runs AS found INDEXED BY runs_of_series ON found.series = series.id
WHERE series.project_id = :project_id AND series.phase <> 'done'

-- prunable --
-- Runs that ended long enough ago, and of whose deliveries none is owed or was given up of late.
SELECT CAST(json_group_array(id) AS BLOB)
FROM (
    SELECT id FROM runs
    WHERE finished_at < :before AND (:given_up_after IS NULL OR NOT EXISTS (
        SELECT 1 FROM due WHERE due.run_id = runs.id
        UNION ALL
        SELECT 1 FROM deliveries INDEXED BY deliveries_of_run WHERE deliveries.run_id = runs.id
            AND deliveries.status IN ('dead', 'expired') AND due_at > :given_up_after))
    ORDER BY finished_at LIMIT :limit)

-- prune_entries --
-- Forget the logs of runs.
DELETE FROM entries WHERE run_id IN (SELECT value FROM json_each(?))

-- prune_deliveries --
-- Forget the deliveries of runs.
DELETE FROM deliveries WHERE run_id IN (SELECT value FROM json_each(?))

-- prune_due --
-- Forget what is still owed for runs.
DELETE FROM due WHERE run_id IN (SELECT value FROM json_each(?))

-- prune_runs --
-- Forget runs.
DELETE FROM runs WHERE id IN (SELECT value FROM json_each(?))

-- strip_bound --
-- When the last run of a batch ended, if there are so many.
SELECT finished_at FROM runs WHERE finished_at > ? AND finished_at <= ? ORDER BY finished_at LIMIT 1 OFFSET ?

-- strippable --
-- Runs whose payloads are old enough; all that ended at the same time are of one batch.
SELECT id, project_id, workflow, event_name, status, stage, phase, version, generation, created_at, deadline_at,
    finished_at, summary
FROM runs WHERE finished_at > ? AND finished_at <= ?

-- entries_to_strip --
-- The log of one run, with the rows it lies in.
SELECT rowid, data FROM entries WHERE run_id = ?

-- strip_entries --
-- What is left of the entries in a row.
UPDATE entries SET data = ? WHERE rowid = ?

-- strip_deliveries --
-- Forget what a run's deliveries said. A dead one is kept whole until the run goes: it may have to be sent again.
UPDATE deliveries SET body = x'7b7d' WHERE run_id = ? AND {delivery_status} = 'delivered'

-- strip_run --
-- What is left of a run's summary.
UPDATE runs SET summary = ? WHERE id = ?

-- erasable --
-- Those of the runs that the project has.
SELECT id FROM runs WHERE project_id = ? AND id IN (SELECT value FROM json_each(?))

-- heartbeat --
-- Keep or take a process's lease.
INSERT INTO processes (owner, expires_at) VALUES (?, ?)
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at

-- forget_processes --
-- Ended leases that hold nothing.
DELETE FROM processes WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 FROM due WHERE due.owner = processes.owner)

-- dead_owners --
-- Who holds work without a living lease. The recursion steps from owner to owner along the index.
WITH RECURSIVE owners (owner) AS (
    SELECT (SELECT min(owner) FROM due WHERE owner > '')
    UNION ALL
    SELECT (SELECT min(due.owner) FROM due WHERE due.owner > owners.owner) FROM owners WHERE owners.owner IS NOT NULL
)
SELECT owners.owner FROM owners LEFT JOIN processes ON processes.owner = owners.owner
WHERE owners.owner IS NOT NULL AND (processes.expires_at IS NULL OR processes.expires_at <= ?)

-- claimable --
-- What one owner (or nobody) holds and is due, in turns: every target's first, then every target's second.
-- The recursion steps from target to target along the index, so that a long backlog of one is not read.
WITH RECURSIVE targets (lane, target) AS (
    SELECT lanes.value,
        (SELECT target FROM due WHERE owner IS :owner AND lane = lanes.value ORDER BY target LIMIT 1)
    FROM json_each(:lanes) AS lanes
    UNION ALL
    SELECT targets.lane,
        (SELECT due.target FROM due WHERE owner IS :owner AND due.lane = targets.lane AND due.target > targets.target
            ORDER BY due.target LIMIT 1)
    FROM targets WHERE targets.target IS NOT NULL
)
SELECT run_id, delivery_id, project_id, due_at, turn FROM (
    SELECT work.run_id, work.delivery_id, work.project_id, work.due_at, work.target,
        row_number() OVER (PARTITION BY work.lane, work.target ORDER BY work.due_at) AS turn
    FROM targets CROSS JOIN due AS work ON (work.run_id, work.delivery_id) IN (
        SELECT run_id, delivery_id FROM due
        WHERE owner IS :owner AND due.lane = targets.lane AND due.target = targets.target AND due_at <= :until
        ORDER BY due_at LIMIT :limit)
    WHERE targets.target IS NOT NULL
        AND (:allowed IS NULL OR coalesce((SELECT value FROM json_each(:allowed) WHERE key = targets.target), 1) > 0))
WHERE :allowed IS NULL OR turn <= coalesce((SELECT value FROM json_each(:allowed) WHERE key = target), :limit)
ORDER BY turn, due_at LIMIT :limit

-- lease_due --
-- Put work on a process's lease; the list is of pairs.
UPDATE due SET owner = ? WHERE (run_id, delivery_id) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))

-- raise_generation --
-- Fence off whoever carried these runs before.
UPDATE runs SET generation = generation + 1 WHERE id IN (SELECT value FROM json_each(?))

-- generations --
-- What became of that.
SELECT id, generation FROM runs WHERE id IN (SELECT value FROM json_each(?))

-- raise_attempt --
-- Count the attempts that died with their process.
UPDATE deliveries SET attempt = attempt + 1 WHERE id IN (SELECT value FROM json_each(?))

-- deliveries_by_id --
-- Claimed deliveries.
SELECT id, run_id, project_id, stage, type, url, lane, body, created_at, due_at, event_name, endpoint_id, attempt,
    expires_at, status
FROM deliveries WHERE id IN (SELECT value FROM json_each(?))

-- deliveries_of_run --
-- All that was ever owed for a run, oldest first.
SELECT id, run_id, project_id, stage, type, url, lane, body, created_at, due_at, event_name, endpoint_id, attempt,
    expires_at, {delivery_status}
FROM deliveries INDEXED BY deliveries_of_run WHERE run_id = :run_id AND project_id = :project_id ORDER BY created_at, rowid

-- postpone_delivery --
-- When a delivery given back is due.
UPDATE deliveries SET due_at = ? WHERE id = ? AND run_id = ? AND {delivery_status} = 'pending'

-- release_due --
-- Give back all that a process holds.
UPDATE due SET owner = NULL WHERE owner = ?

-- end_lease --
-- End a process's lease.
DELETE FROM processes WHERE owner = ?

-- earliest_due --
-- The earliest due time of work on nobody's lease.
WITH RECURSIVE targets (lane, target) AS (
    SELECT lanes.value,
        (SELECT target FROM due WHERE owner IS NULL AND lane = lanes.value ORDER BY target LIMIT 1)
    FROM json_each(:lanes) AS lanes
    UNION ALL
    SELECT targets.lane,
        (SELECT due.target FROM due WHERE owner IS NULL AND due.lane = targets.lane AND due.target > targets.target
            ORDER BY due.target LIMIT 1)
    FROM targets WHERE targets.target IS NOT NULL
)
SELECT min((SELECT min(due_at) FROM due
    WHERE owner IS NULL AND due.lane = targets.lane AND due.target = targets.target))
FROM targets WHERE targets.target IS NOT NULL AND targets.target NOT IN (SELECT value FROM json_each(:skip))

-- earliest_lease_end --
-- The earliest end of a lease that holds work of these lanes; a lease that is missing has ended by now.
WITH RECURSIVE owners (owner) AS (
    SELECT (SELECT min(owner) FROM due WHERE owner > '')
    UNION ALL
    SELECT (SELECT min(due.owner) FROM due WHERE due.owner > owners.owner) FROM owners WHERE owners.owner IS NOT NULL
)
SELECT min(coalesce(processes.expires_at, :now))
FROM owners LEFT JOIN processes ON processes.owner = owners.owner
WHERE EXISTS (
    SELECT 1 FROM json_each(:lanes) AS lanes CROSS JOIN due ON due.owner = owners.owner AND due.lane = lanes.value
    WHERE due.target NOT IN (SELECT value FROM json_each(:skip)))

-- dead_letters --
-- How many deliveries were given up.
SELECT count(*) FROM deliveries WHERE project_id = ? AND status IN ('dead', 'expired')

-- backlog --
-- How much could be claimed now: nobody's work, and that of the dead. (Counted together, 100 000 take five times as long.)
SELECT (
    SELECT count(*) FROM due
    WHERE owner IS NULL AND due_at <= :now AND target NOT IN (SELECT value FROM json_each(:skip))
) + (
    SELECT count(*) FROM due LEFT JOIN processes ON processes.owner = due.owner
    WHERE due.owner > '' AND coalesce(processes.expires_at, :now) <= :now
        AND target NOT IN (SELECT value FROM json_each(:skip)))

-- delivery --
-- One delivery, whole.
SELECT id, run_id, project_id, stage, type, url, lane, body, created_at, due_at, event_name, endpoint_id, attempt,
    expires_at, {delivery_status}
FROM deliveries WHERE id = :delivery_id AND project_id = :project_id

-- delivery_place --
-- Where a delivery stands in the order of a list.
SELECT created_at, rowid FROM deliveries WHERE project_id = ? AND id = ?

-- deliveries_page --
-- Deliveries, newest first, without their bodies. Where the comment is, deliveries.py puts the conditions of a filter.
SELECT id, run_id, project_id, stage, type, url, lane, x'' AS body, created_at, due_at, event_name, endpoint_id, attempt,
    expires_at, {delivery_status}
FROM deliveries
WHERE project_id = :project_id
    AND (created_at, rowid) < (:newest, :newest_row) AND (created_at, rowid) > (:oldest, :oldest_row)/* conditions */
ORDER BY created_at DESC, rowid DESC LIMIT :limit

-- deliveries_page_back --
-- The same, oldest first.
SELECT id, run_id, project_id, stage, type, url, lane, x'' AS body, created_at, due_at, event_name, endpoint_id, attempt,
    expires_at, {delivery_status}
FROM deliveries
WHERE project_id = :project_id
    AND (created_at, rowid) < (:newest, :newest_row) AND (created_at, rowid) > (:oldest, :oldest_row)/* conditions */
ORDER BY created_at, rowid LIMIT :limit

-- requeue_delivery --
-- Back to the first attempt of a delivery that had ended, perhaps to another place.
UPDATE deliveries SET status = 'pending', attempt = 1, due_at = :due_at, expires_at = NULL,
    url = :url, endpoint_id = :endpoint_id, lane = :lane
WHERE id = :delivery_id

-- requeue_due --
-- Make that delivery due.
INSERT INTO due (run_id, delivery_id, project_id, stage, lane, target, due_at, owner)
SELECT run_id, id, project_id, stage, :lane, :target, :due_at, NULL FROM deliveries WHERE id = :delivery_id

-- newest_of_run --
-- The number of a run's newest entry, for what is written beside it.
SELECT coalesce(max(number), 0) FROM entries WHERE run_id = ?

-- document --
-- One document.
SELECT kind, name, project_id, version, body, updated_at FROM documents
WHERE project_id = ? AND kind = ? AND name = ?

-- documents --
-- All documents of a kind.
SELECT kind, name, project_id, version, body, updated_at FROM documents
WHERE project_id = ? AND kind = ? ORDER BY name

-- document_version --
-- The version of one document.
SELECT version FROM documents WHERE project_id = ? AND kind = ? AND name = ?

-- write_document --
-- A new document, or the next version of one.
INSERT INTO documents (project_id, kind, name, version, body, updated_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (project_id, kind, name) DO UPDATE SET
    version = excluded.version, body = excluded.body, updated_at = excluded.updated_at

-- delete_document --
-- Forget a document.
DELETE FROM documents WHERE project_id = ? AND kind = ? AND name = ?

-- count_change --
-- Move the counter that every process watches.
INSERT INTO counters (name, value) VALUES ('documents', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1

-- changes --
-- That counter.
SELECT coalesce((SELECT value FROM counters WHERE name = 'documents'), 0)

-- leave_marker --
-- Leave a marker where none is alive.
INSERT INTO markers (project_id, scope, key, value, expires_at) VALUES (:project_id, :scope, :key, :value, :expires_at)
ON CONFLICT (project_id, scope, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
WHERE markers.expires_at <= :now

-- marker --
-- The marker that is there.
SELECT value FROM markers WHERE project_id = :project_id AND scope = :scope AND key = :key

-- marker_alive --
-- The marker that is there and has not expired.
SELECT value FROM markers
WHERE project_id = :project_id AND scope = :scope AND key = :key AND expires_at > :now

-- remove_marker --
-- Take a marker away.
DELETE FROM markers WHERE project_id = ? AND scope = ? AND key = ?

-- forget_markers --
-- A few dead markers: each new one clears away more than it adds.
DELETE FROM markers WHERE (project_id, scope, key) IN (
    SELECT project_id, scope, key FROM markers WHERE expires_at <= ? LIMIT 4)

-- data_version --
-- A number that changes when another connection commits.
PRAGMA data_version

-- newest_row --
-- The row of the newest entry of all: rows grow as entries are appended.
SELECT coalesce(max(rowid), 0) FROM entries

-- runs_with_news --
-- Runs with entries after that row. (By an index of the runs, no run is read twice, but every row of every run.)
SELECT DISTINCT run_id FROM entries NOT INDEXED WHERE rowid > ? LIMIT ?
