// Verify one ML-DSA-44 line (type 0x06) of a checkpoint with @noble/post-quantum.
//
// The line is the log's own (name = origin, time 0) or a witness's (time not 0). The signed message is
// "subtree/v1\n\0", name, time, origin, 0, size, root; names with a length byte, numbers as 64-bit big-endian.
// Exactly one line of the key must be there. Other lines are not looked at.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { load, Refusal, run } from './tools.mjs';

const { ml_dsa44: mlDsa44 } = load('@noble/post-quantum/ml-dsa.js');

const TYPE = 0x06;
const SIGNATURE_BYTES = 2420;

function base64(text) {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Refusal(`not canonical base64: ${text.slice(0, 20)}`);
  return bytes;
}

function keyId(name, typeAndKey) {
  return createHash('sha256').update(`${name}\n`).update(typeAndKey).digest().subarray(0, 4);
}

/** Read "name+id+base64(type, key)". */
function parseVkey(vkey) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey.trim());
  if (!match) throw new Refusal('not a vkey');
  const [, name, id] = match;
  const typeAndKey = base64(match[3]);
  if (typeAndKey[0] !== TYPE) throw new Refusal(`the vkey has type ${typeAndKey[0]}, not ${TYPE}`);
  if (keyId(name, typeAndKey).toString('hex') !== id) throw new Refusal('the vkey has a wrong key ID');
  return { name, id: Buffer.from(id, 'hex'), publicKey: typeAndKey.subarray(1) };
}

/** Read a note whose text is origin, size and root, and nothing else. */
function parseCheckpoint(note) {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw new Refusal('not a signed note');
  const [origin, size, root, ...rest] = note.slice(0, split).split('\n');
  if (rest.length !== 0 || !root) throw new Refusal('the checkpoint does not have three lines');
  if (!/^(0|[1-9][0-9]*)$/.test(size)) throw new Refusal(`not a tree size: ${size}`);
  const lines = note.slice(split + 2, -1).split('\n').map((line) => {
    const match = /^\u2014 (\S+) (\S+)$/u.exec(line);
    if (!match) throw new Refusal(`not a signature line: ${line.slice(0, 40)}`);
    return { name: match[1], field: base64(match[2]) };
  });
  return { origin, size: BigInt(size), root: base64(root), lines };
}

function uint64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function lengthPrefixed(text) {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

run('CHECKPOINT_FILE VKEY', (checkpointPath, vkey) => {
  const key = parseVkey(vkey);
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(checkpointPath));
  const { origin, size, root, lines } = parseCheckpoint(text);
  if (root.length !== 32) throw new Refusal('the root hash does not have 32 bytes');

  const mine = lines.filter((line) => line.name === key.name && line.field.subarray(0, 4).equals(key.id));
  if (mine.length !== 1) throw new Refusal(`${mine.length} lines of key ${key.name}+${key.id.toString('hex')}`);
  const [{ field }] = mine;
  if (field.length !== 4 + 8 + SIGNATURE_BYTES) throw new Refusal(`the line has ${field.length} bytes`);
  const time = field.readBigUInt64BE(4);
  if ((key.name === origin) !== (time === 0n)) throw new Refusal(`time ${time} on a line of ${key.name}`);

  const message = Buffer.concat([
    Buffer.from('subtree/v1\n\0'), lengthPrefixed(key.name), uint64(time), lengthPrefixed(origin),
    uint64(0n), uint64(size), root,
  ]);
  if (!mlDsa44.verify(field.subarray(12), message, key.publicKey)) throw new Refusal('ML-DSA-44 signature is invalid');
  return {
    name: key.name,
    origin,
    size: Number(size),
    time: Number(time),
    messageSha256: createHash('sha256').update(message).digest('hex'),
  };
});
