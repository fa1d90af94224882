"""The gateway: an OpenAI-compatible proxy that holds each answer whole, cleans it, has it committed, and only then sends it.

    request -> run -> new inputs -> upstream, read to its end -> one answer, built once -> COMMIT -> status line, headers, answer

| file | |
|---|---|
| ``sse``, ``wire`` | events, JSON, limits, refusals |
| ``chat_read``, ``chat``, ``chat_write`` | upstream bytes to a model, its parts cleaned, the answer's bytes |
| ``inputs``, ``sessions`` | what was asked, and in which run |
| ``upstream``, ``problems`` | the other side, and what it says when it fails |
| ``exchange``, ``app``, ``server`` | one question and its answer; routes; the socket |
"""

from __future__ import annotations
