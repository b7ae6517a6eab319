"""Turn raw instruction and preference data into training-ready mixtures, and account for every row on the way.

>>> import curate as c
>>> c.Rows(1_000)
Rows(n=1000)

Names load when first used: `import curate` itself takes a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.build.folder import Build
    from curate.errors import BuildError, CallError, CurateError
    from curate.mix.spec import Source
    from curate.mix.takes import All, Fraction, Repeat, Rows, Tokens
    from curate.mix.tokens import Tokenizer
    from curate.mixture import Mixture
    from curate.steps.cut_refusals import cut_refusals
    from curate.steps.exact_dedup import exact_dedup
    from curate.steps.refusals import refusals
    from curate.steps.shape import shape

__version__ = "0.1.0"

HOMES = {
    "All": "curate.mix.takes",
    "Build": "curate.build.folder",
    "BuildError": "curate.errors",
    "CallError": "curate.errors",
    "CurateError": "curate.errors",
    "Fraction": "curate.mix.takes",
    "Mixture": "curate.mixture",
    "Repeat": "curate.mix.takes",
    "Rows": "curate.mix.takes",
    "Source": "curate.mix.spec",
    "Tokenizer": "curate.mix.tokens",
    "Tokens": "curate.mix.takes",
    "cut_refusals": "curate.steps.cut_refusals",
    "exact_dedup": "curate.steps.exact_dedup",
    "refusals": "curate.steps.refusals",
    "shape": "curate.steps.shape",
}
"""Where each public name lives."""

__all__ = [
    "All",
    "Build",
    "BuildError",
    "CallError",
    "CurateError",
    "Fraction",
    "Mixture",
    "Repeat",
    "Rows",
    "Source",
    "Tokenizer",
    "Tokens",
    "cut_refusals",
    "exact_dedup",
    "refusals",
    "shape",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: any public name
    if name not in HOMES:
        message = f"module 'curate' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
