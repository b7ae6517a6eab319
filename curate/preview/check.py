"""A look before the build: the first rows of every source, through every step, and what they lead one to expect.

Nothing is written. What a source holds beyond the rows read is a guess from its size and from the share that survived;
where a source was read to its end, the figures are the build's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from curate.engine.group_results import between
from curate.engine.guards import SUSPICIOUS_ROWS, SUSPICIOUS_SHARE, large_drops
from curate.engine.partition import RowCount
from curate.engine.pipeline import Stage, all_stages, only, stages
from curate.engine.reading import ALWAYS_QUARANTINED, bad_rows, open_sources, read_otherwise, too_many_invalid
from curate.engine.references import read_references_of_takes
from curate.engine.resolve import delivered, sample
from curate.engine.state import Fate, RowStates
from curate.errors import CallError, MixtureError, ShortageError
from curate.io.detect import meta_names
from curate.io.formats.marked_calls import calls_marked
from curate.io.hub.repository import resolved_once
from curate.io.inputs import Input
from curate.mix.amounts import Rows, Tokens
from curate.mix.plan import Share, Stock, declared_take, nothing_from, plan
from curate.mix.spec import MixtureSpec, Source
from curate.mix.takes.selection import amount_of
from curate.preview.leak_test import LeakTest, leak_test
from curate.preview.resolved import DroppedExample, FirstRows, PhasePreview, preview_phases
from curate.rows.schema import Kind
from curate.steps.base import Edit, Group, Pairing
from curate.steps.costly import costly_run

CHECKED: Final = 2_000
"""Rows of each source that are read, if nothing else is asked."""

SHOWN: Final = 5
"""Rows in quarantine that are shown for each source."""

WORTH_A_LOOK: Final = 0.25
"""The share of rows that a step may drop without a warning; from `SUSPICIOUS_SHARE` on it stops the build."""


class StepCheck(NamedTuple):
    """What one step did to the rows read of one source.

    `reached` rows came to it; it dropped (an Edit: changed) `rows` of them, for these `reasons`, the most frequent
    first. `seen` is the first dropped row. `of` is how many rows were read, those in quarantine among them; of a step
    behind a Pairing, all of this counts pairs.
    """

    label: str
    kind: str
    of: int
    reached: int
    rows: int
    reasons: tuple[tuple[str, int], ...]
    seen: DroppedExample | None


class SourceCheck(NamedTuple):
    """What was found in one source.

    - `format`: the layout it is read in, and why; `fields`: those that its first rows have; `carries`: those that go
      into `meta`.
    - `read`: rows read, those in quarantine among them; `whole`: these are all that it has.
    - `rows`: rows that it has: exact when `whole`, else from bytes read and size on disk (None: not known).
    - `through`: rows of these that go through the steps, fewer where `before` samples ahead of them.
    - `quarantined`: rows that are invalid; `bad`: the first five, in words.
    - `pairs`: what a Pairing made of the rows read; None where there is none.
    - `left`: rows read (with a Pairing: pairs) that no step drops.
    - `origin`: the commit on the Hub that it is read from, config, splits and licence; None for other inputs.
    - `notes`: what to know about its files, and the labels that its format leaves out.
    - `take`: how much of it goes in, as declared (of a mixture with weights: its weight).
    - `share`: what it is to deliver, by the plan over what it is expected to have (None: not known), and `delivered`,
      what it comes to as whole rows; `exact`: that is no guess.
    """

    name: str
    format: str
    fields: tuple[str, ...]
    carries: tuple[str, ...]
    read: int
    whole: bool
    rows: int | None
    through: int | None
    quarantined: int
    bad: tuple[str, ...]
    steps: tuple[StepCheck, ...]
    pairs: int | None
    left: int
    origin: str | None
    notes: tuple[str, ...]
    take: str
    share: Share | None
    delivered: int
    exact: bool

    @property
    def expected(self) -> int | None:
        """Rows that the steps are expected to leave; None where the number of rows is not known."""
        if self.through is None:
            return None
        return round(self.left * self.through / self.read) if self.read else 0

    @property
    def known(self) -> bool:
        """Whether the rows read are those that go through the steps of a build."""
        return self.whole and self.through == self.rows


class Check(NamedTuple):
    """What a look at the first rows of every source came to.

    `stops` says what would stop the build, `warnings` what is worth a look before it. `tests` tell of each
    `decontaminate` step what became of eval items planted into the rows.
    """

    name: str
    kind: Kind
    sources: tuple[SourceCheck, ...]
    stops: tuple[str, ...]
    warnings: tuple[str, ...]
    tests: tuple[LeakTest, ...]

    @property
    def whole(self) -> bool:
        """Whether the rows read are those that go through the steps of a build, so that no figure is a guess."""
        return all(source.known for source in self.sources)


@resolved_once()
def check(mixture: MixtureSpec, rows: int = CHECKED) -> Check:
    """Look at the first `rows` rows of every source of `mixture`.

    Groups decide over the rows read alone, so a whole source holds more duplicates than the share says. Raises
    `MixtureError`, `SourceNotFoundError` and `FormatError` where the build would raise them before it reads.
    """
    if rows < 1:
        raise CallError(f"rows={rows!r}: a whole number from 1")
    kind, opened = open_sources(mixture)
    read_references_of_takes([mixture])
    with costly_run(pays=False) as run:
        views = preview_phases(mixture, opened, rows)
    found = [_source(views, number) for number in range(len(mixture.sources))]
    whole = all(source.known for source in found)
    shares, short = _shares(mixture, found, views[-1].states, whole=whole)
    checked = tuple(
        source._replace(share=share, delivered=amount, exact=whole or _is_promised(mixture, declared, share))
        if share is not None
        else source
        for source, declared in zip(found, mixture.sources, strict=True)
        for share, amount in [shares.get(source.name, (None, 0))]
    )
    drops = (message for view in views for message in large_drops(view.phase, view.states))
    stops = (*_quarantine(mixture, checked), *drops, *short)
    if whole and not stops and not any(source.delivered for source in checked):
        stops = (f"mixture {mixture.name!r} keeps no row",)
    heads = [head for view in views for head in view.heads]
    return Check(
        mixture.name, kind, checked, stops, (*_warnings(mixture, checked), *run.notes()), tuple(_tests(mixture, heads))
    )


def _tests(mixture: MixtureSpec, heads: list[FirstRows]) -> Iterator[LeakTest]:
    for stage, step in only(all_stages(mixture), Group):
        if not step.eval_sets:
            continue
        passed = [one.passed for head in heads for one in head.done if stage.label in one.passed.signed]
        parts = [one.signed[stage.label].totals for one in passed]
        totals = {name: np.sum([one[name] for one in parts], axis=0) for name in parts[0]}
        yield leak_test(step, stage.label, (one.body for one in passed), totals)


def _source(views: Sequence[PhasePreview], number: int) -> SourceCheck:
    mine = [view for view in views if number in view.phase.sources]
    view, last = mine[0], mine[-1]
    head, job, source = view.heads[number], view.jobs[number], view.phase.mixture.sources[number]
    own = view.own(number)
    fate = view.states.fate[own]
    clashes = int((fate == Fate.QUARANTINED).sum())
    bad = [*bad_rows(head.lines, SHOWN), *_clashes(view, own)]
    none = [read_otherwise(job.opened)] if bad and not len(fate) else []
    carried = meta_names(column for one in head.done for column in [one.parsed.body["meta"]])
    return SourceCheck(
        name=source.name,
        format=job.opened.describe(),
        fields=job.opened.fields(),
        carries=carried,
        read=head.read,
        whole=head.whole,
        rows=head.rows,
        through=_through(source, head.rows),
        quarantined=head.read - len(fate) + clashes,
        bad=tuple(bad[:SHOWN]),
        steps=tuple(_step(view, number, stage) for view in mine for stage in view.phase.pipelines[number]),
        pairs=None if last is view else last.heads[number].read,
        left=int((last.states.fate[last.own(number)] == Fate.KEPT).sum()),
        origin=job.opened.origin.describe() if job.opened.origin else None,
        notes=(*job.opened.notes, *_unread(head, job.opened.input), *none),
        take=declared_take(view.phase.mixture, source),
        share=None,
        delivered=0,
        exact=False,
    )


def _unread(head: FirstRows, source: Input) -> Iterator[str]:
    """Say how many rows have calls in their text, and what reads them."""
    rows = sum(int(calls_marked(one.parsed.body).sum()) for one in head.done)
    if rows:
        how = (
            "which is no call, or has text behind it, and stays text"
            if source.calls == "split"
            else 'calls="split" of the source\'s function, such as files(), reads them as calls'
        )
        yield f"{rows:,} of the {head.read:,} rows read have <tool_call> in an answer's text: {how}"


def _through(source: Source, rows: int | None) -> int | None:
    """Return how many of the rows of a source go through its steps."""
    if source.before is None or rows is None:
        return rows
    return min(source.before.n, rows) if isinstance(source.before, Rows) else round(source.before.share * rows)


def _clashes(view: PhasePreview, own: slice) -> Iterator[str]:
    for place in np.flatnonzero(view.states.fate[own] == Fate.QUARANTINED)[:SHOWN]:
        number = own.start + int(place)
        source, at = view.row(number)
        line = view.heads[source].lines.slice(at, 1)
        where = f"{line['file'][0]}:{line['line'][0]}: id"
        yield f"{where}: expected an id that no other row of the source has, found {view.name(number)!r}"


def _step(view: PhasePreview, number: int, stage: Stage) -> StepCheck:
    own = view.own(number)
    start, end = own.start, own.stop
    fate, place = view.states.fate[own], view.states.place[own]
    reached = (fate != Fate.QUARANTINED) & ((fate != Fate.DROPPED) | (place >= stage.place))
    lines, of = view.heads[number].lines.slice(0, end - start), view.heads[number].read
    if isinstance(stage.step, Edit):
        changed = pl.Series(lines["edited"]).list.contains(stage.label).to_numpy()
        return StepCheck(stage.label, "edit", of, int(reached.sum()), int((changed & reached).sum()), (), None)
    dropped = np.flatnonzero((fate == Fate.DROPPED) & (place == stage.place))
    if isinstance(stage.step, Group):
        reasons = _reasons(between(view.results.drops, start, end - start).filter(step=stage.label)["reason"])
        kind = "group"
    else:
        reasons = _reasons(pl.Series(lines["reason"]).gather(dropped))
        kind = "pairing" if isinstance(stage.step, Pairing) else "filter"
    seen = view.seen(start + int(dropped[0]), stage) if len(dropped) else None
    return StepCheck(stage.label, kind, of, int(reached.sum()), len(dropped), reasons, seen)


def _reasons(reason: pl.Series) -> tuple[tuple[str, int], ...]:
    """Return the reasons of dropped rows, with how many each dropped, the most frequent first."""
    counted = reason.rename("reason").to_frame().group_by("reason").len()
    counted = counted.sort(["len", "reason"], descending=[True, False])
    return tuple((str(name), int(count)) for name, count in counted.rows())


def _shares(
    mixture: MixtureSpec, found: list[SourceCheck], states: RowStates, *, whole: bool
) -> tuple[dict[str, tuple[Share, int]], list[str]]:
    """Plan over what the sources are expected to have; return the shares (none if one is not known) and shortages.

    With each share comes what it delivers: of sources read to their end, by the sample that a build would take.
    """
    stock = {}
    for number, source in enumerate(found):
        if source.expected is None:
            return {}, []
        alive = (states.source == number) & (states.fate == Fate.KEPT)
        tokens = int(states.tokens[alive].sum()) * (source.through or 0)
        stock[source.name] = Stock(source.expected, round(tokens / source.read) if source.read else 0)
    short = []
    try:
        shares = plan(mixture, stock)
    except ShortageError as error:
        short.append(str(error))
        mixture = replace(mixture, on_shortage="shrink")
        shares = plan(mixture, stock)
    except MixtureError as error:
        return {}, [str(error)]
    brought = delivered(shares, sample(mixture, states, None)[0]) if whole else [(one, one.amount) for one in shares]
    return {share.source: (share, amount) for share, amount in brought}, short


def _is_promised(mixture: MixtureSpec, source: Source, share: Share) -> bool:
    """Say whether what a source delivers is in the declaration, however much it has."""
    declared = isinstance(mixture.weights, Mapping) or isinstance(amount_of(source.take), Rows | Tokens)
    return declared and share.amount == share.asked and (mixture.weights is not None or source.max_share is None)


def _warnings(mixture: MixtureSpec, found: tuple[SourceCheck, ...]) -> Iterator[str]:
    for source, source_check in zip(mixture.sources, found, strict=True):
        yield from (f"source {source.name!r}: {note}" for note in source_check.notes)
        nothing = nothing_from(
            mixture,
            source,
            read=source_check.read,
            invalid=source_check.quarantined,
            share=source_check.share,
            delivered=source_check.delivered,
        )
        if nothing is not None:
            yield nothing
        for stage, step in zip(stages(mixture, source), source_check.steps, strict=True):
            if step.kind == "edit" or step.rows < SUSPICIOUS_ROWS or step.rows <= WORTH_A_LOOK * step.reached:
                continue
            if stage.step.allow_large_drop or step.rows <= SUSPICIOUS_SHARE * step.of:
                share = step.rows / step.reached
                yield f"step {step.label!r} drops {share:.0%} of the rows of source {source_check.name!r} that reach it"


def _quarantine(mixture: MixtureSpec, found: tuple[SourceCheck, ...]) -> Iterator[str]:
    """Say of each source with too many rows in quarantine that it stops the build."""
    for source, seen in zip(mixture.sources, found, strict=True):
        rows = seen.read if seen.whole else seen.rows or 2 * ALWAYS_QUARANTINED
        problem = too_many_invalid(source, RowCount(seen.read, seen.quarantined), rows)
        if problem is not None:
            yield problem
