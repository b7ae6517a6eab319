"""A finished build, read back from its folder. Everything here is a function of the files in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

import polars as pl

from curate.errors import CallError
from curate.mix.spec import MixtureSpec
from curate.result import counts
from curate.result.bounds import Moved
from curate.result.browser.browser import RowBrowser, browse
from curate.result.cell import cell
from curate.result.charts.charts import OF_ALL, Charts
from curate.result.charts.limit_tables import LimitTable, limit_tables
from curate.result.charts.sliders import WhatIf, what_if
from curate.result.folder import check_known, coverage, table
from curate.result.held_lines import HeldLines
from curate.result.measured_build import OF_ALL_ROWS, MeasuredBuild, what_drops
from curate.result.recut import Recut, recut
from curate.result.reproduction import reproduction
from curate.result.signatures import Signatures, kept_signatures
from curate.rows.schema import Kind, row_schema

Split: TypeAlias = Literal["train", "test"]


class Build(MeasuredBuild):
    """A finished build, read back from its folder.

    Args:
        path: The folder of the build, or its URL, of which `path` is then a copy on this machine.

    Raises:
        BuildFolderError: There is no build at `path`, or not a whole one.

    Example:
        >>> Build("build/none")
        Traceback (most recent call last):
        ...
        curate.errors.BuildFolderError: no build at build/none: it has no manifest.json
    """

    def _repr_html_(self) -> str:
        """Show the flow of rows, the funnel and the composition in a notebook."""
        return cell(self)

    @cached_property
    def chart(self) -> Charts:
        """Its charts: `chart.funnel()` and so on for a notebook, `chart.data("funnel")` for the frame behind each."""
        return Charts(self)

    def take_over(self, other: Build) -> None:
        """Take over what was measured of the same build in another folder.

        Args:
            other: The build, read before its folder moved.
        """
        if "text_measures" in vars(other):
            self.text_measures = other.text_measures
        self.chart = Charts(self, other.chart.known)

    def take_over_rows(self, other: Build) -> None:
        """Take over what was measured of all rows or dropped ones from a build with another take, if they are the same.

        Args:
            other: The build.
        """
        if what_drops(self) == what_drops(other):
            vars(self).update({name: found for name, found in vars(other).items() if name in OF_ALL_ROWS})
            self.held_lines = HeldLines(other.held_lines.last)
            self.chart = Charts(self, {name: frame for name, frame in other.chart.known.items() if name in OF_ALL})

    @cached_property
    def limit_tables(self) -> list[LimitTable]:
        """How many rows are outside each limit, wherever it is moved."""
        return limit_tables(self)

    @cached_property
    def funnel(self) -> pl.DataFrame:
        """How many rows of each source were read, dropped by each step, and kept: one line per source, then their sum.

        Columns: `source`, `read`, `quarantined`, one for each step that drops, `unsampled`, `kept` (different rows),
        `rows` (rows in the data files: kept rows with their copies). Where rows were paired, `paired` and `pairs` (what
        they gave) stand behind the Pairing; what comes after them counts pairs.
        """
        return counts.funnel(self, self.ledger, self.pairs)

    @cached_property
    def composition(self) -> pl.DataFrame:
        """What each source brings to the data files, against the plan.

        Columns: `source`, `take` (as declared), `unit`, `capped` (what its `max_share` left out), `asked` and
        `delivered` (in that unit), `available` (rows left by the steps), `rows`, `share` (of all rows), `tokens`
        (estimated unless the mixture names a tokenizer), `token_share`.
        """
        return counts.composition(self)

    def reproduction(self) -> pl.DataFrame:
        """Hold the build against what was published of its mixture: one line for each source, then their sum.

        Columns: `source`, `published` and `published_kept` (rows before and after the published filters), `read` (rows
        of the source that this build read), `dropped` (by all of its steps; `funnel` has each), `rows` (in the data
        files), `difference` (`rows` less what was published in the end), `why` (also how many rows are duplicates of
        those of other sources, see `overlap`), and `cite` (where the figures were read). A source that was published
        and is not in the mixture has null counts; one that was not published has null figures.

        Raises:
            CallError: Nothing was published of the mixture: it has no `published=`.
        """
        return reproduction(self.manifest, self.funnel, map(self.overlap, self.steps_with("duplicates")))

    @cached_property
    def licences(self) -> pl.DataFrame:
        """The rows in the data files by source and licence, and what the mixture's `use` makes of each.

        Columns: `source`, `licence` (empty where none is stated), `rows`, and `use`: "allowed", "not allowed" or
        "not stated" (null where the mixture declares no use).
        """
        return counts.licences(self.manifest, self.composition)

    @property
    def tells_languages(self) -> bool:
        """Whether a step says what language each row is in."""
        return bool(self._language_columns)

    @property
    def _language_columns(self) -> list[str]:
        return [name for name in self.ledger.collect_schema().names() if name.endswith(".language")]

    @cached_property
    def languages(self) -> pl.DataFrame:
        """How many rows of each source are in which language, of those read and of those kept.

        Columns: `source`, `language` (`und` where the text is too short to tell), `read`, `read_share`, `kept`,
        `kept_share` (shares of the source's rows); the most frequent of a source first. Where the languages of
        rated rows were detected before pairing, these count, and paired rows are kept ones. Raises `CallError`
        where no step of the mixture is `language()`.
        """
        if not self.tells_languages:
            raise CallError(
                "no step of this build names languages; add language() to the mixture: without names it drops nothing"
            )
        return counts.languages(self, self._language_columns)

    def kept(self, split: Split | None = None) -> pl.LazyFrame:
        """Return the rows of the data files.

        Args:
            split: "train" or "test"; None, the default, for both.
        """
        check_known("split", split, list(self.manifest["splits"]))
        if split is not None and not self.manifest["splits"][split]["rows"]:
            return self.kept().clear()
        return pl.scan_parquet(self.path / "data" / f"{split or '*'}-*.parquet")

    def dropped(self, step: str | None = None, reason: str | None = None, source: str | None = None) -> pl.DataFrame:
        """Return the dropped rows, with the decision in the ledger beside their text.

        Columns: `source`, `id`, `step`, `reason`, `score`, `bound`, `match`, `evidence`, `file`, `line`, then the body.
        Of a Pairing and the steps before it these are rated rows, of steps after it pairs; without a step they are
        both, with the columns of both.

        Args:
            step: Only rows that this step dropped.
            reason: Only rows dropped for this reason.
            source: Only rows of this source.

        Raises:
            CallError: The build has no such step or source.
        """
        check_known("step", step, self.steps)
        check_known("source", source, self.sources)
        kinds = self.kinds if step is None else [self.kind_of_step(step)]
        found = [self._dropped(kind, step=step, reason=reason, source=source) for kind in kinds]
        return found[0] if len(found) == 1 else pl.concat(found, how="diagonal")

    def _dropped(self, kind: Kind, **wanted: str | None) -> pl.DataFrame:
        chosen = [pl.col(name) == value for name, value in wanted.items() if value is not None]
        lines = self.lines_of(kind).filter(pl.col("fate") == "dropped", *chosen)
        verdict = lines.select(
            "source", "id", "step", "reason", "score", "bound", "match", "evidence", "file", "line"
        ).collect()
        folder = self.path / self.folder_of(kind)
        if not list(folder.glob("*.parquet")):
            return verdict.join(pl.DataFrame(row_schema(kind).empty_table()), on=["source", "id"])
        texts = pl.scan_parquet(folder / "*.parquet").join(
            verdict.lazy().select("source", "id"), on=["source", "id"], how="semi"
        )
        return verdict.join(texts.collect(), on=["source", "id"], how="left", maintain_order="left")

    def quarantined(self, source: str | None = None) -> pl.DataFrame:
        """Return the unreadable and invalid rows.

        Columns: `source`, `file`, `line`, `id`, `column`, `expected`, `excerpt`.

        Args:
            source: Only rows of this source.
        """
        check_known("source", source, self.sources)
        own = [pl.col("source") == source] if source is not None else []
        lines = self.ledger.filter(pl.col("fate") == "quarantined", *own)
        return lines.select("source", "file", "line", "id", "column", "expected", "excerpt").collect()

    def scores(self, step: str) -> pl.DataFrame:
        """Return the scores of a filter for every row that reached it: `source`, `id`, `fate`, then the scores.

        Args:
            step: The label of a filter.

        Raises:
            CallError: The step keeps no scores.
        """
        check_known("step", step, self.steps)
        prefix = f"{step}."
        names = [name for name in self.ledger.collect_schema().names() if name.startswith(prefix)]
        if not names:
            raise CallError(f"step {step!r} keeps no scores: it is no filter")
        lines = self.lines_of(self.kind_of_step(step)).filter(pl.col(names[0]).is_not_null())
        return lines.select(
            "source", "id", "fate", *(pl.col(name).alias(name.removeprefix(prefix)) for name in names)
        ).collect()

    def overlap(self, step: str | None = None) -> pl.DataFrame:
        """Count the rows that `step` dropped, by their source and that of the row kept in their place.

        Columns: `source`, `kept_source` ("against": rows outside the build), `rows`, `share` (of the rows read from
        `source`).

        Args:
            step: The label of a dedup step; None, the default, for the only one.
        """
        return counts.overlap(self, self._with_finding(step, "duplicates"))

    def clusters(self, step: str | None = None) -> pl.DataFrame:
        """Return the rows that `step` dropped, each with the row kept in its place; the largest clusters first.

        Columns: `cluster` (`source/id` of that row), `source`, `id`, `score`, `size` (with the row that stays).

        Args:
            step: The label of a dedup step; None, the default, for the only one.
        """
        return counts.clusters(self, self._with_finding(step, "duplicates"))

    def signatures(self, step: str | None = None) -> Signatures:
        """Return the MinHash signatures of the rows in the data files, as the dedup step `step` would sign them.

        `.lean()` of the answer hands them out as `datasketch.LeanMinHash`.

        Args:
            step: The label of a dedup step; None, the default, for the only one.
        """
        step = self._with_finding(step, "signatures")
        declared = next(found["step"] for found in self.manifest["steps"] if found["label"] == step)
        return kept_signatures(sorted((self.path / "data").glob("*.parquet")), self.kind, declared)

    def hits(self, step: str | None = None) -> pl.DataFrame:
        """Return the matches of a decontaminate step, one line per row and item.

        Columns: `source`, `id`, `eval`, `item`, `reason`, `score`, `side`, `turn`, `start`, `end` (characters of the
        turn), `item_start`, `item_end` (words of the item), `dropped`.

        Args:
            step: The label of a decontaminate step; None, the default, for the only one.
        """
        return table(self.path, self._with_finding(step, "contamination"), "hits")

    def coverage(self, step: str | None = None) -> pl.DataFrame:
        """Count the items of each eval set of a decontaminate step: how many can be found, and how.

        Args:
            step: The label of a decontaminate step; None, the default, for the only one.
        """
        return coverage(table(self.path, self._with_finding(step, "contamination"), "items"))

    def contamination(self, step: str | None = None) -> pl.DataFrame:
        """Return how much of each eval set a decontaminate step found in each source, in rows and in items.

        It speaks of the rows that reached the step: what earlier steps dropped was not searched, see `reached()`.

        Columns: `eval`, `source`, `reached` (rows of the source that reached the step), `rows` (those that hold an
        item, generic hits apart), `row_share` (of `reached`), `items` (items they hold), `item_share` (of the eval),
        `generic` (rows with generic hits only), and `verdict`: "contaminated" where `item_share` is over 2 %, Tulu 3's
        limit for a whole source, else "below 2 %", or "below 2 % in rows left by earlier steps" where these dropped
        some.

        Args:
            step: The label of a decontaminate step; None, the default, for the only one.
        """
        return counts.contamination(self, self._with_finding(step, "contamination"))

    def reached(self, step: str) -> pl.DataFrame:
        """Count the rows of each source that reached a step, and those that earlier steps had dropped.

        Columns: `source` (those that the step works on), `reached`, `dropped_before`. After a Pairing, `reached` counts
        pairs, and `dropped_before` also rated rows.

        Args:
            step: The label of a step.
        """
        check_known("step", step, self.steps)
        return counts.reached(self, step)

    def what_if(self, step: str) -> WhatIf:
        """Move the limits of a filter in a notebook cell: its histograms, with a slider for each limit and its counts.

        Counts are exact, of the filters alone and of one limit at a time; `recut` says what would change in all.

        Args:
            step: The label of a filter.

        Returns:
            The sliders; in a terminal, numbers (`curate.result.charts.sliders.WhatIf`).

        Raises:
            CallError: The build has no such step, or it is no filter with a limit.
        """
        return what_if(self, step)

    def recut(
        self,
        moved: Mapping[str, Moved] | None = None,
        /,
        *,
        mixture: MixtureSpec | None = None,
        compute: bool = True,
        **steps: Moved,
    ) -> Recut:
        """Move bounds of steps, or leave steps out, and return what would change; nothing is read but the build folder.

        Filters decide by the scores in the ledger, in well under a second for 300,000 rows, and the rows are sampled
        again. A dedup, decontaminate or other group decides again where its own settings move, or where other rows
        reach it than before: from the texts of kept and dropped rows, which takes as long as the step does. Texts of
        unsampled rows are not in the folder: such rows are named in `unknown`, and so are rows that edits between the
        step that dropped them and a later group did not reach.

        Args:
            moved: By label of a step, for labels that are no Python names ("flan:shape"), what `steps` takes.
            mixture: The mixture of the build, for groups that decide by more than the folder holds (eval sets from
                files, a dedup against other data). None: the one whose `build` returned this build.
            compute: Whether groups may decide again. False: rows that they would have to decide on are `unknown`, and
                stay as they were; nothing takes longer than a second.
            steps: By label: a number, for the only bound of a filter or the `threshold` of a group; a mapping, of
                limits by reason, `{"too_few_words": 5}`, each a number, (lower, upper) or None for no limit, or of
                settings of a group; a group in place of the declared one; or None, which leaves the step out.

        Returns:
            What would change (`curate.result.recut.Recut`).

        Raises:
            CallError: There is no such step or bound, the step is before a Pairing or edits, `mixture` is not that of
                the build, or the build was made by an earlier version.
            ShortageError: Too few rows would be left for what the mixture asks for, as in a build.
        """
        return recut(self, {**(moved or {}), **steps}, mixture or self.mixture, compute=compute)

    def browse(
        self,
        *,
        source: str | None = None,
        step: str | None = None,
        reason: str | None = None,
        fate: Literal["kept", "dropped"] | None = None,
        n: int = 200,
    ) -> RowBrowser:
        """Look at rows in a notebook cell: as chats with their hits, searched, filtered, with keys for the next one.

        Args:
            source: Only rows of this source.
            step: Only rows that this step dropped or changed.
            reason: Only rows dropped for this reason.
            fate: Only kept or dropped rows; None, the default, for both.
            n: How many rows, at most: some of each reason, edit and source (`curate.result.browser.sample`).

        Returns:
            The browser. `.save("rows.html")` writes it as a page of its own.

        Raises:
            CallError: The build has no such step or source.
        """
        check_known("source", source, self.sources)
        check_known("step", step, self.steps)
        return browse(self, {"source": source, "step": step, "reason": reason, "fate": fate}, n)

    def shared_prompts(self, step: str | None = None) -> pl.DataFrame:
        """Return the rows whose prompt another build has: `source`, `id`, and `other_source`, `other_id` there.

        Args:
            step: The label of an exclude_prompts_of step; None, the default, for the only one.
        """
        return table(self.path, self._with_finding(step, "shared_prompts"), "shared")
