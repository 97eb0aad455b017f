-- One table for everything that is kept: grants are collection 0 of the records, and the row that keys are checked with is
-- collection 63. The id of a grant is the first half of its key. A time of 9223372036854775807 is "never".
INSERT INTO records (tbl, key, version, sealed, expires_at)
SELECT
    CASE id WHEN x'706f727463756c6c69733a636865636b' THEN 63 ELSE 0 END,
    CAST(id || zeroblob(16) AS BLOB),
    version,
    sealed,
    coalesce(expires_at, 9223372036854775807)
FROM grants;

DROP TABLE grants;

-- Leases of records of any collection. The numbers of fences go on.
CREATE TABLE record_leases (
    fence INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl   INTEGER NOT NULL,
    key   BLOB    NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (tbl, key)
) STRICT;

INSERT INTO record_leases (fence, tbl, key, until) SELECT fence, 0, CAST(id || zeroblob(16) AS BLOB), until FROM leases;

DELETE FROM sqlite_sequence WHERE name = 'record_leases';
INSERT INTO sqlite_sequence (name, seq) SELECT 'record_leases', seq FROM sqlite_sequence WHERE name = 'leases';

DROP TABLE leases;

ALTER TABLE record_leases RENAME TO leases;

-- What processes tell each other, sealed. Old events are dropped; AUTOINCREMENT never gives a position again.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    sealed   BLOB    NOT NULL
) STRICT;
