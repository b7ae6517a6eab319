"""A whole build against bare copies of the same file: one GB of conversations through refusals, shape, exact_dedup and
sampling into a finished build folder, beside Polars and pyarrow merely writing the file as Parquet.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_build.py -s`. Each side is a process of its own, timed from
its start to its end, imports included, one after the other in three rounds; figures are medians. `CURATE_BENCH_GB`
sets another size.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROUNDS = 3
ALPACA = (
    "sft/lima.json",
    "sft/alpaca_random_9k.json",
    "sft/cherry_alpaca_5pct.json",
    "sft/gsm8k_train_alpaca.json",
    "sft/gpteacher_codegen-instruct.json",
    "sft/gpteacher_roleplay-simple-deduped-roleplay-instruct.json",
    "sft/alpaca_zh_demo.json",
)
SHAREGPT = ("sft/dummy_conversation.json", "sft/alpaca_1k_longest.json", "sft/glaive_toolcall_en_demo.json")

CURATE = """
import sys
import curate as c
steps = [c.refusals(), c.shape(), c.exact_dedup()]
source = c.Source("chats", c.files(sys.argv[1], format="messages"), take=c.Fraction(0.9))
c.Mixture("bench", [source], steps).build(sys.argv[2], overwrite=True, resume=False, quiet=True)
"""
POLARS = """
import sys
import polars as pl
pl.scan_ndjson(sys.argv[1]).sink_parquet(sys.argv[2])
"""
PYARROW = """
import sys
import pyarrow.json
import pyarrow.parquet
reader = pyarrow.json.open_json(sys.argv[1])
with pyarrow.parquet.ParquetWriter(sys.argv[2], reader.schema, compression="zstd") as writer:
    for batch in reader:
        writer.write_batch(batch)
"""
SIDES = {"curate": CURATE, "polars": POLARS, "pyarrow": PYARROW}


class Run(NamedTuple):
    """What one process took: seconds from start to end, seconds of processor, and the most memory it held, in bytes."""

    wall: float
    cpu: float
    peak: int


def dialogues(real_file: Callable[[str], Path]) -> list[list[str]]:
    """Return the turns of real dialogues, the user's first."""
    found = []
    for name in ALPACA:
        for row in json.loads(real_file(name).read_bytes()):
            question = "\n\n".join(part for part in (row["instruction"], row.get("input")) if part)
            found.append([question, row.get("output") or row.get("response") or "I see."])
    for name in SHAREGPT:
        found += [[turn["value"] for turn in row["conversations"]] for row in json.loads(real_file(name).read_bytes())]
    return found


def perturbed(found: list[list[str]], rng: random.Random) -> Iterator[bytes]:
    """Yield lines without end: one or two real dialogues in a row, nine in ten with a word put in somewhere."""
    number = 0
    while True:
        turns = list(rng.choice(found)) + (list(rng.choice(found)) if rng.random() < 0.5 else [])
        if rng.random() < 0.9:
            place = rng.randrange(len(turns))
            words = turns[place].split(" ")
            words.insert(rng.randrange(len(words) + 1), f"w{number}")
            turns[place] = " ".join(words)
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
        row = {"id": f"r{number}", "messages": messages, "dataset": "bench"}
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        number += 1


@pytest.fixture(scope="module")
def chats(real_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON Lines file of the size asked for."""
    path = tmp_path_factory.mktemp("bench") / "chats.jsonl"
    left = float(os.environ.get("CURATE_BENCH_GB", "1")) * 1e9
    lines = perturbed(dialogues(real_file), random.Random(0))
    with path.open("wb") as out:
        while left > 0:
            left -= out.write(next(lines))
    return path


def run(code: str, source: Path, target: Path) -> Run:
    """Run one side to its end."""
    start = time.perf_counter()
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", code, str(source), str(target)], os.environ)
    _, status, used = os.wait4(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return Run(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


@pytest.mark.timeout(3600)
def test_a_build_beside_bare_copies(chats: Path, tmp_path: Path) -> None:
    warm = tmp_path / "warm.jsonl"
    with chats.open("rb") as source, warm.open("wb") as out:
        out.writelines(source.readline() for _ in range(2_000))
    run(CURATE, warm, tmp_path / "warm")  # kernels are compiled once an installation
    runs: dict[str, list[Run]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, code in SIDES.items():
            runs[name].append(run(code, chats, tmp_path / name))
    size = chats.stat().st_size
    wall = {name: statistics.median(one.wall for one in found) for name, found in runs.items()}
    print(f"\n{size / 1e9:.2f} GB of conversations, median of {ROUNDS} rounds")
    for name, found in runs.items():
        cpu, peak = statistics.median(one.cpu for one in found), max(one.peak for one in found)
        print(f"{name:8} {wall[name]:6.2f} s  {size / wall[name] / 1e6:5.0f} MB/s  cpu {cpu:5.2f} s  peak {peak / 1e9:.2f} GB")
    print(f"curate / polars  {wall['curate'] / wall['polars']:.2f}  (at most 1)")
    print(f"curate / pyarrow {wall['curate'] / wall['pyarrow']:.2f}  (at most 2)")
