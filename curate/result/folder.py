"""The folder of a build: its manifest, its ledger, the rows in its files, and the tables of its groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import polars as pl

from curate.engine.group_results import table_path
from curate.engine.manifest import file_hash
from curate.errors import BuildFolderError, CallError, did_you_mean
from curate.export.export import Choices, Export, Trainer, export
from curate.mix.licences import licence_notes, roll_up
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import CHOSEN, choice_label
from curate.result.bucket import local_folder
from curate.result.build_place import BuildPlace
from curate.result.held_lines import HeldLines
from curate.result.push import Destination, Pushed, files_of, push
from curate.rows.schema import Kind
from curate.steps.base import FindingView


class HeldTexts(NamedTuple):
    """Rows of a folder in memory, by source and id; those `asked` for that are not among them are not there."""

    asked: frozenset[tuple[str, str]]
    rows: dict[tuple[str, str], dict[str, Any]]


class BuildFolder(BuildPlace):
    """A build folder. Raises `BuildFolderError` when there is no build at `path`, or not a whole one.

    `mixture` is the mixture that made the build, where `Mixture.build` returned it. `held_texts` has rows of its
    folders while they are held in memory; see `curate.result.browser.stored_texts`. `counted` has what was
    counted, by what it is and the name of a step or a kind; see `curate.result.counts`.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.mixture: MixtureSpec | None = None
        self.held_texts: dict[str, HeldTexts] = {}
        self.counted: dict[tuple[str, str], Any] = {}
        self.held_lines = HeldLines()

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {split['rows']:,}" for name, split in self.manifest["splits"].items())
        return f"Build({self.place!r}: {self.name}, {self.kind} rows: {counts})"

    @property
    def name(self) -> str:
        """The name of its mixture."""
        return str(self.manifest["name"])

    @property
    def kind(self) -> Kind:
        """The kind of its rows: conversation, rated, preference, unpaired or prompt."""
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

    @property
    def notes(self) -> list[str]:
        """What to know about its sources, such as that one of them brings no row."""
        return [note for source in self.manifest["sources"] for note in source.get("notes", ())]

    def steps_with(self, view: FindingView) -> list[str]:
        """Return the labels of the steps with a finding of this view, in the order in which they ran.

        Args:
            view: What the steps found, such as "duplicates" or "contamination"; see `curate.steps.base.Finding`.
        """
        return [
            str(step["label"])
            for step in self.manifest["steps"]
            if any(finding["view"] == view for finding in step.get("findings", ()))
        ]

    @property
    def ledger(self) -> pl.LazyFrame:
        """The ledger: a line for each input row (columns: `curate.engine.ledger.LEDGER`, then the scores)."""
        return self._lines("ledger")

    @property
    def paired(self) -> list[str]:
        """The names of the sources whose rated rows were paired; none where the mixture has no Pairing."""
        return [str(source["name"]) for source in self.manifest["sources"] if "pairs" in source]

    @property
    def pairs(self) -> pl.LazyFrame:
        """A line for each pair that a Pairing made, with the columns of the ledger.

        The pairs of the row `x` are called `x/0`, `x/1` and so on; their `file` and `line` are those of the row.
        """
        return self._lines("pairs") if self.paired else self.ledger.clear()

    def _lines(self, folder: str) -> pl.LazyFrame:
        held = self.held_lines.frames.get(folder)
        return pl.scan_parquet(self.path / folder / "*.parquet") if held is None else held.lazy()

    def lines_in_memory(self) -> AbstractContextManager[None]:
        """Read the lines of the ledger and of pairs once: in the block, memory answers for them."""
        return self.held_lines.reading(self.path, ["ledger", *(["pairs"] if self.paired else [])])

    @property
    def lines(self) -> pl.LazyFrame:
        """The lines of the ledger, then those of pairs."""
        return pl.concat([self.ledger, self.pairs]) if self.paired else self.ledger

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of row that lines tell of: the build's own, and rated before it where rows were paired."""
        return ["rated", self.kind] if self.paired else [self.kind]

    def kind_of_step(self, step: str) -> Kind:
        """Return the kind of row that a step worked on.

        Args:
            step: The label of a step.
        """
        of = next(found.get("of", self.kind) for found in self.manifest["steps"] if found["label"] == step)
        kind: Kind = of
        return kind

    def lines_of(self, kind: Kind) -> pl.LazyFrame:
        """Return the ledger lines of rows of one kind; a quarantined one may have the source and id of another row.

        Args:
            kind: One of `kinds`.
        """
        if not self.paired:
            return self.ledger
        is_rated = pl.col("source").is_in(self.paired)
        if kind != self.kind:
            return self.ledger.filter(is_rated)
        return pl.concat([self.ledger.filter(~is_rated), self.pairs])

    def readable_of(self, kind: Kind) -> pl.LazyFrame:
        """Return the ledger lines of rows of one kind that could be read, each with its own source and id.

        Args:
            kind: One of `kinds`.
        """
        return self.lines_of(kind).filter(pl.col("fate") != "quarantined")

    def folder_of(self, kind: Kind) -> str:
        """Return the folder with the text of dropped rows of one kind.

        Args:
            kind: One of `kinds`.
        """
        return "dropped" if kind == self.kind else "rated"

    def export(
        self,
        to: Trainer,
        out: str | Path | None = None,
        *,
        split: Literal["train", "test"] | None = None,
        drop_rows_with: Sequence[str] = (),
        without: Sequence[str] = (),
        flatten: Sequence[str] = (),
        overwrite: bool = False,
    ) -> Export:
        """Write the rows of the data files for a trainer, with its settings and a ledger of what became of each row.

        What the trainer cannot hold, or would lose without a word, is an error that names the part, how many rows have
        it and the first of them; each part can be answered by its name.

        Args:
            to: "trl", "axolotl", "llama-factory", "open-instruct", "openai", or "jsonl" for everything else.
            out: The folder; by default `export/` and the names of build and trainer.
            split: "train" or "test"; None, the default, for both.
            drop_rows_with: Parts whose rows are left out, such as "parallel_calls"; an error names them.
            without: Parts that are left out of their rows: "reasoning", "text_with_calls", "call_ids", "names",
                "tools", "chat_template_kwargs".
            flatten: Parts that are written into the text of their message: "reasoning" in <think> tags, "calls" in
                <tool_call> tags.
            overwrite: Replace an export in `out`; a file there that no export wrote is an error, and nothing is
                deleted.

        Returns:
            The finished export: its folder, counts, ledger and notes.

        Raises:
            CallError: There is no such trainer or part, the trainer takes no rows of this kind, or `out` is a URL.
            ExportError: Rows have what the trainer cannot hold, or `out` is taken; nothing is written.
        """
        check_known("split", split, list(self.manifest["splits"]))
        filled = [name for name, found in self.manifest["splits"].items() if found["rows"]]
        choices = Choices(tuple(drop_rows_with), tuple(without), tuple(flatten))
        target = Path("export") / f"{self.name}-{to}" if out is None else local_folder(out, "export()")
        splits = filled if split is None else [split]
        return export(self.path, self.manifest, to, target, splits=splits, choices=choices, overwrite=overwrite)

    def push(
        self,
        repository: str,
        *,
        private: bool = True,
        revision: str | None = None,
        with_ledger: bool = False,
        with_dropped: bool = False,
    ) -> Pushed:
        """Make the build a data set on the Hub; needs `curate[datasets]`, and a token (`HF_TOKEN` or `hf auth login`).

        Data files, card, manifest and page go there in one commit, the page without texts of rows: those of dropped
        rows hold what was dropped for a reason, such as secrets. What the Hub has is not sent again, so a second push
        of the same build sends nothing, and one after a cut connection goes on. Files of an earlier push that this
        build does not have are deleted; all others stay.

        Args:
            repository: `owner/name`; made if it is not there.
            private: Make it for your eyes only; a public one that is there is then an error.
            revision: The branch, made if it is not there. None is main.
            with_ledger: Push ledger, pairs and tables of steps too. They have excerpts of rows that could not be read,
                and the phrases that matched.
            with_dropped: Push the texts of dropped rows too, and the page as it is.

        Returns:
            The address, the commit, the paths that were sent and deleted, and notes: licences that are several or do
            not allow the use of the mixture, and rows with eval items.

        Raises:
            CallError: `repository` is no name of one.
            BuildFolderError: The folder is no whole build, or was changed since.
            PushError: There is no token, the Hub refuses it, fails or cannot be reached, somebody else changes the
                repository, or it holds data that no push wrote.
        """
        self.verify()
        files = files_of(self.path, with_ledger=with_ledger, with_dropped=with_dropped)
        message = f"Build {self.name}, fingerprint {self.manifest['fingerprint'][:12]}"
        return push(files, Destination(repository, revision, private), message, self._push_notes())

    def _push_notes(self) -> Iterator[str]:
        """Say what whoever gets the rows should know: what their licences come to, and eval items in them."""
        counts: list[tuple[str, dict[str, int]]] = [
            (source["name"], source.get("licences") or {source["licence"] or "": 0})
            for source in self.manifest["sources"]
            if source["fates"].get("kept") or source.get("pairs", {}).get("fates", {}).get("kept")
        ]
        yield from roll_up(name for _, licences in counts for name in licences)
        for source, licences in counts:
            yield from licence_notes(source, licences, self.manifest.get("use"))
        kept = self.lines.filter(pl.col("fate") == "kept").select("source", "id")
        for label in self.steps_with("contamination"):
            hits = table(self.path, label, "hits").lazy()
            rows = hits.select("source", "id").unique().join(kept, on=["source", "id"], how="semi")
            count = rows.select(pl.len()).collect().item()
            if count:
                contain = "1 row contains an item" if count == 1 else f"{count:,} rows contain items"
                yield f"{contain} of an eval set ({label}): see the card"

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
            raise BuildFolderError(
                f"the data of {self.path} is not what was built: {'; '.join(faults)}; build it again"
            )

    def _with_finding(self, step: str | None, view: FindingView) -> str:
        """Return `step`, or the only step with a finding of this view; raise `CallError` if there is not just one."""
        check_known("step", step, self.steps)
        known, what = self.steps_with(view), view.replace("_", " ")
        if step is None and len(known) == 1:
            return known[0]
        if step is None and known:
            raise CallError(
                f"{len(known)} steps of this build have {what}: {', '.join(known)}; choose one, as in step={known[0]!r}"
            )
        if step is None:
            raise CallError(f"no step of this build has {what}; its steps: {', '.join(self.steps) or 'none'}")
        if step not in known:
            raise CallError(f"step {step!r} has no {what}; steps that have: {', '.join(known) or 'none'}")
        return step

    def chosen(self, source: str) -> pl.DataFrame:
        """Return the rows that the selection of a source chose, in order, and why.

        Args:
            source: the name of a source whose take is a selection, such as `Diverse(n)`.

        Returns:
            A line for each row: `place` (from 1), `source`, `id`, `tokens`, and why, in columns that the docstring of
            the take names, such as `adds` and `ngrams` of `Diverse`.

        Raises:
            CallError: the source has no selection, or all of its rows went in.
        """
        path = self.path / table_path(choice_label(source), CHOSEN)
        if not path.is_file():
            raise CallError(f"source {source!r} has no choice to show: its take is no selection, or took every row")
        return pl.read_parquet(path)

    def in_order(self, lines: pl.LazyFrame) -> pl.DataFrame:
        """Put one line per source into the order of the mixture; a source without rows has zeros.

        Args:
            lines: One line per source.
        """
        known = pl.LazyFrame({"source": self.sources})
        return known.join(lines, on="source", how="left", maintain_order="left").fill_null(0).collect()

    def drops(self, step: str) -> bool:
        """Return whether a step may drop rows: all do but edits.

        Args:
            step: The label of a step.
        """
        return next(found["kind"] != "edit" for found in self.manifest["steps"] if found["label"] == step)


def check_known(what: str, value: str | None, known: list[str]) -> None:
    """Raise `CallError` if a build has no step or source of this name."""
    if value is not None and value not in known:
        raise CallError(f"this build has no {what} {value!r}; {did_you_mean(value, known)}")


def named_rows(rows: pl.LazyFrame, keys: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the rows named by `keys` (`source`, `id`); Parquet files are filtered by id, and the join is exact."""
    near = rows.filter(pl.col("id").is_in(keys["id"].implode()))
    found = near.join(keys.lazy(), on=["source", "id"], how="semi").collect().to_dicts() if keys.height else []
    return {(row["source"], row["id"]): row for row in found}


@contextmanager
def reading(*paths: Path) -> Iterator[None]:
    """Turn what polars says of missing or broken files of these builds into a `BuildFolderError`."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BuildFolderError(
            f"the build at {' or '.join(map(str, paths))} is not whole: {error}; build it again"
        ) from error


GENERIC: Final = "generic"


def table(folder: Path, step: str, name: str) -> pl.DataFrame:
    """Return a table that a group left; raises `CallError` where it left none."""
    path = folder / table_path(step, name)
    if not path.is_file():
        raise CallError(f"step {step!r} has no table {name!r}: it is no step that makes one")
    return pl.read_parquet(path)


def coverage(items: pl.DataFrame) -> pl.DataFrame:
    """Count the items of each eval set, in the order of the step, by how they can be found.

    Columns: `eval`, `items`, `matchable`, then `long`, `short`, `generic` and `unmatchable`, which add up to `items`.
    """
    kinds = ("long", "short", GENERIC, "unmatchable")
    counts = {kind: (pl.col("kind") == kind).sum().cast(pl.Int64) for kind in kinds}
    found = items.group_by("eval", maintain_order=True).agg(items=pl.len().cast(pl.Int64), **counts)
    return found.with_columns(matchable=pl.col("items") - pl.col("unmatchable")).select(
        "eval", "items", "matchable", *kinds
    )
