"""Funnel and composition as HTML tables with bars, for a notebook and for the page.

The colours are middle tones and the background is nobody's, so that they read on light and on dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import polars as pl

KEPT, UNSAMPLED, QUARANTINED = "#2f9e6b", "#98a1ab", "#c8453b"
DROPPED: Final = ("#dd8a26", "#a763b5", "#4c87cf", "#b8a021", "#d2608f", "#3f9fa6")
"""A colour for each step, taken in turn."""

ENDS: Final = ("source", "read", "quarantined", "paired", "pairs", "unsampled", "kept", "rows")
"""The columns of a funnel that are no step."""

LANGUAGES: Final = 6
"""Languages that have a column of their own."""

OTHERS: Final = "others"

STYLE: Final = """
.curate table { border-collapse: collapse; font-size: 0.9em; margin: 0; background: none; }
.curate th, .curate td { padding: 0.3em 0.6em; text-align: right; white-space: nowrap; background: none; }
.curate th { vertical-align: bottom; font-weight: 600; border-bottom: 1px solid #88888866; }
.curate td { border-bottom: 1px solid #8888882b; font-variant-numeric: tabular-nums; }
.curate th.name, .curate td.name { text-align: left; }
.curate th.wrap { white-space: normal; }
.curate tr.total td { font-weight: 600; border-top: 1px solid #88888866; }
.curate td.short { font-weight: 600; color: #c8453b; }
.curate .none { opacity: 0.45; }
.curate .swatch { display: inline-block; width: 0.65em; height: 0.65em; border-radius: 2px; margin-right: 0.35em; }
.curate th:first-child, .curate td:first-child { padding-left: 0; }
.curate .bar { display: flex; width: 9em; height: 0.8em; overflow: hidden; border-radius: 3px; background: #8888882b; }
.curate td.share .bar { display: inline-flex; width: 5em; margin-left: 0.6em; vertical-align: middle; }
.curate .bar i { display: block; height: 100%; min-width: 0; }
"""
"""What the tables need; they stand inside an element of class `curate`."""


def funnel_html(funnel: pl.DataFrame) -> str:
    """Return `Build.funnel` as a table: a line a source, a bar of its fates, and the counts.

    >>> "<td>2</td>" in funnel_html(pl.DataFrame({"source": ["a"], "read": [3], "kept": [2], "rows": [2]}))
    True
    """
    colours = _colours(funnel.columns)
    counted = [name for name in funnel.columns if name != "source"]
    heads = [_head("source", "name"), _head("fates", "name"), *(_head(name, "", colours.get(name)) for name in counted)]
    lines = []
    for number, line in enumerate(funnel.to_dicts(), 1):
        cells = [
            _cell(line["source"], "name"),
            f'<td class="name">{_bars(line, colours)}</td>',
            *(_cell(line[name]) for name in counted),
        ]
        is_sum = number == funnel.height and line["source"] == "total"
        lines.append(_line(cells, total=is_sum))
    return _table(heads, lines)


def _bars(line: dict[str, Any], colours: dict[str, str]) -> str:
    """Return the bar of a source's fates; where its rows were paired, a second one of the fates of its pairs."""
    if not line.get("pairs"):
        return _bar([(name, line[name], colour) for name, colour in colours.items()], line["read"])
    behind = list(line).index("pairs")
    early = {name: list(line).index(name) < behind for name in colours}
    shown = [(name, line[name], colour) for name, colour in colours.items()]
    rows = [part for part in shown if early[part[0]]]
    final = [part for part in shown if not early[part[0]]]
    second = _bar(final, sum(size for _, size, _ in final))
    return f'{_bar(rows, line["read"])}<div style="margin-top: 2px">{second}</div>'


def composition_html(composition: pl.DataFrame, *, estimated: bool) -> str:
    """Return `Build.composition` as a table: what was asked and delivered, then shares of rows and tokens as bars.

    `estimated` says that no tokenizer counted the tokens. What fell short of the plan is set in red.
    """
    tokens = "tokens, estimated" if estimated else "tokens"
    names = ("source", "take", "asked", "delivered", "available", "rows", "share of rows", tokens, "share of tokens")
    heads = [_head(name, "name" if name in {"source", "take"} else "wrap") for name in names]
    lines = [_line(_brought(line), total=False) for line in composition.to_dicts()]
    total = composition.select(pl.col("rows", "tokens").sum()).to_dicts()[0]
    blank = "<td></td>"
    cells = [_cell("total", "name"), *[blank] * 4, _cell(total["rows"]), blank, _cell(total["tokens"]), blank]
    return _table(heads, [*lines, _line(cells, total=True)])


def _brought(line: dict[str, Any]) -> list[str]:
    """Return the cells of one source of a composition."""
    short = line["delivered"] != line["asked"]
    unit = "" if line["unit"] == "rows" else f" {line['unit']}"
    return [
        _cell(line["source"], "name"),
        _cell(line["take"], "name"),
        _cell(line["asked"], unit=unit),
        _cell(line["delivered"], "short" if short else "", unit=unit),
        _cell(line["available"]),
        _cell(line["rows"]),
        _share(line["share"]),
        _cell(line["tokens"]),
        _share(line["token_share"]),
    ]


def languages_html(languages: pl.DataFrame) -> str:
    """Return `Build.languages` as a table: a line a source, bars of what was read and what stays, kept of read rows.

    The languages of most rows have a column each, the others one together.

    >>> told = {"source": ["a"], "language": ["en"], "read": [3], "kept": [2]}
    >>> "<td>2 of 3</td>" in languages_html(pl.DataFrame(told))
    True
    """
    most = languages.group_by("language").agg(pl.col("read").sum()).sort("read", "language", descending=[True, False])
    names = most["language"].head(LANGUAGES).to_list()
    colours = dict(zip([*names, OTHERS], [KEPT, *DROPPED[:LANGUAGES], UNSAMPLED], strict=False))
    shown = languages.with_columns(pl.when(pl.col("language").is_in(names)).then("language").otherwise(pl.lit(OTHERS)))
    counts = shown.group_by("source", "language", maintain_order=True).agg(pl.col("read", "kept").sum())
    columns = [name for name in colours if name in set(counts["language"])]
    heads = [_head("source", "name"), _head("read", "name"), _head("kept", "name")]
    lines = []
    for (source,), mine in counts.group_by("source", maintain_order=True):
        found = {line["language"]: line for line in mine.to_dicts()}
        bars = [
            _bar([(name, found[name][fate], colours[name]) for name in columns if name in found], int(mine[fate].sum()))
            for fate in ("read", "kept")
        ]
        cells = [_cell(source, "name"), *(f'<td class="name">{bar}</td>' for bar in bars)]
        lines.append(_line([*cells, *(_of(found.get(name)) for name in columns)], total=False))
    return _table([*heads, *(_head(name, "", colours[name]) for name in columns)], lines)


def length_html(bias: pl.DataFrame) -> str:
    """Return `Build.length_bias` as a table: a line for all pairs, each source, and each band of margins of all.

    >>> told = {"source": [None], "margin_from": [None], "margin_to": [None], "pairs": [4], "longer": [0.75]}
    >>> "75.0%" in length_html(pl.DataFrame(told | dict.fromkeys(("mean_words", "median_words", "accuracy"), [1.0])))
    True
    """
    heads = ("pairs", "chosen is longer", "words more, mean", "median", "length alone is right")
    lines = []
    for line in bias.filter(pl.col("source").is_null() | pl.col("margin_from").is_null()).to_dicts():
        banded = line["margin_from"] is not None
        band = f"margin {line['margin_from']:g} to {line['margin_to']:g}" if banded else "all"
        more = [f"{line[name]:+,.1f}" for name in ("mean_words", "median_words")]
        shares = [_share(math.nan if line[name] is None else line[name]) for name in ("longer", "accuracy")]
        cells = [_cell(line["source"] or band, "name"), _cell(line["pairs"]), shares[0], *map(_right, more), shares[1]]
        lines.append(_line(cells, total=line["source"] is None and not banded))
    return _table([_head("", "name"), *(_head(name, "wrap") for name in heads)], lines)


def cost_html(cost: pl.DataFrame) -> str:
    """Return `Build.length_cost` as a table: what balancing lengths took of each source.

    >>> told = {"source": [None], "pairs": [9], "pairs_left": [6], "longer": [0.7], "longer_left": [0.5]}
    >>> "<td>6</td>" in cost_html(pl.DataFrame(told | {"margin": [2.0], "margin_left": [1.5]}))
    True
    """
    heads = ("pairs of unequal length", "left", "chosen was longer", "is longer", "mean margin before", "after")
    lines = []
    for line in cost.to_dicts():
        margins = ["" if line[name] is None else f"{line[name]:.2f}" for name in ("margin", "margin_left")]
        shares = [_share(math.nan if line[name] is None else line[name]) for name in ("longer", "longer_left")]
        counts = [_cell(line[name]) for name in ("pairs", "pairs_left")]
        cells = [_cell(line["source"] or "all", "name"), *counts, *shares, *map(_right, margins)]
        lines.append(_line(cells, total=line["source"] is None))
    return _table([_head("", "name"), *(_head(name, "wrap") for name in heads)], lines)


def _right(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _of(count: dict[str, Any] | None) -> str:
    """Return how many rows of those read are kept."""
    return f"<td>{count['kept']:,} of {count['read']:,}</td>" if count else _cell(None)


def _share(share: float) -> str:
    """Return a share as a percentage with a bar; the share of nothing (NaN) is 0."""
    part = 0.0 if math.isnan(share) else share
    return f'<td class="share">{part:.1%}{_bar([("share", part, DROPPED[2])], 1)}</td>'


def _colours(columns: Iterable[str]) -> dict[str, str]:
    """Return the colour of each fate, in the order of the bar: what stays first."""
    columns = list(columns)
    steps = [name for name in columns if name not in ENDS]
    fates = {"kept": KEPT, "paired": KEPT, "unsampled": UNSAMPLED}
    fates |= {step: DROPPED[place % len(DROPPED)] for place, step in enumerate(steps)}
    return {name: colour for name, colour in {**fates, "quarantined": QUARANTINED}.items() if name in columns}


def _bar(parts: Sequence[tuple[str, float, str]], whole: float) -> str:
    shown = [(name, size, colour) for name, size, colour in parts if whole and size]
    inner = "".join(
        f'<i style="width:{100 * size / whole:.2f}%;background:{colour}" title="{escape(name)} {size / whole:.1%}"></i>'
        for name, size, colour in shown
    )
    return f'<span class="bar">{inner}</span>'


def _head(text: str, kind: str = "", colour: str | None = None) -> str:
    swatch = f'<i class="swatch" style="background:{colour}"></i>' if colour else ""
    return f"<th{_class(kind)}>{swatch}{escape(text)}</th>"


def _cell(value: str | int | None, kind: str = "", unit: str = "") -> str:
    if isinstance(value, str):
        return f"<td{_class(kind)}>{escape(value)}</td>"
    text = f"{value:,}{escape(unit)}" if value else '<span class="none">·</span>'
    return f"<td{_class(kind)}>{text}</td>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _line(cells: Sequence[str], *, total: bool) -> str:
    return f"<tr{_class('total' if total else '')}>{''.join(cells)}</tr>"


def _table(heads: Sequence[str], lines: Sequence[str]) -> str:
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
