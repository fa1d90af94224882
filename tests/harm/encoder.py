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


def read(name: str, text: str) -> object:
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
    if name == "silverspeak":  # it reads nothing: this is its table, a character and what it puts there
        from silverspeak.homoglyphs.attacks.shared import make_replacer
        from silverspeak.homoglyphs.utils import _DEFAULT_HOMOGLYPHS_TO_USE, _DEFAULT_UNICODE_CATEGORIES_TO_REPLACE

        return make_replacer(
            unicode_categories_to_replace=_DEFAULT_UNICODE_CATEGORIES_TO_REPLACE,
            types_of_homoglyphs_to_use=_DEFAULT_HOMOGLYPHS_TO_USE,
            replace_with_priority=False,
            random_seed=1,
        ).chars_map
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
