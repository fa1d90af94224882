"""Drive one published encoder: reads a JSON object from standard input and writes a JSON string.

``{"name": "zwsp-steg-py", "cover": "..", "secret": ".."}`` hides, ``{"name": "..", "text": ".."}`` reads. What a decoder does not find
is ``null``, whether it says so or breaks. Runs in the encoders' environment, never in ours.
"""

from __future__ import annotations

import json
import sys

SPACES = {" ": "\u2004"}


def _table(name: str) -> dict[str, object]:
    method = name.rpartition(" ")[2]
    return {"method": "lookalike", "replacements": SPACES} if method == "spaces" else {"method": method}


def _appended(module: object, cover: str, secret: str) -> str:
    return cover + module.encode(secret)  # type: ignore[attr-defined]


def hide(name: str, cover: str, secret: str) -> str:
    if name == "zwsp-steg-py":
        import zwsp_steg as module

        return _appended(module, cover, secret)
    if name == "steganographr":
        import steganographr as module

        return module.encode(cover, secret)
    if name == "blindtag":
        import blindtag as module

        return module.encode(cover, secret)
    if name == "emojito-py":
        from emojito import core as module

        return cover + module.encode("\U0001f600", secret)
    if name == "c2pa-text":
        import c2pa_text as module

        return module.embed_manifest(cover, secret.encode())
    if name == "silverspeak":  # carries nothing itself: the secret chooses which letters are replaced
        from silverspeak import random_attack

        return random_attack(cover, percentage=0.2, random_seed=sum(secret.encode()))
    import pyUnicodeSteganography as module

    return module.encode(cover, secret, **_table(name))


def read(name: str, text: str) -> str | None:
    if name == "zwsp-steg-py":
        import zwsp_steg as module

        return module.decode(text)
    if name == "steganographr":
        import steganographr as module

        return module.decode(text)
    if name == "blindtag":
        import blindtag as module

        return module.decode(text)
    if name == "emojito-py":
        from emojito import core as module

        return module.decode(text)
    if name == "c2pa-text":
        import c2pa_text as module

        found = module.extract_manifest(text)[0]
        return None if found is None else found.decode()
    import pyUnicodeSteganography as module

    return module.decode(text, **_table(name))


if __name__ == "__main__":
    order = json.load(sys.stdin)
    if "secret" in order:
        print(json.dumps(hide(**order)))
    else:
        try:
            result = read(**order)
        except Exception:  # a decoder that breaks has found nothing
            result = None
        print(json.dumps(result))
