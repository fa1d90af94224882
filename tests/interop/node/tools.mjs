// What the scripts in this folder share: where the foreign packages are, and how a result is reported.
//
// A script exits 0 with one JSON line on standard output when the evidence was accepted, and 1 with a line
// "refused: ..." on standard error when it was not. Anything else (Node itself exits 1 for an uncaught error, but
// without that line) is a broken tool and says nothing about the evidence.

import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const repo = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

// The packages are installed outside the tracked tree, so an import by name would not find them from here.
const folder = path.resolve(repo, process.env.APOSTILLE_BUILD || '.build', 'interop', 'node');

/** Load an installed package by name. */
export const load = createRequire(path.join(folder, 'package.json'));

/** Evidence that the tool does not accept. */
export class Refusal extends Error {}

/**
 * Run `check` on the command line's arguments and exit as described above.
 *
 * @param {string} usage the arguments, separated by spaces
 * @param {(...args: string[]) => object} check returns what was verified, or throws
 */
export function run(usage, check) {
  const args = process.argv.slice(2);
  if (args.length !== usage.split(' ').length) {
    console.error(`usage: node ${path.basename(process.argv[1])} ${usage}`);
    process.exit(2);
  }
  let result;
  try {
    result = check(...args);
  } catch (error) {
    const kind = error instanceof Refusal ? '' : `${error.name}${error.code ? ` ${error.code}` : ''}: `;
    // @sigstore/bundle names what is wrong with a bundle only here.
    const fields = error.fields ? ` (${error.fields.join(', ')})` : '';
    console.error(`refused: ${kind}${error.message.replaceAll('\n', ' ')}${fields}`);
    process.exit(1);
  }
  console.log(JSON.stringify(result));
}
