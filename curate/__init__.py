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
    from curate.io.formats.trees import oasst, oasst_messages
    from curate.mix.spec import Source
    from curate.mix.takes import All, Fraction, Repeat, Rows, Tokens
    from curate.mix.tokens import Tokenizer
    from curate.mixture import Mixture
    from curate.steps.cut_refusals import cut_refusals
    from curate.steps.decontaminate import decontaminate
    from curate.steps.dedup import dedup
    from curate.steps.exact_dedup import exact_dedup
    from curate.steps.language import language
    from curate.steps.quality import quality
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
    "columns": "curate.io.formats.mapping",
    "cut_refusals": "curate.steps.cut_refusals",
    "dataset": "curate.io.door",
    "decontaminate": "curate.steps.decontaminate",
    "dedup": "curate.steps.dedup",
    "evals": "curate.evalsets.choose",
    "exact_dedup": "curate.steps.exact_dedup",
    "files": "curate.io.door",
    "frame": "curate.io.door",
    "hh": "curate.io.formats.pairs",
    "language": "curate.steps.language",
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
    "secrets_and_pii": "curate.steps.secrets_and_pii",
    "shape": "curate.steps.shape",
    "sharegpt": "curate.io.formats.dialogues",
    "train_classifier": "curate.classify.train",
    "truecase": "curate.steps.truecase",
    "ultrafeedback": "curate.io.formats.ratings",
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
    "columns",
    "cut_refusals",
    "dataset",
    "decontaminate",
    "dedup",
    "evals",
    "exact_dedup",
    "files",
    "frame",
    "hh",
    "language",
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
    "secrets_and_pii",
    "shape",
    "sharegpt",
    "train_classifier",
    "truecase",
    "ultrafeedback",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: any public name
    if name not in HOMES:
        message = f"module 'curate' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
