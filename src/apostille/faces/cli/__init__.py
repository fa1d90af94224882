"""The command line: ``apostille``.

Exit codes: 0 verified or done; 1 not verified; 2 usage; 3 trust anchor not confirmed; 4 incomplete; 5 verified, content erased;
65 malformed; 69 a dependency is unavailable; 70 our own fault, which says nothing about the evidence; 78 configuration.
"""

from __future__ import annotations

from apostille.faces.cli.main import main

__all__ = ["main"]
