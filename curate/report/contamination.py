"""Contamination: the eval items searched for, the items found in each source, and the rows that keep one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import polars as pl

from curate.report.dropped_rows import DroppedRow, dropped_row
from curate.report.formatting import counted, of_all
from curate.result.browser.stored_texts import texts_there
from curate.result.build import Build
from curate.result.counts import CONTAMINATED
from curate.result.folder import coverage as counts
from curate.result.folder import named_rows, table

NAMED: Final = 12
"""Items named of those that cannot be found, and of generic ones, for each eval."""

LINES: Final = 100
"""Pairs of eval and source that the page and the card list."""

STAYING: Final = 10
"""Rows shown that contain an item and were not dropped."""

LISTED: Final = 8
"""Pairs of eval and source that a terminal lists."""

ROW: Final = ["source", "id"]


class EvalCoverage(NamedTuple):
    """The coverage of an eval: counts of its items, the unmatchable ones with the reason, and the generic ones.

    A generic item, and one that is no whole sentence, matches only where it is by itself: `common` are some of
    them, each with the number of rows that contain it elsewhere, and `within` counts those with such rows.
    """

    name: str
    items: int
    matchable: int
    generic: int
    unmatchable: tuple[tuple[str, str], ...]
    common: tuple[tuple[str, int], ...]
    within: int = 0

    @property
    def lost(self) -> int:
        """The number of items that cannot be matched."""
        return self.items - self.matchable


class SourceContamination(NamedTuple):
    """The items of an eval in a source: rows and their share of those searched, items and their share of the eval."""

    eval: str
    source: str
    reached: int
    rows: int
    row_share: float
    items: int
    item_share: float
    generic: int
    verdict: str

    @property
    def bad(self) -> bool:
        """Whether the whole source counts as contaminated by the eval."""
        return self.verdict == CONTAMINATED


class Contamination(NamedTuple):
    """The findings of a decontaminate step; `left_out` more lines of `found` are not shown.

    `stay` rows with an item were not dropped; `shown` are some of them. `unsearched` says what earlier steps dropped.
    """

    evals: tuple[EvalCoverage, ...]
    found: tuple[SourceContamination, ...]
    left_out: int
    stay: int
    shown: tuple[DroppedRow, ...]
    unsearched: str


def contamination(build: Build, step: str) -> Contamination | None:
    """Return the contamination section of a step; None for a step without one."""
    if step not in build.steps_with("contamination"):
        return None
    found = findings(build, step)
    shown = found[:LINES]
    stay, some = count_staying(build, step), staying(build, step, n=STAYING)
    return Contamination(evals(build, step), shown, len(found) - len(shown), stay, some, unsearched_line(build, step))


def evals(build: Build, step: str) -> tuple[EvalCoverage, ...]:
    """Return the coverage of each eval of a decontaminate step, in its order."""
    return coverage(table(build.path, step, "items"))


def coverage(items: pl.DataFrame) -> tuple[EvalCoverage, ...]:
    """Return the coverage of each eval from the items table of a decontaminate step."""
    lost = _named(items.filter(pl.col("kind") == "unmatchable"), "why")
    only_alone = items.filter(pl.col("kind") != "unmatchable", pl.col("why").is_not_null())
    common = _named(only_alone.sort("within", descending=True, maintain_order=True), "within")
    within = dict(only_alone.filter(pl.col("within") > 0).group_by("eval").len().rows())
    return tuple(
        EvalCoverage(
            line["eval"],
            line["items"],
            line["matchable"],
            line["generic"],
            lost.get(line["eval"], ()),
            common.get(line["eval"], ()),
            within.get(line["eval"], 0),
        )
        for line in counts(items).to_dicts()
    )


def _named(items: pl.DataFrame, beside: str) -> dict[str, tuple[tuple[str, Any], ...]]:
    """Return the first items of each eval, with the column `beside`."""
    named = items.group_by("eval", maintain_order=True).agg(pl.struct("item", beside).head(NAMED).alias("named"))
    return {line["eval"]: tuple((one["item"], one[beside]) for one in line["named"]) for line in named.to_dicts()}


def findings(build: Build, step: str) -> tuple[SourceContamination, ...]:
    """Return the eval items in each source: contaminated pairs first, then by share of items, then of rows."""
    return tuple(
        SourceContamination(**line)
        for line in build.contamination(step)
        .select(SourceContamination._fields)
        .sort(
            [pl.col("verdict") != CONTAMINATED, "item_share", "row_share", "eval", "source"],
            descending=[False, True, True, False, False],
        )
        .to_dicts()
    )


def staying(build: Build, step: str, *, source: str | None = None, n: int) -> tuple[DroppedRow, ...]:
    """Return up to `n` rows that contain an item and were not dropped by `step`: flagged or protected ones.

    The lowest ids of each eval and reason come first. Unsampled rows have no text.
    """
    first = first_staying(build, step, source=source, n=n)
    if not first.height:
        return ()
    kind = build.kind_of_step(step)
    keys = first.select(ROW)
    lines = named_rows(build.readable_of(kind), keys)
    texts = texts_there(build, keys, kind)
    bound = next(found["step"].get("threshold") for found in build.manifest["steps"] if found["label"] == step)
    rows = []
    for hit in first.to_dicts():
        line = lines[hit["source"], hit["id"]]
        verdict = {"step": step, "reason": hit["reason"], "score": hit["score"], "bound": bound}
        rows.append(dropped_row(build, {**line, **verdict, "match": f"{hit['eval']}/{hit['item']}"}, texts))
    return tuple(rows)


def first_staying(build: Build, step: str, *, source: str | None = None, n: int = STAYING) -> pl.DataFrame:
    """Return the strongest hit of each of `n` rows that contain an item and were not dropped by `step`."""
    own = [pl.col("source") == source] if source is not None else []
    strongest = build.hits(step).filter(~pl.col("dropped"), *own).unique(ROW, keep="first", maintain_order=True)
    turn = pl.int_range(pl.len()).over("eval", "reason")
    return strongest.sort("id", "source").sort(turn, "eval", "reason", "id", "source").head(n)


def count_staying(build: Build, step: str) -> int:
    """Count the rows that contain an item and were not dropped by `step`."""
    return build.hits(step).filter(~pl.col("dropped")).select(pl.struct("source", "id").n_unique()).item()


def contamination_lines(build: Build, step: str) -> list[str]:
    """Return lines on the coverage of a decontaminate step, its items in each source, and the rows that keep one."""
    cover = evals(build, step)
    within = any(one.within for one in cover)
    found, unsearched = _found_lines(findings(build, step), within=within), unsearched_line(build, step)
    return [*coverage_lines(cover), *found, *([unsearched] if unsearched else []), *_stay(build, step)]


def coverage_line(one: EvalCoverage) -> str:
    """Write the coverage of an eval.

    >>> coverage_line(EvalCoverage("truthful_qa", 817, 816, 30, (("12", "the question contains no words"),), ()))
    'truthful_qa: 817 items, 816 matchable, 30 of them generic; 1 not: 12'
    """
    generic = f", {one.generic:,} of them generic" if one.generic else ""
    return f"{one.name}: {counted(one.items, 'item')}, {one.matchable:,} matchable{generic}{lost_line(one)}"


def lost_line(one: EvalCoverage) -> str:
    """Name the unmatchable items; empty if there are none."""
    if not one.lost:
        return ""
    more = f" and {one.lost - len(one.unmatchable):,} more" if one.lost > len(one.unmatchable) else ""
    return f"; {one.lost:,} not: {', '.join(name for name, _ in one.unmatchable)}{more}"


def within_line(one: EvalCoverage) -> str:
    """Name the items that count only as a turn or line of their own and are within longer text, with their rows.

    >>> within_line(EvalCoverage("truthful_qa", 817, 817, 30, (), (("107", 42), ("108", 1), ("5", 0)), 2))
    'truthful_qa: 2 items too generic to count are within longer text: 107 in 42 rows, 108 in 1 row'
    """
    named = [f"{item} in {counted(rows, 'row')}" for item, rows in one.common[:LISTED] if rows]
    more = f" and {one.within - len(named):,} more" if one.within > len(named) else ""
    are = "item too generic to count is" if one.within == 1 else "items too generic to count are"
    return f"{one.name}: {one.within:,} {are} within longer text: {', '.join(named)}{more}"


def found_line(one: SourceContamination) -> str:
    """Write what a source contains of an eval.

    >>> found_line(SourceContamination("gsm8k", "flan", 5000, 5, 0.001, 4, 0.003, 2, "below 2 %"))
    'flan contains 4 items of gsm8k (0.3%) in 5 of 5,000 rows (0.1%): below 2 %; 2 more contain generic ones'
    """
    if not one.rows:
        return f"{one.source} contains only generic items of {one.eval}, in {counted(one.generic, 'row')}"
    hold = f"; {one.generic:,} more contain{'s' if one.generic == 1 else ''} generic ones" if one.generic else ""
    return (
        f"{one.source} contains {counted(one.items, 'item')} of {one.eval} ({of_all(one.item_share)}) in "
        f"{one.rows:,} of {counted(one.reached)} ({of_all(one.row_share)}): {one.verdict}{hold}"
    )


def coverage_lines(cover: tuple[EvalCoverage, ...]) -> list[str]:
    """Write the coverage of evals: many in one line, then those with unmatchable items, or generic ones in rows."""
    within = [within_line(one) for one in cover if one.within]
    if len(cover) <= LISTED:
        return [*map(coverage_line, cover), *within]
    items, matchable, generic = (sum(getattr(one, name) for one in cover) for name in ("items", "matchable", "generic"))
    summary = f"{len(cover)} evals: {items:,} items, {matchable:,} matchable, {generic:,} of them generic"
    return [summary, *(coverage_line(one) for one in cover if one.lost), *within]


def _found_lines(found: tuple[SourceContamination, ...], *, within: bool) -> list[str]:
    if not found:
        return [
            "no row is matched; generic items are within longer text"
            if within
            else "no row that reached it contains an item"
        ]
    rest = found[LISTED:]
    bad = sum(one.bad for one in rest) or "none"
    more = [f"and {counted(len(rest), 'more pair')} of source and eval, {bad} contaminated"]
    return [*map(found_line, found[:LISTED]), *(more if rest else [])]


def unsearched_line(build: Build, step: str) -> str:
    """Say how many rows of each source earlier steps had dropped, so that they were not searched; empty for none."""
    gone = build.reached(step).filter(pl.col("dropped_before") > 0)
    named = [f"{source} {count:,}" for source, _, count in gone.head(LISTED).rows()]
    more = f" and {counted(gone.height - LISTED, 'more source')}" if gone.height > LISTED else ""
    total = int(gone["dropped_before"].sum())
    was = "was" if total == 1 else "were"
    return f"{counted(total)} that earlier steps dropped {was} not searched: {', '.join(named)}{more}" if named else ""


def _stay(build: Build, step: str) -> list[str]:
    count = count_staying(build, step)
    kept = "row contains an item and is kept" if count == 1 else "rows contain an item and are kept"
    return [f"{count:,} {kept}, flagged or of a protected source"] if count else []
