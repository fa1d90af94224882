"""``apostille erase`` on real stores: what goes, what stays, what each verdict says, and that no file holds it any more.

Spec: formats.md section 3.6; trust.md section 8 and scenario 5.
"""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import apsw
import pytest

from apostille.storage import openings

pytest_plugins = ("tests.e2e.cli_kit",)

SECRET = b"Patient 4711 has the code XyZZy-PLANTED-0815.\n"


def run_ids(home) -> list[str]:
    return [row["run"] for row in home.ok("--json", "show").json]


def leaves_of(home, run: str) -> list[int]:
    return [item["index"] for item in home.ok("--json", "show", run).json]


def unit_keys(home) -> dict[str, str]:
    rows = (home.store / "keys" / "units").read_text().splitlines()
    return {row.split()[0]: row.split()[2] for row in rows}


def holders(folder: Path, needle: bytes) -> list[str]:
    """Every file of the store in which these bytes stand, as they are, in hex or in base64."""
    forms = (needle, needle.hex().encode(), base64.b64encode(needle))
    return [str(path) for path in folder.rglob("*") if path.is_file() and any(form in path.read_bytes() for form in forms)]


def rows(home, sql: str, *args) -> list:
    db = apsw.Connection(str(home.store / "store.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def counts(result) -> dict[str, int]:
    return result.json["audit"]["openings"]


@pytest.fixture
def secret(home):
    """A home with two runs; the second is the patient's, and a salted file about him has its receipt."""
    home.ok("run", "--agent", "PLANTED-AGENT", "--principal", "PLANTED-PRINCIPAL", "--", "true")
    home.file("patient.txt", SECRET)
    home.ok("attest", "--salted", "patient.txt")
    return home


def test_a_run_is_erased_by_its_key_and_nothing_else(secret):
    first, second = run_ids(secret)
    before = unit_keys(secret)
    gone = base64.b64decode(before[second])
    done = secret.ok("--json", "erase", "--run", second, "--reason", "request 17", "--yes").json
    assert done["state"] == "erased"
    assert (done["keys_destroyed"], done["leaves"]) == (1, [*done["leaves"]])
    after = unit_keys(secret)
    assert second not in after
    assert {unit: key for unit, key in after.items() if unit in before} == {u: k for u, k in before.items() if u != second}
    assert holders(secret.store, gone) == []
    for planted in (b"PLANTED-AGENT", b"PLANTED-PRINCIPAL", b"request 17"):
        assert holders(secret.store, planted) == []

    erased = secret.run("--json", "verify", second).clear()
    assert erased.code == 5, erased.text
    assert counts(erased)["erased"] == len(done["leaves"])
    assert any(f"statements at {done['statements'][0]}" in step.get("detail", "") for step in erased.json["steps"])
    whole = secret.run("--json", "verify", ".apostille").clear()
    assert (whole.code, counts(whole)["missing"]) == (5, 0)
    assert secret.run("verify", first).code == 0
    assert secret.ok("--json", "show", first).json[0]["attributes"]["agent"] == "a"


def test_erasing_again_signs_nothing(secret):
    second = run_ids(secret)[1]
    secret.ok("erase", "--run", second, "--yes")
    size = secret.ok("--json", "log", "info").json["committed_size"]
    again = secret.ok("--json", "erase", "--run", second, "--yes").json
    assert (again["statements"], again["keys_destroyed"]) == ([], 0)
    assert secret.ok("--json", "log", "info").json["committed_size"] == size


@pytest.mark.parametrize("names", [(), ("raw", "canonical")])
def test_a_leaf_is_erased_by_its_rows(secret, names):
    index = secret.ok("--json", "log", "info").json["committed_size"] - 1
    ((packed,),) = rows(secret, "SELECT sealed FROM opening WHERE idx = ?", index)
    sealed = [opening.ciphertext for opening in openings.unpack(packed)]
    ((wrapped,),) = rows(secret, "SELECT wrapped_key FROM leaf WHERE idx = ?", index)
    assert all(holders(secret.store, row[:24]) for row in (*sealed, wrapped)), "the search itself finds what is there"
    options = [word for name in names for word in ("--opening", name)]
    done = secret.ok("--json", "erase", "--index", str(index), *options, "--yes").json
    assert done["openings_destroyed"] == (len(names) or len(sealed))
    for row in sealed[: len(names) or None]:
        assert holders(secret.store, row[:24]) == []
    assert bool(holders(secret.store, wrapped)) == bool(names)

    whole = secret.run("--json", "verify", ".apostille").clear()
    assert (whole.code, counts(whole)["erased"], counts(whole)["missing"]) == (5, 1, 0)
    ((item),) = secret.ok("--json", "show", str(index)).json
    assert item["raw"] is None
    assert (item["attributes"] is not None) == bool(names), "what was not named is still there"


def test_receipts_of_what_was_erased(secret):
    index = secret.ok("--json", "log", "info").json["committed_size"] - 1
    kept = secret.work / "patient.txt.receipt.json"
    secret.ok("verify", kept)
    done = secret.ok("--json", "erase", "--index", str(index), "--method", "key", "--yes").json
    at = done["statements"][0]

    # Whoever has his own copy and salt: still verified; the store says what it has done.
    mine = secret.ok("--json", "verify", kept, "--log", ".apostille").json
    assert any(f"erased in the store at {at}," in notice for notice in mine["not_checked"])
    # A receipt from after the erasure holds neither salt nor attributes.
    secret.ok("log", "receipt", str(index), "--out", "later.txt")
    assert not (secret.work / "later.txt").exists()
    later = secret.work / "later.txt.receipt.json"
    assert b'"salt"' not in later.read_bytes()
    assert b'"attributes"' not in later.read_bytes()
    alone = secret.run("--json", "verify", later).clear()
    assert alone.code == 4, "without the log nobody knows why it is not there"
    beside = secret.run("--json", "verify", later, "--log", ".apostille").clear()
    assert (beside.code, beside.json["verdict"].split(",")[0]) == (5, "VERIFIED")
    assert any(f"erased in the store at {at}," in notice for notice in beside.json["not_checked"])


def test_an_opening_that_is_gone_without_a_statement_is_missing(secret):
    second = run_ids(secret)[1]
    units = secret.store / "keys" / "units"
    units.write_bytes(b"".join(row + b"\n" for row in units.read_bytes().splitlines() if not row.startswith(second.encode())))
    found = secret.run("--json", "verify", ".apostille").clear()
    assert (found.code, counts(found)["erased"]) == (1, 0)
    assert found.json["failures"][0]["index"] == leaves_of(secret, second)[0]


def test_what_a_statement_names_and_is_still_there_is_incomplete_until_a_keeper_completes_it(secret):
    second = run_ids(secret)[1]
    units = secret.store / "keys" / "units"
    before = units.read_bytes()
    secret.ok("erase", "--run", second, "--yes")
    units.write_bytes(before)  # as if the process had ended between statement and destruction, or an old copy had come back
    late = secret.run("--json", "verify", ".apostille").clear()
    assert late.code == 4
    assert all("still there" in failure["message"] for failure in late.json["failures"])
    secret.ok("run", "--", "true")  # any keeper
    assert second not in unit_keys(secret)
    assert secret.run("verify", ".apostille").code == 5


def test_a_time_to_come_is_waited_for(secret):
    second = run_ids(secret)[1]
    done = secret.ok("--json", "erase", "--run", second, "--effective-at", "2099-01-01", "--yes").json
    assert (done["state"], done["keys_destroyed"], done["effective_at"]) == ("scheduled", 0, "2099-01-01T00:00:00.000Z")
    secret.ok("run", "--", "true")
    assert second in unit_keys(secret)
    assert secret.run("verify", ".apostille").code == 0
    now = secret.ok("--json", "erase", "--run", second, "--yes").json
    assert (len(now["statements"]), now["keys_destroyed"]) == (1, 1), "a statement for a later time is no reason to wait"


def test_what_is_refused_says_why_and_erases_nothing(secret):
    second = run_ids(secret)[1]
    index = str(leaves_of(secret, second)[0])
    before = (secret.store / "keys" / "units").read_bytes()
    size = secret.ok("--json", "log", "info").json["committed_size"]
    for words, code, why in (
        (("--index", index, "--method", "key"), 2, "also opens"),
        (("--index", "1", "--method", "key"), 2, "store's own key"),
        (("--index", index, "--opening", "raw"), 2, "has no opening 'raw'"),
        (("--index", index, "--opening", "attributes", "--method", "key"), 2, "--method row"),
        (("--index", "4711"), 2, "there is no leaf 4711"),
        (("--run", "ab" * 16), 2, "there is no run"),
        (("--run", "xx"), 2, "32 hex digits"),
        ((), 2, "--run RUN or --index N"),
        (("--run", second, "--index", "1"), 2, "--run RUN or --index N"),
        (("--run", second, "--effective-at", "tomorrow"), 2, "a time in UTC"),
        (("--run", second, "--effective-at", "2026-13-01"), 2, "a time in UTC"),
        (("--run", second, "--method", "fire"), 2, "key or row"),
        (("--run", second, "--erasure-key", ".apostille/keys/keeper.pem"), 78, "only an erasure key"),
        (("--run", second, "--erasure-key", "nowhere.pem"), 78, "no erasure key"),
    ):
        found = secret.run("erase", *words, "--yes").clear()
        assert (found.code, why in found.talk) == (code, True), (words, found.code, found.talk)
    asked = secret.run("erase", "--run", second).clear()
    assert (asked.code, "--yes" in asked.talk) == (2, True)
    assert (secret.store / "keys" / "units").read_bytes() == before
    assert secret.ok("--json", "log", "info").json["committed_size"] == size


def test_an_erasure_key_that_was_taken_offline_is_given_by_name(secret):
    second = run_ids(secret)[1]
    shutil.move(secret.store / "keys" / "erasure.pem", secret.path / "stick.pem")
    missing = secret.run("erase", "--run", second, "--yes").clear()
    assert (missing.code, "--erasure-key FILE" in missing.talk) == (78, True)
    secret.ok("erase", "--run", second, "--erasure-key", secret.path / "stick.pem", "--yes")
    assert secret.run("verify", second).code == 5


def test_a_store_without_an_erasure_key_gets_one_from_its_root(secret):
    """An older store: the key that is there is certified by nobody."""
    second = run_ids(secret)[1]
    keys = secret.store / "keys"
    (keys / "erasure.pem").unlink()
    wrong = secret.run("keys", "certify-erasure", "--root-key", keys / "root-next.pem").clear()
    assert wrong.code == 3
    refused = secret.run("erase", "--run", second, "--yes").clear()
    assert (refused.code, "keys certify-erasure" in refused.talk) == (78, True), "a new key that nobody has certified"
    secret.ok("keys", "certify-erasure", "--root-key", keys / "root.pem")
    assert secret.run("keys", "certify-erasure", "--root-key", keys / "root.pem").clear().code == 2
    secret.ok("erase", "--run", second, "--yes")
    assert secret.run("verify", ".apostille").code == 5


def test_a_damaged_erasure_is_a_finding_when_another_run_is_verified(secret):
    """Whoever can write to the database must not turn a verdict into a fault of ours (exit 70)."""
    first, second = run_ids(secret)
    (index,) = secret.ok("--json", "erase", "--run", second, "--yes").json["statements"]
    db = apsw.Connection(str(secret.store / "store.sqlite"))
    db.execute("UPDATE opening SET sealed = x'00' WHERE idx = ?", (index,))
    db.close()
    found = secret.run("--json", "verify", first).clear()
    assert found.code == 65, found.text
    assert "packed openings are cut off" in found.text
