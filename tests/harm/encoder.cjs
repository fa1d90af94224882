// Drive one published encoder from npm, as encoder.py does those from PyPI; NODE_PATH says where they are.
"use strict";

const fs = require("node:fs");

function encoder(name) {
  if (name === "@vercel/stega") {
    const { vercelStegaCombine, vercelStegaDecode } = require("@vercel/stega");
    return {
      hide: (cover, secret) => vercelStegaCombine(cover, { secret }, false),
      read: (text) => vercelStegaDecode(text)?.secret,
    };
  }
  const StegCloak = require("stegcloak");
  const encrypted = name === "stegcloak encrypted";
  const cloak = new StegCloak(encrypted, encrypted);
  return {
    hide: (cover, secret) => cloak.hide(secret, "a password", cover),
    read: (text) => cloak.reveal(text, "a password"),
  };
}

const order = JSON.parse(fs.readFileSync(0, "utf8"));
const { hide, read } = encoder(order.name);
let result;
if ("secret" in order) {
  result = hide(order.cover, order.secret);
} else {
  try {
    result = read(order.text);
  } catch {
    result = null; // a decoder that breaks has found nothing
  }
}
fs.writeSync(1, JSON.stringify(result ?? null));
process.exit(0); // stegcloak loads a package that keeps the process alive
