// Canonicalize the golden corpus with another CPython, compiled to WebAssembly by Pyodide.
//
//   golden.mjs PACKAGE SOURCE CORPUS SITE    PACKAGE is pyodide-312 or pyodide-313, the others are folders
//
// Prints one JSON line: the version of Python and the digests. This is no verifier: it gives a value or breaks.

import { load } from './tools.mjs';

const [name, ...folders] = process.argv.slice(2);
const { loadPyodide } = load(name);
const python = await loadPyodide();
for (const [index, root] of folders.entries()) {
  python.FS.mkdirTree(`/${index}`);
  python.FS.mount(python.FS.filesystems.NODEFS, { root }, `/${index}`);
}
console.log(python.runPython(`
import json, sys
sys.path[:0] = ["/0", "/1", "/2"]
import canon_golden
json.dumps({"python": sys.version.split()[0], "text": canon_golden.digest(), "markdown": canon_golden.markdown_digest()})
`));
