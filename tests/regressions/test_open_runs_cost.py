"""Looking for open runs read all later statements for each closed run: 8 s of CPU at 100,000 leaves, at each start of a keeper."""

from __future__ import annotations

from apostille.core import predicates
from apostille.core.merkle import leaf_hash
from apostille.core.tree import append_leaves
from apostille.ports import Record
from apostille.storage.sqlite import SqliteStore

CLOSE = b'{"predicateType":"%s"}' % predicates.RUN_CLOSE.encode()
RUNS = 100
STEP = 50  # instructions of SQLite's machine between two ticks


def cost_of(store: SqliteStore) -> int:
    """Ticks that ``open_runs`` takes; no clock is in it."""
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        return False

    store._db.set_progress_handler(tick, STEP)
    assert store.open_runs() == []
    store._db.set_progress_handler(None)
    return ticks


def test_closed_runs_cost_no_search(tmp_path):
    """Four times as many closed runs cost about four times as much, not sixteen times."""
    store = SqliteStore.create(tmp_path / "store.sqlite")
    costs: list[int] = []
    for until in (RUNS, 4 * RUNS):
        head = store.head()
        records = [
            Record(b"%d" % i, leaf_hash(b"%d" % i), CLOSE, i.to_bytes(16), bytes(16), bytes(40), (), i.to_bytes(16))
            for i in range(head.size, until)
        ]
        store.commit(head, records, append_leaves(head, [record.leaf_hash for record in records]))
        costs.append(cost_of(store))
    store.close()
    assert costs[1] < 6 * costs[0], costs
