"""Short texts for cleaners: hidden channels as pairs that draw the same, and ordinary lines that no cleaner need change.

The pairs follow the classes of ``docs/manual/hidden-channels.md``; left out is what draws something (floods of marks, private use,
look-alikes) and what plain text can not hold (invalid UTF-8, escapes in JSON).
"""

# ruff: noqa: RUF001

from __future__ import annotations

# Two payloads in one cover: after cleaning they should be the same text.
PAIRS: dict[str, tuple[str, str]] = {
    "ZWNJ or ZWJ between Latin letters": ("pay 4\u200c2 now", "pay 4\u200d2 now"),
    "one ZWNJ or two, Persian": ("می\u200cروم", "می\u200c\u200cروم"),
    "ZWJ behind an emoji": ("Thanks 🙂\u200d ok", "Thanks 🙂 ok"),
    "ZWSP": ("pay\u200b 42", "pay 42"),
    "word joiner": ("pay\u2060 42", "pay 42"),
    "U+FEFF in the text": ("pay\ufeff 42", "pay 42"),
    "soft hyphen": ("pay\u00adment", "payment"),
    "invisible operators": ("pay\u2062 42", "pay\u2063 42"),
    "tags": ("pay 42\U000e0061", "pay 42\U000e0062"),
    "tags behind a flag": ("🏴\U000e0061\U000e007f", "🏴\U000e0062\U000e007f"),
    "VS1 to VS16 on a letter": ("pay\ufe00 42", "pay\ufe01 42"),
    "VS17 and on, on an emoji (bytes)": ("🙂\U000e0148\U000e0149", "🙂\U000e0158\U000e0159"),
    "one VS16 or two": ("❤\ufe0f ok", "❤\ufe0f\ufe0f ok"),
    "IVS that is not listed": ("葛\U000e01ef城", "葛\U000e01ee城"),
    "Mongolian FVS on a letter of another script": ("pay\u180b 42", "pay\u180c 42"),
    "Mongolian vowel separator, Latin": ("pay\u180e 42", "pay 42"),
    "CGJ": ("pay\u034f 42", "pay 42"),
    "Hangul fillers": ("pay\u115f 42", "pay\u1160 42"),
    "Khmer inherent vowels": ("ក\u17b4ខ", "ក\u17b5ខ"),
    "musical and shorthand format": ("pay\U0001d173 42", "pay\U0001bca0 42"),
    "reserved ignorable": ("pay\u2065 42", "pay\U000e0fff 42"),
    "deprecated format": ("pay\u206a 42", "pay\u206b 42"),
    "noncharacter": ("pay\ufdd0 42", "pay\ufdd1 42"),
    "bidi override that turns nothing": ("\u202dpay\u202c 42", "pay 42"),
    "bidi marks between letters of one direction": ("pay\u200e 42", "pay\u200e\u200e 42"),
    "bidi isolate around letters of one direction": ("\u2066pay\u2069 42", "\u2068pay\u2069 42"),
    "controls": ("pay\x07 42", "pay\x01 42"),
    "overstrike": ("p\x08pay 42", "pay 42"),
    "escapes": ("pay \x1b[0m42", "pay \x1b[00m42"),
    "escapes, C1 form": ("pay \x9b0m42", "pay \x9b00m42"),
    "line ends": ("pay\r\n42", "pay\n42"),
    "line separator": ("pay\u202842", "pay\n42"),
    "white space at line ends": ("pay \n42", "pay\t\n42"),
    "composition of marks": ("Zahlung bestätigt", "Zahlung besta\u0308tigt"),
}

# What writers of these languages type; another spelling by NFC counts as unchanged.
LINES: dict[str, str] = {
    "Persian, ZWNJ": "همه می\u200cآیند و کتاب\u200cها را می\u200cخوانند.",
    "Hindi, ZWNJ": "पुल का उद्\u200cघाटन कल होगा।",
    "Marathi, ZWJ": "नदीच्या दर्\u200dया खोल आहेत.",
    "Bengali, ZWJ": "\u09b0\u200d\u09cd\u09af\u09be\u09ac \u0986\u099c \u098f\u09b8\u09c7\u099b\u09c7\u0964",
    "Malayalam, ZWNJ": "തമിഴ്\u200cനാട് കേരളത്തിന്റെ അയൽ സംസ്ഥാനമാണ്.",
    "Sinhala, ZWJ": "ශ්\u200dරී ලංකාව ලස්සනයි.",
    "Khmer, ZWSP between words": "ខ្ញុំ\u200bចូលចិត្ត\u200bភាសា\u200bខ្មែរ។",
    "Mongolian, MVS": "ᠪᠠᠶᠢᠨ\u180eᠠ",
    "Arabic line that begins with Latin, RLM": "\u200fHTML هي لغة لوصف الصفحات.",
    "Hebrew, LRM behind C++": "אני כותב ב־C++\u200e כל יום.",
    "Hebrew, points": "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "Japanese, listed IVS": "葛\U000e0100城市の人口を調べました。",
    "Japanese, full width": "合計：１２３円（税込）",
    "emoji family": "Wir sind 👨\u200d👩\u200d👧\u200d👦 und 👍🏽.",
    "emoji with VS16": "Danke ❤\ufe0f und 🏳\ufe0f\u200d🌈!",
    "keycaps": "Schritt 1\ufe0f\u20e3, dann #\ufe0f\u20e3.",
    "flags": "🇩🇪 🇯🇵 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "fractions": "Take ½ tablet, then ¾ cup.",
    "superscripts": "10⁵ Pa, 3 m², CO₂",
    "French, NBSP and U+202F": "Vraiment\u202f? Il coûte 1\u202f200\u00a0€.",
    "quotes and dashes": "“Done” – she said: ‘it’s fine’… ™",
    "Greek and Cyrillic": "Ελληνικά και русский текст.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do.",
    "indented code": "if x:\n    return 1\n",
}
