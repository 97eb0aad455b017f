-- Processes that share the database do not refresh a grant twice. A lease that was given back is gone; AUTOINCREMENT never
-- gives a fence again.
CREATE TABLE leases (
    fence INTEGER PRIMARY KEY AUTOINCREMENT,
    id    BLOB    NOT NULL UNIQUE,
    until INTEGER NOT NULL
) STRICT;

-- A sweep finds what is over without reading everything.
CREATE INDEX grants_by_expiry ON grants (expires_at) WHERE expires_at IS NOT NULL;
