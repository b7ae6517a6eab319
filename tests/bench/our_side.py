"""Our side of a bench beside peers, as a process: one Group over rows in memory, or a whole build of them.

`our_side.py STEP WAY CHATS SCRATCH DATA RESULT` writes to RESULT, as JSON, the seconds of `work`, what part of them
went where, and the ids of the rows that stay. The clock starts when kernels are loaded from Numba's cache, which takes
as long for one row as for a million; `start` says how long.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

import curate as c
from curate.engine.barrier import MemoryKeys, StoredLists
from curate.mixture import Mixture
from curate.rows.segments import segments
from curate.steps.base import Group, GroupKeys
from curate.steps.decontaminate._index import compiled
from curate.steps.decontaminate.decontaminate import Decontaminate, decontaminate
from curate.steps.dedup.dedup import dedup
from tests.support.real_evals import real_evals, rephrased

if TYPE_CHECKING:
    from curate.evalsets.items import EvalSet
    from curate.io.inputs import Input

THREADS: Final = 2
LABEL: Final = "bench"
WARM: Final = 4096
"""Rows that load the kernels before the clock starts: enough that some are near each other, and resolved."""


def step_of(name: str, data: Path, scratch: Path) -> Group:
    """Return the step: both read every turn."""
    return dedup("all") if name == "dedup" else decontaminate(all_evals(data, scratch), on="all")


def all_evals(data: Path, scratch: Path) -> tuple[EvalSet, ...]:
    """Return every eval of the real data, the rephrased ones too."""
    return (*real_evals(data, scratch), *rephrased(data))


def batches_of(source: Input) -> tuple[list[pa.RecordBatch], list[str]]:
    """Return the rows in Arrow, a batch a block, and their ids."""
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    return [one.body for one in parsed], [name for one in parsed for name in one.ids.to_pylist()]


def keys_of(signed: Sequence[GroupKeys], rows: int) -> pl.DataFrame:
    """Return the keys that a group meets at the barrier; ranks are drawn, as those of ids are hashes."""
    columns = {name: np.concatenate([one.columns[name] for one in signed]) for name in signed[0].columns}
    return pl.DataFrame(
        {
            "row": np.arange(rows, dtype=np.int64),
            "source": np.zeros(rows, np.int16),
            "rank": np.random.default_rng(0).integers(0, 2**63, rows, dtype=np.uint64),
            "protect": np.zeros(rows, np.bool_),
            **columns,
        }
    )


def decide(step: Group, batches: Sequence[pa.RecordBatch]) -> tuple[dict[str, float], set[int]]:
    """Sign the batches on two threads and resolve; return the seconds of each, and the rows that fall, by number."""
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        signed = list(pool.map(lambda batch: step.sign(segments(batch, step.reads)), batches))
    middle = time.perf_counter()
    rows = sum(batch.num_rows for batch in batches)
    sheets = [MemoryKeys(batch.num_rows, {LABEL: one}) for batch, one in zip(batches, signed, strict=True)]
    totals = {name: np.sum([one.totals[name] for one in signed], axis=0) for name in signed[0].totals}
    keys = keys_of(signed, rows)
    resolved = step.resolve(keys, StoredLists(sheets, LABEL, np.arange(rows)), totals)
    end = time.perf_counter()
    return {"sign": middle - start, "resolve": end - middle}, set(resolved.drops["row"].to_list())


def in_memory(step: Group, source: Input) -> dict[str, Any]:
    """Run the step over texts that already lie in memory."""
    batches, ids = batches_of(source)
    start = time.perf_counter()
    decide(step, [batches[0].slice(0, WARM)])
    loaded = time.perf_counter() - start
    used = time.process_time()
    index = index_of(step)
    parts, falls = decide(step, batches)
    used = time.process_time() - used
    kept = [name for i, name in enumerate(ids) if i not in falls]
    spent = {"index": index} | parts
    return {"work": sum(spent.values()), "cpu": used, "parts": spent, "start": loaded, "kept": kept}


def index_of(step: Group) -> float:
    """Return the seconds that an index of the evals takes, loading them included; 0 for a step without."""
    if not isinstance(step, Decontaminate):
        return 0.0
    start = time.perf_counter()
    again = replace(step, evals=step.evals[::-1])  # the index of these, in this order, was built before
    compiled(again.evals, again.ngram, again.threshold)
    return time.perf_counter() - start


def built(step: Group, source: Input, out: Path) -> dict[str, Any]:
    """Build a mixture with this one step, from JSON Lines to a finished folder; nothing is loaded before."""
    start, used = time.perf_counter(), time.process_time()
    build = Mixture("bench", [c.Source("chats", source, take=c.All())], [step]).build(out, overwrite=True, quiet=True)
    work, used = time.perf_counter() - start, time.process_time() - used
    kept = pl.scan_parquet(build.path / "data" / "*.parquet").select("id").collect()["id"].to_list()
    return {"work": work, "cpu": used, "parts": {}, "kept": kept}


def main() -> None:
    """Run what the command line says."""
    name, way, chats, scratch, data, result = sys.argv[1:]
    source = c.files(Path(chats) / "*.jsonl", format="messages")
    step = step_of(name, Path(data), Path(scratch))
    figures = in_memory(step, source) if way == "memory" else built(step, source, Path(scratch) / "build")
    Path(result).write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
