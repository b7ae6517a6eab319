"""The charts of a build: each a frame, and that frame as an Altair chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from curate.errors import CallError, did_you_mean
from curate.result.charts import altair_charts, findings, flow, pairs, scores

if TYPE_CHECKING:
    import altair as alt

    from curate.result.build import Build

FRAMES: Final[Mapping[str, Callable[[Build], pl.DataFrame]]] = {
    "funnel": flow.funnel,
    "composition": flow.composition,
    "lengths": flow.lengths,
    "answer_lengths": flow.answer_lengths,
    "languages": flow.languages,
    "scores": scores.scores,
    "agreement": scores.agreement,
    "reasons": findings.reasons,
    "contamination": findings.contamination,
    "overlap": findings.overlap,
    "costs": findings.costs,
    "length_difference": pairs.length_difference,
    "margins": pairs.margins,
    "label_lengths": pairs.label_lengths,
    "win_rate": pairs.win_rate,
}
"""The frame of each chart, by its name; one without a line has nothing to show."""

OF_ALL: Final = ("scores", "agreement", "reasons", "overlap")
"""The charts of all rows or of dropped ones: builds that differ in their takes have them in common."""


class Charts:
    """The charts of a build, `build.chart`: frames, and Altair charts to restyle in a notebook.

    Each chart is a method, and `data(name)` is the frame behind it; `names` says which have something to show. Charts
    need `curate[notebook]`; frames do not.

    Args:
        build: The build.
        known: Frames of charts of the same build, by name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import curate as c
        >>> rows = pl.DataFrame({"instruction": ["Say hi.", "Add 1 and 2."], "output": ["Hi!", "3"]})
        >>> mixture = c.Mixture("demo", [c.Source("a", c.frame(rows, "alpaca"))], [c.shape(min_words=1)])
        >>> with TemporaryDirectory() as folder:
        ...     build = mixture.build(f"{folder}/build", quiet=True)
        ...     print(build.chart.names)
        ...     print(build.chart.data("funnel").filter(source="a").select("stage", "left").rows())
        ...     chart = build.chart.lengths().properties(title="How long?")
        ['funnel', 'composition', 'lengths', 'answer_lengths', 'scores']
        [('read', 2), ('quarantined', 2), ('shape', 2), ('unsampled', 2), ('kept', 2)]
    """

    def __init__(self, build: Build, known: Mapping[str, pl.DataFrame] = MappingProxyType({})) -> None:
        self._build = build
        self.known = dict(known)

    def __repr__(self) -> str:
        return f"Charts({', '.join(self.names)})"

    @cached_property
    def names(self) -> list[str]:
        """The charts that have something to show."""
        return [name for name in FRAMES if self.data(name).height]

    def data(self, name: str) -> pl.DataFrame:
        """Return the frame behind a chart; the function of its name in `curate.result.charts` says what is in it.

        Args:
            name: The chart, such as "funnel".

        Raises:
            CallError: There is no such chart.
        """
        if name not in FRAMES:
            raise CallError(f"there is no chart {name!r}; {did_you_mean(name, list(FRAMES))}")
        if name not in self.known:
            self.known[name] = FRAMES[name](self._build)
        return self.known[name]

    def funnel(self) -> alt.Chart:
        """Return how much of each source is left after each stage (`flow.funnel`)."""
        return altair_charts.funnel(self._shown("funnel"))

    def composition(self) -> alt.Chart:
        """Return what each source brings in rows, tokens and trained tokens, against the plan (`flow.composition`)."""
        return altair_charts.composition(self._shown("composition"), self._build.sources)

    def lengths(self) -> alt.Chart:
        """Return how long the kept rows of each source are, in tokens (`flow.lengths`)."""
        return altair_charts.strips(self._shown("lengths"), "source", "tokens of a row")

    def answer_lengths(self) -> alt.Chart:
        """Return how long the answers of each source are, by what the prompt asks for (`flow.answer_lengths`)."""
        return altair_charts.answer_lengths(self._shown("answer_lengths"), self._build.sources)

    def languages(self) -> alt.Chart:
        """Return the languages of the rows of each source, read and kept (`flow.languages`).

        Raises:
            CallError: No step of the mixture detects languages.
        """
        return altair_charts.languages(self._shown("languages"))

    def scores(self, step: str | None = None) -> alt.Chart:
        """Return a histogram of each score of a filter, with its limits (`scores.scores`).

        Args:
            step: The label of a filter; None: all of them, scores that are the same for every row left out.

        Raises:
            CallError: The build has no such step, or it is no filter with bounds.
        """
        if step is None:
            return altair_charts.scores(self._shown("scores"))
        return altair_charts.scores(scores.scores(self._build, step))

    def agreement(self) -> alt.Chart:
        """Return which filters would have dropped the same rows (`scores.agreement`)."""
        return altair_charts.agreement(self._shown("agreement"))

    def reasons(self, step: str | None = None) -> alt.Chart:
        """Return the rows that were dropped for each reason, by source (`findings.reasons`).

        Args:
            step: The label of a step, such as "refusals"; None: all of them.

        Raises:
            CallError: The build has no such step, or nothing was dropped.
        """
        found = self._shown("reasons") if step is None else findings.reasons(self._build, step)
        return altair_charts.reasons(found, self._build.sources)

    def contamination(self) -> alt.Chart:
        """Return how many of the items of each eval were found in each source (`findings.contamination`)."""
        return altair_charts.contamination(self._shown("contamination"), self._build.sources)

    def overlap(self) -> alt.Chart:
        """Return which source repeats rows of which (`findings.overlap`)."""
        return altair_charts.overlap(self._shown("overlap"), self._build.sources)

    def costs(self) -> alt.Chart:
        """Return the groups of which a step dropped more than of all rows (`findings.costs`)."""
        return altair_charts.costs(self._shown("costs"))

    def length_difference(self) -> alt.Chart:
        """Return how much longer chosen answers are than rejected ones (`pairs.length_difference`)."""
        return altair_charts.length_difference(self._shown("length_difference"))

    def margins(self) -> alt.Chart:
        """Return the margins of pairs (`pairs.margins`)."""
        return altair_charts.margins(self._shown("margins"))

    def label_lengths(self) -> alt.Chart:
        """Return how long completions are by their label, for unpaired rows (`pairs.label_lengths`)."""
        found = self._shown("label_lengths").with_columns(pl.col("label").replace_strict({True: "good", False: "bad"}))
        return altair_charts.strips(found, "label", "tokens of a completion")

    def win_rate(self) -> alt.Chart:
        """Return how often the answer of each model is the better one (`pairs.win_rate`)."""
        return altair_charts.win_rate(self._shown("win_rate"))

    def _shown(self, name: str) -> pl.DataFrame:
        """Return a frame with something to show; raise `CallError` where there is nothing."""
        found = self.data(name)
        if not found.height:
            raise CallError(f"this build has nothing to show as {name!r}; it has: {', '.join(self.names)}")
        return found
