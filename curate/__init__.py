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
    from curate.classify.train_classifier import train_classifier
    from curate.errors import BuildError, CallError, CurateError
    from curate.evalsets.evals import evals
    from curate.evalsets.items import EvalSet
    from curate.io.formats.columns import columns
    from curate.io.formats.dialogues import alpaca, messages, prompt_completion, question_answer, sharegpt
    from curate.io.formats.oasst import oasst, oasst_messages
    from curate.io.formats.preference import hh, preference
    from curate.io.formats.rated import rated, ultrafeedback
    from curate.io.formats.scored import scored
    from curate.io.hub import hub
    from curate.io.inputs import dataset, files, frame
    from curate.io.joined import joined
    from curate.mix.spec import Source
    from curate.mix.takes import All, Fraction, Repeat, Rows, Tokens
    from curate.mix.tokens import Tokenizer
    from curate.mixture import Mixture
    from curate.result.build import Build
    from curate.steps.decontaminate.decontaminate import decontaminate
    from curate.steps.dedup.dedup import dedup
    from curate.steps.dedup.exact_dedup import exact_dedup
    from curate.steps.dedup.exclude_prompts import exclude_prompts_of
    from curate.steps.filters.language import language
    from curate.steps.filters.quality import quality
    from curate.steps.filters.repetition import repetition
    from curate.steps.filters.score import score
    from curate.steps.filters.secrets_and_pii import secrets_and_pii
    from curate.steps.filters.shape import shape
    from curate.steps.filters.truecase import truecase
    from curate.steps.pairs.balance_length import balance_length
    from curate.steps.pairs.binarize import argilla, at_least, binarize, max_min, tulu3, zephyr
    from curate.steps.pairs.completion_scores import mean, weighted
    from curate.steps.pairs.contradictions import contradictions
    from curate.steps.pairs.lint_pairs import lint_pairs
    from curate.steps.refusals.cut_refusals import cut_refusals
    from curate.steps.refusals.refusals import refusals

__version__ = "0.1.0"

HOMES = {
    "All": "curate.mix.takes",
    "Build": "curate.result.build",
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
    "argilla": "curate.steps.pairs.binarize",
    "at_least": "curate.steps.pairs.binarize",
    "balance_length": "curate.steps.pairs.balance_length",
    "binarize": "curate.steps.pairs.binarize",
    "columns": "curate.io.formats.columns",
    "contradictions": "curate.steps.pairs.contradictions",
    "cut_refusals": "curate.steps.refusals.cut_refusals",
    "dataset": "curate.io.inputs",
    "decontaminate": "curate.steps.decontaminate.decontaminate",
    "dedup": "curate.steps.dedup.dedup",
    "evals": "curate.evalsets.evals",
    "exact_dedup": "curate.steps.dedup.exact_dedup",
    "exclude_prompts_of": "curate.steps.dedup.exclude_prompts",
    "files": "curate.io.inputs",
    "frame": "curate.io.inputs",
    "hh": "curate.io.formats.preference",
    "hub": "curate.io.hub",
    "joined": "curate.io.joined",
    "language": "curate.steps.filters.language",
    "lint_pairs": "curate.steps.pairs.lint_pairs",
    "max_min": "curate.steps.pairs.binarize",
    "mean": "curate.steps.pairs.completion_scores",
    "messages": "curate.io.formats.dialogues",
    "oasst": "curate.io.formats.oasst",
    "oasst_messages": "curate.io.formats.oasst",
    "preference": "curate.io.formats.preference",
    "prompt_completion": "curate.io.formats.dialogues",
    "quality": "curate.steps.filters.quality",
    "question_answer": "curate.io.formats.dialogues",
    "rated": "curate.io.formats.rated",
    "refusals": "curate.steps.refusals.refusals",
    "repetition": "curate.steps.filters.repetition",
    "score": "curate.steps.filters.score",
    "scored": "curate.io.formats.scored",
    "secrets_and_pii": "curate.steps.filters.secrets_and_pii",
    "shape": "curate.steps.filters.shape",
    "sharegpt": "curate.io.formats.dialogues",
    "train_classifier": "curate.classify.train_classifier",
    "truecase": "curate.steps.filters.truecase",
    "tulu3": "curate.steps.pairs.binarize",
    "ultrafeedback": "curate.io.formats.rated",
    "weighted": "curate.steps.pairs.completion_scores",
    "zephyr": "curate.steps.pairs.binarize",
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
