"""The recipes that come with `curate`, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from curate.mix.spec import MixtureSpec
from curate.report.terminal import plain_table


class Listed(Protocol):
    """What a list of recipes shows of each."""

    @property
    def name(self) -> str:
        """The word that `curate build` takes."""

    @property
    def says(self) -> str:
        """What it is, in a line."""

    @property
    def tokens(self) -> int | None:
        """The tokens of the published mixture, where they were published."""

    @property
    def mixture(self) -> MixtureSpec:
        """The mixture as published."""

    @property
    def rows(self) -> int:
        """The rows of the published mixture."""

    @property
    def licences(self) -> tuple[str, ...]:
        """The licences of its sources."""


def recipe_parts(found: Iterable[Listed]) -> Iterator[RenderableType]:
    """Give a table of recipes, and what each is in a line."""
    recipes = list(found)
    heads = [Text(name) for name in ("recipe", "rows", "tokens", "sources", "licences")]
    rows = [
        (
            Text(one.name),
            Text(f"{one.rows:,}" if one.rows else "."),
            Text(f"{one.tokens:,}" if one.tokens else "."),
            Text(str(len(one.mixture.sources))),
            Text(", ".join(one.licences)),
        )
        for one in recipes
    ]
    yield plain_table(heads, rows, left={"recipe", "licences"}, gap=1)
    for says in dict.fromkeys(one.says for one in recipes):
        names = dict.fromkeys(one.name.partition(":")[0] for one in recipes if one.says == says)
        yield Text.assemble((", ".join(names), "bold"), f": {says}")
    yield Text("\nBuild one with: curate build NAME, or a part of it: curate build NAME --set SETTING=VALUE")
