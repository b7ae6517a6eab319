"""One block of chat rows into Arrow: the scan beside msgspec with typed rows and pyarrow's JSON reader, one core each.

Run it with `pytest tests/bench/bench_scan.py --benchmark-enable -s`; it prints MB/s, and how many times the scan is as
fast.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pytest
from pyarrow import json as arrow_json

from curate.io.jsonl.scan import scan_lines

SIZE: Final = 64 << 20
MESSAGE: Final = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA: Final = pa.schema([("id", pa.string()), ("messages", pa.list_(MESSAGE)), ("n", pa.int64())])
SPEEDS: Final[dict[str, float]] = {}


class Message(msgspec.Struct, gc=False):
    role: str
    content: str


class Row(msgspec.Struct, gc=False):
    messages: list[Message]
    id: str
    n: msgspec.Raw


def with_scan(block: bytes) -> int:
    return len(scan_lines(block, list_key="messages", role_key="role", text_key="content", id_key="id").line)


def with_msgspec(block: bytes) -> int:
    rows = msgspec.json.Decoder(Row).decode_lines(block)
    pa.array([message.role for row in rows for message in row.messages], pa.string())
    pa.array([message.content for row in rows for message in row.messages], pa.string())
    pa.array([row.id for row in rows], pa.string())
    pa.array([bytes(row.n) for row in rows], pa.binary())
    return len(rows)


def with_pyarrow(block: bytes) -> int:
    once = arrow_json.ReadOptions(use_threads=False, block_size=16 << 20)
    return arrow_json.read_json(io.BytesIO(block), once, arrow_json.ParseOptions(explicit_schema=SCHEMA)).num_rows


@pytest.fixture(scope="module")
def block(real_data: Path) -> bytes:
    """64 MiB of real rows, each a little different."""
    rows = json.loads((real_data / "sft" / "lima.json").read_bytes())
    rows += json.loads((real_data / "sft" / "alpaca_zh_demo.json").read_bytes())
    rng = random.Random(0)
    lines, size = [], 0
    while size < SIZE:
        row = rng.choice(rows)
        talk = [("user", f"{row['instruction']} {size}"), ("assistant", row["output"])]
        messages = [{"role": role, "content": text} for role, text in talk]
        lines.append(msgspec.json.encode({"id": f"r{size}", "messages": messages, "n": size}))
        size += len(lines[-1]) + 1
    return b"\n".join(lines)


@pytest.fixture(scope="module", autouse=True)
def ratios() -> Iterator[None]:
    """Print what the benches of this file measured, once they are through."""
    yield
    for name, speed in SPEEDS.items():
        print(
            f"\n{name:>14}: {speed:6.0f} MB/s; the scan is {SPEEDS.get('with_scan', speed) / speed:4.1f} times as fast",
            end="",
        )


@pytest.mark.parametrize("reader", [with_scan, with_msgspec, with_pyarrow])
def test_read_a_block(benchmark: Any, block: bytes, reader: Callable[[bytes], int]) -> None:  # noqa: ANN401
    def timed() -> int:
        start = time.perf_counter()
        rows = reader(block)
        SPEEDS[reader.__name__] = max(
            SPEEDS.get(reader.__name__, 0.0), len(block) / 1e6 / (time.perf_counter() - start)
        )
        return rows

    assert benchmark.pedantic(timed, rounds=5, warmup_rounds=1) == block.count(b"\n") + 1
