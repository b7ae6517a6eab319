"""How time and memory of near-duplicate removal grow with the rows: 50,000 to 3 million short dialogues.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_dedup_scale.py -s`; `CURATE_BENCH_ROWS` (3,000,000) says how
far. The dialogues are real answers of Alpaca, cut to 60 words, again and again: half of the rows as they are or with
one word exchanged, so that they fall or are near misses of each other, half with every eighth word exchanged, which
leaves a similarity of a third: candidates now and then, and never near enough. So all rows of one answer, hundreds of
them, come to lie in common buckets. Each size runs in a process of its own, with the lists on disk as a build keeps
them; the peak is that of the whole process, Python, libraries, and the making of the rows with it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pytest

SIZES: Final = (50_000, 200_000, 1_000_000, 3_000_000)

SIDE: Final = """
import json, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
import polars as pl
import pyarrow as pa
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.dedup.dedup import dedup

BATCH = 50_000
WORDS = 60
texts, rows, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
real = [text.split()[:WORDS] for text in json.loads(Path(texts).read_text())]
step = dedup()

def batch(number):
    chance = np.random.default_rng(number)
    found = []
    for k in range(min(BATCH, rows - number * BATCH)):
        words = list(real[chance.integers(len(real))])
        one = [] if k % 8 == 6 else [int(chance.integers(len(words)))]
        places = range(int(chance.integers(8)), len(words), 8) if k % 2 else one
        for at in places:
            words[at] = "w%d" % chance.integers(1 << 30)
        half = len(words) // 3
        found.append([{"role": "user", "content": " ".join(words[:half])},
                      {"role": "assistant", "content": " ".join(words[half:])}])
    messages = pa.array(found, BODIES["conversation"].field("messages").type)
    return pa.RecordBatch.from_arrays([messages, pa.array(["{}"] * len(found))], schema=BODIES["conversation"])

class Disk:
    def __init__(self):
        self.first = [0]
    def write(self, number, lists):
        made = pa.record_batch([lists], ["shingles"])
        with pa.OSFile(str(folder / str(number)), "wb") as out, pa.ipc.new_file(out, made.schema) as writer:
            writer.write_batch(made)
    def read(self, name, lines):
        which = np.asarray(lines) // BATCH
        parts = []
        for number in np.unique(which):
            lists = pa.ipc.open_file(pa.memory_map(str(folder / str(number)))).get_batch(0)[name]
            parts.append(lists.take(pa.array(lines[which == number] - number * BATCH)))
        place = np.empty(len(lines), np.int64)
        place[np.argsort(which, kind="stable")] = np.arange(len(lines))
        return pa.concat_arrays(parts).take(pa.array(place))

def sign(number):
    made = step.sign(segments(batches[number], step.reads))
    disk.write(number, made.lists["shingles"])
    batches[number] = None
    return made.columns

disk, seconds, work, size, columns = Disk(), 0.0, 0.0, 0, []

class Memory:
    def read(self, name, lines):
        return warm.lists[name].take(pa.array(lines))

few = min(rows, 4000)  # all kernels are loaded, and none is compiled on the clock
one = pa.RecordBatch.from_pylist(batch(0).slice(0, few).to_pylist(), BODIES["conversation"])
warm = step.sign(segments(one, step.reads))
numbers = np.arange(few)
keys = pl.DataFrame(warm.columns).with_columns(row=numbers, source=numbers, protect=numbers < 0, rank=numbers)
step.resolve(keys, Memory(), {})
count = -(-rows // BATCH)
for start in range(0, count, 2):
    batches = {number: batch(number) for number in range(start, min(start + 2, count))}
    size += sum(each.nbytes for each in batches.values())
    began, worked = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(2) as pool:
        columns += pool.map(sign, list(batches))
    seconds += time.perf_counter() - began
    work += time.process_time() - worked
signed = seconds
began, worked = time.perf_counter(), time.process_time()
keys = pl.DataFrame({name: np.concatenate([each.pop(name) for each in columns]) for name in list(columns[0])})
numbers = np.arange(rows)
keys = keys.with_columns(row=numbers, source=(numbers % 7).astype(np.int16), protect=numbers < 0,
                         rank=numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
falls = step.resolve(keys, disk, {}).drops
seconds += time.perf_counter() - began
work += time.process_time() - worked
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
figures = {"seconds": seconds, "work": work, "signed": signed, "bytes": size, "peak": peak, "dropped": falls.height}
print(json.dumps(figures))
"""


@pytest.mark.timeout(3600)  # making millions of rows takes minutes, outside the clock
def test_scale(real_data: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.json"
    found = json.loads((real_data / "sft/alpaca_random_9k.json").read_bytes())
    texts.write_text(json.dumps([row["output"] for row in found if len(row["output"].split()) >= 60]))
    most = int(os.environ.get("CURATE_BENCH_ROWS", SIZES[-1]))
    sizes = [size for size in SIZES if size <= most]
    measured = []
    for rows in sizes:
        folder = tmp_path / str(rows)
        folder.mkdir()
        command = [sys.executable, "-c", SIDE, str(texts), str(rows), str(folder)]
        figures = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        measured.append(figures)
        print(
            f"\n{rows:>9,} rows, {figures['bytes'] / 1e6:,.0f} MB: {figures['seconds']:.2f} s "
            f"({figures['signed']:.2f} s to sign), {figures['work']:.2f} s of work, "
            f"peak {figures['peak'] / 1e9:.2f} GB, {figures['dropped'] / rows:.1%} dropped"
        )
    exponent, of_work = (
        np.polyfit([math.log(rows) for rows in sizes], [math.log(figures[what]) for figures in measured], 1)[0]
        for what in ("seconds", "work")
    )
    print(f"time grows with the rows to the power of {exponent:.2f}, work to that of {of_work:.2f}")
    assert exponent <= 1.1
    assert max(figures["peak"] for figures in measured) < 3e9
