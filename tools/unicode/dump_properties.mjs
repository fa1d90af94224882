// Write the properties that the canonicalizer's tables need as plain text, from the npm package @unicode/unicode-18.0.0.
//
//     npm install --prefix SOME_FOLDER @unicode/unicode-18.0.0
//     node tools/unicode/dump_properties.mjs SOME_FOLDER/node_modules/@unicode/unicode-18.0.0 > tools/unicode/properties-18.0.0.txt

import { readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";

const root = process.argv[2];
const load = async (path) => (await import(pathToFileURL(`${root}/${path}.mjs`))).default;
const hex = (point) => point.toString(16).toUpperCase().padStart(4, "0");

const lines = [];
function section(name, values) {
  // values: code point to word; written as ranges in order.
  lines.push(`@${name}`);
  const points = [...values.keys()].sort((a, b) => a - b);
  let first = null;
  let last = null;
  for (const point of [...points, null]) {
    if (first !== null && point === last + 1 && values.get(point) === values.get(first)) {
      last = point;
      continue;
    }
    if (first !== null) lines.push(`${hex(first)}..${hex(last)} ${values.get(first)}`);
    first = last = point;
  }
}

async function byValue(folder, keep = () => true) {
  const values = new Map();
  for (const entry of readdirSync(`${root}/${folder}`, { withFileTypes: true })) {
    if (!entry.isDirectory() || !keep(entry.name)) continue;
    for (const point of await load(`${folder}/${entry.name}/code-points`)) values.set(point, entry.name);
  }
  return values;
}

const extensions = new Map();
for (const entry of readdirSync(`${root}/Script_Extensions`, { withFileTypes: true })) {
  if (!entry.isDirectory()) continue;
  for (const point of await load(`Script_Extensions/${entry.name}/code-points`)) {
    extensions.set(point, [...(extensions.get(point) ?? []), entry.name]);
  }
}
const scripts = await byValue("Script");
const several = new Map();
for (const [point, names] of extensions) {
  const joined = names.sort().join(",");
  if (joined !== scripts.get(point)) several.set(point, joined);
}

section("script", scripts);
section("script_extensions", several);
section("joining", await byValue("Joining_Type"));
section("indic", await byValue("Indic_Syllabic_Category", (name) => ["Virama", "Invisible_Stacker", "Pure_Killer", "Consonant"].includes(name)));
section("bidi", await byValue("Bidi_Class"));
const mirrored = await load("Bidi_Mirroring_Glyph/index");
for (const kind of ["Open", "Close"]) {
  const pairs = new Map();
  for (const point of await load(`Bidi_Paired_Bracket_Type/${kind}/code-points`)) {
    pairs.set(point, hex(mirrored.get(point).codePointAt(0)));
  }
  section(`bracket_${kind.toLowerCase()}`, pairs);
}
for (const name of ["White_Space", "Default_Ignorable_Code_Point", "Extended_Pictographic", "Emoji_Presentation", "Emoji_Modifier",
  "Emoji_Modifier_Base", "Bidi_Mirrored"]) {
  section(name, new Map((await load(`Binary_Property/${name}/code-points`)).map((point) => [point, "Y"])));
}
for (const name of ["RGI_Emoji_ZWJ_Sequence", "RGI_Emoji_Tag_Sequence", "Emoji_Test"]) {
  lines.push(`@${name}`);
  for (const text of [...(await load(`Sequence_Property/${name}/index`))].sort()) {
    lines.push([...text].map((char) => hex(char.codePointAt(0))).join(" "));
  }
}

console.log(`# Unicode 18.0.0: properties and emoji sequences. Written by tools/unicode/dump_properties.mjs from the npm package
# @unicode/unicode-18.0.0. Do not edit. Every code point that is in no line of a section has its default value.`);
console.log(lines.join("\n"));
