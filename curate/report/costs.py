"""What steps cost, in sentences: groups of which they drop more than of all rows, and refusals of harm that remain."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from curate.report.formatting import counted, of_all
from curate.result.build import Build

NAMED: Final = 3
"""Groups that a line names."""

SAID: Final = ("topic", "language")
"""The dimensions of which a terminal speaks; the funnel has sources, and size limits drop by length."""

SHIPPED: Final[tuple[list[str], ...]] = [], ["phrases/harmful.txt"]
"""The settings `keep_safety` with which the phrases of the package count, of which the figures are."""

FOUND: Final = "at least: on XSTest, 42 % of such refusals are found, and 97 % of those found are such"


class HarmLine(NamedTuple):
    """A sentence on the refusals of harmful requests that a step found, how sure it is, and whether none remains."""

    text: str
    none_kept: bool
    measured: str = ""

    @property
    def whole(self) -> str:
        """The sentence with what it was measured on."""
        return f"{self.text} ({self.measured})" if self.measured else self.text


def cost_lines(build: Build, step: str) -> list[str]:
    """Say which topics and languages a step dropped more of than of all rows; nothing if there are none."""
    found = build.chart.data("costs").filter(pl.col("step") == step, pl.col("dimension").is_in(SAID))
    if not found.height:
        return []
    each = [f"{one['group']} {of_all(one['share'])}" for one in found.head(NAMED).to_dicts()]
    more = f" and {found.height - NAMED} more groups" if found.height > NAMED else ""
    return [f"drops {of_all(found['overall'][0])} of all rows, but of {', '.join(each)}{more}"]


def cost_notes(build: Build) -> list[str]:
    """Say how the section on costs is to be read; nothing where no step drops rows."""
    if not build.funnel.height or not any(map(build.drops, build.steps)):
        return []
    languages = "languages, " if build.tells_languages else ""
    rule = (
        f"Groups of rows (sources, {languages}lengths, topics that the user's turns mention) of which a step drops far "
        "more than of all rows: at least five rows, and at least 1.5 times the share with three standard errors to "
        "spare. A filter may drop a group for the way people write about it: read these rows before you trust it."
    )
    notes = [rule] if build.chart.data("costs").height else [f"{rule} There is none."]
    if not build.tells_languages:
        notes.append("Languages are not known: no step of the mixture is language().")
    if build.funnel["unsampled"][-1]:
        notes.append("The texts of unsampled rows are not stored; for their topics, kept rows of their source count.")
    topics = build.text_measures.topics
    if topics is not None and topics.every > 1:
        some = f"one batch in {topics.every} was searched for topics, and counts for the others"
        notes.append(f"Of kept rows, {some}; build.costs() searches all.")
    return notes


def harm_line(build: Build, step: str) -> HarmLine | None:
    """Say how many refusals of harmful requests a step found, and how many remain; None where it looks for none."""
    found = build.refusals_of_harm.filter(step=step)
    if not found.height:
        return None
    declared = next(one["step"] for one in build.manifest["steps"] if one["label"] == step)
    measured = FOUND if declared["keep_safety"] in SHIPPED else ""
    refusals, of_harm, kept = found.select(pl.col("refusals", "of_harm", "of_harm_kept").sum()).row(0)
    if kept:
        refuse = "refuses" if kept == 1 else "refuse"
        text = f"{counted(kept)} that {refuse} a plainly harmful request in the data files, of {of_harm:,} found"
        return HarmLine(text, none_kept=False, measured=measured)
    if of_harm:
        text = f"no row that refuses a plainly harmful request remains, of {of_harm:,} found"
        keep = "" if declared["keep_safety"] else "; keep_safety=True keeps them"
        return HarmLine(text + keep, none_kept=True, measured=measured)
    among = f"among {counted(refusals, 'refusal')}" if refusals else "and no other refusal"
    text = f"no row that refuses a plainly harmful request was found, {among}"
    return HarmLine(text, none_kept=True, measured=measured if refusals else "")
