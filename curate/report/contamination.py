"""Contamination at a glance: what was searched for, what was found of it in which source, and what still is there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from curate.report.dropped_rows import EVALS, Fallen, fallen_row, labels, lines_of, texts_there
from curate.report.formatting import of_all
from curate.result.build import Build
from curate.result.group_reports import coverage as counts
from curate.result.group_reports import table

NAMED: Final = 12
"""Items named of those that cannot be found, and of generic ones, for each eval."""

LINES: Final = 100
"""Pairs of eval and source that the page and the card list."""

STAYING: Final = 10
"""Rows shown that hold an item and stay."""

TOLD: Final = 8
"""Pairs of eval and source that a terminal lists."""

CONTAMINATED: Final = "contaminated"


class Eval(NamedTuple):
    """How much of an eval can be found: counts of its items, those that cannot be, and why, and the generic ones.

    A generic item counts only where it is a turn or a line of its own; it stands beside the number of rows that hold it
    within longer text.
    """

    name: str
    items: int
    matchable: int
    generic: int
    unmatchable: tuple[tuple[str, str], ...]
    common: tuple[tuple[str, int], ...]

    @property
    def lost(self) -> int:
        """Items that cannot be found."""
        return self.items - self.matchable


class Found(NamedTuple):
    """What a source holds of an eval: rows and their share of the source, items and their share of the eval."""

    eval: str
    source: str
    rows: int
    row_share: float
    items: int
    item_share: float
    generic: int
    verdict: str

    @property
    def bad(self) -> bool:
        """Whether the source as a whole counts as contaminated by the eval."""
        return self.verdict == CONTAMINATED


class Contamination(NamedTuple):
    """What a decontaminate step found; `found` has `left_out` lines more. `stay` rows with an item did not fall to it.

    `shown` are some of those rows.
    """

    evals: tuple[Eval, ...]
    found: tuple[Found, ...]
    left_out: int
    stay: int
    shown: tuple[Fallen, ...]


def contamination(build: Build, step: str) -> Contamination | None:
    """Return what the page shows of a decontaminate step; None for any other."""
    if step not in labels(build, EVALS):
        return None
    found = findings(build, step)
    shown = found[:LINES]
    stay = count_staying(build, step)
    return Contamination(evals(build, step), shown, len(found) - len(shown), stay, staying(build, step, n=STAYING))


def evals(build: Build, step: str) -> tuple[Eval, ...]:
    """Return the coverage of each eval of a decontaminate step, in its order."""
    return coverage(table(build.path, step, "items"))


def coverage(items: pl.DataFrame) -> tuple[Eval, ...]:
    """Return the coverage of each eval in the table of items that a decontaminate step leaves."""
    lost = _named(items.filter(pl.col("kind") == "unmatchable"), "why")
    common = _named(
        items.filter(pl.col("kind") == "generic").sort("within", descending=True, maintain_order=True), "within"
    )
    return tuple(
        Eval(
            line["eval"],
            line["items"],
            line["matchable"],
            line["generic"],
            lost.get(line["eval"], ()),
            common.get(line["eval"], ()),
        )
        for line in counts(items).to_dicts()
    )


def _named(items: pl.DataFrame, beside: str) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Return the first items of each eval, with one more column."""
    told = items.group_by("eval", maintain_order=True).agg(pl.struct("item", beside).head(NAMED).alias("named"))
    return {line["eval"]: tuple((one["item"], one[beside]) for one in line["named"]) for line in told.to_dicts()}


def findings(build: Build, step: str) -> tuple[Found, ...]:
    """Return what each source holds of each eval: contaminated pairs first, then by share of items, then of rows."""
    return tuple(
        Found(**line)
        for line in build.contamination(step)
        .select(Found._fields)
        .sort(
            [pl.col("verdict") != CONTAMINATED, "item_share", "row_share", "eval", "source"],
            descending=[False, True, True, False, False],
        )
        .to_dicts()
    )


def staying(build: Build, step: str, *, source: str | None = None, n: int) -> tuple[Fallen, ...]:
    """Return up to `n` rows that hold an item and did not fall to `step`: flagged or protected ones.

    Of each eval and reason the lowest ids come first. What was not sampled has no text.
    """
    held = _held(build, step, source)
    first = held.filter(pl.int_range(pl.len()).over("eval", "reason") < n).head(n)
    if not first.height:
        return ()
    kind = build.kind_of_step(step)
    keys = first.select("source", "id")
    lines = {(line["source"], line["id"]): line for line in lines_of(build.lines_of(kind), keys)}
    texts = texts_there(build, keys, kind)
    bound = next(found["step"].get("threshold") for found in build.manifest["steps"] if found["label"] == step)
    rows = []
    for hit in first.to_dicts():
        line = lines[hit["source"], hit["id"]]
        verdict = {"step": step, "reason": hit["reason"], "score": hit["score"], "bound": bound}
        rows.append(fallen_row(build, {**line, **verdict, "match": f"{hit['eval']}/{hit['item']}"}, texts))
    return tuple(rows)


def count_staying(build: Build, step: str) -> int:
    """Count the rows that hold an item and did not fall to `step`."""
    return build.hits(step).filter(~pl.col("dropped")).select(pl.struct("source", "id").n_unique()).item()


def _held(build: Build, step: str, source: str | None = None) -> pl.DataFrame:
    """Return the rows that hold an item and stay, each with its strongest hit; in turn from each eval and reason."""
    hits = build.hits(step).filter(~pl.col("dropped"))
    if source is not None:
        hits = hits.filter(pl.col("source") == source)
    turn = pl.int_range(pl.len()).over("eval", "reason")
    return (
        hits.unique(["source", "id"], keep="first", maintain_order=True)
        .sort("id", "source")
        .with_columns(turn=turn)
        .sort("turn", "eval", "reason", "id", "source")
    )


def contamination_lines(build: Build, step: str) -> list[str]:
    """Say in short lines what a decontaminate step searched for, what of it is in which source, and what stays.

    Raises `CallError` for a step that the build does not have, or that is no `decontaminate`.
    """
    return [*coverage_lines(evals(build, step)), *_found_lines(findings(build, step)), *_stay(build, step)]


def coverage_line(one: Eval) -> str:
    """Say how much of an eval can be found.

    >>> coverage_line(Eval("truthful_qa", 817, 816, 30, (("12", "the question contains no words"),), ()))
    'truthful_qa: 817 items, 816 matchable, 30 of them generic; 1 not: 12'
    """
    generic = f", {one.generic:,} of them generic" if one.generic else ""
    return f"{one.name}: {counted(one.items, 'item')}, {one.matchable:,} matchable{generic}{lost_line(one)}"


def lost_line(one: Eval) -> str:
    """Name the items that cannot be found; empty where all can be."""
    if not one.lost:
        return ""
    more = f" and {one.lost - len(one.unmatchable):,} more" if one.lost > len(one.unmatchable) else ""
    return f"; {one.lost:,} not: {', '.join(name for name, _ in one.unmatchable)}{more}"


def found_line(one: Found) -> str:
    """Say what a source holds of an eval.

    >>> found_line(Found("gsm8k", "flan", 5, 0.001, 4, 0.003, 2, "below 2 %"))
    'flan holds 4 items of gsm8k (0.3%) in 5 rows (0.1%): below 2 %; 2 rows more hold generic ones'
    """
    if not one.rows:
        return f"{one.source} holds nothing of {one.eval} but generic items, in {counted(one.generic, 'row')}"
    hold = f"; {counted(one.generic, 'row')} more hold generic ones" if one.generic else ""
    return (
        f"{one.source} holds {counted(one.items, 'item')} of {one.eval} ({of_all(one.item_share)}) in "
        f"{counted(one.rows, 'row')} ({of_all(one.row_share)}): {one.verdict}{hold}"
    )


def counted(count: int, noun: str) -> str:
    """Say how many.

    >>> counted(1, "row"), counted(2000, "item")
    ('1 row', '2,000 items')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def coverage_lines(cover: tuple[Eval, ...]) -> list[str]:
    """Say how much of the evals can be found: of many in one line, with those apart of which not everything can be."""
    if len(cover) <= TOLD:
        return [coverage_line(one) for one in cover]
    items, matchable, generic = (sum(getattr(one, name) for one in cover) for name in ("items", "matchable", "generic"))
    told = f"{len(cover)} evals: {items:,} items, {matchable:,} matchable, {generic:,} of them generic"
    return [told, *(coverage_line(one) for one in cover if one.lost)]


def _found_lines(found: tuple[Found, ...]) -> list[str]:
    if not found:
        return ["no row that reached it holds an item"]
    rest = found[TOLD:]
    more = [f"and {len(rest)} pairs of source and eval more, {sum(one.bad for one in rest) or 'none'} contaminated"]
    return [*map(found_line, found[:TOLD]), *(more if rest else [])]


def _stay(build: Build, step: str) -> list[str]:
    count = count_staying(build, step)
    hold = "row holds an item and stays" if count == 1 else "rows hold an item and stay"
    return [f"{count:,} {hold}, flagged or of a protected source"] if count else []
