"""Two builds held against each other: which rows entered, which left, which changed, and why.

A row is known by its source and id. Only ids, fates and hashes meet here; texts are read of the few rows shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import polars as pl

from curate.compare import page as pages
from curate.errors import CallError
from curate.io.atomic import write_text
from curate.result.build import Build
from curate.result.folder import named_rows, reading
from curate.rows.schema import BODIES, FULL, Kind, row_schema

Change: TypeAlias = Literal["entered", "left", "changed"]
CHANGES: Final[tuple[Change, ...]] = ("entered", "left", "changed")

ROW: Final = ["source", "id"]
FATE: Final = ["fate", "step", "reason", "match"]
"""What the ledger of the build without a row says of it."""


CAUSES: Final = ("source not in the mixture", "dropped", "not sampled", "paired otherwise", "not read")
"""Why a build does not have a row of the other one."""


class Setting(NamedTuple):
    """One field of the two declarations that differs; `None` where one does not have it."""

    name: str
    before: object
    after: object


class Diff(NamedTuple):
    """What sets build `b` apart from build `a`.

    - `settings`: fields of the mixtures that differ; `data`: sources whose rows differ, by the hash of what they hold.
    - `same`: rows that are in both, and the same.
    - `rows`: a line for each other row, by change, source and id: `source`, `id`, `change`, `why` in words, `cause`
      (in the same words whether a row entered or left: "dropped by shape: too_few_words"), then `fate`, `step`,
      `reason`, `match` of a row in the build that does not have it, and `text` of one that changed: whether it says
      something else (`texts` reads what).
    """

    a: Build
    b: Build
    settings: tuple[Setting, ...]
    data: tuple[str, ...]
    same: int
    rows: pl.DataFrame

    @property
    def counts(self) -> pl.DataFrame:
        """How many rows changed how, and why: `change`, `source`, `why`, `rows`, the most frequent first."""
        order = pl.col("change").replace_strict(CHANGES, range(len(CHANGES)), return_dtype=pl.Int8)
        return (
            self.rows.group_by("change", "source", "why")
            .agg(rows=pl.len())
            .sort(order, -pl.col("rows").cast(pl.Int64), "source", "why")
        )

    def _repr_html_(self) -> str:
        """Show counts, settings and causes in a notebook."""
        return pages.cell(self)

    def page(self) -> str:
        """Return the page of the difference as HTML: one file of at most 6 MB that opens offline.

        It has what differs in settings and data, rows by cause and source, composition, funnel and scores of both
        builds, and the rows themselves to browse: all of them, or a stated sample where they are more than 2,000 or do
        not fit. A row that changed shows both versions, with the words that differ highlighted.

        Returns:
            The page. The same builds give the same bytes.
        """
        return pages.page(self)

    def save(self, path: str | Path) -> Path:
        """Write the page into a file.

        Args:
            path: The file, as in "diff.html"; its folder is made.

        Returns:
            The path of the file.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, self.page())
        return place


def diff(a: Build, b: Build) -> Diff:
    """Hold build `b` against build `a`, the one before.

    Args:
        a: The build before.
        b: The build now; its rows are of the same kind.

    Returns:
        What sets them apart: `counts` and `rows` as frames, `save("diff.html")` for a page.

    Raises:
        CallError: The rows of the builds are of different kinds.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import curate as c
        >>> rows = pl.DataFrame({"instruction": ["Say hi.", "Add 1 and 2."], "output": ["Hi!", "It is 3."]})
        >>> def made(folder, words):
        ...     steps = [c.shape(min_words=words, on="response", allow_large_drop=True)]
        ...     mixture = c.Mixture("demo", [c.Source("a", c.frame(rows, "alpaca"))], steps)
        ...     return mixture.build(folder, quiet=True)
        >>> with TemporaryDirectory() as folder:
        ...     found = diff(made(f"{folder}/one", 1), made(f"{folder}/two", 2))
        ...     print(found.same, found.counts.rows())
        1 [('left', 'a', 'is dropped by shape: too_few_words', 1)]
    """
    if a.kind != b.kind:
        raise CallError(
            f"{a.path} holds {a.kind} rows, {b.path} holds {b.kind} rows; only rows of one kind can be compared"
        )
    with reading(a.path, b.path):
        types = _body_types(a.kind, [build.kept().collect_schema() for build in (a, b)])
        before, after = (_kept(build, types) for build in (a, b))
        both = before.join(after, on=ROW, suffix="_after")
        entered = _absent(after, before, a, b, "entered")
        left = _absent(before, after, b, a, "left")
        changed = _changed(both)
        found, count = pl.collect_all(
            [pl.concat([entered, left, changed], how="diagonal_relaxed"), both.select(pl.len())]
        )
    rows = found.sort(pl.col("change").replace_strict(CHANGES, range(len(CHANGES)), return_dtype=pl.Int8), *ROW)
    same = int(count.item()) - rows.filter(pl.col("change") == "changed").height
    return Diff(a, b, tuple(settings(a, b)), tuple(_data(a, b)), same, rows)


def texts(build: Build, keys: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the rows of `keys` (columns `source` and `id`) that are in the data files of `build`."""
    with reading(build.path):
        return named_rows(build.kept(), keys)


def settings(a: Build, b: Build) -> Iterator[Setting]:
    """Give the fields of the two mixtures that differ. Sources go by name, steps by label; their order is a field too.

    A source or step that only one of them has is one field. The name of a mixture is none: it decides nothing.
    """
    before, after = _fields(a), _fields(b)
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Named) and isinstance(new, Named):
            yield from (
                Setting(f"{name}.{key}", old.get(key), new.get(key))
                for key in old | new
                if old.get(key) != new.get(key)
            )
        elif old != new:
            yield Setting(name, old, new)


class Named(dict[str, Any]):
    """The fields of a source or step."""


def _fields(build: Build) -> dict[str, Any]:
    mixture = build.manifest["mixture"]
    sources = {source["name"]: source for source in mixture["sources"]}
    steps = {step["label"]: step["step"] for step in build.manifest["steps"]}
    found = {name: value for name, value in mixture.items() if name not in {"type", "name", "sources", "steps"}}
    found |= {"order of sources": list(sources), "order of steps": list(steps)}
    for name, source in sources.items():
        found[f"source {name}"] = Named({key: value for key, value in source.items() if key not in {"name", "steps"}})
    return found | {f"step {label}": Named(step) for label, step in steps.items()}


def _data(a: Build, b: Build) -> Iterator[str]:
    before = {source["name"]: source["content"] for source in a.manifest["sources"]}
    after = {source["name"]: source["content"] for source in b.manifest["sources"]}
    yield from (name for name in after if name in before and before[name] != after[name])


def _body_types(kind: Kind, schemas: Sequence[pl.Schema]) -> pl.Schema:
    """Return columns and types in which the bodies of two builds can be compared: parts that one lacks are null."""
    plain = pl.Schema(row_schema(kind))
    if all(schema == plain for schema in schemas):
        return pl.Schema(BODIES[kind])
    own = {name: dtype for schema in schemas for name, dtype in schema.items() if name not in {"source", "id"}}
    same = {
        name: dtype if all(s.get(name, dtype) == dtype for s in schemas) else pl.String() for name, dtype in own.items()
    }
    return pl.Schema({**same, **{name: dtype for name, dtype in pl.Schema(FULL[kind]).items() if name != "rewards"}})


def _kept(build: Build, types: pl.Schema) -> pl.LazyFrame:
    """Return a line for each row in the data files: its copies, its split and a hash of what it says."""
    kept = build.kept()
    there = kept.collect_schema()
    body = [(pl.col(name) if name in there else pl.lit(None)).cast(types[name]).alias(name) for name in types]
    said = kept.select(*ROW, said=pl.struct(body).hash())
    edits = pl.col("edited").list.join(", ").alias("edits")
    lines = build.lines.filter(pl.col("fate") == "kept").select(*ROW, "copies", "split", edits)
    return lines.join(said.unique(ROW), on=ROW)


def _absent(here: pl.LazyFrame, there: pl.LazyFrame, other: Build, own: Build, change: Change) -> pl.LazyFrame:
    """Return the rows of `here` that are not in `there`, the rows of the build `other`, and why."""
    read = other.readable_of(other.kind).select(*ROW, *FATE)
    lines = here.join(there, on=ROW, how="anti").select(ROW).join(read, on=ROW, how="left")
    if other.paired:
        lines = _of_rated(lines, other)
    none = sorted(set(own.sources) - set(other.sources))
    was, had, more = ("was", "had", "") if change == "entered" else ("is", "has", " any more")

    def said(source: str, dropped: str, unsampled: str, paired: str, unread: str) -> pl.Expr:
        return (
            pl.when(pl.col("source").is_in(none))
            .then(pl.lit(source))
            .when(pl.col("fate") == "dropped")
            .then(pl.format(f"{dropped} by {{}}: {{}}", "step", "reason"))
            .when(pl.col("fate") == "unsampled")
            .then(pl.lit(unsampled))
            .when(pl.col("fate") == "paired")
            .then(pl.lit(paired))
            .otherwise(pl.lit(unread))
        )

    why = said(
        f"its source {was} not in the mixture{more}",
        f"{was} dropped",
        f"{was} not sampled",
        f"its row {was} paired otherwise",
        f"{was} not read: no row {had} its id",
    )
    return lines.with_columns(change=pl.lit(change), why=why, cause=said(*CAUSES))


def _of_rated(lines: pl.LazyFrame, other: Build) -> pl.LazyFrame:
    """Say of pairs that `other` did not make what became there of the rated row that they would have come from."""
    rated = other.readable_of("rated").select(*ROW, *FATE)
    row = pl.col("id").str.replace(r"/[0-9]+$", "").alias("row")
    found = lines.with_columns(row).join(rated, left_on=["source", "row"], right_on=ROW, how="left", suffix="_rated")
    known = pl.col("fate").is_not_null()
    fates = [pl.when(known).then(pl.col(name)).otherwise(pl.col(f"{name}_rated")).alias(name) for name in FATE]
    return found.with_columns(fates).select(*ROW, *FATE)


def _changed(both: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows that are in both builds and not the same; one line each, which names all that changed."""
    text = pl.col("said") != pl.col("said_after")
    copies = pl.col("copies") != pl.col("copies_after")
    split = pl.col("split") != pl.col("split_after")
    edits = pl.col("edits") != pl.col("edits_after")
    reason = pl.concat_str(
        pl.when(text & edits).then(
            pl.format("text: changed by {}, now by {}", _or_none("edits"), _or_none("edits_after"))
        ),
        pl.when(text & ~edits).then(pl.lit("text")),
        pl.when(copies).then(pl.format("copies: {} to {}", "copies", "copies_after")),
        pl.when(split).then(pl.format("split: {} to {}", "split", "split_after")),
        separator=", ",
        ignore_nulls=True,
    )
    what = [pl.when(one).then(pl.lit(name)) for one, name in ((text, "text"), (copies, "copies"), (split, "split"))]
    cause = pl.concat_str(*what, separator=", ", ignore_nulls=True)
    return both.filter(text | copies | split).select(
        *ROW, change=pl.lit("changed"), why=reason, cause=pl.format("changed: {}", cause), text=text
    )


def _or_none(name: str) -> pl.Expr:
    return pl.when(pl.col(name) == "").then(pl.lit("nothing")).otherwise(pl.col(name))
