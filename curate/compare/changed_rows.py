"""The rows that set two builds apart as the browser of rows takes them: which are shown, and what is said of each.

Causes take turns, and the sources within a cause, so that each has rows before any has many. Of the rows of one cause
and source, those shown are evenly spaced by id, so that no order of rows or files plays a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from curate.compare.frames import causes, sources
from curate.compare.marks import changed_spans, row_hits
from curate.result.browser.highlights import Hit, cut
from curate.result.browser.shown_rows import (
    FIELD,
    Body,
    Document,
    LedgerFacts,
    Row,
    ShownRow,
    packed,
    shown_row,
    spans_of,
)
from curate.result.browser.stored_texts import texts_of
from curate.result.folder import named_rows

if TYPE_CHECKING:
    from curate.compare.diff import Diff
    from curate.result.build import Build

CHANGES: Final = ("entered", "left", "changed")
AT_ONCE: Final = 20_000_000
"""Tokens, about 80 MB of text, that are in memory at a time."""

CHOSEN: Final = "some of each cause and source, evenly spaced by id"


def chosen(found: Diff, n: int) -> pl.DataFrame:
    """Choose up to `n` of the rows that differ: `Diff.rows`, those first that matter most."""
    sizes: dict[tuple[str, str], dict[str, int]] = {}
    for change in CHANGES:
        for one in causes(found).filter(pl.col(change) > 0).to_dicts():
            sizes.setdefault((change, one["cause"]), {})[one["source"]] = one[change]
    quotas = in_turn({cause: sum(own.values()) for cause, own in sizes.items()}, n)
    keys = [
        (*cause, source, quota)
        for cause, own in sizes.items()
        for source, quota in in_turn(own, quotas[cause]).items()
        if quota
    ]
    names = ["change", "cause", "source"]
    schema = pl.Schema([*((name, pl.String()) for name in names), ("quota", pl.Int64())])
    place = pl.int_range(pl.len()).over(names)
    scaled = place * pl.col("quota") // pl.len().over(names)
    rows = found.rows.sort("id", "source").join(
        pl.DataFrame(keys, schema, orient="row"), on=names, maintain_order="left"
    )
    spaced = rows.with_columns(turn=scaled).filter(pl.int_range(pl.len()).over([*names, "turn"]) == 0)
    return spaced.sort("turn", *names, maintain_order=True)


def in_turn(sizes: Mapping[Any, int], n: int) -> dict[Any, int]:
    """Share out `n` so that the smallest have all that they ask for, and the others as much as each other.

    >>> in_turn({"a": 1, "b": 9, "c": 9}, 8)
    {'a': 1, 'b': 3, 'c': 4}
    """
    found = {}
    left, still = n, len(sizes)
    for name, size in sorted(sizes.items(), key=lambda one: one[1]):
        found[name] = min(size, left // still)
        left, still = left - found[name], still - 1
    return found


def changed_document(found: Diff, n: int, budget: int) -> Document:
    """Return up to `n` rows that differ, in at most `budget` bytes."""
    about: Row = {"sources": sources(found), "steps": [], "total": found.rows.height}
    about |= {"are": "that entered, left or changed", "every": "", "chosen": CHOSEN}
    return packed(list(_shown(found, chosen(found, n))), about, budget)


class _Side(NamedTuple):
    """One of the two builds: which of the rows it has, with their lines in the ledger."""

    build: Build
    keys: pl.DataFrame
    lines: dict[tuple[str, str], Row]
    facts: LedgerFacts

    @classmethod
    def of(cls, build: Build, rows: pl.DataFrame) -> _Side:
        keys = rows.select("source", "id")
        lines = named_rows(build.lines_of(build.kind).filter(pl.col("fate") == "kept"), keys)
        return cls(build, keys, lines, LedgerFacts(build, {}, {}))


def _shown(found: Diff, rows: pl.DataFrame) -> Iterator[ShownRow]:
    """Give some rows with their texts: of the build that has them, or of both."""
    kind, order = found.a.kind, sources(found)
    sides = [
        _Side.of(build, rows.filter(pl.col("change") != without))
        for build, without in ((found.a, "entered"), (found.b, "left"))
    ]
    for part in _parts(rows, sides):
        keys = part.select("source", "id")
        texts = [texts_of(side.build, "data", side.keys.join(keys, on=["source", "id"], how="semi")) for side in sides]
        for row in part.to_dicts():
            key = row["source"], row["id"]
            has = int(row["change"] != "left")
            said = sides[has].facts.row(sides[has].lines[key])
            said |= {name: row[name] for name in ("change", "cause", "why", "match")}
            said |= dict.fromkeys(("fate", "step", "reason", "score", "bound", "items"))
            bodies = {"parts": Body(texts[has][key], [])}
            if row["text"]:
                before, after = (own[key] for own in texts)
                hits = row_hits(kind, before, after)
                said |= {"edited": None, "apart": list(_apart(before, after))}
                bodies = {"parts": Body(after, hits[1]), "before": Body(before, hits[0])}
            place = CHANGES.index(row["change"]), row["cause"], order.index(row["source"]), row["id"]
            yield shown_row(place, kind, said, bodies)


def _parts(rows: pl.DataFrame, sides: Sequence[_Side]) -> Iterator[pl.DataFrame]:
    """Give the rows in parts whose texts have at most about `AT_ONCE` tokens, so that they fit in memory."""
    start, size = 0, 0
    for place, key in enumerate(zip(rows["source"], rows["id"], strict=True)):
        size += sum(side.lines[key]["tokens"] or 0 for side in sides if key in side.lines)
        if size > AT_ONCE:
            yield rows[start : place + 1]
            start, size = place + 1, 0
    if start < rows.height:
        yield rows[start:]


def _apart(before: Row, after: Row) -> Iterator[list[Any]]:
    """Give what two versions of a row carry beside their turns, where it is not the same: name, before, now."""
    sides = [dict(_carried(row)) for row in (before, after)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(name) for side in sides)
        if old == new:
            continue
        spans = changed_spans(old or "", new or "")
        yield [name, *(_cut(text, own) for text, own in zip((old, new), spans, strict=True))]


def _carried(row: Row) -> Iterable[tuple[str, str]]:
    """Give the fields of a row as texts, whole."""
    for name in ("chosen_score", "rejected_score", "label"):
        if row.get(name) is not None:
            yield name, f"{row[name]}"
    for one in row.get("rewards") or ():
        yield one["name"], one["value"]
    for name in ("chat_template_kwargs", "meta"):
        if row.get(name):
            yield name, row[name]


def _cut(text: str | None, spans: list[tuple[int, int]]) -> list[Any]:
    return ["(none)"] if text is None else spans_of(cut(text, [Hit(*span, "changed") for span in spans], whole=FIELD))
