"""The steps of a source, run over a batch in one pass, and the phases of a build.

All row-local work is fused here: filters score all rows (also those already dropped, so that a bound can be moved
later), edits change the text that later steps see, and groups sign their keys. Groups decide when all keys are known
(`curate.engine.resolve`). The phases: rated rows up to their Pairing, then the rows for the data files; a mixture
without a Pairing has only the final one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.reuse.known_rows import Column, KnownRows
from curate.engine.reuse.one_step import HIT, BatchState, Hits, edit_rows, every_column, score_rows
from curate.errors import MixtureError
from curate.io.inputs import Opened
from curate.mix.spec import MixtureSpec, Source
from curate.mix.takes.selection import Selection, choices_of
from curate.rows.schema import Kind
from curate.rows.segments import Context, Segments, segments
from curate.rows.take import take
from curate.steps.base import Edit, Filter, Group, GroupKeys, Paired, Pairing, Scores, Step, decide

NO_ROWS = Segments(0, ())
S = TypeVar("S", bound=Step)


class Stage(NamedTuple):
    """A step with the name that ledger and report use for it; `place` is its position in its source's pipeline."""

    label: str
    place: int
    step: Step


class PipelineOutput(NamedTuple):
    """A batch after its pipeline; a row that a filter dropped is in the state in which it was dropped.

    `segments` are all of its segments. `dropped_by` is the place of the first filter that drops a row (-1: none);
    `bound` and `score` say by which of its bounds. `scores`, `signed` and `edited` go by label. If a Pairing ends the
    pipeline, `pairs` are those of the rows that are left; it drops rows without a pair, and `bound` is their reason.
    """

    body: pa.RecordBatch
    segments: Segments
    dropped_by: NDArray[np.int16]
    bound: NDArray[np.int16]
    score: NDArray[np.float64]
    scores: dict[str, Column]
    signed: dict[str, GroupKeys]
    edited: pa.ListArray
    evidence: pa.ListArray
    pairs: Paired | None = None


def stages(mixture: MixtureSpec, source: Source) -> tuple[Stage, ...]:
    """Return the steps of `source`: its own, named `source:step`, then the mixture's; a second `shape` is `shape-2`."""
    own = [f"{source.name}:{label}" for label in _labels(source.steps)]
    labels = [*own, *_labels(mixture.steps)]
    return tuple(
        Stage(label, i, step)
        for i, (label, step) in enumerate(zip(labels, (*source.steps, *mixture.steps), strict=True))
    )


def all_stages(mixture: MixtureSpec) -> tuple[Stage, ...]:
    """Return every stage of the mixture once: those of the sources, then the mixture's own."""
    seen = {stage.label: stage for source in mixture.sources for stage in stages(mixture, source)}
    own = set(_labels(mixture.steps))
    return tuple(sorted(seen.values(), key=lambda stage: stage.label in own))


def only(found: Iterable[Stage], kind: type[S]) -> list[tuple[Stage, S]]:
    """Return the stages whose step is of one kind, with the step typed so."""
    return [(stage, stage.step) for stage in found if isinstance(stage.step, kind)]


def score_columns(
    found: Iterable[Stage], known: Mapping[str, Mapping[str, pa.DataType]] = MappingProxyType({})
) -> dict[str, pa.DataType]:
    """Return the name and type of every column of scores and labels that these stages give.

    Those that are `known`, by label, need not be asked for: a step that scores loads all that it needs.
    """
    columns: dict[str, pa.DataType] = {}
    for stage, step in only(found, Filter):
        own = known[stage.label] if stage.label in known else _types(step)
        columns |= {f"{stage.label}.{name}": kind for name, kind in own.items()}
    return columns


def _types(step: Filter) -> dict[str, pa.DataType]:
    """Return the type of each score and label of a filter."""
    return {
        name: pa.from_numpy_dtype(column.dtype) if isinstance(column, np.ndarray) else column.type
        for name, column in every_column(step.score(NO_ROWS)).items()
    }


def run(
    found: tuple[Stage, ...],
    body: pa.RecordBatch,
    *,
    protect: bool,
    source: str = "",
    ids: pa.StringArray | None = None,
    known: KnownRows | None = None,
) -> PipelineOutput:
    """Run the row-local part of every stage over `body`; a Pairing may only be the last.

    Filters score the rows of a protected source and drop none. A Pairing may: a row without a pair has nothing to keep.
    What is `known` of rows from an earlier build is not made again.
    """
    rows = body.num_rows
    scores: dict[str, Column] = {}
    context = Context(source, pa.nulls(rows, pa.string()) if ids is None else ids, scores)
    batch = BatchState(body, segments(body, parts=None)._replace(context=context), context)
    versions, version, outdated = [body], np.zeros(rows, np.int32), np.zeros(rows, np.bool_)
    dropped_by, bound, score = np.full(rows, -1, np.int16), np.full(rows, -1, np.int16), np.full(rows, np.nan)
    signed: dict[str, GroupKeys] = {}
    edited: list[tuple[str, NDArray[np.bool_]]] = []
    hits: list[Hits] = []
    pairs: Paired | None = None
    for stage in found:
        stored = None if known is None else known.at(stage.label)
        match stage.step:
            case Filter() as step:
                measured = score_rows(stage.label, step, batch, version == len(versions) - 1, stored)
                hits += measured.hits
                scores |= {f"{stage.label}.{name}": column for name, column in measured.columns.items()}
                decision = decide(Scores(measured.columns), step.bounds(), rows)
                newly = (decision.bound >= 0) & (dropped_by < 0) & (not protect)
                dropped_by[newly] = stage.place
                bound[newly], score[newly] = decision.bound[newly], decision.score[newly]
            case Edit() as step:
                batch, changed = edit_rows(step, batch, stored)
                versions.append(batch.body)
                version[dropped_by < 0] = len(versions) - 1
                edited.append((stage.label, changed & (dropped_by < 0)))
                outdated |= changed & (dropped_by >= 0)
            case Group() as step:
                if known is None or stage.label not in known.unsigned:
                    signed[stage.label] = step.sign(batch.seen(step))
            case Pairing() as step:
                pairs = _pair(step, stage.place, batch.body, dropped_by, bound)
    body, whole = batch.body, batch.whole
    if outdated.any():
        body = _of_versions(versions, version, np.flatnonzero(outdated))
        whole = segments(body, parts=None)
    return PipelineOutput(
        body, whole, dropped_by, bound, score, scores, signed, _edited(edited, rows), _evidence(hits, rows), pairs
    )


def _pair(
    step: Pairing, place: int, body: pa.RecordBatch, dropped_by: NDArray[np.int16], bound: NDArray[np.int16]
) -> Paired:
    """Pair the rows that are left, and drop those that give no pair."""
    paired = step.pair(body)
    newly = (paired.reason >= 0) & (dropped_by < 0)
    dropped_by[newly] = place
    bound[newly] = paired.reason[newly]
    left = dropped_by[paired.row] < 0
    if left.all():
        return paired
    return Paired(take(paired.body, np.flatnonzero(left).astype(np.int32)), paired.row[left], paired.reason)


def _of_versions(
    bodies: list[pa.RecordBatch], version: NDArray[np.int32], outdated: NDArray[np.int64]
) -> pa.RecordBatch:
    """Return the last version of a batch with some rows, which edits changed after they were dropped, as they were."""
    rows = [outdated[version[outdated] == number].astype(np.int32) for number in range(len(bodies))]
    older = [take(body, picked) for body, picked in zip(bodies, rows, strict=True) if len(picked)]
    place = np.arange(len(version), dtype=np.int32)
    place[np.concatenate(rows)] = len(version) + np.arange(len(outdated), dtype=np.int32)
    return take(pa.concat_batches([bodies[-1], *older]), place)


def _labels(steps: Sequence[Step]) -> list[str]:
    names = [step.name for step in steps]
    return [name if (n := names[:i].count(name)) == 0 else f"{name}-{n + 1}" for i, name in enumerate(names)]


def _edited(changes: list[tuple[str, NDArray[np.bool_]]], rows: int) -> pa.ListArray:
    """Return, for each row, the labels of the edits that changed it."""
    if not changes:
        return _lists(np.zeros(0, np.int64), pa.array([], pa.string()), rows)
    row, which = np.nonzero(np.stack([changed for _, changed in changes], axis=1))
    labels = pa.array([label for label, _ in changes], pa.string())
    return _lists(row, labels.take(pa.array(which)), rows)


def _evidence(hits: list[Hits], rows: int) -> pa.ListArray:
    """Return, for each row, its hits in the order of the steps."""
    if not hits:
        return _lists(np.zeros(0, np.int64), pa.array([], HIT), rows)
    row = np.concatenate([found.row for found in hits])
    flat = pa.concat_arrays([found.hits for found in hits])
    order = np.argsort(row, kind="stable")
    return _lists(row[order], flat.take(pa.array(order)), rows)


def _lists(row: NDArray[np.integer], items: pa.Array, rows: int) -> pa.ListArray:
    """Group `items` by `row`; both are in row order."""
    counts = np.bincount(row, minlength=rows) if len(row) else np.zeros(rows, np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


class Phase(NamedTuple):
    """The part of a mixture that runs between one reading and one barrier.

    `pipelines` has the stages of each source in this phase, `sources` the places of those that take part. `final` rows
    go into the data files; others are paired or dropped. `choices` has the takes that choose among the rows of each
    source, by the label of their keys.
    """

    mixture: MixtureSpec
    opened: tuple[Opened, ...]
    pipelines: tuple[tuple[Stage, ...], ...]
    sources: tuple[int, ...]
    final: bool
    choices: tuple[Mapping[str, Selection], ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage of this phase once, in the order of the mixture."""
        here = {stage.label for pipeline in self.pipelines for stage in pipeline}
        return tuple(stage for stage in all_stages(self.mixture) if stage.label in here)


def pairing(mixture: MixtureSpec, source: Source) -> Stage | None:
    """Return the Pairing that the rows of `source` pass; None where they pass none."""
    return next((stage for stage in stages(mixture, source) if isinstance(stage.step, Pairing)), None)


def pairing_sources(mixture: MixtureSpec) -> tuple[int, ...]:
    """Return the places of the sources whose rows pass a Pairing."""
    return tuple(number for number, source in enumerate(mixture.sources) if pairing(mixture, source) is not None)


def rated_phase(mixture: MixtureSpec, opened: tuple[Opened, ...]) -> Phase:
    """Return the phase up to the Pairings, and with them."""
    cut = [_cut(mixture, source) for source in mixture.sources]
    return Phase(
        mixture,
        opened,
        pipelines=tuple(before for before, _ in cut),
        sources=pairing_sources(mixture),
        final=False,
        choices=({},) * len(cut),
    )


def final_phase(mixture: MixtureSpec, opened: tuple[Opened, ...], others: Iterable[MixtureSpec] = ()) -> Phase:
    """Return the phase behind the Pairings; `opened` has the pairs in place of the rated rows that gave them.

    `others` are mixtures of the same sources and steps whose takes choose among the same rows.
    """
    cut = [_cut(mixture, source) for source in mixture.sources]
    takes = zip(*([source.take for source in one.sources] for one in (mixture, *others)), strict=True)
    return Phase(
        mixture,
        opened,
        pipelines=tuple(after for _, after in cut),
        sources=tuple(range(len(cut))),
        final=True,
        choices=tuple(map(choices_of, takes)),
    )


def _cut(mixture: MixtureSpec, source: Source) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Cut the pipeline of a source behind its Pairing; places count from 0 in both parts."""
    whole, found = stages(mixture, source), pairing(mixture, source)
    end = 0 if found is None else found.place + 1
    return whole[:end], tuple(stage._replace(place=place) for place, stage in enumerate(whole[end:]))


def final_labels(mixture: MixtureSpec) -> frozenset[str]:
    """Return the labels of the stages that run in the final phase."""
    return frozenset(stage.label for source in mixture.sources for stage in _cut(mixture, source)[1])


def kind_of_rows(mixture: MixtureSpec, opened: Iterable[Opened]) -> Kind:
    """Return the kind of row of the data files; raises `MixtureError` for several, or a Pairing of unrated rows."""
    kinds: list[Kind] = []
    held: list[str] = []
    for source, found in zip(mixture.sources, opened, strict=True):
        stage = pairing(mixture, source)
        if stage is not None and found.kind != "rated":
            raise MixtureError(
                f"mixture {mixture.name!r}: step {stage.label!r} pairs rated rows, but source {source.name!r} holds "
                f"{found.kind} rows, read as {found.describe()}. If they have several scored completions each, name "
                "their format: rated(), ultrafeedback(). If they are pairs already, give the sources to be paired the "
                f"step of their own: Source(..., steps=[{stage.step.name}(...)])"
            )
        kinds.append(found.kind if stage is None else "preference")
        held.append(f"{source.name} holds {found.kind} rows" + (", paired" if stage is not None else ""))
    if len(set(kinds)) > 1:
        hint = "make a mixture of each kind"
        if set(kinds) == {"rated", "preference"}:
            hint += ", or pair the rated rows: steps=[binarize(...)] on their sources"
        raise MixtureError(f"mixture {mixture.name!r}: one build holds rows of one kind, but {', '.join(held)}; {hint}")
    return kinds[0]
