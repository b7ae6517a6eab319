"""What a look before the build found, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.preview.check import Check, SourceCheck, StepCheck
from curate.preview.resolved import DroppedExample
from curate.report.dropped_rows import TWIN, Fallen, Twin, holds, turns_of
from curate.report.highlights import plain
from curate.report.leak_test import planted_part
from curate.report.terminal_rows import row_text

GUESS = "~"
"""Before a number that is a guess."""


def check_parts(found: Check) -> Iterator[RenderableType]:
    """Give what is shown of a check, from top to bottom: sources, a row of each step, the plan, what is wrong."""
    for source in found.sources:
        yield _source(source)
        if source.steps:
            yield _steps(source)
    yield from _seen(found)
    for test in found.tests:
        yield planted_part(test)
    yield _plan(found)
    if not found.whole:
        yield Text(
            f"{GUESS} is a guess: rows from the size of the files, the rest from the share of the rows read that the "
            "steps leave. More rows hold more duplicates.\n",
            style="dim",
        )
    for warning in found.warnings:
        yield Text(f"worth a look: {plain(warning)}", style="yellow")
    for stop in found.stops:
        yield Text(f"this would stop the build: {plain(stop)}", style="bold red")


def _source(source: SourceCheck) -> Text:
    text = Text.assemble((source.name, "bold"), f"  {plain(source.format)}\n")
    whole = "all there are" if source.whole else f"the first of {_guess(source.rows, exact=False)}"
    text.append(f"  {source.read:,} rows read, {whole}\n")
    text.append(f"  fields: {', '.join(map(plain, source.fields)) or 'none'}")
    text.append(f"; into meta go {', '.join(map(plain, source.carries))}\n" if source.carries else "\n")
    if source.quarantined:
        text.append(
            f"  {source.quarantined:,} in quarantine ({source.quarantined / source.read:.1%}):\n", style="yellow"
        )
        for line in source.bad:
            text.append(f"    {plain(line)}\n")
    if source.pairs is not None:
        text.append(f"  they give {source.pairs:,} {'pair' if source.pairs == 1 else 'pairs'}\n")
    text.rstrip()
    return text


def _steps(source: SourceCheck) -> Table:
    table = _table("  step", "reached", "drops", "share", "reasons", left=("  step", "reasons"))
    for step in source.steps:
        share = f"{step.rows / step.reached:.1%}" if step.rows else "·"
        table.add_row(
            Text(f"  {step.label}"),
            f"{step.reached:,}",
            f"{step.rows:,}" if step.rows else "·",
            share,
            Text(_reasons(step)),
        )
    return table


def _reasons(step: StepCheck) -> str:
    if step.kind == "edit":
        return "changes text; drops nothing" if step.rows else ""
    return ", ".join(f"{reason} {count:,}" for reason, count in step.reasons)


def _seen(found: Check) -> Iterator[RenderableType]:
    """Give one row of each step: the first that it drops, from the first source of which it drops any."""
    tested = {test.label for test in found.tests}
    met: dict[str, StepCheck] = {}
    for step in (step for source in found.sources for step in source.steps):
        if step.seen is not None:
            met.setdefault(step.label, step)
    if met:
        yield Text("a row that falls to each step\n", style="bold underline")
    for step in met.values():
        if step.seen is not None:
            row = _fallen(step.seen)
            yield row_text(row._replace(holds=holds(step.seen.line)) if step.label in tested else row)


def _fallen(seen: DroppedExample) -> Fallen:
    kind, line = seen.kind, seen.line
    names = ("source", "id", "file", "line", "step", "reason", "score", "bound", "match")
    twin = (
        Twin(line["match"], "which stays", turns_of(kind, seen.survivor, whole=TWIN))
        if seen.survivor is not None
        else None
    )
    return Fallen(**{name: line[name] for name in names}, turns=turns_of(kind, seen.body, line["evidence"]), twin=twin)


def _plan(found: Check) -> Table:
    table = _table("source", "rows", "after the steps", "take", "goes in", left=("source", "take"))
    for source in found.sources:
        share = source.share
        amount = _guess(share.amount, exact=source.exact, unit=share.unit) if share is not None else "not known"
        short = share is not None and share.amount < share.asked
        table.add_row(
            Text(source.name),
            _guess(source.rows, exact=source.whole),
            _guess(source.expected, exact=found.whole),
            Text(plain(source.take)),
            Text(amount, style="red" if short else ""),
        )
    return table


def _guess(count: int | None, *, exact: bool, unit: str = "rows") -> str:
    if count is None:
        return "not known"
    return f"{'' if exact else GUESS}{count:,}{'' if unit == 'rows' else f' {unit}'}"


def _table(*names: str, left: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in names:
        table.add_column(Text(name), justify="left" if name in left else "right", overflow="fold")
    return table
