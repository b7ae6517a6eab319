"""The difference of two builds, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from os.path import commonprefix
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from curate.compare.diff import CHANGES, Diff, texts
from curate.compare.written_settings import SHOWN, written
from curate.report.terminal import plain_table
from curate.report.terminal_rows import cut_text, spread
from curate.result.browser.highlights import Hit, cut
from curate.result.browser.turns import every_turn
from curate.text.unseen import coded


def diff_parts(found: Diff, n: int = 10) -> Iterator[RenderableType]:
    """Give the parts of a difference, from top to bottom: settings, counts, and up to `n` rows of each change."""
    yield Text.assemble((coded(str(found.a.path)), "bold"), " against ", (coded(str(found.b.path)), "bold"), "\n")
    for setting in found.settings:
        old, new = written(setting)
        between = " → " if old and new else "only now: " if new else ""
        alone = "only before: " if not new else ""
        yield Text.assemble(f"  {coded(setting.name)}: {alone}", (old, "red"), between, (new, "green"))
    for source in found.data:
        yield Text(f"  source {source}: its rows differ")
    if not found.settings and not found.data:
        yield Text("  the same settings and the same data")
    yield Text(f"\n{found.same:,} rows are the same in both\n")
    if found.rows.height:
        yield _counts(found)
    for change in CHANGES:
        rows = found.rows.filter(pl.col("change") == change)
        first = rows.filter(pl.int_range(pl.len()).over("source", "why") < n).sort("source", "id").to_dicts()
        yield from _rows(found, change, spread(first, lambda row: (row["source"], row["why"]), n))


def _counts(found: Diff) -> Table:
    counts = found.counts.select("change", "source", "rows", "why")
    rows = [[Text(f"{cell:,}" if isinstance(cell, int) else coded(cell)) for cell in row] for row in counts.rows()]
    return plain_table(map(Text, counts.columns), rows, left={"change", "source", "why"}, edge=True)


def _rows(found: Diff, change: str, rows: list[dict[str, Any]]) -> Iterator[Text]:
    if not rows:
        return
    yield Text(f"{change}\n", style="bold underline")
    keys = pl.DataFrame(rows).select("source", "id")
    before = texts(found.a, keys) if change != "entered" else {}
    after = texts(found.b, keys) if change != "left" else {}
    for row in rows:
        key = row["source"], row["id"]
        match = f" ({row['match']})" if row.get("match") else ""
        text = Text.assemble((f"{row['source']}/{coded(row['id'])}", "bold"), f"  {coded(row['why'] + match)}\n")
        if change == "changed":
            _apart(text, found.a.kind, before[key], after[key])
        else:
            _last(text, found.a.kind, {**before, **after}[key])
        yield text


def _last(text: Text, kind: str, row: dict[str, Any]) -> None:
    """Add the start of the first and the last turn of a row."""
    turns = every_turn(kind, row)
    for side, _, role, said in [*turns[:1], *turns[1:][-1:]]:
        text.append(f"  {coded(_who(side, role))}: ", style="cyan")
        short = f" … {len(said) - SHOWN:,} characters left out" if len(said) > SHOWN else ""
        text.append(coded(said[:SHOWN]).replace("\n", "\n    ")).append(f"{short}\n", style="dim")


def _apart(text: Text, kind: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Add the turns that differ, with the changes highlighted."""
    no_turn = ("", 0, "", "")
    for old, new in zip_longest(every_turn(kind, before), every_turn(kind, after), fillvalue=no_turn):
        if old == new:
            continue
        spans = _changed(old[3], new[3])
        for sign, turn, span, style in (("-", old, spans[0], "red"), ("+", new, spans[1], "green")):
            if turn == no_turn:
                continue
            text.append(f"{sign} {coded(_who(turn[0], turn[2]))}: ", style=style)
            text.append_text(cut_text(cut(turn[3], [span]))).append("\n")


def _changed(old: str, new: str) -> tuple[Hit, Hit]:
    """Return the differing span of each text: between the common prefix and the common suffix.

    >>> _changed("a cat sat", "a dog sat")
    (Hit(start=2, end=5, title='changed'), Hit(start=2, end=5, title='changed'))
    """
    start = len(commonprefix([old, new]))  # noqa: RUF071  characters are compared, not paths
    end = len(commonprefix([old[start:][::-1], new[start:][::-1]]))  # noqa: RUF071
    # If a span is empty, the character beside it is highlighted, so that a long text is cut there.
    spans = [(start, len(said) - end) for said in (old, new)]
    old_span, new_span = ((low, high) if low < high else (max(0, low - 1), max(high, 1)) for low, high in spans)
    return Hit(*old_span, "changed"), Hit(*new_span, "changed")


def _who(side: str, role: str) -> str:
    side = side.partition(".")[0]
    return role if side == "dialogue" else f"{side} {role}".strip()
