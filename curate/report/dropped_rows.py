"""Dropped rows, a few for each step and reason, turn by turn with their hits highlighted.

The rows of lowest id are shown. Only their texts are read: a build folder may be large.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from curate.result.browser.stored_texts import texts_of
from curate.result.browser.turns import Turn, turns_of
from curate.result.browser.verdicts import SurvivingDuplicate, fitting_hits, matched_items, surviving
from curate.result.build import Build
from curate.result.counts import counted_once
from curate.result.folder import BuildFolder, check_known, named_rows
from curate.rows.schema import Kind

SHOWN: Final = 10
"""Rows shown for each step and reason."""


class DroppedRow(NamedTuple):
    """A dropped row: its file and line, why it was dropped, and its turns.

    `stale` names the edits that changed the text after it was measured, so its spans are not highlighted. `eval_items`
    names the eval items matched in it, as `eval/item`.
    """

    source: str
    id: str
    file: str
    line: int
    step: str
    reason: str
    score: float | None
    bound: float | None
    match: str | None
    turns: tuple[Turn, ...]
    stale: tuple[str, ...] = ()
    survivor: SurvivingDuplicate | None = None
    eval_items: tuple[str, ...] = ()

    @property
    def matched(self) -> str | None:
        """The phrase that dropped it, if its text shows one."""
        has_hits = any(span.titles for turn in self.turns for span in turn.text)
        return self.match if has_hits and not self.eval_items else None


def dropped_rows(
    build: Build, *, step: str | None = None, reason: str | None = None, source: str | None = None, n: int = SHOWN
) -> list[DroppedRow]:
    """Return up to `n` rows for each step and reason, in the order of steps, then reason and id."""
    check_known("step", step, build.steps)
    check_known("source", source, build.sources)
    wanted = {"step": step, "reason": reason, "source": source}
    chosen = [pl.col(name) == value for name, value in wanted.items() if value is not None]
    found: list[DroppedRow] = []
    for kind in build.kinds:
        known = not chosen and n == SHOWN
        keys = lowest_dropped(build, kind) if known else _lowest(build, kind, n, *chosen)
        found += read_dropped(build, keys, kind)
    place = {label: number for number, label in enumerate(build.steps)}
    return sorted(found, key=lambda row: (place[row.step], row.reason, row.id, row.source))


@counted_once
def lowest_dropped(build: BuildFolder, kind: Kind) -> pl.DataFrame:
    """Return `source` and `id` of `SHOWN` dropped rows of each step and reason, those of lowest id."""
    return _lowest(build, kind, SHOWN)


def _lowest(build: BuildFolder, kind: Kind, n: int, *chosen: pl.Expr) -> pl.DataFrame:
    lines = build.lines_of(kind).filter(pl.col("fate") == "dropped", *chosen)
    lowest = pl.col("id", "source").bottom_k_by(["id", "source"], n)
    return lines.group_by("step", "reason").agg(lowest).explode("id", "source").select("source", "id").collect()


def read_dropped(build: Build, keys: pl.DataFrame, kind: Kind) -> list[DroppedRow]:
    """Return the dropped ones of some rows (`source`, `id`) of one kind, in any order."""
    if not keys.height:
        return []
    lines = named_rows(build.lines_of(kind).filter(pl.col("fate") == "dropped"), keys).values()
    texts = texts_of(build, build.folder_of(kind), keys)
    survivors = surviving(build, lines, kind)
    return [dropped_row(build, line, texts, survivors) for line in lines]


def dropped_row(
    build: Build,
    line: dict[str, Any],
    texts: dict[tuple[str, str], dict[str, Any]],
    survivors: Mapping[str, SurvivingDuplicate] = MappingProxyType({}),
) -> DroppedRow:
    """Return the dropped row of a ledger line; without turns if `texts` lacks it."""
    row = texts.get((line["source"], line["id"]), {})
    late, fitting = fitting_hits(build, line)
    verdict = {
        name: line[name] for name in ("source", "id", "file", "line", "step", "reason", "score", "bound", "match")
    }
    turns = turns_of(build.kind_of_step(line["step"]), row, fitting) if row else ()
    items = matched_items(line) if line["step"] in build.steps_with("contamination") else ()
    return DroppedRow(**verdict, turns=turns, stale=late, survivor=survivors.get(line["match"] or ""), eval_items=items)
