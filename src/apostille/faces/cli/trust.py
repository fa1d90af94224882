"""``apostille trust``: which logs and witnesses this user believes. Changing it is always an act of the user."""

from __future__ import annotations

from pathlib import Path

from apostille import wiring
from apostille.core import note, strict
from apostille.core.policy import NO_QUORUM, Policy, parse_policy
from apostille.errors import ConflictError, MalformedError, NotFoundError
from apostille.faces.cli.terminal import Terminal, is_file, plain, read_input
from apostille.storage import files

_HEADER = "# The logs and witnesses that this user believes (c2sp.org/tlog-policy). Managed by: apostille trust\n"


def _read() -> str:
    data = files.read_file(wiring.known_logs_path(), limit=2**20)
    return strict.utf8(data, spec="known_logs") if data is not None else _HEADER + "quorum none\n"


def _write(text: str) -> None:
    parse_policy(text.encode())  # never write what we would not read
    path = wiring.known_logs_path()
    files.make_folder(path.parent, mode=files.PRIVATE_FOLDER)
    files.replace_file(path, text.encode())


def _words(row: str) -> list[str]:
    """Split a line as the reader of trust files does."""
    return [word for word in row.replace("\t", " ").split(" ") if word]


def _is_quorum(row: str) -> bool:
    return _words(row)[:1] == ["quorum"]


def add_rows(rows: list[str], quorum: str | None = None) -> list[str]:
    """Add lines before the quorum line; return the ones that were not there yet.

    Raises:
        MalformedError: The whole would not be a trust file.
        ConflictError: It would change a quorum that somebody has set.
    """
    old = _read().removesuffix("\n").split("\n")
    new = [row for row in rows if row not in old]
    kept = [row for row in old if not _is_quorum(row)]
    was = next((row for row in old if _is_quorum(row)), "quorum none")
    wanted = f"quorum {quorum}" if quorum not in {None, NO_QUORUM} else was
    if was not in {wanted, "quorum none"}:
        raise ConflictError(
            f"this user's trust file says {was!r}, the new one {wanted!r}: edit {wiring.known_logs_path()} by hand"
        )
    _write("\n".join([*kept, *new, wanted]) + "\n")
    return new


def pin_own_log(vkeys: tuple[note.VerifierKey, ...]) -> None:
    """Pin a log that this user has just made: its 0x01 key as ``log``, its 0x06 key to be checked where it has signed."""
    first, second = vkeys
    name = "pq-" + second.hash.hex()[:16]
    add_rows([f"log {note.format_vkey(first)}", f"witness {name} {note.format_vkey(second)}"])


def trust_add(terminal: Terminal, what: str) -> int:
    """Add a verifier key, or all of a trust file."""
    path = Path(what)
    quorum = None
    if is_file(path):
        data = read_input(what)
        policy = parse_policy(data)
        rows = [
            row for row in data.decode().split("\n") if _words(row) and not _words(row)[0].startswith("#") and not _is_quorum(row)
        ]
        quorum = policy.quorum
    else:
        try:
            key = note.parse_vkey(what)
        except MalformedError as error:
            raise NotFoundError(f"{what[:64]!r} is neither a file nor a verifier key (name+hex+base64)") from error
        if key.kind != note.ED25519:
            raise MalformedError("only an Ed25519 log key can be added by itself; witnesses need a trust file", spec="vkey")
        rows = [f"log {what}"]
    added = add_rows(rows, quorum)
    terminal.document({"added": added, "trust_file": str(wiring.known_logs_path())})
    for row in added:
        terminal.show(f"added  {plain(row, limit=200)}")
    if not added:
        terminal.show("nothing new: all of it was trusted already")
    terminal.say("Compare the key with one that reached you another way; nothing else shows that it is the right one.")
    return 0


def trust_list(terminal: Terminal) -> int:
    """Print whom this user believes."""
    policy = wiring.load_policy()
    terminal.document(_as_json(policy))
    for log in policy.logs:
        known = wiring.head_memory().recall(log.name)
        seen = f"  remembered head: size {known.size}" if known else ""
        terminal.show(f"log      {plain(note.format_vkey(log), limit=200)}{seen}")
    for name, key in policy.witnesses.items():
        terminal.show(f"witness  {plain(name)} {plain(key.name)} {key.key_id.hex()}")
    terminal.show(f"quorum   {plain(policy.quorum)}")
    if not policy.logs:
        terminal.say(f"No log is trusted yet ({wiring.known_logs_path()}). Add one with: apostille trust add VKEY")
    return 0


def _as_json(policy: Policy) -> dict[str, object]:
    return {
        "trust_file": str(wiring.known_logs_path()),
        "logs": [note.format_vkey(log) for log in policy.logs],
        "witnesses": {name: note.format_vkey(key) for name, key in policy.witnesses.items()},
        "quorum": policy.quorum,
    }


def trust_remove(terminal: Terminal, origin: str) -> int:
    """Remove a log, and the post-quantum key that was pinned with it."""
    rows = _read().removesuffix("\n").split("\n")
    gone = [
        row
        for row in rows
        if _words(row)[:1] in (["log"], ["witness"]) and any(word.startswith(f"{origin}+") for word in _words(row)[1:])
    ]
    if not gone:
        raise NotFoundError(f"the trust file names no log {origin!r}")
    _write("\n".join(row for row in rows if row not in gone) + "\n")
    terminal.document({"removed": gone})
    for row in gone:
        terminal.show(f"removed  {plain(row, limit=120)}")
    return 0
