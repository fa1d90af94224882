"""An agent as its author writes it: the OpenAI SDK, one tool, and not a word about who looks on.

python agent.py FOLDER STEP...

| step | what happens |
|---|---|
| whole, stream | a tool loop: the model asks for the tool, gets its result, says something |
| once | one question, one answer |
| large | the same with a question of 12 MB, and no second try |
| exit=N | ends with status N |
| wait | makes FOLDER/ready and waits to be interrupted |
| kill | dies of SIGKILL |

One JSON line on stdout says what each step gave. All that is added for the tests is ``keep``, a hook of the SDK's own HTTP
client: it copies the bytes of each response into FOLDER as they come from the connection, before the SDK has seen them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import openai

FOLDER = Path(sys.argv[1])
ORDERS = {"A-17": "42 EUR"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup_order",
            "description": "What an order costs.",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string"}, "note": {"type": "string"}},
                "required": ["order_id"],
            },
        },
    }
]


class Kept(httpx2.SyncByteStream):
    """A response's body that is also written to a file."""

    def __init__(self, stream, path):
        self._stream, self._path = stream, path

    def __iter__(self):
        with self._path.open("wb") as file:
            for piece in self._stream:
                file.write(piece)
                file.flush()
                yield piece

    def close(self):
        self._stream.close()


def keep(response):
    number = len(list(FOLDER.glob("*.head.json")))
    head = {"status": response.status_code, "headers": {name.lower(): value for name, value in response.headers.items()}}
    (FOLDER / f"{number:03d}.head.json").write_text(json.dumps(head))
    response.stream = Kept(response.stream, FOLDER / f"{number:03d}.body")


def say(client, messages, *, streamed):
    """Ask the model once; return what it said and the tool calls that it wants."""
    if not streamed:
        message = client.chat.completions.create(model="sim-1", messages=messages, tools=TOOLS).choices[0].message
        return message.content, [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()]
    text, calls = None, {}
    for chunk in client.chat.completions.create(model="sim-1", messages=messages, tools=TOOLS, stream=True):
        delta = chunk.choices[0].delta
        if delta.content:
            text = (text or "") + delta.content
        for piece in delta.tool_calls or ():
            call = calls.setdefault(piece.index, ["", "", ""])
            call[0] += piece.id or ""
            call[1] += piece.function.name or ""
            call[2] += piece.function.arguments or ""
    return text, [tuple(call) for call in calls.values()]


def loop(client, *, streamed):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What does order A-17 cost?"}]
    asked = []
    while True:
        text, calls = say(client, messages, streamed=streamed)
        if not calls:
            return {"text": text, "tools": asked}
        wanted = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
        messages.append({"role": "assistant", "content": text, "tool_calls": wanted})
        for call_id, _, arguments in calls:
            given = json.loads(arguments)
            asked.append(given)
            result = ORDERS.get(given["order_id"], "no such order")
            messages.append({"role": "tool", "tool_call_id": call_id, "content": result})


def once(client, question="Hello?"):
    try:
        answer = client.chat.completions.create(model="sim-1", messages=[{"role": "user", "content": question}])
    except openai.APIStatusError as error:
        return {"status": error.status_code, "code": error.code, "message": error.message}
    except openai.APIConnectionError as error:
        return {"status": None, "message": str(error)}
    return {"text": answer.choices[0].message.content}


def main():
    client = openai.OpenAI(http_client=openai.DefaultHttpxClient(event_hooks={"response": [keep]}))
    for step in sys.argv[2:]:
        if step in {"whole", "stream"}:
            print(json.dumps(loop(client, streamed=step == "stream")), flush=True)
        elif step == "once":
            print(json.dumps(once(client)), flush=True)
        elif step == "large":
            print(json.dumps(once(client.with_options(max_retries=0), "x" * 12_000_000)), flush=True)
        elif step == "wait":
            (FOLDER / "ready").touch()
            time.sleep(60)
        elif step == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            sys.exit(int(step.removeprefix("exit=")))


main()
