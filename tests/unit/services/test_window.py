"""What a client has under way, ``services.window``: in order, bounded, kept until it is answered, each statement signed once."""

from __future__ import annotations

import pytest

from apostille.errors import BackPressureError, ConflictError, OutcomeUnknownError, TooLargeError
from apostille.ports import OpeningText, UnsignedEntry
from apostille.services import window
from apostille.services.window import Window


class Signer:
    """Counts signatures."""

    def __init__(self) -> None:
        self.signed: list[bytes] = []

    def __call__(self, message: bytes) -> bytes:
        self.signed.append(message)
        return b"signature"


def entry(text: bytes = b"{}", signer=None, size: int = 10) -> UnsignedEntry:
    openings = (OpeningText("raw", bytes(32), bytes(size)),)
    return UnsignedEntry(text, signer or Signer(), b"spki", openings, bytes(16), bytes(16), b"r" * 16)


def texts(batch) -> list[bytes]:
    return [entry.signed().statement for entry in batch.entries]


def test_what_has_no_answer_is_sent_again_first_and_in_order(monkeypatch) -> None:
    monkeypatch.setattr(window, "_BATCH_ENTRIES", 2)
    there = Window()
    for number in range(5):
        there.add(entry(b"%d" % number))
    assert texts(there.take(1)) == [b"0", b"1"]
    assert texts(there.take(2)) == [b"2", b"3"]
    there.answered(1).answer([7, 8])
    there.send_again()
    there.add(entry(b"5"))
    sent = []
    number = 3
    while there.has_waiting:
        sent += texts(there.take(number))
        number += 1
    assert sent == [b"2", b"3", b"4", b"5"]
    assert there.answered(2) is None, "an answer to what was asked on an earlier connection"


def test_a_statement_goes_into_no_batch_that_was_sent_before() -> None:
    """The keeper knows that batch as it was: it comes again as it was."""
    there = Window()
    there.add(entry(b"0"))
    there.take(1)
    there.send_again()
    there.add(entry(b"1"))
    assert texts(there.take(2)) == [b"0"]
    assert texts(there.take(3)) == [b"1"]


def test_each_is_signed_once_however_often_it_is_sent() -> None:
    signer = Signer()
    there = Window()
    there.add(entry(b"0", signer))
    there.add(entry(b"1", signer))
    assert signer.signed == [], "who speaks does not sign"
    assert texts(there.take(1)) == [b"0", b"1"]
    there.send_again()
    assert texts(there.take(2)) == [b"0", b"1"]
    assert len(signer.signed) == 2


def test_each_has_its_own_outcome() -> None:
    there = Window()
    tickets = [there.add(entry()) for _ in range(3)]
    with pytest.raises(OutcomeUnknownError):
        tickets[0].wait(0.01)
    there.take(1)
    there.answered(1).answer([5, ConflictError("taken"), 9])
    assert (tickets[0].wait(1), tickets[2].wait(1)) == (5, 9)
    with pytest.raises(ConflictError, match="taken"):
        tickets[1].wait(1)
    assert there.is_empty


def test_it_is_bounded_by_number_and_by_bytes() -> None:
    by_number = Window(max_entries=2)
    by_number.add(entry())
    by_number.add(entry())
    with pytest.raises(BackPressureError, match="2 statements"):
        by_number.add(entry())
    by_number.take(1)
    by_number.answered(1).answer([0, 1])
    by_number.add(entry())
    by_bytes = Window(max_bytes=1000)
    by_bytes.add(entry(size=5000))  # alone, it is taken
    with pytest.raises(BackPressureError):
        by_bytes.add(entry(size=1))
    with pytest.raises(TooLargeError) as caught:
        by_bytes.add(entry(size=window.MAX_ENTRY_BYTES))
    assert caught.value.limit == window.MAX_ENTRY_BYTES


def test_what_is_given_up_is_given_up_whole() -> None:
    there = Window()
    tickets = [there.add(entry()) for _ in range(2)]
    there.take(1)
    tickets.append(there.add(entry()))
    lost = there.give_up()
    assert [(batch.was_sent, batch.count, batch.runs) for batch in lost] == [(True, 2, {b"r" * 16}), (False, 1, {b"r" * 16})]
    for batch in lost:
        batch.answer([OutcomeUnknownError("lost")] * batch.count)
    for ticket in tickets:
        with pytest.raises(OutcomeUnknownError, match="lost"):
            ticket.wait(1)
    assert there.is_empty
