-- The bytes are sealed before they get here. Times are nanoseconds since 1970; without one, a row stays.
CREATE TABLE grants (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    version    INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_at INTEGER
) STRICT;

-- The highest version of any row that was removed: a new row begins above it, so that no version comes back.
CREATE TABLE removed (version INTEGER NOT NULL) STRICT;
INSERT INTO removed (version) VALUES (0);

CREATE TRIGGER grants_removed AFTER DELETE ON grants BEGIN
    UPDATE removed SET version = max(version, OLD.version);
END;
