"""Rows come from the Hub: a loopback server plays it to a real client in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.engine.manifest import canonical
from curate.errors import MixtureError
from curate.io.hub import hub
from tests.support.hub_server import COMMIT, Repositories, client, serving

ROW = {
    "instruction": "Name a colour.",
    "completions": [{"response": "Red.", "model": "m", "annotations": {}, "overall_score": 8.0}],
}
LINE = json.dumps(ROW).encode() + b"\n"
REPOSITORIES: Repositories = {
    ("lab/feedback", COMMIT): {"README.md": b"# Card", "one.jsonl": LINE, "more/two.jsonl": LINE * 2, "odd.py": b"1/0"},
    ("lab/card", COMMIT): {"README.md": b"# Card"},
}

SCRIPT = """
import json, sys
from curate.errors import CurateError
from curate.io.hub import hub

for asked in json.load(sys.stdin):
    try:
        opened = hub(**asked).open()
        rows = [[part.file, opened.parse(part).body.num_rows] for part in opened.blocks()]
        print(json.dumps([opened.kind, rows]))
    except CurateError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(REPOSITORIES) as found:
        yield found


def load(endpoint: str, home: Path, *asks: dict[str, Any], **environment: str) -> list[Any]:
    env = client(endpoint, home, **environment)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, env=env, input=json.dumps(asks)
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_files_of_a_repository_are_read_as_files(endpoint: str, tmp_path: Path) -> None:
    every, one, pinned = load(
        endpoint,
        tmp_path,
        {"repository": "lab/feedback"},
        {"repository": "lab/feedback", "paths": "*.jsonl", "format": "ultrafeedback"},
        {"repository": "lab/feedback", "paths": ["more/*.jsonl"], "revision": COMMIT},
    )
    assert every == ["rated", [["more/two.jsonl", 2], ["one.jsonl", 1]]]
    assert one == ["rated", [["one.jsonl", 1]]]
    assert pinned == ["rated", [["two.jsonl", 2]]]


def test_fetched_once_they_are_read_without_a_network(endpoint: str, tmp_path: Path) -> None:
    ask = {"repository": "lab/feedback", "revision": COMMIT}
    assert load(endpoint, tmp_path, ask) == load("http://127.0.0.1:9", tmp_path, ask, HF_HUB_OFFLINE="1")


def test_what_the_hub_does_not_have_is_a_clear_error(endpoint: str, tmp_path: Path) -> None:
    asks = [{"repository": f"lab/{name}"} for name in ("none", "gated", "noise", "card")]
    found = load(endpoint, tmp_path, *asks, {"repository": "lab/feedback", "paths": "*.csv"})
    assert [name for name, _ in found] == ["SourceNotFoundError"] * 5
    assert all(said.endswith("give them to files()") for _, said in found[:3])
    ((name, said),) = load("http://127.0.0.1:9", tmp_path / "none", asks[0], HF_HUB_OFFLINE="1")
    assert name == "SourceNotFoundError"
    assert "lab/none cannot be downloaded from the Hub" in said


def test_a_hub_input_is_known_by_what_it_names() -> None:
    one, other = hub("lab/feedback", revision="a"), hub("lab/feedback", revision="b")
    assert canonical(one) != canonical(other)
    assert canonical(one) == canonical(hub("lab/feedback", revision="a"))
    with pytest.raises(MixtureError, match="names no file"):
        hub("lab/feedback", paths=())
