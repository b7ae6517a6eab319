"""Named sets come from the Hub: a loopback server plays it to a real client in a process of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.hub_server import CONVERTED, Hub, Repository, client, serving


def parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def asked(*questions: str) -> list[dict[str, Any]]:
    return [{"question": text, "choices": ["yes", "no"], "answer": i % 2} for i, text in enumerate(questions)]


CARD = """---
configs:
- config_name: one
  data_files: [{split: test, path: one/test-*}, {split: train, path: one/train-*}]
- config_name: two
  data_files: [{split: test, path: two/test-*}]
---
"""
REPOSITORIES = {
    "lab/quiz": Repository(
        {
            "README.md": CARD.encode(),
            "one/test-00000-of-00001.parquet": parquet(asked("Is it?", "Who?")),
            "one/train-00000-of-00001.parquet": parquet(asked("Not this one.")),
            "two/test-00000-of-00001.parquet": parquet(asked("你好吗")),
        }
    ),
    "lab/lines": Repository({"test.jsonl": b'{"turns": [{"content": "a"}, {"content": "b"}], "id": 7}\n'}),
    "lab/scripted": Repository(
        {"README.md": b"---\n---\n", "scripted.py": b"raise SystemExit('never run')"},
        {CONVERTED: {"plain/eval/0000.parquet": parquet(asked("Converted?"))}},
    ),
    "lab/broken": Repository({"README.md": b"", "test.parquet": b"PAR1 no parquet PAR1"}),
    "lab/gated": Repository({"README.md": b"", "test.parquet": parquet(asked("Not for all."))}, gated=True),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving(REPOSITORIES) as found:
        yield found


SCRIPT = """
import json, sys
from curate.errors import CurateError
from curate.evalsets.fields import Fields
from curate.evalsets.items import EvalSet
from curate.evalsets.origins import Hub

for asked in json.load(sys.stdin):
    fields = Fields(**asked.pop("fields", {"question": "question", "choices": "choices", "answer": "answer"}))
    configs = tuple(asked.pop("configs", ()))
    one = EvalSet(name="quiz", origin=Hub(**asked, configs=configs), fields=(fields,))
    try:
        items = one.load()
    except CurateError as error:
        print(json.dumps([type(error).__name__, str(error)]))
    else:
        print(json.dumps([items.ids.to_pylist(), items.question.to_pylist(), items.answer.to_pylist()]))
"""


def load(endpoint: str, home: Path, *asks: dict[str, Any], **environment: str) -> list[Any]:
    """Load eval sets in a process whose Hub is at `endpoint`."""
    env = client(endpoint, home, **environment)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, env=env, input=json.dumps(asks)
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_sets_come_from_the_hub(server: Hub, tmp_path: Path) -> None:
    both, pinned, lines, converted = load(
        server.endpoint,
        tmp_path,
        {"id": "lab/quiz", "split": "test", "configs": ["one", "two"]},
        {"id": "lab/quiz", "split": "test", "configs": ["one"], "revision": server.refs["lab/quiz"]["main"]},
        {"id": "lab/lines", "split": "test", "fields": {"question": "turns.content", "id": "id"}},
        {"id": "lab/scripted", "split": "eval", "configs": ["plain"], "revision": CONVERTED},
    )
    assert both == [["one/0", "one/1", "two/0"], ["Is it?", "Who?", "你好吗"], ["yes", "no", "yes"]]
    assert pinned == [["0", "1"], ["Is it?", "Who?"], ["yes", "no"]]
    assert lines == [["7/0", "7/1"], ["a", "b"], [None, None]]
    assert converted == [["0"], ["Converted?"], ["yes"]]


def test_what_the_hub_does_not_have_is_a_clear_error(server: Hub, tmp_path: Path) -> None:
    found = load(
        server.endpoint,
        tmp_path,
        {"id": "lab/none", "split": "test"},
        {"id": "lab/gated", "split": "test"},
        {"id": "lab/quiz", "split": "test", "configs": ["three"]},
        {"id": "lab/quiz", "split": "dev", "configs": ["one"]},
        {"id": "lab/scripted", "split": "test"},
        {"id": "lab/noise", "split": "test"},
        {"id": "lab/broken", "split": "test"},
    )
    assert [name for name, _ in found] == ["SourceNotFoundError"] * 6 + ["FormatError"]
    none, gated, config, split, scripted, noise, broken = (said for _, said in found)
    assert none.startswith(
        "lab/none, split test cannot be downloaded from the Hub: Dataset 'lab/none' doesn't exist on the Hub"
    )
    assert "lab/gated" in gated
    assert "gated" in gated.split("Log in")[0]
    assert "'three' not found" in config
    assert 'Unknown split "dev"' in split
    assert "scripts are no longer supported" in scripted
    assert noise.startswith("lab/noise, split test cannot be downloaded from the Hub: ")
    assert broken.startswith("lab/broken on the Hub cannot be read")
    assert all(said.endswith("EvalSet.at(path).") for _, said in found)


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    ((name, said),) = load("http://127.0.0.1:9", tmp_path, {"id": "lab/quiz", "split": "test"}, HF_HUB_OFFLINE="1")
    assert name == "SourceNotFoundError"
    assert said.startswith("lab/quiz, split test cannot be downloaded from the Hub: ")
    assert said.endswith("without a network, fetch its files elsewhere and point the set at them: EvalSet.at(path).")
