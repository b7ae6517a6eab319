"""Rows of a build for the terminal: name, fate and turns, with hits highlighted.

The rows of lowest id are shown, in turn from each step and reason (or source). Text of the data is never interpreted as
markup, and control characters are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar

import polars as pl
from rich.text import Text

from curate.errors import CallError, did_you_mean
from curate.report.contamination import staying
from curate.report.dropped_rows import DroppedRow, dropped_rows
from curate.report.formatting import counted, number
from curate.result.browser.highlights import Span
from curate.result.browser.turns import Turn, turns_of
from curate.result.build import Build
from curate.result.folder import check_known, named_rows, reading
from curate.text.unseen import coded

Fate: TypeAlias = Literal["dropped", "kept", "quarantined", "unsampled"]
T = TypeVar("T")

OPEN, CLOSE = "»", "«"
"""Around hits, so that they are visible without colours."""

MARKED: Final = "bold black on yellow"
DIM: Final = "dim"
WHO: Final = "cyan"
INDENT: Final = "    "

ITEMS: Final = 5
"""Eval items named of a row."""


def show(
    build: Build,
    fate: Fate = "dropped",
    *,
    step: str | None = None,
    reason: str | None = None,
    source: str | None = None,
    n: int = 10,
) -> list[Text]:
    """Return up to `n` rows of one fate, each as a text of several lines.

    `step` and `reason` select dropped rows only; for a decontaminate step, undropped rows with an item follow.
    Unsampled rows have no text in a build folder. Raises `CallError` for an unknown step, reason or source, and
    `BuildFolderError` if the build cannot be read.
    """
    if fate != "dropped" and (step is not None or reason is not None):
        raise CallError(
            f"a step and a reason choose among dropped rows, not among {fate} ones; leave out --step and --reason"
        )
    check_known("source", source, build.sources)
    with reading(build.path):
        match fate:
            case "dropped":
                _check_reason(build, reason)
                found = dropped_rows(build, step=step, reason=reason, source=source, n=n)
                if reason is None and step is not None and step in build.steps_with("contamination"):
                    found += staying(build, step, source=source, n=max(n - len(found), 0))
                return [row_text(row) for row in spread(found, lambda row: (row.step, row.reason), n)]
            case "quarantined":
                return [_quarantined(line) for line in _first_lines(build, source, n)]
            case _:
                return list(_whole(build, fate, source, n))


def row_text(row: DroppedRow) -> Text:
    """Return a dropped row: its name, the reason and its turns, then its surviving duplicate."""
    text = _head(row.source, row.id, row.file, row.line)
    text.append(f"  {_reason(row)}\n")
    if row.eval_items:
        more = f" and {len(row.eval_items) - ITEMS} more" if len(row.eval_items) > ITEMS else ""
        text.append(f"  contains {coded(', '.join(row.eval_items[:ITEMS]))}{more}\n", style="italic")
    if row.stale:
        text.append(
            f"  changed by {', '.join(row.stale)} after it was measured, so nothing is highlighted\n", style="italic"
        )
    _add_turns(text, row.turns)
    if row.survivor is not None:
        text.append(f"  duplicate of {coded(row.survivor.name)}, {row.survivor.fate}\n", style="italic")
        _add_turns(text, row.survivor.turns)
    return text


def cut_text(found: Sequence[Span]) -> Text:
    """Return a cut text, with hits between `»` and `«` and a note wherever characters are left out.

    >>> cut_text([Span("I am an "), Span("AI", ("self_reference",)), Span(".")]).plain
    'I am an »AI«.'
    """
    text = Text()
    inside = False
    for span in found:
        if inside != bool(span.titles):
            text.append(CLOSE if inside else OPEN, style=MARKED)
            inside = not inside
        if span.left_out:
            text.append(f" … {span.gap} … ", style=DIM)
        else:
            text.append(coded(span.text).replace("\n", f"\n{INDENT}"), style=MARKED if inside else "")
    if inside:
        text.append(CLOSE, style=MARKED)
    return text


def spread(rows: Sequence[T], group: Callable[[T], object], n: int) -> list[T]:
    """Return `n` of `rows`, taken in turn from each group, in their original order.

    >>> spread(["a1", "a2", "a3", "b1"], lambda row: row[0], 3)
    ['a1', 'a2', 'b1']
    """
    seen: Counter[object] = Counter()
    turn = []
    for row in rows:
        turn.append(seen[group(row)])
        seen[group(row)] += 1
    first = sorted(range(len(rows)), key=lambda place: (turn[place], place))[:n]
    return [rows[place] for place in sorted(first)]


def _head(source: str, row_id: str | None, file: str, line: int) -> Text:
    name = f"{source}/{coded(row_id)}" if row_id is not None else source
    return Text.assemble((name, "bold"), (f"  {coded(file)}:{line}", DIM))


def _reason(row: DroppedRow) -> str:
    reason = f"{row.step}: {row.reason}"
    if row.score is None or row.bound is None or row.score == row.bound:
        return reason
    side = "at least" if row.score < row.bound else "at most"
    return f"{reason} ({number(row.score)}, {side} {number(row.bound)})"


def _add_turns(text: Text, turns: Sequence[Turn]) -> None:
    for turn in turns:
        if turn.left_out:
            text.append(f"  … {counted(turn.left_out, 'turn')} without a hit left out …\n", style=DIM)
            continue
        text.append(f"  {coded(f'{turn.side} {turn.role}'.strip())}: ", style=WHO)
        for flag in turn.flags:
            text.append(f"{OPEN}{coded(flag)}{CLOSE}", style=MARKED).append(" ")
        text.append_text(cut_text(turn.text)).append("\n")


def _check_reason(build: Build, reason: str | None) -> None:
    if reason is None:
        return
    known = (
        build.lines.filter(pl.col("fate") == "dropped").select(pl.col("reason").unique()).collect()["reason"].to_list()
    )
    if reason not in known:
        raise CallError(f"no row of this build was dropped for the reason {reason!r}; {did_you_mean(reason, known)}")


def _lines(build: Build, fate: str, source: str | None) -> pl.LazyFrame:
    chosen = [pl.col("source") == source] if source is not None else []
    lines = build.ledger if fate == "quarantined" else build.lines_of(build.kind)
    return lines.filter(pl.col("fate") == fate, *chosen)


def _first_lines(build: Build, source: str | None, n: int) -> list[dict[str, Any]]:
    """Return the ledger lines of quarantined rows, in file order."""
    lines = _lines(build, "quarantined", source).select("source", "file", "line", "id", "column", "expected", "excerpt")
    first = lines.filter(pl.int_range(pl.len()).over("source") < n).collect().to_dicts()
    return spread(first, lambda line: line["source"], n)


def _quarantined(line: dict[str, Any]) -> Text:
    text = _head(line["source"], line["id"], line["file"], line["line"])
    where = f"{line['column']}: " if line["column"] else ""
    text.append(f"  quarantined: {coded(where)}expected {coded(line['expected'])}, found\n")
    excerpt = coded(line["excerpt"] or "").replace("\n", f"\n{INDENT}")
    return text.append(f"{INDENT}{excerpt}\n", style="" if excerpt else DIM)


def _whole(build: Build, fate: str, source: str | None, n: int) -> Iterator[Text]:
    """Give kept rows with their turns, or unsampled rows, which have only a ledger line."""
    lines = _lines(build, fate, source)
    keys = lines.group_by("source").agg(pl.col("id").bottom_k(n)).explode("id").collect()
    known = {name: place for place, name in enumerate(build.sources)}
    order = sorted(keys.rows(), key=lambda key: (known[key[0]], key[1]))
    chosen = pl.DataFrame(spread(order, lambda key: key[0], n), schema=["source", "id"], orient="row")
    ledger = named_rows(lines, chosen)
    texts = named_rows(build.kept(), chosen) if fate == "kept" else {}
    for key in chosen.rows():
        line = ledger[key]
        text = _head(line["source"], line["id"], line["file"], line["line"])
        text.append(f"  {_place(line)}\n")
        if key in texts:
            # A span is of the text that was measured; an edit may have shifted it.
            _add_turns(text, turns_of(build.kind, texts[key], () if line["edited"] else line["evidence"]))
        yield text


def _place(line: dict[str, Any]) -> str:
    """Return the fate of a row that no step dropped."""
    if line["fate"] == "unsampled":
        return "not sampled, so its text is not in the build folder"
    times = f" {line['copies']} times" if line["copies"] > 1 else ""
    edited = f", changed by {', '.join(line['edited'])}" if line["edited"] else ""
    return f"kept{times}, in the {line['split']} split{edited}"
