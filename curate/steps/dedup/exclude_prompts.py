"""Drop or list rows whose prompt is in another build: what a model was taught is no test of its preferences."""

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

Mode: TypeAlias = Literal["drop", "list"]


@dataclass(frozen=True, kw_only=True)
class ExcludePrompts(Group):
    """Holds prompts against those of other builds; see `exclude_prompts_of`."""

    name: ClassVar[str] = "exclude_prompts_of"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("shared_prompts", "Shared prompts", table="shared"),)
    on: On = "prompt"
    others: tuple[Input, ...]
    mode: Mode = "drop"

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose prompts are looked for."""
        return self.others

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the hash of each prompt, `high` and `low`, both 0 where there is none."""
        return ExactDedup(on=self.on).sign(segments)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows whose prompt the others have, each with one that has it: the one of the lowest rank.

        The table `shared` lists them all, protected ones too (`row`, `other_row`).
        """
        asked = keys.lazy().filter((pl.col("high") != 0) | (pl.col("low") != 0))
        known = asked.filter(pl.col("source") < 0).sort("rank", "row").unique(["high", "low"], keep="first")
        met = asked.filter(pl.col("source") >= 0).join(known.select("high", "low", kept="row"), ["high", "low"])
        shared = met.select("row", "kept", "protect").sort("row").collect()
        fallen = shared.filter(~pl.col("protect")) if self.mode == "drop" else shared.clear()
        told = {"reason": pl.lit("shared_prompt"), "score": pl.lit(1.0), "match": pl.lit(None, pl.String)}
        falls = fallen.with_columns(**told).select(*DROP_COLUMNS).cast(dict(DROP_COLUMNS.items()))
        return Resolved(falls, tables={"shared": shared.select("row", other_row="kept")})


def exclude_prompts_of(
    build: Stored | Sequence[Stored],
    *,
    mode: Mode = "drop",
    on: On | set[str] | tuple[str, ...] = "prompt",
    allow_large_drop: bool = False,
) -> ExcludePrompts:
    """Drop the rows whose prompt another build has, or list them.

    A preference build over the prompts of the SFT build before it rewards what was taught, and a test split over them
    measures it. Prompts are equal as in `exact_dedup`: letter case, white space and the shape of apostrophes do not
    count; a conversation's prompt is what comes before its first answer. A row without a prompt, or with a blank one,
    shares none. Near ones fall with `dedup("prompt", against=build)`.

    - `build`: one or several of inputs, builds, and their folders. Their content hashes are in the manifest.
    - `mode`: `drop`, with the reason `shared_prompt` and the other row's name; or `list`, which drops nothing. Either
      way the table `shared` of the build folder names each row and one that shares its prompt; `Build.shared_prompts`
      reads it.
    - `on`: what counts as the prompt: `prompt`, or `first_user`, so that system prompts and later turns do not count.

    Raises `MixtureError` for an unknown `mode` or `on`, `SourceNotFoundError` for a folder that is no build.

    >>> from curate.io.inputs import files
    >>> exclude_prompts_of(files("sft.jsonl"), mode="list").mode
    'list'
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
