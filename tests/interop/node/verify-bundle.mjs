// Verify a Sigstore bundle in managed-key mode with @sigstore/verify.
//
// One signature over the PAE by the given key, one hashedrekord 0.0.2 entry with an inclusion proof, a checkpoint
// signed by the log of the trusted root. No timestamps and no certificate transparency: the mode has neither.
//
// The package ignores some redundant fields (rootHash, treeSize, the outer logIndex, the envelope's keyid, the public
// key inside the entry), so its agreement says nothing about those.

import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { load, run } from './tools.mjs';

const { bundleFromJSON } = load('@sigstore/bundle');
const { TrustedRoot } = load('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = load('@sigstore/verify');

run('BUNDLE TRUSTED_ROOT PUBLIC_KEY_PEM', (bundlePath, rootPath, keyPath) => {
  const spki = createPublicKey(readFileSync(keyPath)).export({ type: 'spki', format: 'der' });
  // The hint only looks the key up. A table with the one name that our format allows makes a wrong hint fail.
  const hint = createHash('sha256').update(spki).digest('base64');
  const root = TrustedRoot.fromJSON(JSON.parse(readFileSync(rootPath, 'utf8')));
  const material = toTrustMaterial(root, { [hint]: { rawBytes: spki, keyDetails: undefined } });

  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, 'utf8')));
  new Verifier(material, { timestampThreshold: 0, ctlogThreshold: 0, tlogThreshold: 1 }).verify(toSignedEntity(bundle));

  const { payloadType, payload } = bundle.content.dsseEnvelope;
  const [entry] = bundle.verificationMaterial.tlogEntries;
  const [origin, size, rootHash] = entry.inclusionProof.checkpoint.envelope.split('\n');
  return {
    payloadType,
    payloadSha256: createHash('sha256').update(payload).digest('hex'),
    kind: `${entry.kindVersion.kind}/${entry.kindVersion.version}`,
    index: Number(entry.inclusionProof.logIndex),
    origin,
    size: Number(size),
    root: rootHash,
  };
});
