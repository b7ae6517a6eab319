"""What selections are held against, read once, before any row of the build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.engine.barrier import GroupPlace, Reached, Reference, content_hashes, decide, key_columns, reference
from curate.engine.pipeline import all_stages
from curate.errors import MixtureError
from curate.evalsets.items import EvalSet
from curate.mix.spec import MixtureSpec, Source
from curate.mix.takes.selection import CHOICE, Selection, Take
from curate.rows.segments import segments
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.references import read_rows

SHOWN: Final = 3
"""Rows that a refusal names."""


class TakeReferences(NamedTuple):
    """The rows that selections are held against: those of `takes[i]` are `found[i]`, with their keys as `CHOICE`."""

    takes: tuple[Selection, ...] = ()
    found: tuple[tuple[Reference, ...], ...] = ()

    def of(self, take: Take) -> tuple[Reference, ...]:
        """Return the rows that a take of one of the mixtures is held against; none for most."""
        return next((found for one, found in zip(self.takes, self.found, strict=True) if one is take), ())

    def hashes(self, mixture: MixtureSpec) -> dict[str, list[str]]:
        """Return the content hash of each input that the selections of a mixture are held against, by source."""
        return {one.name: content_hashes(self.of(one.take)) for one in mixture.sources if self.of(one.take)}


def read_references_of_takes(mixtures: Sequence[MixtureSpec]) -> TakeReferences:
    """Read and sign the rows that the selections of mixtures, which have the same steps, are held against.

    Selections that differ in their amount alone share what is read. Raises `QuarantineError` for an input that can
    hardly be read, and `MixtureError` for one without a row that will do, or with an eval item among rows that may be
    none.
    """
    searched = tuple(dict.fromkeys(one for stage in all_stages(mixtures[0]) for one in stage.step.eval_sets))
    takes: list[Selection] = []
    found: list[tuple[Reference, ...]] = []
    for source in (source for mixture in mixtures for source in mixture.sources):
        take = source.take
        if not isinstance(take, Selection) or not take.against() or any(one is take for one in takes):
            continue
        known = next((place for place, one in enumerate(takes) if _alike(one, take)), None)
        found.append(_read(source, take, searched) if known is None else found[known])
        takes.append(take)
    return TakeReferences(tuple(takes), tuple(found))


def _alike(one: Selection, other: Selection) -> bool:
    """Whether takes differ in their amount alone; frames with other rows are equal, but not the same."""
    inputs, others = one.against(), other.against()
    same = len(inputs) == len(others) and all(a is b for a, b in zip(inputs, others, strict=True))
    return same and replace(one, n=None) == replace(other, n=None)


def _read(source: Source, take: Selection, searched: Sequence[EvalSet]) -> tuple[Reference, ...]:
    who = f"source {source.name!r}: {type(take).__name__}(to=...)"
    tests = {f"(items {i})": decontaminate(sets, on="all") for i, sets in enumerate(_unlike(take.refused(searched)))}
    found = []
    for rows in read_rows(take.against(), who):
        signed = {CHOICE: take.sign(segments(rows.body, parts=None))}
        signed |= {label: step.sign(segments(rows.body, step.reads, step.reads_parts)) for label, step in tests.items()}
        found.append(reference(rows, signed))
    every = np.arange(sum(one.keys.rows for one in found))
    if not len(every):
        raise MixtureError(f"{who}: the input has no row to choose by; give it rows, or take Rows(n)")
    take.check_reference(pl.DataFrame(key_columns([one.keys for one in found], CHOICE, every)[0]), who)
    for label, step in tests.items():
        _refuse_items(who, GroupPlace(label, step, np.zeros(1, np.int16)), found, every)
    own = [one.keys._replace(by_label={CHOICE: one.keys.by_label[CHOICE]}) for one in found]
    return tuple(one._replace(keys=keys) for one, keys in zip(found, own, strict=True))


def _unlike(sets: Iterable[EvalSet]) -> Iterator[tuple[EvalSet, ...]]:
    """Part eval sets so that no two of one part have the same name: a set, and a copy of it in a file."""
    left = list(dict.fromkeys(sets))
    while left:
        first = {one.name: one for one in reversed(left)}
        yield tuple(one for one in left if first[one.name] is one)
        left = [one for one in left if first[one.name] is not one]


def _refuse_items(who: str, place: GroupPlace, found: Sequence[Reference], row: NDArray[np.int64]) -> None:
    """Raise `MixtureError` if rows are items of the eval sets that a step searches for."""
    none = np.zeros(len(row), np.bool_)
    reached = Reached(row, none.astype(np.int16), none.astype(np.uint64), none, None)
    hits = decide(place, [one.keys for one in found], reached, [], len(row)).tables["hits"]
    hits = hits.unique("row", keep="first", maintain_order=True)
    if not hits.height:
        return
    names = pl.concat(pl.Series(one.names, dtype=pl.String) for one in found)
    shown = hits.head(SHOWN).with_columns(name=names.gather(hits["row"].head(SHOWN)))
    said = shown.select(pl.format("row {} matches {}/{}", "name", "eval", "item")).to_series().to_list()
    more = f" and {hits.height - SHOWN:,} more" if hits.height > SHOWN else ""
    raise MixtureError(
        f"{who}: {hits.height:,} of {len(row):,} queries are test items of an eval: {', '.join(said)}{more}. Rows "
        "chosen by test items would make that eval look better than the model is. Remove these rows from the queries, "
        "and tune on dev prompts"
    )
