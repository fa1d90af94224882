"""Every command and snippet of the README runs as it stands there, in a fresh folder, with settings of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.simulators import openai_upstream as upstream

REPO = Path(__file__).resolve().parents[2]
README = (REPO / "README.md").read_text(encoding="utf-8")
APOSTILLE = str(Path(sys.executable).with_name("apostille"))
AGENT = """
import json, os, urllib.request
body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body,
    {"Content-Type": "application/json", "Authorization": "Bearer k"})
print(json.loads(urllib.request.urlopen(request).read())["choices"][0]["message"]["content"])
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("make")]


@pytest.fixture
def home(tmp_path):
    """A folder, an environment in which `apostille` and `python` are found, and no settings of anybody else."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "APOSTILLE", "XDG"))}
    env |= {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
    }
    (tmp_path / "agent.py").write_text(AGENT)
    return tmp_path, env


def test_the_readme_names_commands():
    assert len(commands()) >= 14
    assert len(blocks("python")) == 2


def test_commands(home):
    folder, env = home
    with upstream.OpenAIUpstream() as model:
        model.script(upstream.text("hello"))
        env["OPENAI_BASE_URL"] = model.url
        for line in commands():
            if "serve --upstream" in line:
                serve(line.replace("https://api.openai.com/v1", model.url), folder, env)
                continue
            done = subprocess.run(
                ["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for name in ("answer.txt.receipt.json", "answer.txt.sigstore.json", "exported/trusted_root.json"):
        assert (folder / name).is_file()


def serve(line: str, folder: Path, env: dict[str, str]) -> None:
    """Start the service, ask whether it is ready, and stop it as a supervisor would."""
    words = [*shlex.split(line), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", said)
        assert url, said
        with urllib.request.urlopen(url.group() + "/readyz", timeout=10) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest


def test_python(home):
    folder, env = home
    subprocess.run([APOSTILLE, "--quiet", "init"], cwd=folder, env=env, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[0]], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["The refund is 42 EUR.", "urn:apostille:output:v1 claims-agent UNWITNESSED"]
    (folder / "answer.receipt.json").unlink()
    subprocess.run([sys.executable, "-c", blocks("python")[1]], cwd=folder, env=env, check=True, timeout=60)
    assert (folder / "answer.receipt.json").is_file()
