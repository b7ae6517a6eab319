"""Rows of a build for the terminal: who they are, what became of them, what they say, what was found in it marked.

Which rows are shown follows from their ids, lowest first and in turn from each step and reason (or source), so that few
rows show much. What users wrote is never taken for markup, and characters that steer a terminal are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar

import polars as pl
from rich.text import Text

from curate.errors import CallError, did_you_mean
from curate.report.contamination import staying
from curate.report.dropped_rows import EVALS, Fallen, Turn, fallen, labels, turns_of
from curate.report.formatting import number
from curate.report.highlights import Piece, plain
from curate.result.build import Build, reading

Fate: TypeAlias = Literal["dropped", "kept", "quarantined", "unsampled"]
T = TypeVar("T")

OPEN, CLOSE = "»", "«"
"""Around what was found, so that it is seen without colours too."""

MARKED: Final = "bold black on yellow"
DIM: Final = "dim"
WHO: Final = "cyan"
INDENT: Final = "    "

ITEMS: Final = 5
"""Eval items that are named of a row."""


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

    `step` and `reason` are of dropped rows only; for a step that looks for eval items, rows that hold one and stay are
    shown after those. Rows that were not sampled have no text in a build folder. Raises
    `CallError` for a step, reason or source that the build does not have, and `BuildFolderError` for one that cannot be
    read.
    """
    if fate != "dropped" and (step is not None or reason is not None):
        message = f"a step and a reason choose among dropped rows, not among {fate} ones; leave out --step and --reason"
        raise CallError(message)
    if source is not None and source not in build.sources:
        message = f"this build has no source {source!r}; {did_you_mean(source, build.sources)}"
        raise CallError(message)
    with reading(build.path):
        match fate:
            case "dropped":
                _check_reason(build, reason)
                found = fallen(build, step=step, reason=reason, source=source, n=n)
                if step in labels(build, EVALS) and reason is None:
                    found += staying(build, step, source=source, n=max(n - len(found), 0))
                return [row_text(row) for row in spread(found, lambda row: (row.step, row.reason), n)]
            case "quarantined":
                return [_quarantined(line) for line in _first_lines(build, source, n)]
            case _:
                return list(_whole(build, fate, source, n))


def row_text(row: Fallen) -> Text:
    """Return a dropped row: its name, verdict and turns, then the row that it is a duplicate of."""
    text = _head(row.source, row.id, row.file, row.line)
    text.append(f"  {_verdict(row)}\n")
    if row.holds:
        more = f" and {len(row.holds) - ITEMS} more" if len(row.holds) > ITEMS else ""
        text.append(f"  holds {plain(', '.join(row.holds[:ITEMS]))}{more}\n", style="italic")
    if row.stale:
        text.append(
            f"  changed by {', '.join(row.stale)} after it was measured, so nothing is marked\n", style="italic"
        )
    _say(text, row.turns)
    if row.twin is not None:
        text.append(f"  fell to {plain(row.twin.name)}, {row.twin.fate}\n", style="italic")
        _say(text, row.twin.turns)
    return text


def cut_text(found: Sequence[Piece]) -> Text:
    """Return a cut text, with what was found between `»` and `«` and a note wherever something is left out.

    >>> cut_text([Piece("I am an "), Piece("AI", ("self_reference",)), Piece(".")]).plain
    'I am an »AI«.'
    """
    text = Text()
    inside = False
    for piece in found:
        if inside != bool(piece.titles):
            text.append(CLOSE if inside else OPEN, style=MARKED)
            inside = not inside
        if piece.left_out:
            text.append(f" … {piece.gap} … ", style=DIM)
        else:
            text.append(plain(piece.text).replace("\n", f"\n{INDENT}"), style=MARKED if inside else "")
    if inside:
        text.append(CLOSE, style=MARKED)
    return text


def spread(rows: Sequence[T], group: Callable[[T], object], n: int) -> list[T]:
    """Return `n` of `rows`, in turn from each group, in the order in which they stood.

    >>> spread(["a1", "a2", "a3", "b1"], lambda row: row[0], 3)
    ['a1', 'a2', 'b1']
    """
    met: Counter[object] = Counter()
    turn = []
    for row in rows:
        turn.append(met[group(row)])
        met[group(row)] += 1
    first = sorted(range(len(rows)), key=lambda place: (turn[place], place))[:n]
    return [rows[place] for place in sorted(first)]


def _head(source: str, row_id: str | None, file: str, line: int) -> Text:
    name = f"{source}/{plain(row_id)}" if row_id is not None else source
    return Text.assemble((name, "bold"), (f"  {plain(file)}:{line}", DIM))


def _verdict(row: Fallen) -> str:
    told = f"{row.step}: {row.reason}"
    if row.score is None or row.bound is None or row.score == row.bound:
        return told
    side = "at least" if row.score < row.bound else "at most"
    return f"{told} ({number(row.score)}, {side} {number(row.bound)})"


def _say(text: Text, turns: Sequence[Turn]) -> None:
    for turn in turns:
        if turn.left_out:
            text.append(f"  … {turn.left_out} turns with nothing marked left out …\n", style=DIM)
            continue
        text.append(f"  {plain(f'{turn.side} {turn.role}'.strip())}: ", style=WHO)
        for flag in turn.flags:
            text.append(f"{OPEN}{plain(flag)}{CLOSE}", style=MARKED).append(" ")
        text.append_text(cut_text(turn.text)).append("\n")


def _check_reason(build: Build, reason: str | None) -> None:
    if reason is None:
        return
    known = (
        build.lines.filter(pl.col("fate") == "dropped").select(pl.col("reason").unique()).collect()["reason"].to_list()
    )
    if reason not in known:
        message = f"no row of this build was dropped for the reason {reason!r}; {did_you_mean(reason, known)}"
        raise CallError(message)


def _lines(build: Build, fate: str, source: str | None) -> pl.LazyFrame:
    chosen = [pl.col("source") == source] if source is not None else []
    lines = build.ledger if fate == "quarantined" else build.lines_of(build.kind)
    return lines.filter(pl.col("fate") == fate, *chosen)


def _first_lines(build: Build, source: str | None, n: int) -> list[dict[str, Any]]:
    """Return the lines of rows in quarantine, as they stood in the files."""
    lines = _lines(build, "quarantined", source).select("source", "file", "line", "id", "column", "expected", "excerpt")
    first = lines.filter(pl.int_range(pl.len()).over("source") < n).collect().to_dicts()
    return spread(first, lambda line: line["source"], n)


def _quarantined(line: dict[str, Any]) -> Text:
    text = _head(line["source"], line["id"], line["file"], line["line"])
    where = f"{line['column']}: " if line["column"] else ""
    text.append(f"  quarantined: {plain(where)}expected {plain(line['expected'])}, found\n")
    excerpt = plain(line["excerpt"] or "").replace("\n", f"\n{INDENT}")
    return text.append(f"{INDENT}{excerpt}\n", style="" if excerpt else DIM)


def _whole(build: Build, fate: str, source: str | None, n: int) -> Iterator[Text]:
    """Give rows that were kept, with their turns, or not sampled, of which only the lines are left."""
    lines = _lines(build, fate, source)
    keys = lines.group_by("source").agg(pl.col("id").bottom_k(n)).explode("id").collect()
    known = {name: place for place, name in enumerate(build.sources)}
    order = sorted(keys.rows(), key=lambda key: (known[key[0]], key[1]))
    chosen = pl.DataFrame(spread(order, lambda key: key[0], n), schema=["source", "id"], orient="row")
    told = _by_name(lines, chosen)
    texts = _by_name(build.kept(), chosen) if fate == "kept" else {}
    for key in chosen.rows():
        line = told[key]
        text = _head(line["source"], line["id"], line["file"], line["line"])
        text.append(f"  {_place(line)}\n")
        if key in texts:
            # A span fits the text that was measured; an edit may have moved what it marks.
            _say(text, turns_of(build.kind, texts[key], () if line["edited"] else line["evidence"]))
        yield text


def _place(line: dict[str, Any]) -> str:
    """Say where a row that no step dropped went."""
    if line["fate"] == "unsampled":
        return "not sampled, so its text is not in the build folder"
    times = f" {line['copies']} times" if line["copies"] > 1 else ""
    edited = f", changed by {', '.join(line['edited'])}" if line["edited"] else ""
    return f"kept{times}, in the {line['split']} split{edited}"


def _by_name(rows: pl.LazyFrame, keys: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Read some rows by source and id. The filter by id goes down into the Parquet files; the join is exact."""
    if not keys.height:
        return {}
    near = rows.filter(pl.col("id").is_in(keys["id"].implode()))
    found = near.join(keys.lazy(), on=["source", "id"], how="semi").collect().to_dicts()
    return {(row["source"], row["id"]): row for row in found}
