"""A build from beginning to end: read, settle, write, move into place.

A mixture with a Pairing goes through the first two twice: rated rows become pairs, and these the rows that are built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import GroupResults, DiskKeys
from curate.engine.executor import run_all
from curate.engine.fingerprint import Json, canonical
from curate.engine.group_results import Partition, numbered_columns, row_names, table_path, write_table
from curate.engine.guards import check_clashes, check_delivery, check_drops, check_unchanged
from curate.engine.ledger import LedgerInputs, check_conservation, write_source
from curate.engine.manifest import VERSIONS, SourceCounts, file_hash, manifest
from curate.engine.pair_input import PairInput, check_pairs
from curate.engine.partition import FILE, partition_paths
from curate.engine.phases import Phase, final_phase, pairing_sources, rated_phase
from curate.engine.pipeline import all_stages, score_columns
from curate.engine.progress import Progress, showing_progress
from curate.engine.reading import Reading, open_sources, read
from curate.engine.resolve import Fate, RowStates, choose, delivered, relocated_copies, moved, order, stand
from curate.engine.row_store import SpillFile, RowStore, move
from curate.engine.shards import Shard, cut, write_shard
from curate.engine.source_lines import SourceLines
from curate.engine.workspace import MANIFEST, Workspace, check_target, workspace
from curate.io.atomic import read_ipc, write_text
from curate.io.inputs import Opened
from curate.kernels.hashing import Hashes
from curate.mix.spec import Mixture
from curate.rows.identity import content_hash
from curate.rows.schema import BODIES, Kind


def build(
    mixture: Mixture,
    target: Path,
    *,
    threads: int,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    finish: Callable[[Path], None],
) -> None:
    """Make the build folder `target`; `finish` adds what is a function of the finished folder: page and card.

    Raises the errors that `curate.mixture.Mixture.build` names.
    """
    check_target(target, overwrite=overwrite)
    kind, opened = open_sources(mixture)
    target = target.resolve()  # a link to a build stays, and so does what "." means
    with (
        showing_progress(quiet=quiet) as progress,
        workspace(target, _recipe(mixture, opened), resume=resume, overwrite=overwrite) as space,
    ):
        _make(mixture, kind, opened, space, threads, progress)
        finish(space.out)


def _recipe(mixture: Mixture, opened: tuple[Opened, ...]) -> Json:
    """Return what an interrupted build must share with this one for its partitions to be taken up; it stays on the disk."""
    return {
        "curate": VERSIONS["curate"],
        "mixture": canonical(mixture),
        "held": {stage.label: dict(stage.step.data_hashes()) for stage in all_stages(mixture)},
        "files": [[str(part.path) for part in found.parts] for found in opened],
        "stamps": [[list(stamp) for stamp in found.stamp()] for found in opened],
    }


class ResolvedPhase(NamedTuple):
    """One phase of a build, read and settled; `contents` are hashes of what the sources hold, `prompt` of each row's."""

    phase: Phase
    reading: Reading
    partitions: tuple[Partition, ...]
    states: RowStates
    results: GroupResults
    contents: list[str]
    lines: SourceLines
    prompt: NDArray[np.uint64] | None


class Rated(NamedTuple):
    """What the rated phase leaves: pairs in place of the sources that pair, what these held, and their rows' fates."""

    opened: tuple[Opened, ...]
    contents: list[str]
    fates: dict[int, dict[str, int]]
    held: dict[str, list[str]]


def _make(
    mixture: Mixture, kind: Kind, opened: tuple[Opened, ...], space: Workspace, threads: int, progress: Progress
) -> None:
    rated = _pair(mixture, opened, space, threads, progress) if pairing_sources(mixture) else Rated(opened, [], {}, {})
    done = _settle(final_phase(mixture, rated.opened), space.partitions, threads, progress)
    shares = choose(mixture, done.states, done.prompt)
    inputs = _ledger_inputs(done)
    _write_tables(inputs, space.out)
    fates, splits = _write(mixture, kind, inputs, rated, space, threads, progress)
    counts = [_counts(done, rated, number, found) for number, found in enumerate(fates)]
    check_unchanged(opened)
    check_delivery(done.states, splits)
    held = {**rated.held, **done.results.held}
    text = manifest(mixture, kind, opened, counts, delivered(shares, done.states), splits, held)
    write_text(space.out / MANIFEST, text)


def _pair(mixture: Mixture, opened: tuple[Opened, ...], space: Workspace, threads: int, progress: Progress) -> Rated:
    """Read the sources that pair up to their pairs, and write the ledger of their rated rows."""
    phase = rated_phase(mixture, opened)
    done = _settle(phase, space.partitions / "rated", threads, progress)
    done.states.fate[done.states.fate == Fate.KEPT] = Fate.PAIRED
    inputs = _ledger_inputs(done)
    _write_tables(inputs, space.out)
    for folder in ("rated", "pairs"):
        (space.out / folder).mkdir()
    written = run_all(partial(write_source, inputs, "rated", space.out), phase.sources, threads)
    fates = dict(zip(phase.sources, written, strict=True))
    for number, found in fates.items():
        check_conservation(inputs.names[number], done.reading.counts[number].rows, found)
    pairs = tuple(
        PairInput.of(found, (partition for partition in done.partitions if partition.source == number), done.states)
        if number in fates
        else found
        for number, found in enumerate(opened)
    )
    return Rated(pairs, done.contents, fates, done.results.held)


def _settle(phase: Phase, folder: Path, threads: int, progress: Progress) -> ResolvedPhase:
    """Make the partitions of one phase, and settle what only all of its rows together can tell."""
    folder.mkdir(exist_ok=True)
    reading = read(phase, folder, threads, progress)
    partitions = _pieces(folder, reading)
    keys = load_keys(partitions)
    batches = [DiskKeys(partition.rows, partition.paths.signed) for partition in partitions]
    states, results = stand(phase, keys, np.repeat(*_sources(partitions)), batches)
    check_clashes(phase, states, reading)
    check_drops(phase, states)
    return ResolvedPhase(
        phase,
        reading,
        partitions,
        states,
        results,
        _contents(phase.mixture, states, keys),
        _in_place(phase.opened, partitions, states, keys),
        keys["prompt"].to_numpy() if "prompt" in keys.columns else None,
    )


def _ledger_inputs(done: ResolvedPhase) -> LedgerInputs:
    mixture = done.phase.mixture
    names = tuple(source.name for source in mixture.sources)
    kept = row_names(done.states.kept, names, done.states, done.partitions, done.results)
    types = score_columns(all_stages(mixture))
    return LedgerInputs(names, done.phase.pipelines, done.states, done.partitions, done.lines, done.results, kept, types)


def _counts(done: ResolvedPhase, rated: Rated, number: int, fates: dict[str, int]) -> SourceCounts:
    """Return what became of one source; raises `ConservationError` where something of it has no fate."""
    name, found = done.phase.mixture.sources[number].name, done.phase.opened[number]
    if not isinstance(found, PairInput):
        check_conservation(name, done.reading.counts[number].rows, fates)
        return SourceCounts(done.contents[number], fates, None)
    of_rows = rated.fates[number]
    check_pairs(name, found.taken(), of_rows["paired"], fates)
    return SourceCounts(rated.contents[number], of_rows, fates)


def _pieces(folder: Path, reading: Reading) -> tuple[Partition, ...]:
    """Return the partitions in order, with the number of their first row in the build."""
    found: list[Partition] = []
    first = 0
    for source, count in enumerate(reading.partitions):
        for block in range(count):
            place = partition_paths(folder, source, block)
            keys = pa.ipc.open_file(pa.OSFile(str(place.keys), "rb"))
            rows, file = keys.get_batch(0).num_rows, keys.schema.metadata[FILE].decode()
            found.append(Partition(place, source, first, rows, file))
            first += rows
    return tuple(found)


def _in_place(
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


def _sources(partitions: tuple[Partition, ...]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    return np.array([partition.source for partition in partitions], np.int16), np.array([partition.rows for partition in partitions], np.int64)


def load_keys(partitions: tuple[Partition, ...]) -> pl.DataFrame:
    """Bring the keys of all partitions together; a column that only some sources sign is null for the others."""
    tables = [pa.Table.from_batches([read_ipc(partition.paths.keys)]) for partition in partitions]
    return pl.DataFrame(pa.concat_tables(tables, promote_options="default"))


def _contents(mixture: Mixture, states: RowStates, keys: pl.DataFrame) -> list[str]:
    high, low = keys["content_high"].to_numpy(), keys["content_low"].to_numpy()
    own = [states.source == number for number in range(len(mixture.sources))]
    return [content_hash(Hashes(high[rows], low[rows])) for rows in own]


def _write(
    mixture: Mixture, kind: Kind, inputs: LedgerInputs, rated: Rated, space: Workspace, threads: int, progress: Progress
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """Write ledger, dropped rows and shards; returns the fates of each source, and the splits for the manifest."""
    states = inputs.states
    relocated = moved(states) & (inputs.lines.start < 0)
    splits = {"train": order(mixture, states, test=False)}
    if mixture.test is not None:
        splits["test"] = order(mixture, states, test=True)
    spills = [SpillFile(partition.paths.rows, partition.first, partition.rows) for partition in inputs.partitions if partition.paths.rows.is_file()]
    progress.start("writing", None)
    lift = partial(move, moving=relocated_copies(splits.values(), relocated), size=states.bytes)
    spills += [spill for found in run_all(lift, spills if relocated.any() else [], threads) for spill in found]
    names = pa.array(inputs.names, pa.string())
    stock = RowStore(inputs.lines, tuple(spills), BODIES[kind], names, states.source, states.occurrence, relocated)
    shards = {name: cut(name, found, states.bytes[found.row]) for name, found in splits.items() if len(found.row)}
    shards = shards or {"train": cut("train", splits["train"], states.bytes[:0])}
    out = space.out
    tasks: list[Callable[[], Any]] = [
        partial(write_source, inputs, "pairs" if number in rated.fates else "rows", out, number)
        for number in range(len(inputs.names))
    ]
    tasks += [partial(_write_shard, shard, stock, out / "data") for found in shards.values() for shard in found]
    done = list(run_all(_call, tasks, threads))
    progress.done("writing")
    told = iter(done[len(inputs.names) :])
    return done[: len(inputs.names)], {
        name: {"rows": len(found.row), "shards": [next(told) for _ in shards.get(name, ())]}
        for name, found in splits.items()
    }


def _write_tables(inputs: LedgerInputs, out: Path) -> None:
    for (label, name), table in inputs.results.tables.items():
        rows = [table[column].fill_null(-1).to_numpy() for column in numbered_columns(table)]
        known = row_names(np.concatenate([[-1], *rows]), inputs.names, inputs.states, inputs.partitions, inputs.results)
        write_table(table, known, out / table_path(label, name))


def _call(task: Callable[[], Any]) -> Any:  # noqa: ANN401  each task has its own answer
    return task()


def _write_shard(shard: Shard, stock: RowStore, folder: Path) -> dict[str, Any]:
    path = folder / shard.name
    write_shard(shard, stock, path)
    return {"file": f"data/{shard.name}", "rows": pq.read_metadata(path).num_rows, "sha256": file_hash(path)}
