"""The results page: written from a run's document, never by hand."""

from __future__ import annotations

from typing import Any

_PEER_FACTS = (
    ("signs", "signs each record"),
    ("syncs_per_record", "syncs a record"),
    ("truncation", "tail cut off: seen"),
    ("rewrite_with_key", "rewritten with the real key: seen"),
    ("hidden", "hidden characters recorded as they came"),
)


def page(document: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    parts = [
        _head(document),
        _figures(document["figures"]),
        _cleaners(document["cleaners"]),
        _peers(document["peers"]),
        _profiles(document["profiles"]),
        _CAVEATS,
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _head(document: dict[str, Any]) -> str:
    machine = document["machine"]
    quick = " **A quick look with a tenth of the work: not for quoting.**" if document["quick"] else ""
    rows = [
        ("date", machine["date"]),
        ("commit", machine["commit"]),
        ("processor", f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before the run"),
        ("kernel", machine["kernel"]),
        ("file system", f"{machine['file_system']}, 1 KB write and fdatasync {machine['sync_ms']:.2f} ms (median)"),
        ("Python; OpenSSL", f"{machine['python']}; {machine['openssl']} (cryptography {machine['cryptography']})"),
        ("SQLite", machine["sqlite"]),
        ("r: P-256 signatures/s, one core", f"{document['r']:,}"),
        ("c: durable commits/s of one 1 KB row", f"{document['c']:,}"),
    ]
    text = [
        "# Results",
        "",
        f"Written by `make bench`.{quick} How to read it: `docs/manual/performance.md`.",
        "",
        "| machine | |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in rows),
    ]
    return "\n".join(text)


def _figures(rows: list[dict[str, Any]]) -> str:
    text = ["## Figures", "", "| figure | goal | reached | value | ratio | r | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        value = "not available" if row["value"] is None else f"{_number(row['value'])} {row['unit']}"
        cells = (row["name"], row["goal"] or "-", row["reached"] or "-", value, row["ratio"], f"{row['r']:,.0f}", row["note"])
        text.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(text)


def _cleaners(cleaners: list[dict[str, Any]]) -> str:
    if not cleaners:
        return ""
    text = [
        "## Other cleaners",
        "",
        "The same texts, bytes in and bytes out, CPU time; ours measured before and after each. Left: pairs of hidden payloads that",
        "still differ after cleaning. Changed: ordinary lines that come out as another text (NFC counts as unchanged). Ours / peer is",
        "speed: above 1, ours is faster.",
        "",
        "| cleaner | ASCII MB/s | mixed MB/s | 1 KB µs | ours / peer: ASCII; mixed; 1 KB | left | changed |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for row in cleaners:
        if "error" in row:
            text.append(f"| {_cell(row['name'])} | not available: {_cell(row['error'])} | | | | | |")
            continue
        ratio = "-"
        if ours := row.get("ours"):
            ratios = (ours["ascii"] / row["ascii"], ours["mixed"] / row["mixed"], row["answer_us"] / ours["answer_us"])
            ratio = "; ".join(f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in ratios)
        cells = (
            f"{row['name']} {row['version']}",
            *(_number(row[rate]) for rate in ("ascii", "mixed", "answer_us")),
            ratio,
            f"{len(row['left'])} of {row['pairs']}",
            f"{len(row['changed'])} of {row['lines']}",
        )
        text.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        parts = [f"{key}: {'; '.join(row[key])}" for key in ("left", "changed") if row[key]]
        notes.append(f"- **{row['name']}**: {_cell('. '.join(parts) or 'nothing left, nothing changed')}.")
    return "\n".join([*text, "", *notes])


def _peers(peers: list[dict[str, Any]]) -> str:
    if not peers:
        return "## Peers\n\nNot measured: `make bench-peers` installs them."
    names = [label for _, label in _PEER_FACTS]
    text = [
        "## Peers",
        "",
        "Other tamper-evident logs for agents, from the package index, each driven on its most durable settings with a signature a",
        "record where it has one, 1 KB answers, one after the other; ours measured before and after each, durable and sealed.",
        "",
        "| peer | records/s | ours, sequential | ours / peer | ours, async / peer's best | " + " | ".join(names) + " |",
        "|---|---|---|---|---|" + "---|" * len(names),
    ]
    notes = []
    for peer in peers:
        if "error" in peer:
            text.append(f"| {_cell(peer['name'])} | not available | | | |" + " |" * len(names))
            notes.append(f"- **{peer['name']}**: {_cell(peer['error'])}")
            continue
        best = max(peer["sequential"], peer.get("threaded") or 0)
        ratios = f"{peer['ours_sequential'] / peer['sequential']:.2f}", f"{peer['ours_async'] / best:.1f}"
        rate = f"{peer['sequential']:,.0f}" + (f" ({peer['threaded']:,.0f} threaded)" if peer.get("threaded") else "")
        facts = [str(peer.get(key, "-")) for key, _ in _PEER_FACTS]
        cells = (f"{peer['name']} {peer['version']}", rate, f"{peer['ours_sequential']:,.0f}", *ratios, *facts)
        text.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        notes.append(f"- **{peer['name']}**: {_cell(peer['note'])}")
    notes.append("")
    notes.append(
        "A peer that does not sync each record is not comparable as it stands: a power cut takes what it had acknowledged."
    )
    return "\n".join([*text, "", *notes])


def _profiles(profiles: dict[str, list[tuple[str, float]]]) -> str:
    if not profiles:
        return ""
    text = ["## Where the time goes", "", "Parts of own time under cProfile, waiting left out; a map, not a measure.", ""]
    for name, rows in profiles.items():
        text += [
            f"**{name}**: " + ", ".join(f"{_cell(what)} {part:.0%}" for what, part in rows if part >= 0.015 or not part) + ".",
            "",
        ]
    return "\n".join(text)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


_CAVEATS = """
## What these figures do not say

- Ratios carry over to another machine, absolute figures do not; where a disk syncs much slower or faster than this one, the
  sequential figures change with it and the batched ones hardly do.
- Rates are wall time and need a quiet machine; costs are CPU time and bear some company. A virtual disk's sync latency can
  change by a factor of ten within a minute: compare sequential figures only with a commit measured beside them, as here.
- A virtual disk may acknowledge a sync before the data is on a medium. We ask for it; we can not see it.
- Three processes share the cores with each other and with the measuring process: the figure of two clients is bounded by cores.
- Leaves re-hashed are hashed from memory. An audit also reads the store, verifies signatures and opens what is sealed.
- The growing log is filled with copies of one record, each with a leaf and an id of its own: sizes and indexes are real, signatures are not.
- Gateway CPU is all of the process, with HTTP on both sides, not only what proving adds to a plain proxy.
- The probes of peers run on one machine without a witness, as does this bench. capsule-emit and tracekit-ai offer witnesses, which
  are there to see what their "no" stands for; waxseal and vaara offer outside anchors. Ours without a witness or a remembered head
  does not show a rewrite with the real keys either, and its verdict says UNWITNESSED.
- Other cleaners do other work too: disarm.canonicalize is made for comparing identifiers and says that it is not for sentences,
  disarm.strip_format makes one line of many, ftfy mends encodings and does not claim to close channels. The samples
  (`bench/peers/cleaner_samples.py`) are ours and follow our own list of classes, which favors ours.
- Peers differ in what they promise; the columns beside their rates matter more than the rates.
"""
