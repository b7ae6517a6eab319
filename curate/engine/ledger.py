"""The ledger: one line for every input row, with its fate, and the law that the fates add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import GroupResults
from curate.engine.group_results import RowNames, between, drop_columns, with_evidence
from curate.engine.partition import CLASH, with_names
from curate.engine.pipeline import Stage
from curate.engine.reuse.one_step import HIT
from curate.engine.source_lines import SourceLines, read_again
from curate.engine.spill import picked, read_spill
from curate.engine.state import Fate, Partition, RowStates
from curate.io.atomic import read_ipc, replacing, share
from curate.io.parquet import parquet_options
from curate.rows.identity import numbered
from curate.rows.layout import Layout
from curate.rows.parts import together
from curate.rows.rewards import reward_columns
from curate.rows.schema import kind_of
from curate.rows.take import take

LEDGER = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("fate", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("score", pa.float64()),
        ("bound", pa.float64()),
        ("match", pa.string()),
        ("edited", pa.list_(pa.string())),
        ("evidence", pa.list_(HIT)),
        ("copies", pa.int32()),
        ("split", pa.string()),
        ("tokens", pa.int64()),
        ("column", pa.string()),
        ("expected", pa.string()),
        ("excerpt", pa.string()),
        ("key_high", pa.uint64()),
        ("key_low", pa.uint64()),
        ("occurrence", pa.uint64()),
        ("content", pa.uint64()),
        ("prompt", pa.uint64()),
    ]
)
"""The columns of the ledger, before the scores, which are named `step.score`.

- `source`, `id`: the row. The id is the source's own, or a hash of its content; a row that is there again has a number
  behind it.
- `file`, `line`: where the row was read; the line in JSON Lines, CSV and TSV, else the number of the row, from 1.
- `fate`: kept, dropped, unsampled or quarantined; for a rated row that gave pairs, paired.
- `step`, `reason`, `score`, `bound`: what dropped a row.
- `match`: the phrase that dropped a row, or `source/id` of the surviving duplicate.
- `edited`: the steps that changed its text.
- `evidence`: the places in its text that steps decided by: `step`, `reason`, `side` and `turn`, `start` and `end` in
  characters, and `match`, the text there or its name.
- `copies`, `split`: how often a kept row is in the data files, and in which split.
- `tokens`: how many it has, counted by the tokenizer of the mixture or estimated; null for a quarantined row.
- `column`, `expected`, `excerpt`: of a quarantined row, what is wrong and its first 200 characters.
- `key_high`, `key_low`, `occurrence`: what the row's place in the sampling order is made from; null for a row that
  never reached the steps.
- `content`: of a row with an id of its own, a hash of its content; else null, as `key_high` and `key_low` are that.
- `prompt`: where there is a test split, a key that rows with the same prompt share.
"""


WORDS = ("file", "fate", "step", "reason", "split", "column", "expected", "match")
"""Columns of few different values, written with a dictionary."""


Section: TypeAlias = Literal["rows", "rated", "pairs"]
"""The subject of ledger lines: rows for the data files, rated rows to be paired, or their pairs."""

FATES: Final[dict[Section, tuple[Fate, ...]]] = {
    "rows": (Fate.KEPT, Fate.DROPPED, Fate.UNSAMPLED, Fate.QUARANTINED),
    "rated": (Fate.PAIRED, Fate.DROPPED, Fate.QUARANTINED),
    "pairs": (Fate.KEPT, Fate.DROPPED, Fate.UNSAMPLED),
}
"""The fates that each of them may have."""

FOLDERS: Final[dict[Section, tuple[str, str]]] = {
    "rows": ("ledger", "dropped"),
    "rated": ("ledger", "rated"),
    "pairs": ("pairs", "dropped"),
}
"""The folders of their lines and of the dropped ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerInputs:
    """The inputs of the ledger lines of one phase of a build."""

    names: tuple[str, ...]
    pipelines: tuple[tuple[Stage, ...], ...]
    states: RowStates
    partitions: tuple[Partition, ...]
    lines: SourceLines
    results: GroupResults
    kept: RowNames
    score_types: dict[str, pa.DataType]
    content: pa.UInt64Array
    prompt: NDArray[np.uint64] | None

    @property
    def rewards(self) -> dict[str, str]:
        """The reward columns of all rows, by name, each with its type."""
        return reward_columns(partition.rewards for partition in self.partitions)


def source_file(number: int, name: str) -> str:
    """Return the name of the files of a source, which is the one numbered so."""
    return f"{number:03d}-{name}.parquet"


class SourceFile(NamedTuple):
    """A file of a source: its lines in the ledger, or its dropped rows."""

    source: int
    dropped: bool


def source_files(sources: Iterable[int]) -> list[SourceFile]:
    """Return the files of sources: first those of dropped rows, which take longest, so that all threads end at once."""
    numbers = list(sources)
    return [SourceFile(number, dropped) for dropped in (True, False) for number in numbers]


def write_source(
    inputs: LedgerInputs, section: Section, out: Path, file: SourceFile, beside: Path | None = None
) -> dict[str, int]:
    """Write a file of a source of a build; return the number of rows of each fate in it, where it is of the ledger.

    `beside` is a build of the same rows and steps: its file of dropped rows is this one's too.
    """
    partitions = [partition for partition in inputs.partitions if partition.source == file.source]
    name = source_file(file.source, inputs.names[file.source])
    ledger, dropped = (out / folder / name for folder in FOLDERS[section])
    if not file.dropped:
        return _write_lines(inputs, section, partitions, ledger)
    if beside is None:
        _write_dropped(inputs, partitions, dropped)
    elif (known := beside / FOLDERS[section][1] / name).is_file():
        share(known, dropped)
    return {}


def _write_lines(inputs: LedgerInputs, section: Section, partitions: list[Partition], path: Path) -> dict[str, int]:
    """Write the lines of a source; return the number of rows of each fate."""
    schema = pa.schema([*LEDGER, *inputs.score_types.items()])
    fates = dict.fromkeys((fate.name.lower() for fate in FATES[section]), 0)
    with replacing(path) as draft, pq.ParquetWriter(draft, schema, **parquet_options(schema, WORDS)) as writer:
        for partition in partitions:
            lines = _lines(inputs, partition, schema)
            writer.write_batch(lines)
            for found in pc.value_counts(lines["fate"]):
                name = found["values"].as_py()
                fates[name] = fates.get(name, 0) + found["counts"].as_py()
    return fates


def _lines(inputs: LedgerInputs, partition: Partition, schema: pa.Schema) -> pa.RecordBatch:
    """Return the lines of one partition in the order of the file."""
    lines = read_ipc(partition.paths.lines)
    bad = lines.num_rows - partition.rows
    here = slice(partition.first, partition.first + partition.rows)
    states = inputs.states
    invalid = np.asarray(lines["expected"].slice(partition.rows).is_valid())
    fate = np.append(states.fate[here], np.where(invalid, Fate.QUARANTINED, Fate.UNSAMPLED).astype(np.uint8))
    fates = pa.array([fate.name.lower() for fate in Fate], pa.string())
    grouped = np.append(states.grouped[here], np.zeros(bad, np.bool_))
    columns = {name: lines[name] for name in lines.schema.names}
    columns["source"] = pa.repeat(pa.scalar(inputs.names[partition.source], pa.string()), lines.num_rows)
    occurrence = np.append(states.occurrence[here], np.zeros(bad, np.uint64))
    columns["id"] = numbered(lines["id"], occurrence)
    columns["fate"] = fates.take(pa.array(fate))
    columns["copies"] = _padded(pa.array(states.copies[here].astype(np.int32)), bad)
    columns["split"] = _padded(_split(states, here), bad)
    keys = {"tokens": states.tokens, "occurrence": states.occurrence, "prompt": inputs.prompt}
    keys |= {"key_high": states.key.high, "key_low": states.key.low}
    columns["content"] = _padded(inputs.content.slice(partition.first, partition.rows), bad)
    for name, key in keys.items():
        kind = schema.field(name).type
        columns[name] = _padded(pa.nulls(partition.rows, kind) if key is None else pa.array(key[here]), bad)
    hits = between(inputs.results.hits, partition.first, partition.rows)
    columns |= _group_columns(inputs, partition, columns, grouped)
    columns["evidence"] = with_evidence(columns["evidence"], hits, partition.first)
    columns |= _clashes(inputs, partition, columns, bad)
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    by_line = np.argsort(np.asarray(batch["line"]), kind="stable").astype(np.int32)
    return take(batch, by_line) if bad else batch


def _padded(column: pa.Array, bad: int) -> pa.Array:
    """Append nulls for the rows without a state: invalid ones, and those set aside before their steps."""
    return pa.concat_arrays([column, pa.nulls(bad, column.type)])


def _split(states: RowStates, here: slice) -> pa.Array:
    splits = pa.array(["train", "test"], pa.string())
    return splits.take(pa.array(states.test[here].astype(np.int8), mask=states.copies[here] == 0))


def _group_columns(
    inputs: LedgerInputs, partition: Partition, columns: dict[str, pa.Array], grouped: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Return the ledger columns that groups decide: the step and surviving row, or for other rows the first match."""
    matched = _first_match(columns["evidence"], columns["step"], columns["reason"])
    if not grouped.any():
        return {"match": matched}
    drops = between(inputs.results.drops, partition.first, partition.rows)
    decided = drop_columns(drops, inputs.pipelines[partition.source], inputs.kept)
    mask = pa.array(grouped)
    return {name: pc.replace_with_mask(columns.get(name, matched), mask, decided[name]) for name in decided}


def _first_match(evidence: pa.ListArray, step: pa.Array, reason: pa.Array) -> pa.Array:
    """Return the first match of each row's drop reason; null if the row was kept or has no match."""
    hits, row = pc.list_flatten(evidence), np.asarray(pc.list_parent_indices(evidence))
    if not len(hits):
        return pa.nulls(len(evidence), pa.string())
    owner = pa.array(row)
    same = pc.and_(pc.equal(hits.field("step"), step.take(owner)), pc.equal(hits.field("reason"), reason.take(owner)))
    decided = np.flatnonzero(np.asarray(pc.fill_null(same, fill_value=False)))
    rows, first = np.unique(row[decided], return_index=True)
    pick = np.full(len(evidence), -1, np.int64)
    pick[rows] = decided[first]
    return hits.field("match").take(pa.array(pick, mask=pick < 0))


def _clashes(inputs: LedgerInputs, partition: Partition, columns: dict[str, pa.Array], bad: int) -> dict[str, pa.Array]:
    """Return the columns that say what is wrong with rows that share an id with a row of other content."""
    clash = inputs.states.fate[partition.first : partition.first + partition.rows] == Fate.QUARANTINED
    if not clash.any():
        return {}
    mask = pa.array(np.append(clash, np.zeros(bad, np.bool_)))
    count = int(clash.sum())
    wrong = {
        "column": pa.repeat(pa.scalar("id", pa.string()), count),
        "expected": pa.repeat(pa.scalar(CLASH, pa.string()), count),
        "excerpt": columns["id"].filter(mask),
    }
    none = pa.nulls(count, pa.string())
    old = {"step": none, "reason": none, "match": none}
    return {name: pc.replace_with_mask(columns[name], mask, value) for name, value in {**wrong, **old}.items()}


def _write_dropped(inputs: LedgerInputs, partitions: list[Partition], path: Path) -> None:
    """Write the dropped rows in the order of the file; no file if there are none."""
    found = (rows for partition in partitions if (rows := _dropped(inputs, partition)).num_rows)
    first = next(found, None)
    if first is None:
        return
    with replacing(path) as draft, pq.ParquetWriter(draft, first.schema, **parquet_options(first.schema)) as writer:
        writer.write_batch(first)
        for rows in found:
            writer.write_batch(rows)


def _dropped(inputs: LedgerInputs, partition: Partition) -> pa.RecordBatch:
    """Return the rows that filters dropped (in a file of their own) and groups dropped (among the others)."""
    states = inputs.states
    here = slice(partition.first, partition.first + partition.rows)
    parts = [read_ipc(partition.paths.dropped)]
    grouped = states.grouped[here].copy()
    grouped[np.asarray(parts[0]["row"])] = False  # a filter behind the group drops it too: it is in the file
    stays = inputs.lines.start[here] >= 0
    if (grouped & ~stays).any():
        parts += picked(read_spill(partition.paths.rows), grouped & ~stays)
    row = np.flatnonzero(grouped & stays)
    parts += [
        with_names(found.body, found.ids, row[found.place]) for found in read_again(inputs.lines, partition.first + row)
    ]
    batch = together(parts)
    row = np.asarray(batch["row"])
    order = np.argsort(row, kind="stable")
    order = order[states.fate[partition.first + row[order]] == Fate.DROPPED]
    chosen = take(batch, order.astype(np.int32))
    row = partition.first + row[order]
    source = pa.repeat(pa.scalar(inputs.names[partition.source], pa.string()), len(row))
    ids = numbered(chosen["id"], states.occurrence[row])
    names = ["source", "id", *chosen.schema.names[3:]]
    whole = pa.RecordBatch.from_arrays([source, ids, *chosen.columns[3:]], names=names)
    layout = Layout(kind_of(batch.schema), states.parts_of(states.fate == Fate.DROPPED), inputs.rewards)
    return layout.finished(whole)
