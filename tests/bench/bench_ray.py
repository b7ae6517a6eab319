"""What Ray costs on one machine, and how much memory the head of a large build needs.

`CURATE_REAL_DATA=... pytest tests/bench/bench_ray.py -s`

The first bench builds the same file on two threads and with two workers of Ray, in turns, each in a process of its own;
`CURATE_BENCH_GB` sets other sizes (0.3 and 3) and `CURATE_BENCH_ROUNDS` another number of rounds. The clock runs from
the call of `build` to its end, with the start and the stop of Ray; processor time is that of all processes.

The second writes the keys of 1, 3 and 10 million rows as a build does, lets a process resolve them, sample and order
them, and fits a line to the memory that it needs: what a row costs the head, whatever its length.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from curate.engine.partition import FILE, REWARD_TYPES, partition_paths
from curate.io.atomic import write_ipc
from tests.bench.bench_build import dialogues, perturbed
from tests.support.build_data import hashes

SIZES: Final = tuple(float(each) for each in os.environ.get("CURATE_BENCH_GB", "0.3,3").split(","))
ROUNDS: Final = int(os.environ.get("CURATE_BENCH_ROUNDS", "3"))
ENGINES: Final = ("local", "ray")

BUILD: Final = """
import os, sys, time
from pathlib import Path
import curate as c
from curate import mixture
from curate.engine.executors import ray_tasks

def processor():
    "Seconds of this process and all below it."
    parents, seconds = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            seconds[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(seconds[pid] for pid in below)

used = []
def finish(folder, then=mixture.write_page_and_card):
    found = then(folder)
    used.append(processor())
    return found

mixture.write_page_and_card = finish
source = c.Source("chats", c.files(sys.argv[1], format="messages"), take=c.Fraction(0.9))
steps = [c.refusals(), c.shape(), c.exact_dedup()]
mixed = c.Mixture("bench", [source], steps)
mixed.name, processor()
start, before = time.perf_counter(), processor()
mixed.build(sys.argv[2], overwrite=True, resume=False, quiet=True, threads=2, engine=sys.argv[3])
print(time.perf_counter() - start, used[0] - before)
"""


class Took(NamedTuple):
    """Seconds of a build by the clock, and of processor."""

    clock: float
    processor: float


def built(source: Path, target: Path, engine: str) -> Took:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, source, target, engine], check=True, stdout=subprocess.PIPE, text=True
    )
    return Took(*map(float, done.stdout.split()))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("size", SIZES)
def test_ray_with_two_workers_beside_two_threads(real_file: Callable[[str], Path], tmp_path: Path, size: float) -> None:
    path, left, lines = tmp_path / "chats.jsonl", size * 1e9, perturbed(dialogues(real_file), random.Random(0))
    with path.open("wb") as out:
        while left > 0:
            left -= out.write(next(lines))
    took: dict[str, list[Took]] = {engine: [] for engine in ENGINES}
    for number in range(ROUNDS):
        for engine in ENGINES if number % 2 else ENGINES[::-1]:
            took[engine].append(built(path, tmp_path / engine, engine))
    same = [{name: sha for name, sha in hashes(tmp_path / engine).items() if "/" in name} for engine in ENGINES]
    assert same[0] == same[1]
    middle = {engine: Took(*map(statistics.median, zip(*found, strict=True))) for engine, found in took.items()}
    print(f"\n{size:g} GB of conversations, medians of {ROUNDS} rounds")
    for engine, (clock, processor) in middle.items():
        print(f"{engine:6} clock {clock:7.2f} s  processor {processor:7.2f} s")
    clock, processor = (ours / theirs for ours, theirs in zip(middle["ray"], middle["local"], strict=True))
    print(f"ray / local: clock {clock:.2f}  processor {processor:.2f}  (at 3 GB at most 1.6)")


ROWS: Final = (1_000_000, 3_000_000, 10_000_000)
PER_PARTITION: Final = 16_000
"""Rows of a block of 16 MB."""

HEAD: Final = """
import pickle, sys, threading, time
from pathlib import Path
import numpy as np
import curate as c
from curate.engine import barrier, build, output
from curate.engine.pipeline import final_phase
from curate.engine.reading import ReadResult, open_sources
from curate.engine.references import TakeReferences
from curate.engine.resolve import order, resolve, resolve_ids
from curate.engine.shards import RowStore
from curate.mix.spec import MixtureSpec, Source

def memory():
    "Bytes of this process; pages of files do not count, which the system may drop."
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) << 10

most = 0
def watch():
    global most
    while True:
        most = max(most, memory())
        time.sleep(0.002)

mixture = MixtureSpec("m", [Source("s", c.files(sys.argv[3], "messages"), take=c.Fraction(0.9))], [c.exact_dedup()])
_, opened = open_sources(mixture)
phase = final_phase(mixture, opened)
begin = memory()
threading.Thread(target=watch, daemon=True).start()
partitions = build._partitions(Path(sys.argv[1]), ReadResult((int(sys.argv[2]),), ()))
keys = build.load_keys(partitions)
loaded = memory(), most
source = np.zeros(keys.height, np.int16)
batches = [barrier.DiskKeys(one.rows, one.paths.signed) for one in partitions]
lines = build._source_lines(opened, partitions, source, keys)
contents, own_content = build._contents(mixture, source, keys), build._own_content(keys)
states = resolve_ids(keys, source)
del keys
states, results = resolve(phase, states, None, batches)
decided = memory(), most
done = output.ResolvedPhase(
    phase=phase, reading=None, partitions=partitions, states=states, results=results, lines=lines, score_types={},
    contents=contents, own_content=own_content, prompt=None,
)
del source, states, batches
done, _ = output._sample(mixture, done, TakeReferences())
train = order(mixture, done.states, test=False)
ordered = memory(), most
inputs = output.LedgerInputs(
    names=("s",), pipelines=phase.pipelines, states=done.states, partitions=partitions, lines=lines, results=results,
    kept=None, score_types={}, content=done.own_content, prompt=None,
)
store = RowStore(lines, (), None, None, done.states.source, done.states.occurrence, done.states.relocated)
buffers = []
pickle.dumps((inputs, store), protocol=5, buffer_callback=buffers.append)
shared = sum(buffer.raw().nbytes for buffer in buffers)
print(*(value - begin for value in (*loaded, *decided, *ordered)), shared)
"""


def write_keys(folder: Path, rows: int) -> int:
    """Write the keys of so many rows, one in twenty with the prompt of another; return the number of partitions."""
    folder.mkdir()
    random_words = np.random.default_rng(rows)
    parts = range(0, rows, PER_PARTITION)
    for number, start in enumerate(parts):
        count = min(PER_PARTITION, rows - start)
        high, low, content = (random_words.integers(0, 2**64, count, np.uint64) for _ in range(3))
        columns = {
            "key_high": high,
            "key_low": low,
            "content_high": content,
            "content_low": content,
            "dropped_by": np.where(random_words.random(count) < 0.02, 0, -1).astype(np.int16),
            "bytes": random_words.integers(100, 2_000, count),
            "tokens": random_words.integers(25, 500, count),
            "parts": np.zeros(count, np.uint8),
            "start": np.cumsum(np.full(count, 1_000)),
            "length": np.full(count, 1_000, np.int32),
        }
        place = partition_paths(folder, 0, number)
        batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns.values()], names=list(columns))
        write_ipc(place.keys, [batch.replace_schema_metadata({FILE: "a.jsonl", REWARD_TYPES: "{}"})])
        twice = random_words.random(count) < 0.05
        prompt = np.where(twice, random_words.integers(0, rows // 20 + 1, count).astype(np.uint64), low)
        signed = {"exact_dedup\0high": prompt, "exact_dedup\0low": prompt}
        write_ipc(
            place.signed,
            [pa.RecordBatch.from_arrays([pa.array(column) for column in signed.values()], names=list(signed))],
        )
    return len(parts)


class Needed(NamedTuple):
    """Bytes of memory: when keys are read, when groups have decided, when rows are in order; each with the most so far.

    `shared` is what workers are given of it to write the build; it is in Ray's object store.
    """

    keys: int
    most_reading: int
    decided: int
    most_deciding: int
    in_order: int
    most: int
    shared: int


@pytest.mark.timeout(3600)
def test_the_memory_of_the_head(tmp_path: Path) -> None:
    row = '{"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi."}]}'
    (tmp_path / "a.jsonl").write_text(f"{row}\n", encoding="utf-8")
    found = []
    for rows in ROWS:
        count = write_keys(tmp_path / str(rows), rows)
        given = [sys.executable, "-c", HEAD, str(tmp_path / str(rows)), str(count), str(tmp_path / "a.jsonl")]
        done = subprocess.run(given, check=True, stdout=subprocess.PIPE, text=True)
        found.append(Needed(*map(int, done.stdout.split())))
        sizes = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in found[-1]._asdict().items())
        print(f"\n{rows:>11,} rows, GB: {sizes}")
    for name, column in zip(Needed._fields, zip(*found, strict=True), strict=True):
        per_row, base = np.polyfit(ROWS, column, 1)
        print(f"{name:14} {per_row:6.1f} bytes a row, {(base + 1e8 * per_row) / 1e9:6.2f} GB at 100 million")
