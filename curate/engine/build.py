"""A build from beginning to end: read, resolve, write, move into place.

A mixture with a Pairing reads and resolves twice: first its rated rows, then the pairs made from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import DiskKeys
from curate.engine.executors.base import Executor
from curate.engine.executors.threads import awaited
from curate.engine.guards import (
    check_clashes,
    check_conservation,
    check_drops,
)
from curate.engine.ledger import FOLDERS, source_file, source_files, write_source
from curate.engine.manifest import VERSIONS, Json, declaration
from curate.engine.output import Gathered, RatedResult, ResolvedPhase, ledger_inputs, write_out, write_tables
from curate.engine.pair_input import PairInput
from curate.engine.partition import FILE, REWARD_TYPES, partition_paths
from curate.engine.pipeline import Phase, all_stages, final_phase, pairing_sources, rated_phase, score_columns
from curate.engine.progress import BuildProgress, showing_progress
from curate.engine.reading import ReadResult, open_sources, read
from curate.engine.references import TakeReferences, read_references_of_takes
from curate.engine.resolve import best_scores_of, paired, resolve, resolve_ids
from curate.engine.reuse.earlier import Earlier
from curate.engine.reuse.plan import OtherRowsError, ReusePlan, plan_reuse
from curate.engine.reuse.signed_later import RowTexts
from curate.engine.source_lines import SourceLines
from curate.engine.state import Partition
from curate.engine.warm_up.start import compiling_beside
from curate.engine.workspace import Workspace, check_target, workspace
from curate.io.atomic import read_ipc, remove_drafts, share
from curate.io.hub.repository import resolved_once
from curate.io.inputs import Opened
from curate.kernels.hashing import Hashes
from curate.kernels.memory import give_back
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import Selection, choice_label
from curate.rows.identity import content_hash
from curate.steps.costly import costly_run


@resolved_once()
def build(
    mixture: MixtureSpec,
    target: Path,
    *,
    executor: Executor,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    finish: Callable[[Path], None],
    from_: Path | None = None,
    others: Sequence[tuple[MixtureSpec, Path]] = (),
) -> None:
    """Make the build folder `target`; `finish` adds page and card. Raises the errors that `Mixture.build` names.

    What the build in the folder `from_` says of the same rows is not made again. `others` are mixtures of the same
    sources and steps with other takes, each with its folder: they are written from the same rows.
    """
    for _, folder in [(mixture, target), *others]:
        check_target(folder, overwrite=overwrite)
    with (
        compiling_beside([stage.step for stage in all_stages(mixture)], executor.threads),
        showing_progress(quiet=quiet) as progress,
    ):
        earlier = None if from_ is None else Earlier.open(from_)
        kind, opened = open_sources(mixture)
        mixtures = [mixture, *(other for other, _ in others)]
        references = read_references_of_takes(mixtures)
        plan = None if earlier is None else plan_reuse(earlier, final_phase(mixture, opened))
        target = target.resolve()  # keeps a link to a build, and the meaning of "."
        for note in () if plan is None else plan.notes:
            progress.note(note)

        def attempt(plan: ReusePlan | None) -> None:
            with workspace(
                target, _recipe(mixture, opened, references, plan), resume=resume, overwrite=overwrite
            ) as space:
                with costly_run() as run:
                    made = _gather(mixtures, opened, references, space, executor, progress, plan)
                for note in run.notes():
                    progress.note(note)
                write_out(mixture, kind, opened, made, space.out, executor, progress)
                remove_drafts(space.out)
                rest = [(other, folder, made) for other, folder in others]
                del made  # 100 bytes for each row, while the only page is written
                give_back()
                # The page of a build is written, with few threads, beside the files of the next one.
                with ExitStack() as spaces, ThreadPoolExecutor(1, "curate") as pool:
                    page = pool.submit(finish, space.out)
                    for other, folder, made in rest:
                        further = spaces.enter_context(
                            workspace(folder.resolve(), {}, resume=False, overwrite=overwrite)
                        )
                        _share_rated(made.rated, [one.name for one in mixture.sources], space.out, further.out)
                        write_out(other, kind, opened, made, further.out, executor, progress, beside=space.out)
                        remove_drafts(further.out)
                        awaited(page)
                        page = pool.submit(finish, further.out)
                    awaited(page)

        try:
            attempt(plan)
        except OtherRowsError:
            attempt(plan.without_groups() if plan is not None else None)


def _recipe(
    mixture: MixtureSpec, opened: tuple[Opened, ...], references: TakeReferences, plan: ReusePlan | None
) -> Json:
    """Return what must match for a build to resume from saved partitions; it stays on this machine."""
    return {
        "curate": VERSIONS["curate"],
        "mixture": declaration(mixture, references.hashes(mixture)),
        "held": {label: dict(hashes) for label, hashes in _held(mixture)},
        "files": [[str(part.path) for part in found.parts] for found in opened],
        "stamps": [[list(stamp) for stamp in found.stamp()] for found in opened],
        "unsigned": [] if plan is None else list(plan.unsigned),
    }


def _held(mixture: MixtureSpec) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give the hashes of data that steps and selections decide by, with the label of each."""
    for stage in all_stages(mixture):
        yield stage.label, stage.step.data_hashes()
    for source in mixture.sources:
        if isinstance(source.take, Selection):
            yield choice_label(source.name), source.take.data_hashes()


def _gather(
    mixtures: Sequence[MixtureSpec],
    opened: tuple[Opened, ...],
    references: TakeReferences,
    space: Workspace,
    executor: Executor,
    progress: BuildProgress,
    plan: ReusePlan | None,
) -> Gathered:
    """Read all rows, run the steps, and resolve groups; of rated rows, ledger and tables are written.

    The mixtures differ in their takes alone.
    """
    mixture, *others = mixtures
    rated = RatedResult(opened, [], {}, {}, {})
    if pairing_sources(mixture):
        rated = _pair(mixture, opened, space, executor, progress)
    phase = final_phase(mixture, rated.opened, others)
    return Gathered(rated, _read_and_resolve(phase, space.partitions, executor, progress, plan), references)


def _share_rated(rated: RatedResult, names: Sequence[str], out: Path, to: Path) -> None:
    """Let what the rated phase wrote be in the folder of another build too."""
    wanted = [f"{folder}/{source_file(number, names[number])}" for number in rated.fates for folder in FOLDERS["rated"]]
    if rated.fates:
        (to / "pairs").mkdir()
    for path in (*wanted, *(one["file"] for files in rated.tables.values() for one in files)):
        if (out / path).is_file():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            share(out / path, to / path)


def _pair(
    mixture: MixtureSpec, opened: tuple[Opened, ...], space: Workspace, executor: Executor, progress: BuildProgress
) -> RatedResult:
    """Run the rated phase: turn the sources that pair into pairs, and write the ledger of their rated rows."""
    phase = rated_phase(mixture, opened)
    done = _read_and_resolve(phase, space.partitions / "rated", executor, progress)
    done = replace(done, states=paired(done.states))
    inputs = ledger_inputs(done)
    tables = write_tables(inputs, space.out)
    for folder in ("rated", "pairs"):
        (space.out / folder).mkdir()
    files = source_files(phase.sources)
    written = executor.run_all(partial(write_source, inputs, "rated", space.out), files)
    fates = {file.source: found for file, found in zip(files, written, strict=True) if not file.dropped}
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
    phase: Phase, folder: Path, executor: Executor, progress: BuildProgress, plan: ReusePlan | None = None
) -> ResolvedPhase:
    """Make the partitions of one phase, and decide what needs all of its rows at once."""
    folder.mkdir(exist_ok=True)
    reading = read(phase, folder, executor, progress, plan)
    give_back()
    partitions = _partitions(folder, reading)
    keys = load_keys(partitions)
    source = np.repeat(
        np.array([one.source for one in partitions], np.int16), np.array([one.rows for one in partitions], np.int64)
    )
    if plan is not None:
        plan.check_rows(keys, source)
    batches = [DiskKeys(one.rows, one.paths.signed) for one in partitions]
    lines = _source_lines(phase.opened, partitions, source, keys)
    texts = RowTexts(lines, partitions, executor.threads)
    contents, own_content = _contents(phase.mixture, source, keys), _own_content(keys)
    best, prompt = best_scores_of(keys), keys["prompt"].to_numpy() if "prompt" in keys.columns else None
    states = resolve_ids(keys, source)
    del keys  # the hashes of contents: a fifth of what is in memory while groups decide
    states, results = resolve(phase, states, best, batches, plan, texts.signed)
    give_back()
    check_clashes(phase, states, reading)
    check_drops(phase, states)
    return ResolvedPhase(
        phase=phase,
        reading=reading,
        partitions=partitions,
        states=states,
        results=results,
        contents=contents,
        lines=lines,
        score_types=score_columns(all_stages(phase.mixture), {} if plan is None else plan.types),
        own_content=own_content,
        prompt=prompt,
    )


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
    opened: tuple[Opened, ...], partitions: tuple[Partition, ...], source: NDArray[np.int16], keys: pl.DataFrame
) -> SourceLines:
    paths = [(number, file.name, file) for number, found in enumerate(opened) for file in found.parts]
    numbers = {(source, name): number for number, (source, name, _) in enumerate(paths)}
    return SourceLines(
        opened=opened,
        source=source,
        start=keys["start"].to_numpy(),
        length=keys["length"].to_numpy(),
        first=np.array([partition.first for partition in partitions], np.int64),
        files=np.array([numbers.get((partition.source, partition.file), -1) for partition in partitions], np.int64),
        paths=tuple(path for *_, path in paths),
    )


def load_keys(partitions: tuple[Partition, ...]) -> pl.DataFrame:
    """Join the keys of all partitions; a column that only some sources have is null for the others.

    Files are read one by one into columns that are there already: joining them at the end would take twice the memory.
    """
    rows = np.array([partition.rows for partition in partitions], np.int64)
    columns: dict[str, NDArray[np.generic]] = {}
    lacking: dict[str, NDArray[np.bool_]] = {}
    for number, partition in enumerate(partitions):
        batch = read_ipc(partition.paths.keys)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name not in columns:
                columns[name] = np.zeros(int(rows.sum()), column.type.to_pandas_dtype())
                lacking[name] = np.ones(len(rows), np.bool_)
            columns[name][partition.first : partition.first + partition.rows] = column.to_numpy(zero_copy_only=False)
            lacking[name][number] = False
    masks = {name: np.repeat(mask, rows) if mask.any() else None for name, mask in lacking.items()}
    return pl.DataFrame(pa.table({name: pa.array(column, mask=masks[name]) for name, column in columns.items()}))


def _own_content(keys: pl.DataFrame) -> pa.UInt64Array:
    """Return a hash of the content of each row, null where the key of a row is that of its content."""
    same = (keys["key_high"] == keys["content_high"]) & (keys["key_low"] == keys["content_low"])
    return pa.array(keys["content_low"].to_numpy(), mask=same.to_numpy())


def _contents(mixture: MixtureSpec, source: NDArray[np.int16], keys: pl.DataFrame) -> list[str]:
    high, low = keys["content_high"].to_numpy(), keys["content_low"].to_numpy()
    own = [source == number for number in range(len(mixture.sources))]
    return [content_hash(Hashes(high[rows], low[rows])) for rows in own]
