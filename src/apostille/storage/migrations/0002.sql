-- Schema 2. The receipt id is the statement's own nonce; the digest that the entry has is not stored a second time; the openings
-- of one leaf are one row; leaf hashes have an index of their own, so that trees are built without reading entries.
-- Beyond SQLite: pack_openings(name, ciphertext), see storage/openings.py. The upgrade of a store is one transaction.
DROP INDEX leaf_run;
DROP INDEX leaf_key;
DROP INDEX leaf_receipt;
ALTER TABLE leaf RENAME TO leaf_1;
ALTER TABLE opening RENAME TO opening_1;
CREATE TABLE leaf (
  idx INTEGER PRIMARY KEY,
  leaf_hash BLOB NOT NULL,
  entry BLOB NOT NULL,
  statement BLOB NOT NULL,
  nonce BLOB NOT NULL,
  unit BLOB NOT NULL,
  wrapped_key BLOB,
  run BLOB,
  certifies BLOB
) STRICT;
CREATE TABLE opening (idx INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
-- Receipt ids that schema 1 has given out beside the nonce: whoever holds one can still ask for his receipt.
CREATE TABLE old_receipt (receipt_id BLOB PRIMARY KEY, idx INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- A statement that somebody has spoiled must not keep a store from being opened: it is for verify-store to say so.
INSERT INTO leaf SELECT idx, leaf_hash, entry, statement,
  CASE WHEN json_valid(CAST(statement AS TEXT))
    THEN coalesce(unhex(json_extract(CAST(statement AS TEXT), '$.predicate.nonce')), x'') ELSE x'' END,
  unit, wrapped_key, run, certifies FROM leaf_1 ORDER BY idx;
INSERT OR IGNORE INTO old_receipt SELECT receipt_id, idx FROM leaf_1 WHERE receipt_id IS NOT NULL ORDER BY idx;
INSERT INTO opening SELECT idx, pack_openings(name, ciphertext ORDER BY place) FROM opening_1 GROUP BY idx ORDER BY idx;
DROP TABLE leaf_1;
DROP TABLE opening_1;
CREATE INDEX leaf_tree ON leaf (idx, leaf_hash);
CREATE INDEX leaf_run ON leaf (run, idx) WHERE run IS NOT NULL;
CREATE INDEX leaf_key ON leaf (certifies) WHERE certifies IS NOT NULL;
CREATE INDEX leaf_nonce ON leaf (nonce);
UPDATE meta SET value = '2' WHERE name = 'schema';
