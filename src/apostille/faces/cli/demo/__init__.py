"""``apostille demo``: a turned agent, what it hid, and what is left of four attacks on the log. Offline, in its own folders."""

from __future__ import annotations

from apostille.faces.cli.demo.story import demo

__all__ = ["demo"]
