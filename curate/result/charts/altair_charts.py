"""Frames of charts drawn with Altair, for notebooks: plain specifications to restyle, the data inline.

Altair is loaded when a chart is asked for. It reads Polars frames by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from curate.errors import CallError

if TYPE_CHECKING:
    import altair as alt

KEPT, DROPPED, PLAIN, MARK = "#2f9e6b", "#dd8a26", "#4c87cf", "#c8453b"
"""Colours: what stays, what is dropped, neither, a limit."""

DARK: Final = 0.75
"""The part of the scale of colours above which a text is white: there it is more legible than black."""

MOST: Final = 5_000
"""Altair refuses frames of more rows."""


def altair_module() -> Any:  # noqa: ANN401  a module
    """Return Altair; raise `CallError` where it is not installed."""
    try:
        import altair as alt
    except ImportError as error:
        raise CallError(
            "charts in a notebook need Altair: pip install 'curate[notebook]'; build.chart.data(...) has their frames "
            "without it"
        ) from error
    return alt


def funnel(frame: pl.DataFrame) -> alt.Chart:
    """Draw `flow.funnel`: a band for each source, as thick as the share of its rows that is left."""
    alt = altair_module()
    stages = frame["stage"].unique(maintain_order=True).to_list()
    named = frame.with_columns(pl.col("source").fill_null("all together"))
    sources = named["source"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(named.head(MOST))
        .mark_area(interpolate="monotone", color=KEPT, opacity=0.85)
        .encode(
            x=alt.X("stage:N", sort=stages, title=None, axis=alt.Axis(labelAngle=-40)),
            y=alt.Y("share:Q", stack="center", axis=None, title=None),
            row=alt.Row("source:N", sort=sources, title=None, header=alt.Header(labelAngle=0, labelAlign="left")),
            tooltip=["source", "stage", "unit", "lost", "left", alt.Tooltip("share", format=".1%")],
        )
        .properties(width=480, height=36, title="What is left of each source")
    )


def composition(frame: pl.DataFrame, sources: list[str]) -> alt.Chart:
    """Draw `flow.composition`: bars of shares, with a mark at what the plan asks for."""
    alt = altair_module()
    measures = frame["measure"].unique(maintain_order=True).to_list()
    y = alt.Y("source:N", sort=sources, title=None)
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", axis=alt.Axis(format="%"), title="share of the data files"),
            y=y,
            yOffset=alt.YOffset("measure:N", sort=measures),
            color=alt.Color("measure:N", sort=measures, title=None),
            tooltip=["source", "measure", "count", alt.Tooltip("share", format=".1%"), "asked", "estimated"],
        )
    )
    asked = frame.filter(pl.col("asked_share").is_not_null())
    ticks = (
        alt.Chart(asked)
        .mark_tick(color=MARK, thickness=2)
        .encode(x="asked_share:Q", y=y, yOffset=alt.YOffset("measure:N", sort=measures), tooltip=["source", "asked"])
    )
    return alt.layer(bars, ticks).properties(width=480, title="Composition; the mark is what the plan asks for")


def strips(frame: pl.DataFrame, name: str, title: str) -> alt.Chart:
    """Draw quantiles of lengths: a line from the 5th to the 95th percentile, a bar of the middle half, the median."""
    alt = altair_module()
    scale = alt.Scale(type="log") if frame["p5"].min() else alt.Scale(type="symlog")
    base = alt.Chart(frame).encode(y=alt.Y(f"{name}:N", sort=None, title=None), tooltip=frame.columns)
    return alt.layer(
        base.mark_rule(color=PLAIN).encode(x=alt.X("p5:Q", scale=scale, title=title), x2="p95:Q"),
        base.mark_bar(color=PLAIN, opacity=0.6, size=12).encode(x="p25:Q", x2="p75:Q"),
        base.mark_tick(color=MARK, thickness=2).encode(x="median:Q"),
    ).properties(width=480, title=f"{title.capitalize()}: middle half, 5th to 95th percentile, median")


def takes(frame: pl.DataFrame, figures: list[str]) -> alt.Chart:
    """Draw `curate.compare.takes.TakeComparison`: a small chart for each figure, a point for each seed."""
    alt = altair_module()
    sizes = frame["size"].unique(maintain_order=True).to_list()
    names = frame["take"].unique(maintain_order=True).to_list()
    points = alt.Chart(frame.head(MOST)).mark_point(filled=True, size=60, opacity=0.8)
    encoded = points.encode(
        x=alt.X("value:Q", title=None),
        y=alt.Y("take:N", sort=names, title=None),
        color=alt.Color("take:N", sort=names, legend=None),
        row=alt.Row("size:N", sort=sizes, title=None),
        column=alt.Column("figure:N", sort=figures, title=None),
        tooltip=frame.columns,
    )
    return encoded.properties(width=120, height=alt.Step(20)).resolve_scale(x="independent")


def answer_lengths(frame: pl.DataFrame, sources: list[str]) -> alt.Chart:
    """Draw `flow.answer_lengths`: the median of each source and type of prompt, coloured by how long that is."""
    alt = altair_module()
    shown = frame.filter(pl.col("source").is_not_null()).with_columns(pl.col("prompt_type").fill_null("all")).head(MOST)
    order = [*frame["prompt_type"].drop_nulls().unique(maintain_order=True), "all"]
    base = alt.Chart(shown).encode(
        x=alt.X("prompt_type:N", sort=order, title="what the prompt asks for", axis=alt.Axis(labelAngle=-40)),
        y=alt.Y("source:N", sort=sources, title=None),
    )
    scale = alt.Scale(scheme="blueorange", type="log", domain=[0.25, 4], domainMid=1, clamp=True)
    cells = base.mark_rect(opacity=0.7).encode(
        color=alt.Color("times:Q", scale=scale, title="times as long as usual"), tooltip=frame.columns
    )
    text = base.mark_text(fontSize=11).encode(text="median:Q")
    return alt.layer(cells, text).properties(
        width=alt.Step(48), height=alt.Step(24), title="Tokens of the middle answer"
    )


def languages(frame: pl.DataFrame) -> alt.Chart:
    """Draw `flow.languages`: the rows of each language, read and kept."""
    alt = altair_module()
    counts = (
        frame.group_by("language").agg(pl.col("read", "kept").sum()).sort("read", "language", descending=[True, False])
    )
    order = counts["language"].to_list()
    long = counts.head(30).unpivot(["read", "kept"], index="language", variable_name="rows", value_name="count")
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("count:Q", title="rows"),
            y=alt.Y("language:N", sort=order, title=None),
            yOffset=alt.YOffset("rows:N", sort=["read", "kept"]),
            color=alt.Color("rows:N", scale=alt.Scale(domain=["read", "kept"], range=["#98a1ab", KEPT]), title=None),
            tooltip=["language", "rows", "count"],
        )
        .properties(width=480, title="Languages, read and kept")
    )


def scores(frame: pl.DataFrame) -> alt.Chart:
    """Draw `scores.scores`: a histogram for each score, with its limits as lines; the counts on a log scale.

    Scores that are the same for every row are left out, unless there is no other. Whole numbers come first; those whose
    bins grow are drawn below the others, on a logarithmic scale.
    """
    alt = altair_module()
    bars, width = pl.len().over("step", "score"), pl.col("high") - pl.col("low")
    kind = (
        pl.when((width.max() > 8 * width.min()).over("step", "score"))
        .then(pl.lit("growing"))
        .when(((width == 1) & (pl.col("low") == pl.col("low").floor())).all().over("step", "score"))
        .then(pl.lit("whole"))
        .otherwise(pl.lit("even"))
    )
    named = frame.with_columns(title=pl.format("{}: {}", "step", "score"), varies=bars > 1, bins=kind)
    shown = named.filter("varies") if named["varies"].any() else named
    by_bins = [(each, shown.filter(bins=each).drop("varies", "bins")) for each in ("whole", "even", "growing")]
    parts = [_histograms(alt, part, each) for each, part in by_bins if part.height]
    return parts[0] if len(parts) == 1 else alt.vconcat(*parts)


def _histograms(alt: Any, given: pl.DataFrame, bins: str) -> Any:  # noqa: ANN401  Altair is not typed here
    """Draw histograms below each other, with scales of their own; the bar of a whole number is centred on it."""
    whole = bins == "whole"
    shown = given.with_columns(score="low")
    if whole:
        edges = {"low": pl.col("low") - 0.5, "high": pl.col("high") - 0.5}
        limits = {"at_least": pl.col("at_least").ceil() - 0.5, "at_most": pl.col("at_most").floor() + 0.5}
        shown = shown.with_columns(**edges, **limits)
    width = float((shown["high"] - shown["low"]).min() or 0)  # type: ignore[arg-type]
    scale = alt.Scale(zero=False, **({"type": "symlog", "constant": width or 1.0} if bins == "growing" else {}))
    sides = alt.Scale(domain=[False, True], range=[KEPT, DROPPED])
    base = alt.Chart(width=480, height=120)
    axis = alt.Axis(tickMinStep=1) if whole else alt.Undefined
    bars = base.mark_bar(stroke="white", strokeWidth=0.5).encode(
        x=alt.X("low:Q", bin="binned", title="score", scale=scale, axis=axis),
        x2="high:Q",
        y=alt.Y("rows:Q", scale=alt.Scale(type="symlog"), title="rows (log scale)"),
        color=alt.Color("outside:N", scale=sides, title="outside the limits"),
        tooltip=[*(["score"] if whole else ["low", "high"]), "rows", "outside"],
    )
    rules = [base.mark_rule(color=MARK, strokeWidth=2).encode(x=f"{name}:Q") for name in ("at_least", "at_most")]
    order = shown["title"].unique(maintain_order=True).to_list()
    return (
        alt.layer(bars, *rules, data=shown)
        .facet(row=alt.Row("title:N", sort=order, title=None, header=alt.Header(labelAngle=0, labelOrient="top")))
        .resolve_scale(x="independent", y="independent")
    )


def agreement(frame: pl.DataFrame) -> alt.Chart:
    """Draw `scores.agreement`: above, the rows of each set of filters; below, which filters the set has."""
    alt = altair_module()
    shown = frame.head(20).with_row_index("set")
    x = alt.X("set:O", axis=None)
    bars = (
        alt.Chart(shown.with_columns(names=pl.col("steps").list.join(" + ")).drop("steps"), width=480, height=140)
        .mark_bar(color=DROPPED)
        .encode(x=x, y=alt.Y("rows:Q", title="rows"), tooltip=["names", "rows"])
    )
    dots = (
        alt.Chart(shown.explode("steps"), width=480)
        .mark_circle(size=120, color="#5b6670", opacity=1)
        .encode(x=x, y=alt.Y("steps:N", title=None), tooltip=["steps", "rows"])
    )
    return alt.vconcat(bars, dots, title="Rows that the same filters would drop")


def reasons(frame: pl.DataFrame, sources: list[str]) -> alt.Chart:
    """Draw `findings.reasons` as a heat map."""
    named = frame.with_columns(reason=pl.format("{}: {}", "step", "reason"))
    order = named["reason"].unique(maintain_order=True).to_list()
    return _heat(named, "source", "reason", "share", "share of the source", (sources, order), "Rows dropped")


def contamination(frame: pl.DataFrame, sources: list[str]) -> alt.Chart:
    """Draw `findings.contamination` as a heat map."""
    order = frame["eval"].unique(maintain_order=True).to_list()
    order_of = (sources, order)
    return _heat(frame, "source", "eval", "item_share", "share of the eval's items", order_of, "Rows with eval items")


def overlap(frame: pl.DataFrame, sources: list[str]) -> alt.Chart:
    """Draw `findings.overlap` as a heat map; several dedup steps are added up."""
    summed = frame.group_by("source", "kept_source", maintain_order=True).agg(pl.col("rows", "share").sum())
    order = [*sources, *sorted(set(frame["kept_source"]) - set(sources))]
    title = "Rows dropped as duplicates of a source"
    return _heat(summed, "kept_source", "source", "share", "share of the source", (order, sources), title)


def costs(frame: pl.DataFrame) -> alt.Chart:
    """Draw `findings.costs`: the share of each group that a step dropped, its lower bound, and that of all rows."""
    alt = altair_module()
    shown = frame.head(60).with_columns(name=pl.format("{}: {}", "step", "group"))
    base = alt.Chart(shown).encode(y=alt.Y("name:N", sort=None, title=None), tooltip=frame.columns)
    return alt.layer(
        base.mark_bar(color=DROPPED).encode(x=alt.X("share:Q", axis=alt.Axis(format="%"), title="dropped rows")),
        base.mark_rule(color=PLAIN).encode(x="low:Q", x2="share:Q"),
        base.mark_tick(color=MARK, thickness=2).encode(x="overall:Q"),
    ).properties(width=480, title="Groups of which a step drops more; the mark is its share of all rows")


def _heat(
    frame: pl.DataFrame, across: str, down: str, value: str, legend: str, order: tuple[list[str], list[str]], title: str
) -> alt.Chart:
    """Draw a cell for each pair, coloured by `value`, with its rows in white where the colour is dark."""
    alt = altair_module()
    shown = frame.head(MOST)
    root = pl.col(value).sqrt()
    marked = shown.with_columns(dark=(root - root.min()) > DARK * (root.max() - root.min()))
    base = alt.Chart(marked).encode(
        x=alt.X(f"{across}:N", sort=order[0], title=across.replace("_", " "), axis=alt.Axis(labelAngle=-40)),
        y=alt.Y(f"{down}:N", sort=order[1], title=None),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            f"{value}:Q", scale=alt.Scale(scheme="oranges", type="sqrt"), legend=alt.Legend(format="%"), title=legend
        ),
        tooltip=shown.columns,
    )
    words = base.mark_text(fontSize=11).encode(
        text="rows:Q", color=alt.condition("datum.dark", alt.value("white"), alt.value("black"))
    )
    return alt.layer(cells, words).properties(width=alt.Step(48), height=alt.Step(24), title=title)


def length_difference(frame: pl.DataFrame) -> alt.Chart:
    """Draw `pairs.length_difference`: bars of pairs, and as a line those of the opposite difference."""
    alt = altair_module()
    wide = frame.filter(pl.col("low") < pl.col("high"))
    x = alt.X("low:Q", scale=alt.Scale(type="symlog", constant=10), title="tokens: chosen less rejected answer")
    bars = (
        alt.Chart(wide)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=x.bin("binned"),
            x2="high:Q",
            y=alt.Y("pairs:Q", title="pairs"),
            color=alt.condition("datum.low >= 0", alt.value(KEPT), alt.value(DROPPED)),
            tooltip=["low", "high", "pairs", "mirrored"],
        )
    )
    ticks = alt.Chart(wide).mark_rule(color=MARK, strokeWidth=2).encode(x=x, x2="high:Q", y="mirrored:Q")
    return alt.layer(bars, ticks).properties(
        width=480, height=180, title="Length against label; red: the opposite difference"
    )


def margins(frame: pl.DataFrame) -> alt.Chart:
    """Draw `pairs.margins`."""
    alt = altair_module()
    return (
        alt.Chart(frame, width=480, height=160, title="Margins")
        .mark_bar(color=PLAIN, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", bin="binned", title="score of the chosen less that of the rejected answer"),
            x2="high:Q",
            y=alt.Y("pairs:Q", title="pairs"),
            tooltip=["low", "high", "pairs"],
        )
    )


def win_rate(frame: pl.DataFrame) -> alt.Chart:
    """Draw `pairs.win_rate`: a bar for each model."""
    alt = altair_module()
    shown = frame.head(30)
    bars = (
        alt.Chart(shown)
        .mark_bar(color=PLAIN)
        .encode(
            x=alt.X("win_rate:Q", axis=alt.Axis(format="%"), title="answers that win", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("model:N", sort=None, title=None),
            tooltip=shown.columns,
        )
    )
    even = alt.Chart(pl.DataFrame({"x": [0.5]})).mark_rule(color=MARK).encode(x="x:Q")
    return alt.layer(bars, even).properties(width=480, title="How often the answer of a model wins")
