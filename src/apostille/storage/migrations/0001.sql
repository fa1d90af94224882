-- Schema 1. One file, one writer. A leaf is never rewritten; only wrapped keys and openings can go, and only by erasure.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root BLOB NOT NULL, edge BLOB NOT NULL) STRICT;
CREATE TABLE leaf (
  idx INTEGER PRIMARY KEY,
  leaf_hash BLOB NOT NULL,
  entry BLOB NOT NULL,
  statement BLOB NOT NULL,
  pae_digest BLOB NOT NULL,
  unit BLOB NOT NULL,
  wrapped_key BLOB,
  run BLOB,
  certifies BLOB,
  receipt_id BLOB
) STRICT;
CREATE TABLE opening (idx INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, ciphertext BLOB NOT NULL,
  PRIMARY KEY (idx, place)) STRICT, WITHOUT ROWID;
CREATE TABLE subtree (level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, number)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note BLOB NOT NULL) STRICT;
CREATE INDEX leaf_run ON leaf (run, idx) WHERE run IS NOT NULL;
CREATE INDEX leaf_key ON leaf (certifies) WHERE certifies IS NOT NULL;
CREATE INDEX leaf_receipt ON leaf (receipt_id) WHERE receipt_id IS NOT NULL;
INSERT INTO meta VALUES ('schema', '1');
