"""A build held against what was published of its mixture, source by source, with what explains each difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from curate.errors import CallError

AGAINST = "against"
"""The source name of rows that a step compares with, and that are not part of the build."""
COUNTED = ("source", "kept_source", "rows")
SCHEMA = {
    "source": pl.String,
    "published": pl.Int64,
    "published_kept": pl.Int64,
    "read": pl.Int64,
    "dropped": pl.Int64,
    "rows": pl.Int64,
    "difference": pl.Int64,
    "why": pl.String,
    "cite": pl.String,
}


def reproduction(manifest: Mapping[str, Any], counts: pl.DataFrame, overlaps: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the lines of `Build.reproduction`, from the manifest of a build, its funnel, and what `Build.overlap` has.

    Raises `CallError` if nothing was published of its mixture.
    """
    published: Mapping[str, dict[str, Any]] = manifest.get("published", {})
    if not published:
        raise CallError(f"nothing was published of mixture {manifest['name']!r}: it has no published=")
    funnel = {line["source"]: line for line in counts.to_dicts()}
    plans = {source["name"]: source["plan"] for source in manifest["sources"]}
    steps = [step["label"] for step in manifest["steps"]]
    also = _also_in(overlaps)
    lines = [
        _line(name, published.get(name), funnel.get(name), plans.get(name), steps, also.get(name, []))
        for name in dict.fromkeys([*published, *plans])
    ]
    frame = pl.DataFrame(lines, schema=SCHEMA)
    total = frame.select(
        source=pl.lit("total"),
        published=pl.col("published").sum(),
        published_kept=pl.coalesce("published_kept", "published").sum(),
        read=pl.col("read").sum(),
        dropped=pl.col("dropped").sum(),
        rows=pl.col("rows").sum(),
        difference=pl.col("rows").sum() - pl.coalesce("published_kept", "published").sum(),
        why=pl.lit(""),
        cite=pl.lit(""),
    )
    return pl.concat([frame, total])


def _line(
    name: str,
    said: Mapping[str, Any] | None,
    line: Mapping[str, Any] | None,
    plan: Mapping[str, Any] | None,
    steps: list[str],
    also: list[str],
) -> dict[str, Any]:
    dropped = {} if line is None else {step: line[step] for step in steps if line.get(step)}
    rows = None if line is None else line["rows"]
    expected = None if said is None else said["rows"] if said["kept"] is None else said["kept"]
    return {
        "source": name,
        "published": None if said is None else said["rows"],
        "published_kept": None if said is None else said["kept"],
        "read": None if line is None else line["read"],
        "dropped": None if line is None else sum(dropped.values()),
        "rows": rows,
        "difference": None if rows is None or expected is None else rows - expected,
        "why": "; ".join([*_reasons(said, rows, dropped, plan), *also]),
        "cite": "" if said is None else said["cite"],
    }


def _reasons(
    said: Mapping[str, Any] | None, rows: int | None, dropped: Mapping[str, int], plan: Mapping[str, Any] | None
) -> list[str]:
    """Return what explains that a source has other rows than were published, the most weighty first."""
    if said is None:
        return ["not in the published mixture"]
    note = [said["note"]] if said["note"] else []
    if rows is None or plan is None:
        return [f"source gone: {said['gone']}" if said["gone"] else "left out of this mixture", *note]
    sample = ["random sample, not published"] if said["sampled"] else []
    expected = said["rows"] if said["kept"] is None else said["kept"]
    if rows == expected:
        return [*(sample or ["same count"]), *note]
    found = []
    asked = plan["asked"] if plan["unit"] == "rows" and plan["take"].startswith("Rows") else plan.get("before")
    if asked not in {None, said["rows"], expected}:
        found.append(f"{asked:,} rows were asked for")
    if dropped or (said["kept"] is not None and not found):
        by = ", ".join(f"{step} drops {count:,}" for step, count in dropped.items()) or "no step drops any"
        theirs = "" if said["kept"] is None else f", the published filter dropped {said['rows'] - said['kept']:,}"
        found.append(f"filter differs: {by}{theirs}")
    if not found:
        found.append(f"the source has {plan['available']:,} rows now")
    return [*found, *sample, *note]


def _also_in(overlaps: Iterable[pl.DataFrame]) -> dict[str, list[str]]:
    """Return, for each source, how many of its rows were dropped as duplicates of rows of which other source."""
    found: dict[str, list[str]] = {}
    counts = Counter[tuple[str, str]]()
    for frame in overlaps:
        counts.update({(source, kept): rows for source, kept, rows in frame.select(COUNTED).rows()})
    for (source, kept), rows in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        if source != kept:
            where = "other builds" if kept == AGAINST else kept
            found.setdefault(source, []).append(f"{rows:,} {'row is' if rows == 1 else 'rows are'} also in {where}")
    return found
