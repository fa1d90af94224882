"""apostille: the proof layer for autonomous AI agents.

    import apostille

    with apostille.open() as store, store.run(agent="claims-agent") as run:
        said = run.output("The refund is 42 EUR.")
        print(said.text)                                         # canonical, and committed already
        said.published(timeout=5).write("answer.receipt.json")
    apostille.verify("answer.receipt.json", artifact=said.data)  # the verified value, or an error that says why

Names are loaded on first use, so that importing a verifier does not pull in a database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apostille.core.canon import Canonical as Canonical
    from apostille.core.canon import Finding as Finding
    from apostille.core.canon import canonicalize as canonicalize
    from apostille.errors import ApostilleError as ApostilleError
    from apostille.errors import IncompleteError as IncompleteError
    from apostille.errors import MalformedError as MalformedError
    from apostille.errors import UntrustedError as UntrustedError
    from apostille.errors import VerificationError as VerificationError
    from apostille.faces.sdk import Apostille as Apostille
    from apostille.faces.sdk import open_store as open  # noqa: A004, F401 - `apostille.open` reads as it should
    from apostille.faces.sdk import verify as verify
    from apostille.services.verifier import VerifiedReceipt as VerifiedReceipt

_MODULES = {
    "core.canon": "Canonical Finding canonicalize",
    "errors": "ApostilleError IncompleteError MalformedError UntrustedError VerificationError",
    "faces.sdk": "Apostille open verify",
    "services.verifier": "VerifiedReceipt",
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_LAZY)  # noqa: PLE0605 - made from the one table


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'apostille' has no attribute {name!r}")
    return getattr(import_module(f"apostille.{_LAZY[name]}"), "open_store" if name == "open" else name)
