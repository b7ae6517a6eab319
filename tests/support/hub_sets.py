"""Small data sets for the Hub on loopback, and what reading them comes to."""

from __future__ import annotations

import io
import json
import random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import CurateError
from curate.io.hub.hub import hub
from curate.io.inputs import Opened
from tests.support.hub_server import CONVERTED, Repository

CARD: Final = """---
pretty_name: Chats of a lab
license: odc-by
configs:
- config_name: chat
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: [data/test-*]}
- config_name: facts
  data_files: facts.jsonl
- config_name: more
  data_dir: more
dataset_info:
- config_name: chat
  splits: [{name: train, num_examples: 400}, {name: test, num_examples: 3}]
---
# Chats

```bibtex
@misc{lab2026,
  title={{Chats} of a lab},
}
```
"""
FACT: Final = b'{"question": "2+2?", "answer": "4"}\n'
TOKEN: Final = "hf_" + "abc" * 8


def parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:  # noqa: ANN401
    """Return rows as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **options)
    return out.getvalue()


def chats(count: int, large: int = 2000) -> list[dict[str, Any]]:
    """Return conversations, the first half of one set and the rest of another, with a column of `large` bytes."""
    chance = random.Random(7)
    return [
        {
            "id": f"r{i}",
            "dataset": "flan" if 2 * i < count else "lima",
            "messages": [
                {"role": "user", "content": f"Question {i}?"},
                {"role": "assistant", "content": f"Answer {i}."},
            ],
            "extra": chance.randbytes(large).hex(),
        }
        for i in range(count)
    ]


TRAIN: Final = parquet(chats(400), row_group_size=50)
REPOSITORIES: Final = {
    "lab/chat": Repository(
        {
            "README.md": CARD.encode(),
            "data/train-00000-of-00001.parquet": TRAIN,
            "data/test-00000-of-00001.parquet": parquet(chats(3)),
            "facts.jsonl": FACT * 2,
            "more/train.jsonl": FACT,
            "more/valid/a.jsonl": FACT * 3,
        },
        {"v1": {"facts.jsonl": FACT}},
    ),
    "lab/facts": Repository(
        {"one.jsonl": FACT, "more/two.jsonl": FACT * 2, "odd.py": b"raise SystemExit('never run')"}
    ),
    "lab/card": Repository({"README.md": b"# Only a card"}),
    "lab/scripted": Repository(
        {"README.md": b"---\nlicense: mit\n---\n", "scripted.py": b"raise SystemExit('never run')"},
        {
            CONVERTED: {
                "plain/train/0000.parquet": parquet(chats(4)),
                "plain/train/0001.parquet": parquet(chats(2)),
                "plain/partial-test/0000.parquet": parquet(chats(3)),
            },
            "v1": {"scripted.py": b"raise SystemExit('never run')"},
        },
    ),
    "lab/lost": Repository({"lost.py": b"raise SystemExit('never run')"}),
    "lab/gated": Repository(
        {"README.md": b"---\nextra_gated_fields:\n  Company: text\n---\n", "a.jsonl": FACT}, gated=True
    ),
    "lab/private": Repository({"a.jsonl": FACT}, private=True),
    "lab/many": Repository({f"part/{i:03}.jsonl": FACT for i in range(120)}),
}
TOKENS: Final = {TOKEN: {"lab/gated", "lab/private"}, "hf_stranger": set[str]()}


def count(opened: Opened) -> dict[str, int]:
    """Return the rows of each file."""
    found: dict[str, int] = {}
    for block in opened.blocks():
        found[block.file] = found.get(block.file, 0) + opened.parse(block).body.num_rows
    return found


def refusal(repository: str, **asked: Any) -> str:  # noqa: ANN401
    """Return why a set cannot be opened."""
    try:
        opened = hub(repository, **asked).open()
    except CurateError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{repository} has {json.dumps(count(opened))}")
