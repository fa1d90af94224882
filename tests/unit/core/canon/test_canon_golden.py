"""The canonical bytes and findings of a fixed corpus do not change (canonical.md section 1, decisions 3; section 13 "determinism").

A change here is a new profile number. The same digest must come from every supported Python: tests/interop/test_other_pythons.py
asks the other ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from canon_golden import DIGEST, digest

HERE = Path(__file__).parent
SOURCE = HERE.parents[3] / "src"


def test_the_golden_corpus_keeps_its_digest():
    assert digest() == DIGEST


def test_nothing_but_the_standard_library_is_needed():
    # -I -S: no package is in reach. The name table of the host must not be loaded either.
    script = (
        f"import sys; sys.path[:0] = [{str(SOURCE)!r}, {str(HERE)!r}]; import canon_golden; print(canon_golden.digest());"
        "assert not {'unicodedata', 'unicodedata2', 'regex'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout.strip(), done.stderr) == (DIGEST, "")
