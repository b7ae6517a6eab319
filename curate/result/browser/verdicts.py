"""Why a row was dropped, as people see it: the row kept in place of a duplicate, eval items, hits that still fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import polars as pl

from curate.result.browser.stored_texts import KEYS, each_text
from curate.result.browser.turns import Turn, turns_of
from curate.result.folder import BuildFolder, named_rows
from curate.result.reproduction import AGAINST
from curate.rows.schema import Kind

SURVIVOR_CHARACTERS: Final = 500
"""A turn of a surviving duplicate is shown whole up to so many characters."""


class SurvivingDuplicate(NamedTuple):
    """The row that a duplicate was dropped for; without turns if its text is not in the build folder."""

    name: str
    fate: str
    turns: tuple[Turn, ...]


def surviving(
    build: BuildFolder, dropped: Iterable[dict[str, Any]], kind: Kind, whole: int = SURVIVOR_CHARACTERS
) -> dict[str, SurvivingDuplicate]:
    """Return the surviving rows of duplicates, by `source/id`."""
    groups = build.steps_with("duplicates")
    names = sorted({line["match"] for line in dropped if line["step"] in groups and line["match"]})
    split = [name.split("/", 1) for name in names]  # the name of a source has no slash
    keys = pl.DataFrame(split, schema=KEYS, orient="row")
    if not keys.height:
        return {}
    lines = named_rows(build.readable_of(kind).select("source", "id", "fate", "step", "split"), keys)
    turns = {(row["source"], row["id"]): turns_of(kind, row, whole=whole) for row in each_text(build, keys, kind)}
    return {
        name: SurvivingDuplicate(name, _fate(key[0], lines.get(key)), turns.get(key, ()))
        for name, key in zip(names, map(tuple, split), strict=True)
    }


def survivor_names(build: BuildFolder, keys: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Return `source` and `id` of the rows that some rows of a kind were dropped for, as duplicates."""
    groups = build.steps_with("duplicates")
    lines = build.lines_of(kind).filter(pl.col("fate") == "dropped", pl.col("step").is_in(groups))
    own = lines.filter(pl.col("id").is_in(keys["id"].implode())).join(keys.lazy(), on=list(KEYS), how="semi")
    names = own.select(pl.col("match").str.splitn("/", 2).struct.rename_fields(list(KEYS))).collect()
    return names.unnest("match").drop_nulls()


def _fate(source: str, line: dict[str, Any] | None) -> str:
    """Return the fate of a surviving row in words."""
    if line is None:
        return "which the step compares with" if source == AGAINST else "not in the ledger"
    if line["fate"] == "kept":
        return f"kept, in the {line['split']} split"
    if line["fate"] == "dropped":
        return f"dropped by {line['step']}"
    if line["fate"] == "paired":
        return "paired: its text is in its pairs"
    return "not sampled, so its text is not in the build folder"


def matched_items(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the eval items that a step matched in the row of a ledger line, the deciding one first."""
    items = [hit["match"] for hit in line["evidence"] or () if hit["step"] == line["step"]]
    return tuple(dict.fromkeys([line["match"], *items]))


def fitting_hits(build: BuildFolder, line: Mapping[str, Any]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the edits that changed a row after a step measured it, and the hits of its evidence that they left."""
    place = {label: number for number, label in enumerate(build.steps)}
    hits = list(line["evidence"] or [])
    late = [edit for edit in line["edited"] or [] if any(place[hit["step"]] < place[edit] for hit in hits)]
    return tuple(late), [hit for hit in hits if not any(place[hit["step"]] < place[edit] for edit in late)]
