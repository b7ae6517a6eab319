"""What `Diverse` covers beside a random sample and the longest rows of the same tokens, and what it costs.

Real rows of T0 (260 files of templates), FLAN, Alpaca, LIMA and others, 126,000 together, are one source. At 1, 5 and
20 % of their tokens, distinct 8-grams and templates of T0 are counted. A template is a file of T0; `wordings` counts
those that were applied to several subsets of one data set (DuoRC, AdversarialQA) once, as their texts are the same.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_diverse.py -s`. The second test takes 100,000 and 1,000,000
rows (`CURATE_BENCH_ROWS` sets another number) and says seconds, processor time and peak memory of whole builds.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.io.inputs import files
from curate.mix.amounts import Tokens
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.ranked import Longest
from curate.mixture import Mixture
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.rows.shingles import joined, row_sets
from curate.rows.tokens import tokens
from tests.bench.bench_build import dialogues, perturbed

SHARES: Final = (0.01, 0.05, 0.2)
SEEDS: Final = range(3)
ALPACA: Final = (
    "lima", "alpaca_random_9k", "cherry_alpaca_5pct", "gsm8k_train_alpaca", "gpteacher_codegen-instruct",
    "gpteacher_roleplay-simple-deduped-roleplay-instruct", "alpagasus_claude_t45", "code_alpaca_2k",
)  # fmt: skip
BUILD: Final = """
import resource, sys, time
import curate as c
rows, out, count = sys.argv[1:]
take = c.Diverse(int(count)) if int(count) else c.All()
start, cpu = time.perf_counter(), time.process_time()
c.Mixture("bench", [c.Source("rows", c.files(rows, "messages"), take=take)], []).build(out, overwrite=True, quiet=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(time.perf_counter() - start, time.process_time() - cpu, peak)
"""


class RealRow(NamedTuple):
    """A prompt and its answer, the file of T0 that it is of (empty: of none), and its data set."""

    ask: str
    say: str
    template: str
    source: str


def real_rows(folder: Path) -> Iterator[RealRow]:
    """Give real rows, those of T0 first."""
    for path in sorted((folder / "t0_train_50k").glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                yield RealRow(row["prompt"], row["completion"], path.name.split(".")[0], "t0")
    for path in sorted((folder / "flan_cot").glob("*.tsv")):
        with path.open() as stream:
            for cells in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                say = cells[2].replace("\\n", "\n") + " " + cells[1]
                yield RealRow(cells[0].replace("\\n", "\n"), say, "", "flan_cot")
    for name in ALPACA:
        for row in json.loads((folder / f"{name}.json").read_bytes()):
            ask = "\n\n".join(part for part in (row["instruction"], row.get("input")) if part)
            yield RealRow(ask, row.get("output") or row.get("response") or "", "", name)


def wording(template: str) -> str:
    """Return a template without the subset that it was applied to."""
    return re.sub(r"^(adversarial_qa)_d(bert|bidaf|roberta)|^(duorc)_(ParaphraseRC|SelfRC)", r"\1\3", template)


def grams(rows: list[RealRow]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the 8-grams of each row, and its tokens."""
    turns = [[{"role": "user", "content": ask}, {"role": "assistant", "content": say}] for ask, say, *_ in rows]
    found: list[np.ndarray] = []
    sizes = []
    for first in range(0, len(rows), 10_000):
        lines = [{"messages": one, "meta": "{}"} for one in turns[first : first + 10_000]]
        every = segments(pa.RecordBatch.from_pylist(lines, BODIES["conversation"]))
        offsets, lists = joined(list(row_sets(every, 8)))
        found += np.split(lists.values.to_numpy(), offsets[1:-1])
        sizes.append(tokens(every))
    return found, np.concatenate(sizes)


@pytest.mark.timeout(7200)
def test_what_is_covered(real_data: Path, tmp_path: Path) -> None:
    rows = [row for row in real_rows(real_data / "sft") if row.ask.strip() and row.say.strip()]
    path = tmp_path / "rows.jsonl"
    with path.open("w") as out:
        for i, (ask, say, *_) in enumerate(rows):
            turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]
            out.write(json.dumps({"id": str(i), "messages": turns}) + "\n")
    of_row, size = grams(rows)
    total = int(size.sum())
    print(f"\n{len(rows):,} rows, {total:,} tokens, {len(np.unique(np.concatenate(of_row))):,} distinct 8-grams")

    def order(take: Diverse | Longest, seed: int) -> np.ndarray:
        mixture = Mixture("bench", [Source("rows", files(path, "messages"), take=take)], [], seed=seed)
        built = mixture.build(tmp_path / "build", overwrite=True, quiet=True)
        return built.chosen("rows")["id"].cast(pl.Int64).to_numpy()

    most = Tokens(int(SHARES[-1] * total))
    orders = {
        "random": [np.random.default_rng(seed).permutation(len(rows)) for seed in SEEDS],
        "longest": [order(Longest(most, on="all"), 0)],
        "diverse": [order(Diverse(most), seed) for seed in SEEDS],
    }
    for share in SHARES:
        found = {}
        for name, each in orders.items():
            counts = []
            for one in each:
                picked = one[: int(np.searchsorted(np.cumsum(size[one]), share * total, side="right"))]
                templates = {rows[i].template for i in picked.tolist()} - {""}
                distinct = len(np.unique(np.concatenate([of_row[i] for i in picked.tolist()])))
                counts.append((len(picked), distinct, len(templates), len(set(map(wording, templates)))))
            found[name] = np.mean(counts, axis=0)
        for name, (count, distinct, templates, wordings) in found.items():
            ratio = distinct / found["random"][1]
            print(
                f"{share:4.0%} {name:8} {count:8,.0f} rows, {ratio:.3f} of random's 8-grams, "
                f"{templates:.1f} templates, {wordings:.1f} wordings"
            )


@pytest.mark.timeout(7200)
def test_what_it_costs(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    most = int(os.environ.get("CURATE_BENCH_ROWS", "1000000"))
    seconds = {}
    for count in (100_000, most):
        path = tmp_path / f"{count}.jsonl"
        with path.open("wb") as out:
            out.writelines(islice(perturbed(dialogues(real_file), random.Random(0)), count))
        for chosen in (0, count // 10):
            command = [sys.executable, "-c", BUILD, str(path), str(tmp_path / "build"), str(chosen)]
            run = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            clock, cpu, peak = map(float, run)
            seconds[count, bool(chosen)] = clock
            what = f"Diverse({chosen:,})" if chosen else "All()"
            print(f"\n{count:9,} rows, {what:16} {clock:6.1f} s, processor {cpu:6.1f} s, peak {peak:.2f} GB")
        path.unlink()
    if most > 100_000:
        grown = math.log(seconds[most, True] / seconds[100_000, True]) / math.log(most / 100_000)
        print(f"the time of the whole build grows by an exponent of {grown:.2f}")
