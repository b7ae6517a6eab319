"""A finished build, read back from its folder. Everything here is a function of the files in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl

from curate.engine.manifest import file_hash
from curate.engine.workspace import MANIFEST
from curate.errors import BuildFolderError, CallError, did_you_mean
from curate.mix.tokens import Tokenizer
from curate.result import group_reports as findings
from curate.result import tables
from curate.result.html import environment
from curate.result.length_bias import bias, length_cost, measured
from curate.rows.schema import Kind, row_schema
from curate.steps.base import FindingView

Split: TypeAlias = Literal["train", "test"]


class Build:
    """A build folder.

    Raises `BuildFolderError` when there is no build at `path`, or not a whole one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        place = self.path / MANIFEST
        if not place.is_file():
            message = f"no build at {self.path}: it has no {MANIFEST}"
            raise BuildFolderError(message)
        try:
            self.manifest: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            message = f"{place} cannot be read: {error}"
            raise BuildFolderError(message) from error
        fields = {"kind", "mixture", "sources", "splits", "steps"}
        if not isinstance(self.manifest, dict) or not fields <= self.manifest.keys():
            message = f"{place} is not the manifest of a build of curate"
            raise BuildFolderError(message)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {split['rows']:,}" for name, split in self.manifest["splits"].items())
        return f"Build({str(self.path)!r}: {self.name}, {self.kind} rows: {counts})"

    def _repr_html_(self) -> str:
        """Show the funnel and the composition in a notebook."""
        estimated = self.manifest["tokens"] == "estimated"
        shown = [tables.funnel(self.funnel), tables.composition(self.composition, estimated=estimated)]
        shown += [tables.languages(self.languages)] if self.tells_languages else []
        return environment().get_template("build.html.j2").render(tables=shown)

    @property
    def name(self) -> str:
        """The name of its mixture."""
        return str(self.manifest["name"])

    @property
    def kind(self) -> Kind:
        """The kind of its rows: conversation, rated or preference."""
        kind: Kind = self.manifest["kind"]
        return kind

    @property
    def sources(self) -> list[str]:
        """The names of its sources, in the order of the mixture."""
        return [str(source["name"]) for source in self.manifest["sources"]]

    @property
    def steps(self) -> list[str]:
        """The labels of its steps, in the order in which they ran."""
        return [str(step["label"]) for step in self.manifest["steps"]]

    def steps_with(self, view: FindingView) -> list[str]:
        """Return the labels of the steps with a finding of this view, in the order in which they ran."""
        return [
            str(step["label"])
            for step in self.manifest["steps"]
            if any(finding["view"] == view for finding in step.get("findings", ()))
        ]

    @property
    def ledger(self) -> pl.LazyFrame:
        """The ledger: a line for each input row (columns: `curate.engine.ledger.LEDGER`, then the scores)."""
        return pl.scan_parquet(self.path / "ledger" / "*.parquet")

    @property
    def paired(self) -> list[str]:
        """The names of the sources whose rated rows were paired; none where the mixture has no Pairing."""
        return [str(source["name"]) for source in self.manifest["sources"] if "pairs" in source]

    @property
    def pairs(self) -> pl.LazyFrame:
        """A line for each pair that a Pairing made, with the columns of the ledger.

        The pairs of the row `x` are called `x/0`, `x/1` and so on; their `file` and `line` are those of the row.
        """
        return pl.scan_parquet(self.path / "pairs" / "*.parquet") if self.paired else self.ledger.clear()

    @property
    def lines(self) -> pl.LazyFrame:
        """All there is to tell: the lines of the ledger, then those of pairs."""
        return pl.concat([self.ledger, self.pairs]) if self.paired else self.ledger

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of row that lines tell of: the build's own, and rated before it where rows were paired."""
        return ["rated", self.kind] if self.paired else [self.kind]

    def kind_of_step(self, step: str) -> Kind:
        """Return the kind of row that a step worked on."""
        of = next(found.get("of", self.kind) for found in self.manifest["steps"] if found["label"] == step)
        kind: Kind = of
        return kind

    def lines_of(self, kind: Kind) -> pl.LazyFrame:
        """Return the lines of rows of one of `kinds`; each has a source and id of its own among them."""
        if not self.paired:
            return self.ledger
        is_rated = pl.col("source").is_in(self.paired)
        if kind != self.kind:
            return self.ledger.filter(is_rated)
        return pl.concat([self.ledger.filter(~is_rated), self.pairs])

    def folder_of(self, kind: Kind) -> str:
        """Return the folder that has the text of dropped rows of one of `kinds`."""
        return "dropped" if kind == self.kind else "rated"

    @cached_property
    def funnel(self) -> pl.DataFrame:
        """How many rows of each source were read, fell to each step, and stayed: a line a source, then their sum.

        Columns: `source`, `read`, `quarantined`, one for each step that drops, `unsampled`, `kept` (different rows),
        `rows` (rows in the data files: kept rows with their copies). Where rows were paired, `paired` and `pairs` (what
        they gave) stand behind the Pairing; what comes after them counts pairs.
        """
        is_pair = pl.col("pair")
        steps = {step: (pl.col("step") == step).sum() for step in self.steps if self._drops(step)}
        early = {step: count for step, count in steps.items() if self.kind_of_step(step) != self.kind}
        if self.paired:
            early |= {"paired": (pl.col("fate") == "paired").sum(), "pairs": is_pair.sum()}
        told = [self.ledger.with_columns(pair=False), *([self.pairs.with_columns(pair=True)] if self.paired else [])]
        fates = (
            pl.concat(told)
            .group_by("source")
            .agg(
                read=(~is_pair).sum(),
                quarantined=(pl.col("fate") == "quarantined").sum(),
                **early,
                **{step: count for step, count in steps.items() if step not in early},
                unsampled=(pl.col("fate") == "unsampled").sum(),
                kept=(pl.col("fate") == "kept").sum(),
                rows=pl.col("copies").sum().cast(pl.Int64),
            )
        )
        return _with_total(self._in_order(fates))

    @cached_property
    def composition(self) -> pl.DataFrame:
        """What each source brings to the data files, against the plan.

        Columns: `source`, `take` (as declared), `unit`, `asked` and `delivered` (in that unit), `available` (rows left
        by the steps), `rows`, `share` (of all rows), `tokens` (estimated unless the mixture names a tokenizer),
        `token_share`.
        """
        plan = pl.DataFrame([{"source": source["name"], **source["plan"]} for source in self.manifest["sources"]])
        brought = self.lines.group_by("source").agg(
            rows=pl.col("copies").sum().cast(pl.Int64), tokens=(pl.col("tokens") * pl.col("copies")).sum()
        )
        found = plan.join(self._in_order(brought), on="source", how="left", maintain_order="left").with_columns(
            pl.col("rows", "tokens").fill_null(0)
        )
        return found.with_columns(
            share=pl.col("rows") / pl.col("rows").sum(), token_share=pl.col("tokens") / pl.col("tokens").sum()
        ).select("source", "take", "unit", "asked", "delivered", "available", "rows", "share", "tokens", "token_share")

    @property
    def tells_languages(self) -> bool:
        """Whether a step says what language each row is in."""
        return any(name.endswith(findings.LANGUAGE) for name in self.ledger.collect_schema().names())

    @cached_property
    def languages(self) -> pl.DataFrame:
        """How many rows of each source are in which language, of those read and of those kept.

        Columns: `source`, `language` (`und` where the text is too short to tell), `read`, `read_share`, `kept`,
        `kept_share` (shares of the source's rows); the most frequent of a source first. Where rated rows were told
        apart before they were paired, these are what counts, and those that were paired are kept. Raises `CallError`
        where no step of the mixture is `language()`.
        """
        told = pl.DataFrame()
        for kind in self.kinds:
            found = findings.languages(self.lines_of(kind))
            new = found.filter(~pl.col("source").is_in(told["source"].unique().implode())) if told.width else found
            told = pl.concat([told, new]) if told.width else new
        return pl.DataFrame({"source": self.sources}).join(told, on="source", maintain_order="left_right")

    def verify(self) -> None:
        """Check that the data files are those that the build wrote; raises `BuildFolderError` where one is not."""
        written = {
            shard["file"]: shard["sha256"] for split in self.manifest["splits"].values() for shard in split["shards"]
        }
        there = {f"data/{path.name}" for path in (self.path / "data").glob("*")}
        faults = [f"{name} is missing" for name in sorted(written.keys() - there)]
        faults += [f"{name} is no file of this build" for name in sorted(there - written.keys())]
        same = sorted(written.keys() & there)
        faults += [f"{name} was changed since" for name in same if file_hash(self.path / name) != written[name]]
        if faults:
            message = f"the data of {self.path} is not what was built: {'; '.join(faults)}; build it again"
            raise BuildFolderError(message)

    def kept(self, split: Split | None = None) -> pl.LazyFrame:
        """Return the rows of the data files, of one split or of all."""
        self._check("split", split, list(self.manifest["splits"]))
        if split is not None and not self.manifest["splits"][split]["rows"]:
            return self.kept().clear()
        return pl.scan_parquet(self.path / "data" / f"{split or '*'}-*.parquet")

    def dropped(self, step: str | None = None, reason: str | None = None, source: str | None = None) -> pl.DataFrame:
        """Return the rows that fell, with the verdict of the ledger beside their text.

        Columns: `source`, `id`, `step`, `reason`, `score`, `bound`, `match`, `evidence`, `file`, `line`, then the body.
        Of a Pairing and the steps before it these are rated rows, of steps after it pairs; without a step they are
        both, with the columns of both.
        """
        self._check("step", step, self.steps)
        self._check("source", source, self.sources)
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
        """Return the rows that could not be taken in.

        Columns: `source`, `file`, `line`, `id`, `column`, `expected`, `excerpt`.
        """
        self._check("source", source, self.sources)
        own = [pl.col("source") == source] if source is not None else []
        lines = self.ledger.filter(pl.col("fate") == "quarantined", *own)
        return lines.select("source", "file", "line", "id", "column", "expected", "excerpt").collect()

    def scores(self, step: str) -> pl.DataFrame:
        """Return what a filter measured on every row that came to it: `source`, `id`, `fate`, then its scores."""
        self._check("step", step, self.steps)
        prefix = f"{step}."
        names = [name for name in self.ledger.collect_schema().names() if name.startswith(prefix)]
        if not names:
            message = f"step {step!r} keeps no scores: it is no filter"
            raise CallError(message)
        lines = self.lines_of(self.kind_of_step(step)).filter(pl.col(names[0]).is_not_null())
        return lines.select(
            "source", "id", "fate", *(pl.col(name).alias(name.removeprefix(prefix)) for name in names)
        ).collect()

    def overlap(self, step: str) -> pl.DataFrame:
        """RowCount the rows that fell to `step`, by their source and that of the row that stands for them.

        Columns: `source`, `kept_source`, `rows`, `share` (of the rows read from `source`).
        """
        self._check_finding(step, "duplicates")
        return findings.overlap(self.lines_of(self.kind_of_step(step)), step)

    def clusters(self, step: str) -> pl.DataFrame:
        """Return the rows that fell to `step`, each with the row that stands for it; the largest clusters first.

        Columns: `cluster` (`source/id` of that row), `source`, `id`, `score`, `size` (with the row that stays).
        """
        self._check_finding(step, "duplicates")
        return findings.clusters(self.lines_of(self.kind_of_step(step)), step)

    def signatures(self, step: str) -> findings.Signatures:
        """Return the MinHash signatures of the rows in the data files, as the dedup step `step` would sign them.

        `.lean()` of the answer hands them out as `datasketch.LeanMinHash`.
        """
        self._check_finding(step, "signatures")
        declared = next(found["step"] for found in self.manifest["steps"] if found["label"] == step)
        return findings.kept_signatures(sorted((self.path / "data").glob("*.parquet")), self.kind, declared)

    def hits(self, step: str) -> pl.DataFrame:
        """Return the matches of a decontaminate step, one line per row and item.

        Columns: `source`, `id`, `eval`, `item`, `reason`, `score`, `side`, `turn`, `start`, `end` (characters of the
        turn), `item_start`, `item_end` (words of the item), `dropped`.
        """
        self._check_finding(step, "contamination")
        return findings.table(self.path, step, "hits")

    def coverage(self, step: str) -> pl.DataFrame:
        """RowCount the items of each eval of a decontaminate step: how many can be found, and how (a line an eval)."""
        self._check_finding(step, "contamination")
        return findings.coverage(findings.table(self.path, step, "items"))

    def contamination(self, step: str) -> pl.DataFrame:
        """Tell how much of each eval a decontaminate step found in each source, in rows and in items."""
        self._check_finding(step, "contamination")
        lines = self.lines_of(self.kind_of_step(step))
        return findings.contamination(self.hits(step), findings.table(self.path, step, "items"), lines)

    def length_bias(self, *, bands: int = 4, tokenizer: Tokenizer | None = None) -> pl.DataFrame:
        """Tell how much longer chosen answers are than rejected ones, and how well length alone tells which is which.

        Of the pairs in the data files, as often as they are there; a line for all, each source, and each band of
        margins, see `curate.result.length_bias`. Raises `CallError` for a build of other rows.
        """
        if self.kind != "preference":
            message = f"this build holds {self.kind} rows, which have no chosen and rejected answers"
            raise CallError(message)
        own = ["source", "chosen", "rejected", "chosen_score", "rejected_score"]
        paths = sorted((self.path / "data").glob("*.parquet"))
        return bias(pl.concat([measured(pl.read_parquet(path, columns=own), tokenizer) for path in paths]), bands)

    def length_cost(self, step: str = "balance_length") -> pl.DataFrame:
        """Return what a balance_length step took of each source: pairs, and margin; see `curate.result.length_bias`."""
        self._check_finding(step, "length_cost")
        return length_cost(findings.table(self.path, step, "lengths"))

    def shared_prompts(self, step: str = "exclude_prompts_of") -> pl.DataFrame:
        """Return the rows whose prompt another build has: `source`, `id`, and that one's `other_source`, `other_id`."""
        self._check_finding(step, "shared_prompts")
        return findings.table(self.path, step, "shared")

    def _check_finding(self, step: str, view: FindingView) -> None:
        """Raise `CallError` unless `step` has a finding of this view; name the steps that have."""
        self._check("step", step, self.steps)
        known = self.steps_with(view)
        if step not in known:
            message = f"step {step!r} has no {view.replace('_', ' ')}; steps that have: {', '.join(known) or 'none'}"
            raise CallError(message)

    def _in_order(self, lines: pl.LazyFrame) -> pl.DataFrame:
        """Put a line a source into the order of the mixture; a source without rows has zeros."""
        known = pl.LazyFrame({"source": self.sources})
        return known.join(lines, on="source", how="left", maintain_order="left").fill_null(0).collect()

    def _drops(self, step: str) -> bool:
        return next(found["kind"] != "edit" for found in self.manifest["steps"] if found["label"] == step)

    @staticmethod
    def _check(what: str, value: str | None, known: list[str]) -> None:
        if value is not None and value not in known:
            message = f"this build has no {what} {value!r}; {did_you_mean(value, known)}"
            raise CallError(message)


@contextmanager
def reading(*paths: Path) -> Iterator[None]:
    """Turn what polars says of missing or broken files of these builds into a `BuildFolderError`."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        message = f"the build at {' or '.join(map(str, paths))} is not whole: {error}; build it again"
        raise BuildFolderError(message) from error


def _with_total(frame: pl.DataFrame) -> pl.DataFrame:
    total = frame.select(pl.lit("total").alias("source"), pl.exclude("source").sum())
    return pl.concat([frame, total], how="vertical_relaxed")
