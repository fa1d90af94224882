"""``apostille attest`` on a disk that fails at any moment: receipts are whole or not there, and the log has what they are of.

Spec: style.md section 8 (``faults/``: receipt files); trust.md section 4 (69).
"""

from __future__ import annotations

import random
import shutil

import pytest
from device import MODES, Device
from extent import IS_ALL

from apostille import wiring
from apostille.errors import ApostilleError
from apostille.faces import codes
from apostille.faces.cli.attest import attest_files
from apostille.faces.cli.demo.stage import Recorder
from apostille.faces.cli.verify import verify_targets
from apostille.services.verifier import verify_receipt
from tests.faults.drill import Drill

TEXTS = {"one.txt": b"The refund is 42 EUR.\n", "two.txt": b"Hidden\xf3\xa0\x81\xa1 characters.\n"}
WRITTEN = ("receipt.json", "sigstore.json", "pub.pem")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A user with a store and two files."""
    drill = Drill(tmp_path_factory.mktemp("attest") / "place", random.Random(1))
    drill.place.mkdir()
    assert drill.cli("init")[0] == 0
    for name, text in TEXTS.items():
        (drill.place / name).write_bytes(text)
    return drill


def attest(drill: Drill) -> None:
    out = drill.place / "out"
    with drill.at_home():
        attest_files(
            Recorder(store=str(drill.store)),
            [str(drill.place / name) for name in TEXTS],
            media_type=None,
            agent="a",
            principal=None,
            profile="safe",
            is_salted=False,
            out=out,
        )


def copied(made: Drill, place) -> Drill:
    shutil.copytree(made.place, place)
    return Drill(place, random.Random(1))


def check(drill: Drill) -> int:
    """Whatever is there is whole, and verifies; how many receipts there are."""
    with drill.at_home():
        policy = wiring.load_policy()
    receipts = 0
    for path in drill.place.glob("out/*"):
        assert not path.name.endswith(".tmp") or path.name.startswith(".")
        if path.name.endswith(".receipt.json"):
            canonical = path.with_name(path.name.removesuffix(".receipt.json"))
            artifact = canonical.read_bytes() if canonical.exists() else (drill.place / canonical.name).read_bytes()
            verify_receipt(path.read_bytes(), policy, artifact=artifact)
            receipts += 1
    with drill.at_home():
        recorder = Recorder()
        assert verify_targets(recorder, [str(drill.store)], artifact=None, log=None, trust=None) == codes.VERIFIED, (
            recorder.documents
        )
    return receipts


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_each_write_of_a_receipt_fails(made, tmp_path, mode):
    honest = copied(made, tmp_path / "honest")
    with Device(honest.place, below="out/").on() as device:
        attest(honest)
    assert check(honest) == 2
    count = len(device.events)
    assert count >= 4 * len(TEXTS) * len(WRITTEN)
    stride = 1 if IS_ALL else 5
    for number in range(random.Random(mode).randrange(stride), count, stride):
        drill = copied(made, tmp_path / str(number))
        with Device(drill.place, strike=number, mode=mode, below="out/").on() as device:
            try:
                attest(drill)
            except ApostilleError as error:
                assert codes.exit_code(error) == codes.UNAVAILABLE, (device.struck, error)
            else:
                assert str(device.struck) == "make folder out", "a folder that is there all the same is no failure"
        assert check(drill) <= 2
        attest(drill)  # again, into the same folder
        assert check(drill) == 2
        shutil.rmtree(drill.place)
