-- What an authorization server remembers. Keys are hashes, and the bytes are sealed before they get here. A table with row
-- numbers of its own: rows of a kilobyte in the tree of the keys would make it deep.
CREATE TABLE records (
    tbl        INTEGER NOT NULL,
    key        BLOB    NOT NULL CHECK (length(key) = 32),
    version    INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT;

CREATE INDEX records_by_expiry ON records (tbl, expires_at);

CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
    UPDATE removed SET version = max(version, OLD.version);
END;
