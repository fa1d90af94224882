"""apostille: the proof layer for autonomous AI agents."""
