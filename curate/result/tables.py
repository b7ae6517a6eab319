"""The frames of a build as tables with bars; `tables.html.j2` writes them, for notebooks and for the page."""

from __future__ import annotations

import marshal
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jinja2
import numpy as np
import polars as pl
from jinja2 import BytecodeCache, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from curate.kernels.kept import code_of, find, keep

KEPT, UNSAMPLED, QUARANTINED = "#2f9e6b", "#98a1ab", "#c8453b"
DROPPED: Final = ("#dd8a26", "#a763b5", "#4c87cf", "#b8a021", "#d2608f", "#3f9fa6")
"""The colours of the steps, used in turn."""

ENDS: Final = ("source", "read", "quarantined", "paired", "pairs", "unsampled", "kept", "rows")
"""The columns of a funnel that are no step."""

LANGUAGES: Final = 6
"""Languages that have a column of their own."""

OTHERS: Final = "others"


class BarPart(NamedTuple):
    """A part of a bar; `share` is its share of the bar's length."""

    name: str
    share: float
    colour: str


class TableCell(NamedTuple):
    """A cell: `text` (None: a dot, for nothing), its CSS class, the colour of a swatch before it, and bars after it."""

    text: str | None
    style: str = ""
    colour: str = ""
    bars: tuple[tuple[BarPart, ...], ...] = ()


class TableRow(NamedTuple):
    """A row of cells; the row of a total is set apart."""

    cells: Sequence[TableCell]
    is_total: bool = False


class HtmlTable(NamedTuple):
    """A table as `tables.html.j2` writes it."""

    heads: Sequence[TableCell]
    rows: Sequence[TableRow]


def funnel(frame: pl.DataFrame, *, bars: bool = True) -> HtmlTable:
    """Return `Build.funnel` as a table: one row per source, with its counts, and a bar of its fates with `bars`.

    >>> funnel(pl.DataFrame({"source": ["a"], "read": [3], "kept": [2], "rows": [2]})).rows[0].cells[3].text
    '2'
    """
    colours = fate_colours(frame.columns)
    counted = [name for name in frame.columns if name != "source"]
    heads = [_name("source"), *([_name("fates")] if bars else [])]
    heads += [TableCell(name, "wrap", colours.get(name, "")) for name in counted]
    rows = []
    for number, line in enumerate(frame.to_dicts(), 1):
        cells = [_name(line["source"]), *([_bars(*_fates(line, colours))] if bars else [])]
        cells += [_count(line[name]) for name in counted]
        rows.append(TableRow(cells, number == frame.height and line["source"] == "total"))
    return HtmlTable(heads, rows)


def _fates(line: Mapping[str, Any], colours: Mapping[str, str]) -> list[tuple[BarPart, ...]]:
    """Return the bar of a source's fates; where its rows were paired, a second one of the fates of its pairs."""
    counts = {name: line[name] for name in colours}
    if not line.get("pairs"):
        return [_bar(counts, colours, line["read"])]
    names = list(line)
    of_pairs = {name: count for name, count in counts.items() if names.index(name) > names.index("pairs")}
    of_rows = {name: count for name, count in counts.items() if name not in of_pairs}
    return [_bar(of_rows, colours, line["read"]), _bar(of_pairs, colours, sum(of_pairs.values()))]


def composition(frame: pl.DataFrame, *, estimated: bool) -> HtmlTable:
    """Return `Build.composition` as a table; `estimated`: no tokenizer counted the tokens. What is short is red."""
    tokens = "tokens, estimated" if estimated else "tokens"
    capped = ("capped",) if frame["capped"].sum() else ()
    names = (
        "source",
        "take",
        *capped,
        "asked",
        "delivered",
        "available",
        "rows",
        "share of rows",
        tokens,
        "share of tokens",
    )
    rows = []
    for line in frame.to_dicts():
        unit = "" if line["unit"] == "rows" else f" {line['unit']}"
        short = "short" if line["delivered"] != line["asked"] else ""
        asked, delivered = _count(line["asked"], unit=unit), _count(line["delivered"], short, unit)
        counts = [*(_count(line[name], unit=unit) for name in capped), asked, delivered]
        counts += [_count(line["available"]), _count(line["rows"]), _share(line["share"])]
        last = [_count(line["tokens"]), _share(line["token_share"])]
        rows.append(TableRow([_name(line["source"]), _name(line["take"]), *counts, *last]))
    total, blank = frame.select(pl.col("rows", "tokens").sum()).row(0), TableCell("")
    cells = [_name("total"), *[blank] * (len(capped) + 4), _count(total[0]), blank, _count(total[1]), blank]
    heads = [TableCell(name, "name" if name in {"source", "take"} else "wrap") for name in names]
    return HtmlTable(heads, [*rows, TableRow(cells, is_total=True)])


def reproduction(frame: pl.DataFrame) -> HtmlTable:
    """Return `Build.reproduction` as a table, without the column that says where figures were read."""
    names = ("source", "published", "after its filters", "read", "dropped", "rows", "difference")
    rows = []
    for line in frame.to_dicts():
        known = [line[name] for name in ("published", "published_kept", "read", "dropped", "rows")]
        counts = [TableCell("") if value is None else _count(value) for value in known]
        off = line["difference"]
        differs = TableCell("" if off is None else f"{off:+,}" if off else "0", "short" if off else "")
        cells = [_name(line["source"]), *counts, differs, TableCell(line["why"], "words")]
        rows.append(TableRow(cells, line["source"] == "total"))
    heads = [TableCell(name, "wrap") for name in names[1:]]
    return HtmlTable([_name("source"), *heads, TableCell("why", "words")], rows)


def licences(frame: pl.DataFrame, use: str | None) -> HtmlTable:
    """Return `Build.licences` as a table; what does not allow the declared use is red."""
    heads = [_name("source"), _name("licence"), TableCell("rows")]
    heads += [_name(f"{use} use")] if use else []
    rows = []
    for line in frame.to_dicts():
        cells = [_name(line["source"]), _name(line["licence"] or "not stated"), _count(line["rows"])]
        cells += [TableCell(line["use"], "name short" if line["use"] == "not allowed" else "name")] if use else []
        rows.append(TableRow(cells))
    return HtmlTable(heads, rows)


def languages(frame: pl.DataFrame) -> HtmlTable:
    """Return `Build.languages` as a table: bars of the rows read and kept, then kept of read rows per language.

    The most frequent languages have a column each, the others share one.

    >>> counts = {"source": ["a"], "language": ["en"], "read": [3], "kept": [2]}
    >>> languages(pl.DataFrame(counts)).rows[0].cells[-1].text
    '2 of 3'
    """
    most = frame.group_by("language").agg(pl.col("read").sum()).sort("read", "language", descending=[True, False])
    names = most["language"].head(LANGUAGES).to_list()
    colours = dict(zip([*names, OTHERS], [KEPT, *DROPPED[:LANGUAGES], UNSAMPLED], strict=False))
    shown = frame.with_columns(pl.when(pl.col("language").is_in(names)).then("language").otherwise(pl.lit(OTHERS)))
    counts = shown.group_by("source", "language", maintain_order=True).agg(pl.col("read", "kept").sum())
    columns = [name for name in colours if name in set(counts["language"])]
    rows = []
    for (source,), own in counts.group_by("source", maintain_order=True):
        read, kept = (dict(own.select("language", fate).rows()) for fate in ("read", "kept"))
        bars = [_bars(_bar({n: of[n] for n in columns if n in of}, colours, sum(of.values()))) for of in (read, kept)]
        cells = [TableCell(f"{kept[n]:,} of {read[n]:,}" if n in read else None) for n in columns]
        rows.append(TableRow([_name(str(source)), *bars, *cells]))
    heads = [*map(_name, ("source", "read", "kept")), *(TableCell(name, "", colours[name]) for name in columns)]
    return HtmlTable(heads, rows)


def length_bias(frame: pl.DataFrame) -> HtmlTable:
    """Return `Build.length_bias` as a table: one row for all pairs, each source, and each band of margins of all.

    >>> bias = {"source": [None], "margin_from": [None], "margin_to": [None], "pairs": [4], "longer": [0.75]}
    >>> bias |= dict.fromkeys(("mean_words", "median_words", "accuracy"), [1.0])
    >>> length_bias(pl.DataFrame(bias)).rows[0].cells[2].text
    '75.0%'
    """
    heads = ("pairs", "chosen is longer", "words more, mean", "median", "length alone is right")
    rows = []
    for line in frame.filter(pl.col("source").is_null() | pl.col("margin_from").is_null()).to_dicts():
        banded = line["margin_from"] is not None
        band = f"margin {line['margin_from']:g} to {line['margin_to']:g}" if banded else "all"
        words = [TableCell(f"{line[name]:+,.1f}") for name in ("mean_words", "median_words")]
        shares = [_share(line["longer"]), *words, _share(line["accuracy"])]
        is_total = line["source"] is None and not banded
        rows.append(TableRow([_name(line["source"] or band), _count(line["pairs"]), *shares], is_total))
    return HtmlTable([_name(""), *(TableCell(name, "wrap") for name in heads)], rows)


def length_cost(frame: pl.DataFrame) -> HtmlTable:
    """Return `Build.length_cost` as a table: what balancing lengths dropped from each source.

    >>> cost = {"source": [None], "pairs": [9], "pairs_left": [6], "longer": [0.7], "longer_left": [0.5]}
    >>> length_cost(pl.DataFrame(cost | {"margin": [2.0], "margin_left": [1.5]})).rows[0].cells[2].text
    '6'
    """
    heads = ("pairs of unequal length", "left", "chosen was longer", "is longer", "mean margin before", "after")
    rows = []
    for line in frame.to_dicts():
        counts = [_count(line[name]) for name in ("pairs", "pairs_left")]
        shares = [_share(line[name]) for name in ("longer", "longer_left")]
        margins = [line[name] for name in ("margin", "margin_left")]
        cells = [*counts, *shares, *(TableCell("" if value is None else f"{value:.2f}") for value in margins)]
        rows.append(TableRow([_name(line["source"] or "all"), *cells], line["source"] is None))
    return HtmlTable([_name(""), *(TableCell(name, "wrap") for name in heads)], rows)


def _name(text: str) -> TableCell:
    return TableCell(text, "name")


def _count(value: int | None, style: str = "", unit: str = "") -> TableCell:
    return TableCell(f"{value:,}{unit}" if value else None, style)


def _bars(*bars: tuple[BarPart, ...]) -> TableCell:
    return TableCell("", "name", bars=bars)


def _share(share: float | None) -> TableCell:
    """Return a share as a percentage with a bar; the share of nothing (None, NaN) is 0."""
    part = 0.0 if share is None or math.isnan(share) else share
    return TableCell(f"{part:.1%}", "share", bars=(_bar({"share": part}, {"share": DROPPED[2]}, 1),))


def fate_colours(columns: Iterable[str]) -> dict[str, str]:
    """Return the colour of each fate, in the order of the bar: kept rows first."""
    columns = list(columns)
    steps = [name for name in columns if name not in ENDS]
    fates = {"kept": KEPT, "paired": KEPT, "unsampled": UNSAMPLED}
    fates |= {step: DROPPED[place % len(DROPPED)] for place, step in enumerate(steps)}
    return {name: colour for name, colour in {**fates, "quarantined": QUARANTINED}.items() if name in columns}


def _bar(counts: Mapping[str, float], colours: Mapping[str, str], whole: float) -> tuple[BarPart, ...]:
    return tuple(BarPart(name, count / whole, colours[name]) for name, count in counts.items() if whole and count)


class KeptTemplates(BytecodeCache):
    """Compiled templates, kept on disk beside compiled kernels: those of a page take 0.2 s."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Load the code of a template, if it is kept."""
        found = find(*self._place(bucket))
        if found is not None:
            bucket.code = marshal.loads(found["code"].tobytes())  # noqa: S302  as safe as the folder, as __pycache__ is

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        keep(*self._place(bucket), {"code": np.frombuffer(marshal.dumps(bucket.code), np.uint8)})

    @staticmethod
    def _place(bucket: Bucket) -> tuple[str, bytes, str]:
        of = (bucket.checksum, jinja2.__version__, sys.implementation.cache_tag, sys.hexversion)
        return f"template-{bucket.key}", repr(of).encode(), code_of("result/tables.py")


def environment(*packages: str) -> Environment:
    """Return an environment with the templates of this room and of `packages`; an unknown name is an error."""
    loaders = [PackageLoader(name, "") for name in ("curate.result", *packages)]
    found = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=KeptTemplates(),
    )
    found.filters["breaks"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
    return found
