"""The result of `curate check`, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.preview.check import Check, SourceCheck, StepCheck
from curate.preview.leak_test import LeakTest, Way
from curate.preview.resolved import DroppedExample
from curate.report.contamination import coverage, coverage_lines
from curate.report.dropped_rows import DroppedRow
from curate.report.formatting import counted, of_all
from curate.report.terminal import plain_table
from curate.report.terminal_rows import row_text
from curate.result.browser.turns import turns_of
from curate.result.browser.verdicts import SURVIVOR_CHARACTERS, SurvivingDuplicate, matched_items
from curate.text.unseen import coded

ESTIMATE = "~"
"""Precedes an estimated number."""


def check_parts(found: Check) -> Iterator[RenderableType]:
    """Give the parts of a check, from top to bottom: sources, a dropped row per step, the plan, problems."""
    for source in found.sources:
        yield _source(source)
        if source.steps:
            yield _steps(source)
    yield from _seen(found)
    for test in found.tests:
        yield leak_test_part(test)
    yield _plan(found)
    if not found.whole:
        yield Text(
            f"{ESTIMATE} is an estimate: rows from the file size, the rest from the share of the rows read that the "
            "steps keep. More rows contain more duplicates.\n",
            style="dim",
        )
    for warning in found.warnings:
        yield Text(f"warning: {coded(warning)}", style="yellow")
    for stop in found.stops:
        yield Text(f"the build would fail: {coded(stop)}", style="bold red")


def _source(source: SourceCheck) -> Text:
    text = Text.assemble((source.name, "bold"), f"  {coded(source.format)}\n")
    if source.origin is not None:
        text.append(f"  {coded(source.origin)}\n")
    whole = "all of them" if source.whole else f"the first of {_estimate(source.rows, exact=False)}"
    text.append(f"  {source.read:,} rows read, {whole}\n")
    if source.through != source.rows and source.through is not None:
        text.append(f"  sampled ahead of the steps: {source.through:,} rows go through them\n")
    text.append(f"  fields: {', '.join(map(coded, source.fields)) or 'none'}")
    text.append(f"; into meta: {', '.join(map(coded, source.carries))}\n" if source.carries else "\n")
    if source.quarantined:
        text.append(
            f"  {source.quarantined:,} in quarantine ({source.quarantined / source.read:.1%}):\n", style="yellow"
        )
        for line in source.bad:
            text.append(f"    {coded(line)}\n")
    if source.pairs is not None:
        text.append(f"  they give {counted(source.pairs, 'pair')}\n")
    text.rstrip()
    return text


def _steps(source: SourceCheck) -> Table:
    heads = map(Text, ("  step", "reached", "drops", "share", "reasons"))
    rows = []
    for step in source.steps:
        drops = step.rows and step.kind != "edit"
        dropped = (f"{step.rows:,}", f"{step.rows / step.reached:.1%}") if drops else ("·", "·")
        rows.append([Text(cell) for cell in (f"  {step.label}", f"{step.reached:,}", *dropped, _reasons(step))])
    return plain_table(heads, rows, left={"  step", "reasons"}, edge=True)


def _reasons(step: StepCheck) -> str:
    if step.kind == "edit":
        return f"changes {counted(step.rows)}" if step.rows else ""
    return ", ".join(f"{reason} {count:,}" for reason, count in step.reasons)


def _seen(found: Check) -> Iterator[RenderableType]:
    """Give the first row that each step drops, from the first source where it drops any."""
    tested = {test.label for test in found.tests}
    first: dict[str, StepCheck] = {}
    for step in (step for source in found.sources for step in source.steps):
        if step.seen is not None:
            first.setdefault(step.label, step)
    if first:
        yield Text("a row dropped by each step\n", style="bold underline")
    for step in first.values():
        if step.seen is not None:
            row = _dropped(step.seen)
            yield row_text(row._replace(eval_items=matched_items(step.seen.line)) if step.label in tested else row)


def _dropped(seen: DroppedExample) -> DroppedRow:
    kind, line = seen.kind, seen.line
    names = ("source", "id", "file", "line", "step", "reason", "score", "bound", "match")
    survivor = None
    if seen.survivor is not None:
        turns = turns_of(kind, seen.survivor, whole=SURVIVOR_CHARACTERS)
        survivor = SurvivingDuplicate(line["match"], "which is kept", turns)
    turns = turns_of(kind, seen.body, line["evidence"])
    return DroppedRow(**{name: line[name] for name in names}, turns=turns, survivor=survivor)


def _plan(found: Check) -> Table:
    rows = []
    for source in found.sources:
        share = source.share
        amount = _estimate(share.amount, exact=source.exact, unit=share.unit) if share is not None else "not known"
        short = share is not None and share.amount < share.asked
        counts = _estimate(source.rows, exact=source.whole), _estimate(source.expected, exact=found.whole)
        cells = [Text(cell) for cell in (source.name, *counts, coded(source.take))]
        rows.append([*cells, Text(amount, style="red" if short else "")])
    heads = map(Text, ("source", "rows", "after the steps", "take", "goes in"))
    return plain_table(heads, rows, left={"source", "take"}, edge=True)


def _estimate(count: int | None, *, exact: bool, unit: str = "rows") -> str:
    if count is None:
        return "not known"
    return f"{'' if exact else ESTIMATE}{count:,}{'' if unit == 'rows' else f' {unit}'}"


def leak_test_part(test: LeakTest) -> Text:
    """Return a step's coverage, and the share of planted items that it found."""
    text = Text.assemble((f"{test.label} finds what is planted", "bold underline"), "\n")
    if not test.ways:
        return text.append("  not tested: no row that was read has a turn that this step searches\n", style="yellow")
    for line in coverage_lines(coverage(test.items)):
        text.append(f"  {coded(line)}\n")
    width = max(len(way.name) for way in test.ways)
    for way in test.ways:
        text.append(f"  {way.name:{width}}  {_share(way)}", style="bold red" if way.failed else "")
        text.append(f"  missed: {_missed(way)}\n" if way.failed else "\n", style="red")
    if test.generic.planted:
        text.append(f"  {'generic, alone':{width}}  {_share(test.generic)}\n")
    fuzzy = "no fuzzy search" if test.fuzzy is None else f"fuzzy search from {test.fuzzy:g}"
    changed = "; fuzzy=0.85 finds more of those with a changed word" if test.fuzzy is None else ""
    return text.append(f"  {fuzzy}{changed}\n", style="dim")


def _share(way: Way) -> str:
    return f"{of_all(way.found / way.planted):>6}  of {counted(way.planted, 'item')}"


def _missed(way: Way) -> str:
    rest = way.planted - way.found - len(way.missed)
    return coded(", ".join(way.missed)) + (f" and {rest:,} more" if rest else "")
