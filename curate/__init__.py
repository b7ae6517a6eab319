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
    from curate.classify.train import train_classifier
    from curate.errors import BuildError, CallError, CurateError
    from curate.evalsets.choose import evals
    from curate.evalsets.items import EvalSet
    from curate.io.door import dataset, files, frame
    from curate.io.formats.dialogues import alpaca, messages, prompt_completion, question_answer, sharegpt
    from curate.io.formats.mapping import columns
    from curate.io.formats.pairs import hh, preference
    from curate.io.formats.ratings import rated, ultrafeedback
    from curate.io.formats.scored import scored
    from curate.io.formats.trees import oasst, oasst_messages
    from curate.io.hub import hub
    from curate.io.joined import joined
    from curate.mix.spec import Source
    from curate.mix.takes import All, Fraction, Repeat, Rows, Tokens
    from curate.mix.tokens import Tokenizer
    from curate.mixture import Mixture
    from curate.steps.balance_length import balance_length
    from curate.steps.binarize import argilla, at_least, binarize, max_min, tulu3, zephyr
    from curate.steps.contradictions import contradictions
    from curate.steps.cut_refusals import cut_refusals
    from curate.steps.decontaminate import decontaminate
    from curate.steps.dedup import dedup
    from curate.steps.exact_dedup import exact_dedup
    from curate.steps.exclude_prompts import exclude_prompts_of
    from curate.steps.language import language
    from curate.steps.lint_pairs import lint_pairs
    from curate.steps.quality import quality
    from curate.steps.rated_scores import mean, weighted
    from curate.steps.refusals import refusals
    from curate.steps.repetition import repetition
    from curate.steps.scoring import score
    from curate.steps.secrets_and_pii import secrets_and_pii
    from curate.steps.shape import shape
    from curate.steps.truecase import truecase

__version__ = "0.1.0"

HOMES = {
    "All": "curate.mix.takes",
    "Build": "curate.build.folder",
    "BuildError": "curate.errors",
    "CallError": "curate.errors",
    "CurateError": "curate.errors",
    "EvalSet": "curate.evalsets.items",
    "Fraction": "curate.mix.takes",
    "Mixture": "curate.mixture",
    "Repeat": "curate.mix.takes",
    "Rows": "curate.mix.takes",
    "Source": "curate.mix.spec",
    "Tokenizer": "curate.mix.tokens",
    "Tokens": "curate.mix.takes",
    "alpaca": "curate.io.formats.dialogues",
    "argilla": "curate.steps.binarize",
    "at_least": "curate.steps.binarize",
    "balance_length": "curate.steps.balance_length",
    "binarize": "curate.steps.binarize",
    "columns": "curate.io.formats.mapping",
    "contradictions": "curate.steps.contradictions",
    "cut_refusals": "curate.steps.cut_refusals",
    "dataset": "curate.io.door",
    "decontaminate": "curate.steps.decontaminate",
    "dedup": "curate.steps.dedup",
    "evals": "curate.evalsets.choose",
    "exact_dedup": "curate.steps.exact_dedup",
    "exclude_prompts_of": "curate.steps.exclude_prompts",
    "files": "curate.io.door",
    "frame": "curate.io.door",
    "hh": "curate.io.formats.pairs",
    "hub": "curate.io.hub",
    "joined": "curate.io.joined",
    "language": "curate.steps.language",
    "lint_pairs": "curate.steps.lint_pairs",
    "max_min": "curate.steps.binarize",
    "mean": "curate.steps.rated_scores",
    "messages": "curate.io.formats.dialogues",
    "oasst": "curate.io.formats.trees",
    "oasst_messages": "curate.io.formats.trees",
    "preference": "curate.io.formats.pairs",
    "prompt_completion": "curate.io.formats.dialogues",
    "quality": "curate.steps.quality",
    "question_answer": "curate.io.formats.dialogues",
    "rated": "curate.io.formats.ratings",
    "refusals": "curate.steps.refusals",
    "repetition": "curate.steps.repetition",
    "score": "curate.steps.scoring",
    "scored": "curate.io.formats.scored",
    "secrets_and_pii": "curate.steps.secrets_and_pii",
    "shape": "curate.steps.shape",
    "sharegpt": "curate.io.formats.dialogues",
    "train_classifier": "curate.classify.train",
    "truecase": "curate.steps.truecase",
    "tulu3": "curate.steps.binarize",
    "ultrafeedback": "curate.io.formats.ratings",
    "weighted": "curate.steps.rated_scores",
    "zephyr": "curate.steps.binarize",
}
"""Where each public name lives."""

__all__ = [
    "All",
    "Build",
    "BuildError",
    "CallError",
    "CurateError",
    "EvalSet",
    "Fraction",
    "Mixture",
    "Repeat",
    "Rows",
    "Source",
    "Tokenizer",
    "Tokens",
    "alpaca",
    "argilla",
    "at_least",
    "balance_length",
    "binarize",
    "columns",
    "contradictions",
    "cut_refusals",
    "dataset",
    "decontaminate",
    "dedup",
    "evals",
    "exact_dedup",
    "exclude_prompts_of",
    "files",
    "frame",
    "hh",
    "hub",
    "joined",
    "language",
    "lint_pairs",
    "max_min",
    "mean",
    "messages",
    "oasst",
    "oasst_messages",
    "preference",
    "prompt_completion",
    "quality",
    "question_answer",
    "rated",
    "refusals",
    "repetition",
    "score",
    "scored",
    "secrets_and_pii",
    "shape",
    "sharegpt",
    "train_classifier",
    "truecase",
    "tulu3",
    "ultrafeedback",
    "weighted",
    "zephyr",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: any public name
    if name not in HOMES:
        message = f"module 'curate' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
