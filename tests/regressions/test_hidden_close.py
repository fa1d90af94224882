"""A keeper closed a run a second time, because somebody had hidden the first close by its column, which nobody signs."""

from __future__ import annotations

import apsw

pytest_plugins = ("tests.e2e.cli_kit",)


def test_a_close_that_is_hidden_by_its_column(home):
    """The next keeper signs nothing because of it, and verification names the leaf that is filed wrongly and no other."""
    database = apsw.Connection(str(home.store / "store.sqlite"))
    hide = "UPDATE leaf SET run = NULL WHERE instr(statement, 'urn:apostille:run-close:v1') > 0 RETURNING idx"
    ((hidden,),) = database.execute(hide).fetchall()
    database.close()
    size = home.ok("--json", "log", "info").json["committed_size"]
    home.ok("attest", "answer.txt")
    assert home.ok("--json", "log", "info").json["committed_size"] == size + 2, "more than the attested file and its key was signed"
    result = home.run("--json", "verify").clear()
    assert result.code == 1
    assert {failure.get("index") for failure in result.json["failures"] if failure["code"] != "incomplete"} == {hidden}
