"""An early pass: what is dropped wherever it stands, and C2PA text manifests.

Spec: canonical.md section 5, P3; section 6.2 "C2PA text manifest", section 6.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apostille.core.canon import alphabet as a
from apostille.core.canon.hidden_bytes import C2PA_HEADER, C2PA_LENGTH_BYTES, C2PA_MAGIC, selector_byte
from apostille.core.canon.manifests import MAX_SPACES, KeptManifest, Wrapper
from apostille.core.canon.options import DEFAULT_TEXT
from apostille.core.canon.passes import Token, drop

if TYPE_CHECKING:
    from apostille.core.canon.findings import Ledger
    from apostille.core.canon.options import TextOptions
    from apostille.core.canon.passes import Push


class DropPass:
    """Drop what draws nothing wherever it stands, and recognise a C2PA text manifest (C2PA_TEXT).

    The manifest is spelt with variation selectors behind U+FEFF; it is dropped as it arrives, or held to the end of the text if
    an option keeps it (``manifests``).

    Args:
        ledger: Takes the findings.
        push: Takes what stays.
        options: Of the text rules.
        is_data: White space at the end is data.

    Attributes:
        kept: The manifest that stays, once the text has ended.

    Spec: canonical.md section 6.2 "C2PA text manifest", section 6.3; C2PA 2.x, "Embedding manifests into unstructured text".
    """

    def __init__(self, ledger: Ledger, push: Push, options: TextOptions = DEFAULT_TEXT, *, is_data: bool = False) -> None:
        self._ledger = ledger
        self._push = push
        self._options = options
        self._keeps = options.keeps
        self._is_data = is_data
        self._held: list[Token] = []
        self._header = b""
        self._manifest = 0  # selectors of it that are still to come
        self._wrapper: Wrapper | None = None  # one that may stay
        self._spaces: list[Token] = []  # behind it
        self.kept: KeptManifest | None = None

    @property
    def is_waiting(self) -> bool:
        """A manifest may have begun, is being dropped, or may stay."""
        return bool(self._held) or self._manifest > 0 or self._wrapper is not None

    def push(self, token: Token) -> None:
        """Take a token."""
        if self._wrapper is not None and self._goes_on(self._wrapper, token):
            return
        value = selector_byte(token.point) if self._held or self._manifest else None
        if self._manifest:
            if value is not None:
                self._manifest -= 1
                drop(self._ledger, "C2PA_TEXT", token)
                return
            self._manifest = 0
        if self._held:
            if value is not None and self._takes(value):
                self._held.append(token)
                self._begin()
                return
            self.end()
        if token.point == a.BOM:
            self._held = [token]
        elif a.KINDS[token.point] == a.DROP and not self._stays(token.point):
            drop(self._ledger, _drop_code(token.point), token)
        else:
            self._push(token)

    def end(self) -> None:
        """Let what did not become a manifest go on; keep one that may stay."""
        if self._wrapper is not None:
            self._keep(self._wrapper)
        held, self._held, self._header, self._manifest = self._held, [], b"", 0
        for token in held:
            if token.point == a.BOM:
                drop(self._ledger, "ZWSP_DROP" if token.position else "ENC_BOM", token)
            else:
                self._push(token)

    def _stays(self, point: int) -> bool:
        """Tell that an option keeps a character, or that its neighbours will be asked."""
        return self._options.allows(point) or (point == a.ZWSP and "sea_zwsp" in self._keeps)

    def _takes(self, value: int) -> bool:
        index = len(self._header)
        if index < len(C2PA_MAGIC) and value != C2PA_MAGIC[index]:
            return False
        self._header += bytes([value])
        return True

    def _begin(self) -> None:
        if len(self._header) == C2PA_HEADER:
            if "c2pa" in self._keeps:
                last = self._held[-1]
                wrapper = Wrapper(self._held[0].position, last.position + last.length, self._header)
                if wrapper.may_stay:
                    self._wrapper, self._held, self._header = wrapper, [], b""
                    return
            self._manifest = int.from_bytes(self._header[-C2PA_LENGTH_BYTES:], "big")
            for token in self._held:
                drop(self._ledger, "C2PA_TEXT", token)
            self._held, self._header = [], b""

    def _goes_on(self, wrapper: Wrapper, token: Token) -> bool:
        """Take what belongs to a manifest that may stay, or may stand behind it; else it goes, and nothing is taken."""
        value = selector_byte(token.point)
        if value is not None and not self._spaces and wrapper.take(token.position, token.length, value):
            return True
        if wrapper.is_whole:
            if value is not None and not self._spaces:
                drop(self._ledger, "C2PA_TEXT", token)
                return True
            if a.KINDS[token.point] == a.SPACE and len(self._spaces) < MAX_SPACES:
                self._spaces.append(token)
                return True
            if token.point != a.BOM and a.KINDS[token.point] == a.DROP and not self._stays(token.point):
                drop(self._ledger, _drop_code(token.point), token)
                return True
        self._strip(wrapper)
        return False

    def _strip(self, wrapper: Wrapper) -> None:
        self._wrapper, self._manifest = None, max(0, wrapper.missing)
        points = wrapper.points()
        self._ledger.record("C2PA_TEXT", "drop", wrapper.position, wrapper.end - wrapper.position, points, (), len(points))
        spaces, self._spaces = self._spaces, []
        for token in spaces:
            self._push(token)

    def _keep(self, wrapper: Wrapper) -> None:
        if not wrapper.is_whole:
            self._strip(wrapper)
            return
        self._wrapper = None
        self._ledger.record("C2PA_TEXT", "keep", wrapper.position, wrapper.end - wrapper.position, wrapper.points())
        self.kept = wrapper.kept("".join(chr(token.point) for token in self._spaces) if self._is_data else "")
        for token in self._spaces:
            if not self._is_data:
                drop(self._ledger, "WS_END" if token.point == a.LF else "WS_TAIL", token)
            elif token.code:
                self._ledger.record(token.code, "replace", token.position, token.length, token.was, (token.point,))


def _drop_code(point: int) -> str:
    if point in a.NONCHARACTERS:
        return "NONCHAR"
    if any(point in points for points in a.PRIVATE_USE):
        return "PUA_DROP"
    if point in a.LINE_BREAK_HINTS:
        return "ZWSP_DROP"
    return "BLANK_GLYPH" if point == 0x1D159 else "DI_DROP"
