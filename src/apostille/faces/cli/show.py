"""``apostille show``: what happened in a run, or what one output was, with hidden characters made visible."""

from __future__ import annotations

import io
import re
from typing import Any, TypeVar

from apostille import wiring
from apostille.core import strict
from apostille.core.opening import SALT_BYTES
from apostille.core.statement import Statement, parse_statement
from apostille.errors import NotFoundError
from apostille.faces.cli.meanings import level, read_finding, what_became
from apostille.faces.cli.scan.places import find_places
from apostille.faces.cli.terminal import Terminal, marked, plain
from apostille.ports import Record, Vault
from apostille.services.vault import open_record
from apostille.storage.sqlite import SqliteStore

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_SHOWN_BYTES = 4000
_FEW, _MANY = 10, 100
_LINE_CHARACTERS = 1_000
_J = TypeVar("_J")


def show(terminal: Terminal, what: str | None, *, is_whole: bool) -> int:
    """Show a run, a receipt id or a log index; without an argument, the runs of the store."""
    reader = wiring.open_reader(terminal.folder)
    try:
        vault = wiring.open_vault(terminal.folder)
        indexes = _indexes(reader, what)
        if what is None:
            return _show_runs(terminal, reader, vault)
        items = [_item(index, reader.record(index), vault) for index in indexes]
    finally:
        reader.close()
    terminal.document([{name: value for name, value in item.items() if name != "_raw"} for item in items])
    for item in items:
        _show_item(terminal, item, is_whole=is_whole or len(items) == 1)
    terminal.say("[dim]Shown from the store as it is, not verified; verify with: apostille verify[/]")
    return 0


def _indexes(reader: SqliteStore, what: str | None) -> list[int]:
    if what is None:
        return []
    if _ID.fullmatch(what):
        found = reader.run_indexes(bytes.fromhex(what))
        if found:
            return found
        index = reader.index_of_receipt(bytes.fromhex(what))
        if index is not None:
            return [index]
    elif what.isascii() and what.isdigit() and len(what) < 20 and int(what) < reader.head().size:
        return [int(what)]
    raise NotFoundError(f"{what[:64]!r} is no run, receipt id or index of this store")


def _show_runs(terminal: Terminal, reader: SqliteStore, vault: Vault) -> int:
    rows: list[dict[str, Any]] = []
    for run in reader.runs():
        indexes = reader.run_indexes(run)
        first = _item(indexes[0], reader.record(indexes[0]), vault)
        last = parse_statement(reader.record(indexes[-1]).statement)
        rows.append(
            {
                "run": run.hex(),
                "agent": (first["attributes"] or {}).get("agent", "?"),
                "opened_at": first["captured_at"],
                "statements": len(indexes),
                "outcome": last.predicate.get("outcome", "open") if "run-close" in last.type else "open",
            }
        )
    terminal.document(rows)
    for row in rows:
        terminal.show(f"{row['run']}  {row['opened_at']}  {row['statements']:>5}  {row['outcome']:<10} {plain(row['agent'])}")
    if not rows:
        terminal.say("This store has no runs yet. Begin with: apostille run -- COMMAND, or apostille attest FILE")
    return 0


def _item(index: int, record: Record, vault: Vault) -> dict[str, Any]:
    said = parse_statement(record.statement)
    opened = open_record(vault, record, dict(said.subjects))
    attributes = _json(opened, "attributes", dict)
    return {
        "index": index,
        "type": said.type.removeprefix("urn:apostille:").removesuffix(":v1"),
        "seq": said.predicate.get("seq"),
        "captured_at": said.predicate["captured_at"],
        "receipt_id": record.nonce.hex(),
        "statement": dict(said.predicate),
        "attributes": attributes,
        "raw": _text(said, opened, "raw"),
        "canonical": _text(said, opened, "canonical"),
        "findings": _json(opened, "findings", list) or [],
        "_raw": _content(said, opened, "raw"),
    }


def _json(opened: dict[str, bytes] | None, name: str, kind: type[_J]) -> _J | None:
    """Return what an opening says, if it is there; another kind of value than we write is not shown."""
    if not opened or name not in opened:
        return None
    value = strict.canonical_json_value(opened[name][SALT_BYTES:], spec=name)
    return value if isinstance(value, kind) else None


def _content(said: Statement, opened: dict[str, bytes] | None, name: str) -> bytes | None:
    if not opened or name not in opened:
        return None
    return opened[name][0 if said.predicate.get("commitment") == "plain" else SALT_BYTES :]


def _text(said: Statement, opened: dict[str, bytes] | None, name: str) -> str | None:
    content = _content(said, opened, name)
    return None if content is None else content.decode("utf-8", "backslashreplace")


def _show_item(terminal: Terminal, item: dict[str, Any], *, is_whole: bool) -> None:
    attributes = item["attributes"] or {}
    seq = f"#{item['seq']} " if item["seq"] is not None else ""
    who = attributes.get("agent") or attributes.get("holder") or attributes.get("tool") or ""
    kind = attributes.get("source", {}).get("kind", "") if isinstance(attributes.get("source"), dict) else ""
    sealed = "" if item["attributes"] is not None else "  [yellow]sealed: this store has not its key[/]"
    terminal.show(
        f"[bold]{seq}{item['type']}[/] index {item['index']}  {item['captured_at']}  {plain(who)} {plain(kind)}{sealed}"
    )
    if item["receipt_id"] and item["type"] == "output":
        terminal.show(f"    receipt {item['receipt_id']}")
    raw, canonical = item["raw"], item["canonical"]
    if raw is not None and canonical is not None and raw != canonical:
        terminal.show(f"    [red]raw[/]       {_shown(raw, is_whole=is_whole, with_tails=True)}")
        terminal.show(f"    [green]canonical[/] {_shown(canonical, is_whole=is_whole)}")
    elif raw is not None:
        terminal.show(f"    {_shown(raw, is_whole=is_whole)}")
    _show_findings(terminal, item["findings"], item["_raw"] or b"", _MANY if is_whole else _FEW)


def _show_findings(terminal: Terminal, values: list[Any], raw: bytes, limit: int) -> None:
    """List findings with their places; what is no finding as we write them is counted, and nothing more is made of it."""
    findings = [finding for finding in map(read_finding, values) if finding is not None]
    shown = findings[:limit]
    places = find_places(io.BytesIO(raw), (finding.position for finding in shown))
    for finding in shown:
        line, column = places[finding.position]
        at = f"at {line}:{column}" if finding.pointer is None else f"in {plain(finding.pointer, limit=80) or 'the text'}"
        grade = level(finding.severity)
        terminal.show(f"    [yellow]{plain(finding.code)}[/] {grade} {at}: {plain(what_became(finding), limit=_LINE_CHARACTERS)}")
    if len(findings) > len(shown):
        terminal.show(f"    and {len(findings) - len(shown)} findings more; --json lists all")
    if len(findings) < len(values):
        terminal.show(f"    [yellow]{len(values) - len(findings)} that are no findings as we write them; --json shows them[/]")


def _shown(text: str, *, is_whole: bool, with_tails: bool = False) -> str:
    cut = text if is_whole else text[:400]
    cut = cut[:_MAX_SHOWN_BYTES]
    more = f" [dim]({len(text) - len(cut)} characters more)[/]" if len(cut) < len(text) else ""
    return marked(cut, with_tails=with_tails) + more
