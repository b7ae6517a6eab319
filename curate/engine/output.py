"""Writes a build folder, all but page and card, from rows that were read and resolved."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import DiskKeys, GroupResults
from curate.engine.executors.base import Executor
from curate.engine.group_results import numbered_columns, row_names, table_path, write_table
from curate.engine.guards import (
    check_conservation,
    check_delivery,
    check_pairs,
    check_unchanged,
)
from curate.engine.ledger import LedgerInputs, SourceFile, source_file, source_files, write_source
from curate.engine.manifest import FileHashes, Held, SourceCounts, file_hash, hashed, manifest
from curate.engine.pair_input import PairInput
from curate.engine.pipeline import Phase
from curate.engine.progress import BuildProgress
from curate.engine.reading import ReadResult
from curate.engine.references import TakeReferences
from curate.engine.resolve import choose_rows, delivered, order, relocated_copies, sample
from curate.engine.shards import RowStore, Shard, SpillFile, cut, relocate, write_shard
from curate.engine.source_lines import SourceLines
from curate.engine.spill import schema_of
from curate.engine.state import Partition, RowStates
from curate.engine.workspace import MANIFEST
from curate.io.atomic import write_text
from curate.io.inputs import Opened
from curate.mix.plan import Share
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import CHOSEN, Selection, choice_label, label_of
from curate.rows.layout import Layout
from curate.rows.schema import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPhase:
    """One phase of a build after its barrier.

    `contents` has the content hash of each source. Of each row, `own_content` is a hash of its content where its key is
    none, and `prompt` a key for its prompt.
    """

    phase: Phase
    reading: ReadResult
    partitions: tuple[Partition, ...]
    states: RowStates
    results: GroupResults
    contents: list[str]
    lines: SourceLines
    score_types: dict[str, pa.DataType]
    own_content: pa.UInt64Array
    prompt: NDArray[np.uint64] | None


class RatedResult(NamedTuple):
    """The result of the rated phase: inputs of the final one; content hashes, fates and tables of the rated rows."""

    opened: tuple[Opened, ...]
    contents: list[str]
    fates: dict[int, dict[str, int]]
    against: dict[str, list[str]]
    tables: FileHashes


class Gathered(NamedTuple):
    """The rows of a build before they are sampled, and those that selections are held against."""

    rated: RatedResult
    done: ResolvedPhase
    references: TakeReferences


def write_out(
    mixture: MixtureSpec,
    kind: Kind,
    opened: tuple[Opened, ...],
    made: Gathered,
    out: Path,
    executor: Executor,
    progress: BuildProgress,
    beside: Path | None = None,
) -> None:
    """Sample rows, and write all files of a build folder but page and card.

    `beside` is the folder of a build of the same rows and steps with another take.
    """
    rated = made.rated
    done, shares = _sample(mixture, made.done, made.references)
    states = done.states
    inputs = ledger_inputs(done)
    tables = {**rated.tables, **write_tables(inputs, out)}
    fates, splits = _write(mixture, kind, inputs, rated, out, executor, progress, beside)
    fields = {source.name: source.licence_field for source in mixture.sources if source.licence_field is not None}
    licences = _row_licences(out / "data", fields)
    counts = [
        _source_counts(done, rated, number, found)._replace(
            licences=licences.get(inputs.names[number]), ledger=_ledger_files(out, number, inputs.names[number])
        )
        for number, found in enumerate(fates)
    ]
    check_unchanged(opened)
    check_delivery(states, splits)
    against = {**rated.against, **done.results.against}
    held = Held(against, made.references.hashes(mixture))
    text = manifest(mixture, kind, opened, counts, delivered(shares, states), splits, held, tables)
    write_text(out / MANIFEST, text)


def _sample(
    mixture: MixtureSpec, done: ResolvedPhase, references: TakeReferences
) -> tuple[ResolvedPhase, tuple[Share, ...]]:
    """Sample the rows that are left; what selections chose, and why, joins the tables of groups."""
    tables = dict(done.results.tables)

    def choose(
        number: int, take: Selection, share: Share, rows: NDArray[np.int64], rank: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        mine = [one for one in done.partitions if one.source == number]
        batches = [DiskKeys(one.rows, one.paths.signed) for one in mine]
        label, own = label_of(take, done.phase.choices[number]), rows - mine[0].first
        tokens, beside = done.states.tokens[rows], references.of(take)
        place, table = choose_rows(take, label, share, batches, own, rank, tokens, beside)
        tables[choice_label(share.source), CHOSEN] = table.with_columns(pl.col("row") + mine[0].first)
        return place

    states, shares = sample(mixture, done.states, done.prompt, choose)
    return replace(done, states=states, results=done.results._replace(tables=tables)), shares


def ledger_inputs(done: ResolvedPhase) -> LedgerInputs:
    """Return what writing the ledger needs of a phase."""
    mixture = done.phase.mixture
    names = tuple(source.name for source in mixture.sources)
    return LedgerInputs(
        names=names,
        pipelines=done.phase.pipelines,
        states=done.states,
        partitions=done.partitions,
        lines=done.lines,
        results=done.results,
        kept=row_names(done.states.kept, names, done.states, done.partitions, done.results),
        score_types=done.score_types,
        content=done.own_content,
        prompt=done.prompt,
    )


def _ledger_files(out: Path, number: int, name: str) -> tuple[dict[str, str], ...]:
    """Return the files with the lines of a source, each with its hash."""
    paths = [f"{folder}/{source_file(number, name)}" for folder in ("ledger", "pairs")]
    return tuple(hashed(out, path) for path in paths if (out / path).is_file())


def _source_counts(done: ResolvedPhase, rated: RatedResult, number: int, fates: dict[str, int]) -> SourceCounts:
    """Return the counts of one source for the manifest; raises `ConservationError` where a row or pair has no fate."""
    name, found = done.phase.mixture.sources[number].name, done.phase.opened[number]
    if not isinstance(found, PairInput):
        check_conservation(name, done.reading.counts[number].rows, fates)
        return SourceCounts(done.contents[number], fates, None)
    of_rows = rated.fates[number]
    check_pairs(name, found.count(), of_rows["paired"], fates)
    return SourceCounts(rated.contents[number], of_rows, fates)


def _write(
    mixture: MixtureSpec,
    kind: Kind,
    inputs: LedgerInputs,
    rated: RatedResult,
    out: Path,
    executor: Executor,
    progress: BuildProgress,
    beside: Path | None,
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """Write ledger, dropped rows and shards; return the fates of each source, and the splits for the manifest."""
    states = inputs.states
    relocated = states.relocated & (inputs.lines.start < 0)
    splits = {"train": order(mixture, states, test=False)}
    if mixture.test is not None:
        splits["test"] = order(mixture, states, test=True)
    spills = [
        SpillFile(one.paths.rows, one.first, one.rows, schema_of(one.paths.rows))
        for one in inputs.partitions
        if one.paths.rows.is_file()
    ]
    progress.start("writing", None)
    moving = partial(relocate, moving=relocated_copies(splits.values(), relocated), size=states.bytes)
    spills += [spill for found in executor.run_all(moving, spills if relocated.any() else []) for spill in found]
    names = pa.array(inputs.names, pa.string())
    layout = Layout(kind, states.parts_of(states.copies > 0), inputs.rewards)
    store = RowStore(inputs.lines, tuple(spills), layout, names, states.source, states.occurrence, relocated)
    shards = {name: cut(name, found, states.bytes[found.row]) for name, found in splits.items() if len(found.row)}
    shards = shards or {"train": cut("train", splits["train"], states.bytes[:0])}
    work = partial(_write_part, inputs, store, frozenset(rated.fates), out, beside)
    files = source_files(range(len(inputs.names)))
    done: list[Any] = list(executor.run_all(work, [*files, *(shard for found in shards.values() for shard in found)]))
    progress.done("writing")
    written = iter(done[len(files) :])
    return [fates for file, fates in zip(files, done, strict=False) if not file.dropped], {
        name: {"rows": len(found.row), "shards": [next(written) for _ in shards.get(name, ())]}
        for name, found in splits.items()
    }


def write_tables(inputs: LedgerInputs, out: Path) -> FileHashes:
    """Write the tables of groups; return the files of each group, with their hashes."""
    for (label, name), table in inputs.results.tables.items():
        rows = [table[column].fill_null(-1).to_numpy() for column in numbered_columns(table)]
        known = row_names(np.concatenate([[-1], *rows]), inputs.names, inputs.states, inputs.partitions, inputs.results)
        write_table(table, known, out / table_path(label, name))
    for (label, name), path in inputs.results.copied.items():
        (out / table_path(label, name)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / table_path(label, name))
    found: FileHashes = {}
    for label, name in sorted({**inputs.results.tables, **inputs.results.copied}):
        found.setdefault(label, []).append(hashed(out, table_path(label, name)))
    return found


def _write_part(
    inputs: LedgerInputs,
    store: RowStore,
    paired: frozenset[int],
    out: Path,
    beside: Path | None,
    part: SourceFile | Shard,
) -> dict[str, Any] | dict[str, int]:
    """Write a file of a source, and return its fates; or write a shard, and describe it."""
    if isinstance(part, Shard):
        return _write_shard(part, store, out / "data")
    return write_source(inputs, "pairs" if part.source in paired else "rows", out, part, beside)


def _write_shard(shard: Shard, store: RowStore, folder: Path) -> dict[str, Any]:
    path = folder / shard.name
    write_shard(shard, store, path)
    return {"file": f"data/{shard.name}", "rows": pq.read_metadata(path).num_rows, "sha256": file_hash(path)}


def _row_licences(data: Path, fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count the rows of some sources by the licence that each names in its field of `meta`, by source.

    Names are in order, and empty for rows that name none.
    """
    found = {}
    for source, field in fields.items():
        path = "$[" + repr(field) + "]"
        rows = pl.scan_parquet(data / "*.parquet").filter(pl.col("source") == source)
        named = rows.select(licence=pl.col("meta").str.json_path_match(path).fill_null(""))
        counts = named.group_by("licence").len().sort("licence").collect()
        found[source] = {str(name): int(count) for name, count in counts.rows()}
    return found
