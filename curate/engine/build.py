"""A build from beginning to end: read, resolve, write, move into place.

A mixture with a Pairing reads and resolves twice: first its rated rows, then the pairs made from them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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
from curate.engine.choice import CHOSEN, choice_label
from curate.engine.choice import choose as choose_rows
from curate.engine.executor import run_all
from curate.engine.group_results import numbered_columns, row_names, table_path, write_table
from curate.engine.guards import (
    check_clashes,
    check_conservation,
    check_delivery,
    check_drops,
    check_pairs,
    check_unchanged,
)
from curate.engine.ledger import LedgerInputs, source_file, write_source
from curate.engine.manifest import VERSIONS, FileHashes, Json, SourceCounts, canonical, file_hash, hashed, manifest
from curate.engine.pair_input import PairInput
from curate.engine.partition import FILE, REWARD_TYPES, partition_paths
from curate.engine.pipeline import Phase, all_stages, final_phase, pairing_sources, rated_phase, score_columns
from curate.engine.progress import BuildProgress, showing_progress
from curate.engine.reading import ReadResult, open_sources, read
from curate.engine.resolve import delivered, order, paired, relocated_copies, resolve, sample
from curate.engine.reuse.earlier import Earlier
from curate.engine.reuse.plan import OtherRowsError, ReusePlan, plan_reuse
from curate.engine.row_licences import row_licences
from curate.engine.shards import RowStore, Shard, SpillFile, cut, relocate, write_shard
from curate.engine.source_lines import SourceLines
from curate.engine.spill import schema_of
from curate.engine.state import Partition, RowStates
from curate.engine.workspace import MANIFEST, Workspace, check_target, workspace
from curate.io.atomic import read_ipc, write_text
from curate.io.hub.repository import resolved_once
from curate.io.inputs import Opened
from curate.kernels.hashing import Hashes
from curate.mix.plan import Share
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import Selection
from curate.rows.identity import content_hash
from curate.rows.layout import Layout
from curate.rows.schema import Kind


@resolved_once()
def build(
    mixture: MixtureSpec,
    target: Path,
    *,
    threads: int,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    finish: Callable[[Path], None],
    from_: Path | None = None,
) -> None:
    """Make the build folder `target`; `finish` adds page and card. Raises the errors that `Mixture.build` names.

    What the build in the folder `from_` says of the same rows is not made again.
    """
    check_target(target, overwrite=overwrite)
    earlier = None if from_ is None else Earlier.open(from_)
    kind, opened = open_sources(mixture)
    plan = None if earlier is None else plan_reuse(earlier, final_phase(mixture, opened))
    target = target.resolve()  # keeps a link to a build, and the meaning of "."
    with showing_progress(quiet=quiet) as progress:
        for note in () if plan is None else plan.notes:
            progress.note(note)

        def attempt(plan: ReusePlan | None) -> None:
            with workspace(target, _recipe(mixture, opened, plan), resume=resume, overwrite=overwrite) as space:
                _make(mixture, kind, opened, space, threads, progress, plan)
                finish(space.out)

        try:
            attempt(plan)
        except OtherRowsError:
            attempt(plan.without_groups() if plan is not None else None)


def _recipe(mixture: MixtureSpec, opened: tuple[Opened, ...], plan: ReusePlan | None) -> Json:
    """Return what must match for a build to resume from saved partitions; it stays on this machine."""
    return {
        "curate": VERSIONS["curate"],
        "mixture": canonical(mixture),
        "held": {stage.label: dict(stage.step.data_hashes()) for stage in all_stages(mixture)},
        "files": [[str(part.path) for part in found.parts] for found in opened],
        "stamps": [[list(stamp) for stamp in found.stamp()] for found in opened],
        "unsigned": [] if plan is None else list(plan.groups),
    }


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


def _make(
    mixture: MixtureSpec,
    kind: Kind,
    opened: tuple[Opened, ...],
    space: Workspace,
    threads: int,
    progress: BuildProgress,
    plan: ReusePlan | None,
) -> None:
    rated = RatedResult(opened, [], {}, {}, {})
    if pairing_sources(mixture):
        rated = _pair(mixture, opened, space, threads, progress)
    done = _read_and_resolve(final_phase(mixture, rated.opened), space.partitions, threads, progress, plan)
    done, shares = _sample(mixture, done)
    states = done.states
    inputs = _ledger_inputs(done)
    tables = {**rated.tables, **_write_tables(inputs, space.out)}
    fates, splits = _write(mixture, kind, inputs, rated, space, threads, progress)
    fields = {source.name: source.licence_field for source in mixture.sources if source.licence_field is not None}
    licences = row_licences(space.out / "data", fields)
    counts = [
        _source_counts(done, rated, number, found)._replace(
            licences=licences.get(inputs.names[number]), ledger=_ledger_files(space.out, number, inputs.names[number])
        )
        for number, found in enumerate(fates)
    ]
    check_unchanged(opened)
    check_delivery(states, splits)
    against = {**rated.against, **done.results.against}
    text = manifest(mixture, kind, opened, counts, delivered(shares, states), splits, against, tables)
    write_text(space.out / MANIFEST, text)


def _sample(mixture: MixtureSpec, done: ResolvedPhase) -> tuple[ResolvedPhase, tuple[Share, ...]]:
    """Sample the rows that are left; what selections chose, and why, joins the tables of groups."""
    tables = dict(done.results.tables)

    def choose(number: int, share: Share, rows: NDArray[np.int64], rank: NDArray[np.uint64]) -> NDArray[np.uint64]:
        mine = [one for one in done.partitions if one.source == number]
        batches = [DiskKeys(one.rows, one.paths.signed) for one in mine]
        take = mixture.sources[number].take
        if not isinstance(take, Selection):
            raise TypeError(take)
        place, table = choose_rows(take, share, batches, rows - mine[0].first, rank, done.states.tokens[rows])
        tables[choice_label(share.source), CHOSEN] = table.with_columns(pl.col("row") + mine[0].first)
        return place

    states, shares = sample(mixture, done.states, done.prompt, choose)
    return replace(done, states=states, results=done.results._replace(tables=tables)), shares


def _pair(
    mixture: MixtureSpec, opened: tuple[Opened, ...], space: Workspace, threads: int, progress: BuildProgress
) -> RatedResult:
    """Run the rated phase: turn the sources that pair into pairs, and write the ledger of their rated rows."""
    phase = rated_phase(mixture, opened)
    done = _read_and_resolve(phase, space.partitions / "rated", threads, progress)
    done = replace(done, states=paired(done.states))
    inputs = _ledger_inputs(done)
    tables = _write_tables(inputs, space.out)
    for folder in ("rated", "pairs"):
        (space.out / folder).mkdir()
    written = run_all(partial(write_source, inputs, "rated", space.out), phase.sources, threads)
    fates = dict(zip(phase.sources, written, strict=True))
    for number, found in fates.items():
        check_conservation(inputs.names[number], done.reading.counts[number].rows, found)
    pairs = tuple(
        PairInput.of(found, (one for one in done.partitions if one.source == number), done.states)
        if number in fates
        else found
        for number, found in enumerate(opened)
    )
    return RatedResult(pairs, done.contents, fates, done.results.against, tables)


def _read_and_resolve(
    phase: Phase, folder: Path, threads: int, progress: BuildProgress, plan: ReusePlan | None = None
) -> ResolvedPhase:
    """Make the partitions of one phase, and decide what needs all of its rows at once."""
    folder.mkdir(exist_ok=True)
    reading = read(phase, folder, threads, progress, plan)
    partitions = _partitions(folder, reading)
    keys = load_keys(partitions)
    source = np.repeat(
        np.array([one.source for one in partitions], np.int16), np.array([one.rows for one in partitions], np.int64)
    )
    if plan is not None:
        plan.check_rows(keys, source)
    batches = [DiskKeys(one.rows, one.paths.signed) for one in partitions]
    states, results = resolve(phase, keys, source, batches, {} if plan is None else plan.groups)
    check_clashes(phase, states, reading)
    check_drops(phase, states)
    return ResolvedPhase(
        phase=phase,
        reading=reading,
        partitions=partitions,
        states=states,
        results=results,
        contents=_contents(phase.mixture, states, keys),
        lines=_source_lines(phase.opened, partitions, states, keys),
        score_types=score_columns(all_stages(phase.mixture), {} if plan is None else plan.types),
        own_content=_own_content(keys),
        prompt=keys["prompt"].to_numpy() if "prompt" in keys.columns else None,
    )


def _ledger_inputs(done: ResolvedPhase) -> LedgerInputs:
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


def _partitions(folder: Path, reading: ReadResult) -> tuple[Partition, ...]:
    """Return the partitions in order, with the number of their first row in the build."""
    found: list[Partition] = []
    first = 0
    for source, count in enumerate(reading.partitions):
        for block in range(count):
            place = partition_paths(folder, source, block)
            keys = pa.ipc.open_file(pa.OSFile(str(place.keys), "rb"))
            rows, metadata = keys.get_batch(0).num_rows, keys.schema.metadata
            rewards = json.loads(metadata[REWARD_TYPES])
            found.append(Partition(place, source, first, rows, metadata[FILE].decode(), rewards))
            first += rows
    return tuple(found)


def _source_lines(
    opened: tuple[Opened, ...], partitions: tuple[Partition, ...], states: RowStates, keys: pl.DataFrame
) -> SourceLines:
    paths = [(number, file.name, file.path) for number, found in enumerate(opened) for file in found.parts]
    numbers = {(source, name): number for number, (source, name, _) in enumerate(paths)}
    return SourceLines(
        opened=opened,
        source=states.source,
        start=keys["start"].to_numpy(),
        length=keys["length"].to_numpy(),
        first=np.array([partition.first for partition in partitions], np.int64),
        files=np.array([numbers.get((partition.source, partition.file), -1) for partition in partitions], np.int64),
        paths=tuple(path for *_, path in paths),
    )


def load_keys(partitions: tuple[Partition, ...]) -> pl.DataFrame:
    """Join the keys of all partitions; a column that only some sources have is null for the others."""
    tables = [pa.Table.from_batches([read_ipc(partition.paths.keys)]) for partition in partitions]
    return pl.DataFrame(pa.concat_tables(tables, promote_options="default"))


def _own_content(keys: pl.DataFrame) -> pa.UInt64Array:
    """Return a hash of the content of each row, null where the key of a row is that of its content."""
    same = (keys["key_high"] == keys["content_high"]) & (keys["key_low"] == keys["content_low"])
    return pa.array(keys["content_low"].to_numpy(), mask=same.to_numpy())


def _contents(mixture: MixtureSpec, states: RowStates, keys: pl.DataFrame) -> list[str]:
    high, low = keys["content_high"].to_numpy(), keys["content_low"].to_numpy()
    own = [states.source == number for number in range(len(mixture.sources))]
    return [content_hash(Hashes(high[rows], low[rows])) for rows in own]


def _write(
    mixture: MixtureSpec,
    kind: Kind,
    inputs: LedgerInputs,
    rated: RatedResult,
    space: Workspace,
    threads: int,
    progress: BuildProgress,
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """Write ledger, dropped rows and shards; return the fates of each source, and the splits for the manifest."""
    states, out = inputs.states, space.out
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
    spills += [spill for found in run_all(moving, spills if relocated.any() else [], threads) for spill in found]
    names = pa.array(inputs.names, pa.string())
    layout = Layout(kind, states.parts_of(states.copies > 0), inputs.rewards)
    store = RowStore(inputs.lines, tuple(spills), layout, names, states.source, states.occurrence, relocated)
    shards = {name: cut(name, found, states.bytes[found.row]) for name, found in splits.items() if len(found.row)}
    shards = shards or {"train": cut("train", splits["train"], states.bytes[:0])}
    tasks: list[Callable[[], Any]] = [
        partial(write_source, inputs, "pairs" if number in rated.fates else "rows", out, number)
        for number in range(len(inputs.names))
    ]
    tasks += [partial(_write_shard, shard, store, out / "data") for found in shards.values() for shard in found]
    done = list(run_all(_call, tasks, threads))
    progress.done("writing")
    written = iter(done[len(inputs.names) :])
    return done[: len(inputs.names)], {
        name: {"rows": len(found.row), "shards": [next(written) for _ in shards.get(name, ())]}
        for name, found in splits.items()
    }


def _write_tables(inputs: LedgerInputs, out: Path) -> FileHashes:
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


def _call(task: Callable[[], Any]) -> Any:  # noqa: ANN401  each task has its own answer
    return task()


def _write_shard(shard: Shard, store: RowStore, folder: Path) -> dict[str, Any]:
    path = folder / shard.name
    write_shard(shard, store, path)
    return {"file": f"data/{shard.name}", "rows": pq.read_metadata(path).num_rows, "sha256": file_hash(path)}
