"""The arguments of `decontaminate`, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from curate.errors import MixtureError, did_you_mean
from curate.evalsets.items import EvalSet
from curate.steps.decontaminate._fuzzy import LOWEST
from curate.steps.decontaminate._generic import Ignored

Mode: TypeAlias = Literal["drop", "flag"]


def ignored(ignore: Mapping[str, Sequence[str]], sets: tuple[EvalSet, ...]) -> Ignored:
    """Return the phrases in their one shape; raises `MixtureError` for a set that is not searched for."""
    names = [one.name for one in sets]
    for name, phrases in ignore.items():
        if name not in names or isinstance(phrases, str):
            raise MixtureError(f"decontaminate(ignore={{{name!r}: ...}}): lists of phrases by eval set: {names}")
    return tuple((name, tuple(sorted(phrases))) for name, phrases in sorted(ignore.items()))


def check(
    sets: tuple[EvalSet, ...],
    ngram: int,
    threshold: float,
    content: float,
    fuzzy: float | None,
    mode: str,
    informative: int,
) -> None:
    names = [one.name for one in sets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not sets:
        message = "decontaminate() has no eval set to search for; evals('tulu3') names a suite of them"
    elif twice:
        message = f"decontaminate(): two different eval sets are called {twice[0]!r}; give one of them another name"
    elif ngram < 2:
        message = f"decontaminate(ngram={ngram!r}): an n-gram has 2 words or more; 8 is Tulu 3's"
    elif not 0 < threshold <= 1:
        message = f"decontaminate(threshold={threshold!r}): a share of an item's words, above 0 and up to 1"
    elif not 0 <= content <= 1:
        message = f"decontaminate(content={content!r}): a share of what an item's words say, from 0 to 1"
    elif fuzzy is not None and not LOWEST <= fuzzy <= 1:
        message = f"decontaminate(fuzzy={fuzzy!r}): a similarity from {LOWEST} to 1, or None for no changed copies"
    elif informative < 0:
        message = f"decontaminate(informative={informative!r}): a number of words, 0 or more"
    elif mode not in get_args(Mode):
        message = f"decontaminate(mode={mode!r}): {did_you_mean(str(mode), get_args(Mode))}"
    else:
        return
    raise MixtureError(message)
