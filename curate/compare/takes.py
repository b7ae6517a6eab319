"""Takes held against random rows of the same size: what each covers, and how far it is from what it chose from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from curate.compare import takes_page
from curate.compare.subsets import FIGURES, figures, read_rows
from curate.io.atomic import write_text
from curate.mix.ladder import RANDOM
from curate.result.build import Build
from curate.result.charts import altair_charts

if TYPE_CHECKING:
    import altair as alt

KEYS: Final = ["take", "size"]
SHOWN: Final = [name for name in FIGURES if name not in {"rows", "tokens"}]


class TakenBuild(NamedTuple):
    """A build of a comparison: which take of which size, with which seed."""

    take: str
    size: str
    seed: int
    build: Build


class TakeComparison(NamedTuple):
    """Takes held against random rows of the same size.

    `figures` has a line for each build: `take`, `size`, `seed`, and

    - `rows`, `tokens` (estimated), `median_tokens` of a row.
    - `ngrams`: distinct 8-grams of words. `coverage`: their share of those of all rows.
    - `novelty`: distinct n-grams for each n-gram, counted once a row: 1 where no two rows share any.
    - `templates`: templates of prompts (`Stratified`), as all rows have them.
    - `source_drift`: the share of rows that would have to be of another source for the shares of sources to be those
      of all rows (total variation distance). `length_drift`: the same for lengths in tokens, at the length where it
      shows most (the statistic of Kolmogorov and Smirnov).

    Args:
        figures: A line for each build, the takes in their order, the smallest size and the first seed first.
        builds: The builds.
        pools: Of each seed, the build of all rows that the steps leave.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import curate as c
        >>> rows = [{"instruction": f"Is boat {n} fast?", "output": f"It runs {n} knots. " * n} for n in range(40)]
        >>> mixture = c.Mixture("demo", [c.Source("a", c.frame(pl.DataFrame(rows), "alpaca"))])
        >>> with TemporaryDirectory() as folder:
        ...     found = mixture.compare({"longest": c.Longest()}, [5, 10], f"{folder}/takes", seeds=1, quiet=True)
        >>> found.summary.filter(take="longest").select("size", "rows", "median_tokens", "length_drift").rows()
        [('5', 5.0, 179.0, 0.875), ('10', 10.0, 167.0, 0.75)]
    """

    figures: pl.DataFrame
    builds: tuple[TakenBuild, ...]
    pools: tuple[Build, ...]

    @property
    def summary(self) -> pl.DataFrame:
        """The mean of each figure over the seeds, and `times`: the distinct n-grams for each of random rows.

        Columns: `take`, `size`, `seeds`, the figures, `times`, and `times_low` and `times_high`, the least and the most
        of a seed against random rows of the same seed.
        """
        usual = self.figures.filter(take=RANDOM).select("size", "seed", usual="ngrams")
        each = self.figures.join(usual, on=["size", "seed"], maintain_order="left")
        each = each.with_columns(times=pl.col("ngrams") / pl.col("usual"))
        times = pl.col("times")
        measures = {
            "seeds": pl.len().cast(pl.Int64),
            **{name: pl.col(name).cast(pl.Float64).mean() for name in FIGURES},
            "times": times.mean(),
            "times_low": times.min(),
            "times_high": times.max(),
        }
        return each.group_by(*KEYS, maintain_order=True).agg(**measures)

    def chart(self) -> alt.Chart:
        """Return each figure by size and take, for a notebook: a point is a seed.

        Raises:
            CallError: Altair is not installed.
        """
        return altair_charts.takes(self.figures.unpivot(SHOWN, index=[*KEYS, "seed"], variable_name="figure"), SHOWN)

    def _repr_html_(self) -> str:
        """Show the summary in a notebook."""
        return takes_page.cell(self)

    def page(self) -> str:
        """Return the page of the comparison as HTML: one file that opens offline."""
        return takes_page.page(self)

    def save(self, path: str | Path) -> Path:
        """Write the page into a file, whose folder is made; return its path."""
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, self.page())
        return place


def measured(builds: Iterable[TakenBuild], pools: Iterable[Build]) -> TakeComparison:
    """Measure builds of parts against the build of all rows of the same seed: a function of their folders alone.

    Args:
        builds: The parts; their seeds count from 0.
        pools: The build of all rows of each seed.
    """
    found, whole = list(builds), tuple(pools)
    order = {key: place for place, key in enumerate(dict.fromkeys((one.take, one.size) for one in found))}
    found.sort(key=lambda one: (order[one.take, one.size], one.seed))
    lines: list[dict[str, Any]] = [{"take": one.take, "size": one.size, "seed": one.seed} for one in found]
    for seed, made in enumerate(whole):
        pool = read_rows(made)
        for one, line in zip(found, lines, strict=True):
            if one.seed == seed:
                line.update(figures(read_rows(one.build), pool))
    keys = {"take": pl.String, "size": pl.String, "seed": pl.Int64}
    return TakeComparison(pl.DataFrame(lines, schema={**keys, **FIGURES}), tuple(found), whole)
