"""A fixed corpus and the digest of what the canonicalizer makes of it; runs on any supported Python without a test framework.

    PYTHONPATH=src python3.13 tests/unit/core/canon/canon_golden.py

prints the digest. The corpus mixes ordinary text of many scripts with damage chosen by a small generator of its own, so that it is
the same everywhere.
"""

from __future__ import annotations

import hashlib
import sys

from apostille.core.canon import canonicalize, format_findings, profile_id
from apostille.errors import ApostilleError

DIGEST = "343de993a76abc82c63a11196b22f089b6de85ef46bf96c311c75d1235abb057"

ORDINARY = (
    "The refund is 42 EUR.\n\tTotal: 1½ × 10⁵ — “fine”…\n",
    "Ein schöner Tag, größer als üblich — naïve façade.\n",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.\n",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.\n",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι.\n",
    "بِسْمِ ٱللَّهِ \u06dd\u0661 می\u200cخواهم\n",
    "בְּרֵאשִׁית בָּרָא אֱלֹהִים\n",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में\n",
    "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা\n",
    "மனிதப் பிறிவியினர் சகலரும்\n",
    "มนุษย์ทั้งหลายเกิดมามีอิสระ ผู้อยู่\n",
    "모든 인간은 태어날 때부터 자유로우며\n",
    "人人生而自由，在尊严和权利上一律平等。葛\U000e0100\n",
    "すべての人間は、生まれながらにして自由であり、が\u3099\n",
    "👩\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 👍🏽 🏳\ufe0f\u200d🌈\n",
    "\u1828\u1820\u180b\u1828 \u1820\u180e\u1828 \u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0d28\u0d4d\u200d \u09b0\u200d\u09cd\u09af \u0915\u094d\u200c\u0937\n",
    "I said שלום!\u200f and \u2067(1) שלום\u2069 — עלה ל-5\u200f% \u202bשלום!\u202c\n",
    "\u115f\u1161 \u1112\u119e\u11ab \u2801\u2800\u2803 \U0001bc00\U0001bca0\U0001bc01 \U00013000\U00013430\U00013001\n",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f\n",
)
DAMAGE = (
    "\u0430\u0441\u03bf\u0251\u1d0f\U0001d41a\uff41\ufb01\u2161\u2f00\ufee2",
    "\u00a0\u2003\u2236\uff1a\u2011\u201c\u2014\u2026\u0661\u06f4\u06a9\u064a\u4e00\u3078",
    "\u0301\u0323\u0344\u0316\u0f71\u0f73\u09be\u0dca\u0338\u3099\U000110ba\U00016d67\u034f\u0315",
    "\ufe0f\ufe00\ufe01\U000e0100\U000e01ef\u180b\u180f",
    "\U000e0001\U000e0041\U000e0067\U000e0062\U000e007f🏴",
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200f",
    "\x00\x1b\x07\x7f\x85\x9b\r\n\v\f\u2028\u2029\r",
    "\ufeff\ufdd0\ufffe\U0010ffff\u200b\u00ad",
    "\u200c\u200d\u200c\u200d\u180e\u1160\u115f\u2800\u0483",
    "\x1b[8m\x9b1m\x1b]0;x\x07\b \t\u2000\u3000",
    "\u061c\u200e\ue000\u0378\u2061\U0001d159",
    "\u1100\u1161\u11a8가각\u212a\ufb2c\U0002f800\U0001d160\U00016d68",
)
DOCUMENTS = (
    b'{"b":"e\\u0301","a":[1.50,1E2,-0,1e-7,4.5e15],"\\ufeffk":"\\udb40\\udc41x"}',
    b'["\\u202ea\\u202c",{"z":null,"\xc3\xa9":true,"\\ud83d\\ude00":false}]',
    b'{"a":1,"a":2}',
    b"[9007199254740993]",
)


def corpus() -> list[bytes]:
    """Give the texts, damaged ones after the ordinary ones."""
    state = 1
    texts = ["".join(ORDINARY), *ORDINARY]
    for round_ in range(400):
        chars = list(ORDINARY[round_ % len(ORDINARY)])
        for _ in range(1 + round_ % 23):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            pool = DAMAGE[(state >> 33) % len(DAMAGE)]
            chars.insert((state >> 40) % (len(chars) + 1), pool[(state >> 20) % len(pool)] * (1 + (state >> 60) % 3))
        texts.append("".join(chars))
    texts.append("a" + "\u0301" * 1_000 + "b" + "\u0316\u0301" * 40)
    return [text.encode("utf-8") for text in texts]


def digest() -> str:
    """Hash canonical bytes, findings and refusals of the whole corpus, and the profile id."""
    inputs = [(data, "text/plain", profile) for profile in ("safe", "strict") for data in corpus()]
    return _digest(inputs + [(data, "application/json", "safe") for data in DOCUMENTS])


def markdown_digest() -> str:
    """Hash the same for the corpus as Markdown; needs the parser, and follows its version."""
    return _digest([(b"> # *" + data, "text/markdown", "safe") for data in corpus()])


def _digest(inputs: list[tuple[bytes, str, str]]) -> str:
    total = hashlib.sha256(profile_id().encode())
    for data, media_type, profile in inputs:
        try:
            found = canonicalize(data, media_type=media_type, profile=profile)
        except ApostilleError as error:
            parts = (error.code.encode(), format_findings(getattr(error, "findings", ())))
        else:
            parts = (found.bytes, format_findings(found.findings), str(found.residue).encode())
        for part in parts:
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


if __name__ == "__main__":
    print(sys.version.split()[0], digest())
