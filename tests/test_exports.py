"""The public surface is locked: a name enters or leaves `curate` only together with this list."""

from __future__ import annotations

from typing import Final

import pytest

import curate

PUBLIC: Final = [
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


def test_exports_are_exact() -> None:
    assert curate.__all__ == PUBLIC


def test_exports_are_sorted_and_there() -> None:
    assert curate.__all__ == sorted(curate.__all__)
    assert [name for name in curate.__all__ if not hasattr(curate, name)] == []


def test_nothing_else_looks_public() -> None:
    assert set(dir(curate)) == {*PUBLIC, "__version__"}


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'curate' has no attribute 'dedupe'"):
        curate.dedupe  # noqa: B018
