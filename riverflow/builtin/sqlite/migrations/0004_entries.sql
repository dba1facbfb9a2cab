-- What one decision adds to a run's log becomes one row, as JSON. The entries there are become a row each.

ALTER TABLE entries RENAME TO single_entries;

CREATE TABLE entries (
    run_id     TEXT NOT NULL,
    number     INTEGER NOT NULL,
    public     INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    data       BLOB NOT NULL
);

-- 17 digits tell a double from its neighbours. Rows keep their order, by which news of them is found.
INSERT INTO entries (rowid, run_id, number, public, checkpoint, data)
SELECT rowid, run_id, number, public,
    kind IN ('approval.decided', 'callback.received', 'run.accepted', 'stage.completed', 'stage.interrupted'),
    CAST('[{"kind":' || json_quote(kind)
        || ',"at":' || printf('%!.17g', at)
        || coalesce(',"stage":' || json_quote(stage), '')
        || coalesce(',"attempt":' || attempt, '')
        || CASE WHEN public THEN ',"public":true' ELSE '' END
        || ',"data":' || CAST(data AS TEXT) || '}]' AS BLOB)
FROM single_entries ORDER BY rowid;

DROP TABLE single_entries;
CREATE UNIQUE INDEX entries_of_run ON entries (run_id, number);
