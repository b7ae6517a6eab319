"""What if: bounds moved in a finished build, and what would change, from what its folder holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.engine.guards import SUSPICIOUS_ROWS, SUSPICIOUS_SHARE
from curate.engine.resolve import sample
from curate.engine.state import Fate, RowStates
from curate.errors import CallError
from curate.io.inputs import files
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.mix.spec import MixtureSpec, Source
from curate.result.bounds import Moved, RecutStep, recut_steps, settings
from curate.result.counts import funnel
from curate.result.folder import BuildFolder
from curate.result.regroup import Verdicts
from curate.result.stored_rows import StoredRows

NEAREST: Final = 20
"""Rows shown on either side of a bound."""

TAKES: Final = {"All": All, "Rows": Rows, "Fraction": Fraction, "Repeat": Repeat, "Tokens": Tokens}

FATE: Final = ("fate", "step", "reason", "score", "bound", "copies", "split")
"""What `changes` shows of a row, before and after."""

SETTING: Final = pl.Schema(
    {"step": pl.String, "bound": pl.String, "before": pl.String, "after": pl.String, "setting": pl.String}
)

NEW_TEXT: Final = "it did not get the edits of {}, which its tokens or its prompt depend on"


class Recut(NamedTuple):
    """A build with bounds moved, beside the build as it is; `build.recut` makes it.

    - `build`: the build whose bounds were moved.
    - `settings`: what moved, a line for each limit: `step`, `bound`, `before`, `after`, and `setting`, what to write in
      the mixture (empty where no argument of the step sets the limit).
    - `rows`: every row as the ledger would have it: `source`, `id`, `fate`, `step`, `reason`, `score`, `bound`,
      `match`, `copies`, `split`. `match` is null for rows that a filter did not drop before.
    - `changes`: the rows that change: `source`, `id`, `change` ("entered" or "left" the data files, or "changed"),
      `fate`, `step`, `reason`, `score`, `bound`, `copies`, `split`, and the same after the move, named `..._after`.
    - `nearest`: of each moved bound the twenty rows nearest to it on either side: `step`, `bound_of` (the reason),
      `side` ("kept" or "dropped", by this bound alone), `source`, `id`, `score`, `bound`, `fate`, `fate_after`.
    - `unknown`: rows that cannot be decided from the build folder, with the step and why. They are counted as they
      were, and so rows that depend on them (their duplicates, the sample of their source) may differ too.
    - `notes`: what else to know, such as that a step would drop so much that the build would stop.
    """

    build: BuildFolder
    settings: pl.DataFrame
    rows: pl.DataFrame
    changes: pl.DataFrame
    nearest: pl.DataFrame
    unknown: pl.DataFrame
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{name} {count:,}" for name, count in self.changes["change"].value_counts().sort("change").rows()
        )
        return f"Recut({str(self.build.path)!r}: {counts or 'no change'}; unknown {self.unknown.height:,})"

    @property
    def counts(self) -> pl.DataFrame:
        """How many rows change, and why: `change`, `source`, `before`, `after`, `rows`, the most frequent first."""
        cause = [
            pl.concat_str(
                f"fate{end}",
                f"split{end}",
                pl.when(pl.col(f"copies{end}") > 1).then(pl.format("{} times", f"copies{end}")),
                f"step{end}",
                f"reason{end}",
                separator=" ",
                ignore_nulls=True,
            )
            for end in ("", "_after")
        ]
        by = ["change", "source", "before", "after"]
        counted = self.changes.group_by("change", "source", before=cause[0], after=cause[1]).agg(rows=pl.len())
        return counted.sort(["rows", *by], descending=[True, *[False] * 4])

    @property
    def funnel(self) -> pl.DataFrame:
        """The funnel of the build with its bounds moved, as `Build.funnel` has it."""
        made, rows = self.build, self.rows.lazy()
        if not made.paired:
            return funnel(made, rows, rows.clear())
        early, columns = pl.col("source").is_in(made.paired), self.rows.columns
        rated = made.lines_of("rated").select(columns)
        return funnel(made, pl.concat([rows.filter(~early), rated]), rows.filter(early))


def recut(made: BuildFolder, moved: Mapping[str, Moved], mixture: MixtureSpec | None, *, compute: bool) -> Recut:
    """Move bounds in a finished build; see `Build.recut`."""
    if not moved:
        raise CallError(f"recut() moves nothing: name a step of the build: {', '.join(made.steps) or 'it has none'}")
    steps = recut_steps(made, moved, mixture)
    rows = StoredRows.read(made, steps)
    if not rows.frame["key_low"].is_not_null().any() and len(rows):
        raise CallError(f"{made.path} was built before rows kept what they are sampled by; build it again")
    verdicts = Verdicts.of(rows, compute=compute)
    states, unknown = _sampled(rows, verdicts)
    after = _after(rows, verdicts, states)
    declared = {step["label"]: step["step"] for step in made.manifest["steps"]}
    shown = [line for step in steps if step.moved for line in settings(step, declared[step.label])]
    names = rows.frame.select("source", "id")
    found = pl.concat([pl.DataFrame(schema={"row": pl.Int64, "step": pl.String, "why": pl.String}), *unknown])
    found = found.unique("row", keep="first", maintain_order=True)
    return Recut(
        build=made,
        settings=pl.DataFrame(shown, SETTING),
        rows=after,
        changes=_changes(rows.frame, after),
        nearest=_nearest(rows, after),
        unknown=pl.concat([names[found["row"]], found.drop("row")], how="horizontal"),
        notes=tuple(_notes(rows, after)),
    )


def _sampled(rows: StoredRows, verdicts: Verdicts) -> tuple[RowStates, list[pl.DataFrame]]:
    """Sample the rows that are left as the build would; return their states, and the rows that are not known."""
    made, none = rows.made, np.zeros(len(rows), np.int64)
    spec = _spec(made.manifest["mixture"])
    alive = (verdicts.place < 0) & rows.ran
    fate = np.where(alive, Fate.KEPT, np.where(rows.ran, Fate.DROPPED, Fate.QUARANTINED)).astype(np.uint8)
    states = RowStates(
        source=rows.source, key=rows.key, occurrence=rows.occurrence, fate=fate, place=verdicts.place,
        grouped=none.astype(np.bool_), kept=none, copies=none, test=none.astype(np.bool_),
        tokens=rows.frame["tokens"].fill_null(0).to_numpy(), bytes=none, parts=none.astype(np.uint8),
    )  # fmt: skip
    _check_early_stop(spec, made.manifest["mixture"], states)
    prompt = rows.frame["prompt"].fill_null(0).to_numpy() if spec.test is not None else None
    sampled, _ = sample(spec, states, prompt)
    by_tokens = [
        spec.test is not None or isinstance(spec.total, Tokens) or isinstance(source.take, Tokens)
        for source in spec.sources
    ]
    back = alive & (rows.dropped_at >= 0) & np.array(by_tokens)[rows.source]
    unknown = list(verdicts.unknown)
    for step in rows.steps:
        if step.kind == "edit" and back.any():
            missed = np.flatnonzero(back & (rows.text_at < step.place) & rows.of(step))
            why = pl.lit(NEW_TEXT.format(step.label))
            unknown.append(pl.DataFrame({"row": missed}).with_columns(step=pl.lit(step.label), why=why))
    return sampled, unknown


def _spec(declared: Mapping[str, Any]) -> MixtureSpec:
    """Return the part of a declared mixture that sampling depends on."""

    def of(value: Any) -> Any:  # noqa: ANN401  a setting
        if not isinstance(value, dict) or "type" not in value:
            return value
        return TAKES[value["type"]](**{name: one for name, one in value.items() if name != "type"})

    for one in declared["sources"]:
        if one["take"]["type"] not in TAKES:
            raise CallError(
                f"source {one['name']!r} takes {one['take']['type']}(...), which chooses among all rows that the steps "
                "leave, by texts that the build folder does not have of dropped rows; build again with from_=, which "
                "does again only what a moved bound changes"
            )
    sources = [
        Source(one["name"], files(one["name"]), take=of(one["take"]), max_share=one["max_share"])
        for one in declared["sources"]
    ]
    names = ("seed", "weights", "total", "temperature", "on_shortage", "max_repeat", "test")
    return MixtureSpec(declared["name"], sources, **{name: of(declared[name]) for name in names})


def _check_early_stop(spec: MixtureSpec, declared: Mapping[str, Any], states: RowStates) -> None:
    """Raise `CallError` where fewer rows are left than `early_stop` looked for: others did not go through the steps."""
    for number, (source, one) in enumerate(zip(spec.sources, declared["sources"], strict=True)):
        if not one.get("early_stop"):
            continue
        left = (states.fate == Fate.KEPT) & (states.source == number)
        count = int(left.sum()) if isinstance(source.take, Rows) else int(states.tokens[left].sum())
        if isinstance(source.take, Rows | Tokens) and count < source.take.n:
            raise CallError(
                f"source {source.name!r} has early_stop=True: the rows that its steps saw leave {count:,} of "
                f"{source.take!r}, and no step saw the others; build again"
            )


def _after(rows: StoredRows, verdicts: Verdicts, states: RowStates) -> pl.DataFrame:
    """Return the lines of the ledger after the move."""
    frame, filters = rows.frame, verdicts.filters
    labels = {step.place: step.label for step in rows.steps}
    by_filter = (verdicts.place >= 0) & ~verdicts.stored
    place = pl.Series(verdicts.place)
    new = pl.DataFrame(
        {
            "step": place.replace_strict(labels, default=None, return_dtype=pl.String),
            "reason": pl.Series(filters.reasons, dtype=pl.String).gather(_or_null(filters.reason)),
            "score": pl.Series(filters.score).fill_nan(None),
            "bound": pl.Series(filters.bound).fill_nan(None),
            "match": pl.repeat(None, len(rows), dtype=pl.String, eager=True),
        }
    )
    columns = new.columns
    if verdicts.drops:
        drops = pl.concat(verdicts.drops)
        at = drops["row"].to_numpy()
        mine = (verdicts.place[at] == drops["place"].to_numpy()) & ~verdicts.stored[at]
        drops = drops.filter(pl.Series(mine)).with_columns(pl.lit(value=True).alias("own"))
        held = pl.DataFrame({"row": np.arange(len(rows))}).join(drops, on="row", how="left", maintain_order="left")
        own = held["own"].fill_null(value=False)
        new = new.with_columns(
            pl.when(own).then(held[name]).otherwise(pl.col(name)).alias(name) for name in columns if name != "step"
        )
    same = (new["step"] == frame["step"]) & (new["reason"] == frame["reason"]) & new["match"].is_null()
    new = new.with_columns(pl.when(same).then(frame["match"]).otherwise("match").alias("match"))
    dropped = pl.Series(by_filter)
    ran = pl.Series(rows.ran)
    stored = pl.Series(verdicts.stored) | ~ran
    fates = pl.Series([fate.name.lower() for fate in Fate]).gather(states.fate)
    splits = pl.Series(["train", "test"]).gather(_or_null(np.where(states.copies > 0, states.test, -1)))
    return frame.select("source", "id").with_columns(
        fate=pl.when(ran).then(fates).otherwise(frame["fate"]),
        **{
            name: pl.when(stored).then(frame[name]).when(dropped).then(new[name]).otherwise(None).alias(name)
            for name in columns
        },
        copies=pl.when(ran).then(pl.Series(states.copies, dtype=pl.Int32)).otherwise(frame["copies"]),
        split=splits,
    )


def _or_null(place: NDArray[np.integer]) -> pl.Series:
    found = pl.Series(place.astype(np.int64))
    return found.set(found < 0, None)


def _changes(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose fate, reason, copies or split change; a new limit alone is no change."""
    kept, now = before["fate"] == "kept", after["fate"] == "kept"
    differs = pl.Series(np.zeros(before.height, np.bool_))
    for name in ("fate", "step", "reason", "copies", "split"):
        differs |= before[name].ne_missing(after[name])
    change = pl.when(~kept & now).then(pl.lit("entered")).when(kept & ~now).then(pl.lit("left"))
    whole = before.select("source", "id", *FATE).with_columns(
        *(after[name].alias(f"{name}_after") for name in FATE), change=change.otherwise(pl.lit("changed"))
    )
    found = whole.filter(differs).select("source", "id", "change", *FATE, *(f"{name}_after" for name in FATE))
    return found.sort(pl.col("change").replace_strict(["entered", "left", "changed"], [0, 1, 2]), "source", "id")


def _nearest(rows: StoredRows, after: pl.DataFrame) -> pl.DataFrame:
    """Return the rows nearest to each moved bound, on either side."""
    names = {"source": rows.frame["source"], "id": rows.frame["id"]}
    fates = {"fate": rows.frame["fate"], "fate_after": after["fate"]}
    found: list[pl.DataFrame] = []
    for step, reason, score, limits in _moved_scores(rows, after):
        here = rows.of(step) & ~np.isnan(score)
        for limit, above in limits:
            dropped = score > limit if above else score < limit
            for side, on_side in (("kept", ~dropped), ("dropped", dropped)):
                row = np.flatnonzero(here & on_side)
                distance = np.abs(score[row] - limit)
                if len(row) > NEAREST:
                    last = np.partition(distance, NEAREST - 1)[NEAREST - 1]
                    row, distance = row[distance <= last], distance[distance <= last]
                frame = pl.DataFrame({**names, **fates})[row].with_columns(
                    step=pl.lit(step.label), bound_of=pl.lit(reason), side=pl.lit(side), bound=pl.lit(float(limit)),
                    score=pl.Series(score[row]), distance=pl.Series(distance),
                )  # fmt: skip
                found.append(frame.sort("distance", "source", "id").head(NEAREST))
    columns = ("step", "bound_of", "side", "source", "id", "score", "bound", "fate", "fate_after")
    types = {name: pl.Float64 if name in {"score", "bound"} else pl.String for name in columns}
    return pl.concat([pl.DataFrame(schema=types), *(one.select(columns) for one in found)])


def _moved_scores(
    rows: StoredRows, after: pl.DataFrame
) -> Iterator[tuple[RecutStep, str, NDArray[np.float64], list[tuple[float, bool]]]]:
    """Give each moved bound: its step, its reason, the score of each row, and its limits, upper ones marked."""
    for step in rows.steps:
        if step.out or not step.moved:
            continue
        for old, new in zip(step.before, step.bounds, strict=True):
            limits = [(new.at_least, False)] * (new.at_least != old.at_least)
            limits += [(new.at_most, True)] * (new.at_most != old.at_most)
            known = [(limit, above) for limit, above in limits if limit is not None]
            if known:
                yield step, new.reason, rows.scores(step, new.score), known
        if step.group is not None and step.declared is not None and step.group.bound != step.declared.bound:
            scores = [
                np.where(frame["step"].eq_missing(step.label), frame["score"].fill_null(np.nan), np.nan)
                for frame in (after, rows.frame)
            ]
            below = np.nextafter(step.group.bound, 0)
            yield step, step.group.name, np.where(np.isnan(scores[0]), scores[1], scores[0]), [(below, True)]


def _notes(rows: StoredRows, after: pl.DataFrame) -> Iterator[str]:
    """Say which steps would drop so much that a build stops, and what the ledger cannot say of `early_stop`."""
    manifest = rows.made.manifest
    held = {step["label"]: step["step"].get("allow_large_drop", False) for step in manifest["steps"]}
    read = dict(rows.frame.filter(pl.Series(rows.ran)).group_by("source").len().rows())
    for source, label, count in (
        after.filter(pl.col("fate") == "dropped").group_by("source", "step").len().sort("source", "step").rows()
    ):
        if count >= SUSPICIOUS_ROWS and count > SUSPICIOUS_SHARE * read.get(source, count) and not held[label]:
            yield (
                f"step {label!r} would drop {count:,} of the {read[source]:,} rows of source {source!r}: a build stops "
                "there unless the step says allow_large_drop=True"
            )
    for source in manifest["mixture"]["sources"]:
        if source.get("early_stop"):
            yield (
                f"source {source['name']!r} has early_stop=True: a build may look at fewer of its rows, and then calls "
                "unsampled what is dropped here"
            )
