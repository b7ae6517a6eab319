"""Drop or report the rows whose prompt is in another build: a prompt seen in training is no test of a preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.io.build_input import Stored, rows_of
from curate.io.inputs import Input
from curate.rows.segments import On, Segments, check_on
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from curate.steps.dedup.exact_dedup import ExactDedup

Mode: TypeAlias = Literal["drop", "flag"]


@dataclass(frozen=True, kw_only=True)
class ExcludePrompts(Group):
    """Compares prompts with those of other builds; see `exclude_prompts_of`."""

    name: ClassVar[str] = "exclude_prompts_of"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("shared_prompts", "Shared prompts", table="shared"),)
    on: On = "prompt"
    others: tuple[Input, ...]
    mode: Mode = "drop"

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose prompts are excluded."""
        return self.others

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the hash of each prompt, `high` and `low`, both 0 if there is none."""
        return ExactDedup(on=self.on).sign(segments)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows with an excluded prompt, each with the row of the lowest rank that has it too.

        The table `shared` lists them all, protected ones included (`row`, `other_row`).
        """
        prompts = keys.lazy().filter((pl.col("high") != 0) | (pl.col("low") != 0))
        known = prompts.filter(pl.col("source") < 0).sort("rank", "row").unique(["high", "low"], keep="first")
        matched = prompts.filter(pl.col("source") >= 0).join(known.select("high", "low", kept="row"), ["high", "low"])
        shared = matched.select("row", "kept", "protect").sort("row").collect()
        dropped = shared.filter(~pl.col("protect")) if self.mode == "drop" else shared.clear()
        decided = {"reason": pl.lit("shared_prompt"), "score": pl.lit(1.0), "match": pl.lit(None, pl.String)}
        drops = dropped.with_columns(**decided).select(*DROP_COLUMNS).cast(dict(DROP_COLUMNS.items()))
        return Resolved(drops, tables={"shared": shared.select("row", other_row="kept")})


def exclude_prompts_of(
    build: Stored | Sequence[Stored],
    *,
    mode: Mode = "drop",
    on: On | set[str] | tuple[str, ...] = "prompt",
    allow_large_drop: bool = False,
) -> ExcludePrompts:
    """Drop or flag the rows whose prompt another build has.

    A preference build over the prompts of an earlier SFT build rewards what was taught, and a test split over them
    measures it. Prompts are compared as in `exact_dedup`: letter case, white space and apostrophe shape do not
    count. The prompt of a conversation ends before its first answer. A row with a blank prompt or none shares none.
    Use `dedup("prompt", against=build)` to exclude similar prompts too.

    Args:
        build: One or several inputs, builds or build folders. The manifest records their content hashes.
        mode: "drop" drops the rows, with the reason `shared_prompt` and the name of the other row; "flag" keeps them.
            Either way the table `shared` of the build folder lists each row with one that has its prompt
            (`Build.shared_prompts`).
        on: What counts as the prompt: "prompt", or "first_user" to ignore system prompts and later turns.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `mode` or `on` is unknown, or no build is given.
        SourceNotFoundError: A folder contains no build.

    Example:
        >>> from curate.io.inputs import files
        >>> exclude_prompts_of(files("sft.jsonl"), mode="flag").mode
        'flag'
    """
    if mode not in get_args(Mode):
        message = f"exclude_prompts_of(mode={mode!r}): {did_you_mean(str(mode), get_args(Mode))}"
        raise MixtureError(message)
    several = build if isinstance(build, Sequence) and not isinstance(build, str) else [build]
    if not several:
        message = "exclude_prompts_of(()): name a build, its folder or an input"
        raise MixtureError(message)
    others = tuple(rows_of(each, "exclude_prompts_of(") for each in several)
    return ExcludePrompts(on=check_on(on), others=others, mode=mode, allow_large_drop=allow_large_drop)
