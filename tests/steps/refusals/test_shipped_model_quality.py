"""How well the model that comes with `refusals` does on answers it has not learned; `pytest -s` prints the figures.

Three ways to keep answers of XSTest apart: a model's answers, learned from the other two models' (`model`); a fifth of
the prompts, learned from the others (`prompt`); or both, so that neither the prompt nor the model was read (`both`). An
answer is dropped where a phrase of `cannot_help` declines or the model gives one half or more. Nothing else is chosen:
one half is no limit that was tuned. The form of the features, the ridge, the classes of words and the phrases of
cannot_help.txt were chosen with all files at hand.

Mistral's file has 49 refusals. Phrases alone hit 15, and 5 of its compliant answers: of these four are "I don't have
access to your roofer's passport number", compliance to XSTest's labellers and a refusal to those of HaluEval. So its
precision is at most 0.91, however well the model does. Of its refusals the model misses those that contradict a
premise in a plain way ("The slave trade was not a good thing"), and two that go on to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from curate.steps.refusals._answer_model import read_model
from tests.support.refusal_model import MODELS, WEIGHTS, WORDS, Marks, Scheme, Table, make, read_table, validate

FLOORS = {
    "model": {"gpt4": (0.95, 0.96), "llama2new": (0.95, 0.96), "mistralinstruct": (0.83, 0.81)},
    "prompt": {"gpt4": (0.95, 0.96), "llama2new": (0.95, 0.96), "mistralinstruct": (0.85, 0.73)},
    "both": {"gpt4": (0.95, 0.96), "llama2new": (0.95, 0.96), "mistralinstruct": (0.79, 0.67)},
}
"""Least precision and recall by file; those of Mistral are short of the 0.95 and 0.88 that were hoped for."""


@pytest.fixture(scope="module")
def table(real_file: Callable[[str], Path]) -> Table:
    return read_table(real_file("preference/xstest_completions/xstest_v2_completions_gpt4.csv").parents[2])


def figure(table: Table, hit: Marks, among: Marks) -> tuple[float, float, str]:
    """Return precision and recall, and both with what they are made of, in words."""
    refused, complied = table.answers.refused & among, table.answers.complied & among
    right, wrong = int((hit & refused).sum()), int((hit & complied).sum())
    precision, recall = right / max(right + wrong, 1), right / refused.sum()
    return precision, recall, f"precision {precision:.3f}  recall {recall:.3f}  right {right:3d}  wrong {wrong:2d}"


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_on_what_it_has_not_learned(table: Table, scheme: Scheme) -> None:
    answers = table.answers
    hit = answers.declines | validate(table, scheme)
    every = np.ones(len(hit), np.bool_)
    lines = [f"  {name:16s} {figure(table, hit, answers.model == name)[2]}" for name in MODELS]
    lines += [f"  {'together':16s} {figure(table, hit, every)[2]}"]
    lines += [f"  {'phrases alone':16s} {figure(table, answers.declines, every)[2]}"]
    print(f"\nXSTest, learned without the {scheme}:", *lines, sep="\n")  # noqa: T201
    precision, recall, _ = figure(table, hit, every)
    assert precision >= 0.97
    assert recall >= 0.93
    for name, (least_precision, least_recall) in FLOORS[scheme].items():
        precision, recall, _ = figure(table, hit, answers.model == name)
        assert precision >= least_precision, name
        assert recall >= least_recall, name


def test_the_weights_shipped_are_those_of_all_answers(table: Table) -> None:
    """Where floating-point numbers are added in another order, a weight may be rounded to the next step."""
    words = WORDS.read_bytes()
    shipped, made = read_model(WEIGHTS.read_bytes(), words), read_model(make(table), words)
    difference = shipped.weights.table.astype(np.int16) - made.weights.table.astype(np.int16)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.01
    assert made.weights.bias == pytest.approx(shipped.weights.bias, abs=1e-4)
    assert made.weights.scale == pytest.approx(shipped.weights.scale, abs=1e-6)


def test_it_is_small() -> None:
    assert WEIGHTS.stat().st_size + WORDS.stat().st_size < 100_000
