"""Predictions equal those of the package that made the model, for every loss and every way of packing it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.kernels.buffers import Text, view
from curate.steps.filters.language import _own_model
from curate.text.fasttext.model_file import Classifier, load_classifier
from curate.text.fasttext.predict_kernel import NO_LABEL, judge, probability

fasttext = pytest.importorskip("fasttext")
if not hasattr(fasttext, "train_supervised"):
    pytest.skip("this `fasttext` cannot train: reinstall fasttext-numpy2", allow_module_level=True)

CLOSE = 1e-4
PLAIN: dict[str, Any] = {"dim": 7, "epoch": 5, "lr": 0.5, "minn": 0, "maxn": 0, "wordNgrams": 1, "bucket": 500}
SUBWORDS = {"minn": 2, "maxn": 4}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    **{loss: ({"loss": loss}, None) for loss in ("softmax", "hs", "ova", "ns")},
    **{f"{loss} subwords": ({"loss": loss} | SUBWORDS, None) for loss in ("softmax", "hs")},
    "one letter": ({"minn": 1, "maxn": 3}, None),
    "no least": ({"minn": 0, "maxn": 2}, None),
    "word pairs": ({"wordNgrams": 2}, None),
    "word fours": ({"wordNgrams": 4, "loss": "ova"}, None),
    "pairs and subwords": ({"wordNgrams": 2} | SUBWORDS, None),
    "rare words": ({"minCount": 40} | SUBWORDS, None),
    "quantized": ({"dim": 8}, {}),
    "odd dim": ({"dim": 7} | SUBWORDS, {"dsub": 2}),
    "normed": (SUBWORDS, {"qnorm": True}),
    "output too": ({"wordNgrams": 2}, {"qnorm": True, "qout": True}),
    "pruned": ({"wordNgrams": 2} | SUBWORDS, {"cutoff": 300}),
    "pruned, hs, all packed": ({"loss": "hs"} | SUBWORDS, {"cutoff": 280, "qnorm": True, "qout": True}),
    "pruned pairs": ({"wordNgrams": 3, "dim": 8}, {"cutoff": 260}),
    "pruned to words": ({}, {"cutoff": 260}),
}
STEMS = ("ba", "ké", "北", "đu", "🙂", "ti", "co", "lo", "ma", "š", "gr", "wh", "ñu", "пр", "ال", "ze", "yo", "x")
WORDS = [f"{a}{b}{c}" for a in STEMS for b in "aeiou" for c in ("", "n", "rst", "京都")]
TEXTS = [
    "", " ", "\t\v\f\r\0", "ban", "</s>", "ban </s> tien", "</s>ban", "__label__1", "__label__zz ban",
    "x__label__1 ban",
    "ban\ttien\rban\x0bban\x0cban\0ban", "ban\u00a0ban\u3000ban", "a" * 5000, "ban " * 3000, "北" * 700, "ké" * 20,
    "BAN Ban", "<ban>", "e\u0301", "\ufeffban", "-", "1 2 3", "__label__", "ban __label__2 tien ké", "ﬁ ẞ",
]  # fmt: skip


def lines(count: int, seed: int, labels: int = 8) -> list[str]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        label = draw.randrange(labels) if draw.random() < 0.5 else draw.randrange(2)
        words = draw.choices(WORDS[label * 40 % 300 : label * 40 % 300 + 100], k=draw.randrange(1, 12))
        found.append(f"__label__{label} {' '.join(words)}")
    return found


# With one thread the package leaves most vectors uninitialised (see curate/classify/fasttext_process.py): the memory is
# cleared first.
TRAIN = """
import json, sys
import fasttext
for train, packed, path in json.load(sys.stdin):
    model = fasttext.train_supervised(**train)
    if packed is not None:
        model.quantize(**packed)
    model.save_model(path)
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Classifier]]:
    """Train all models, and return each by its name in `MODELS`, as the package and as we read it."""
    folder = tmp_path_factory.mktemp("fasttext")
    orders = []
    for name, (more, packed) in MODELS.items():
        labels = 300 if packed is not None and packed.get("qout") else 8  # the package packs 256 rows or more
        corpus = folder / f"{labels}.txt"
        corpus.write_text("\n".join(lines(2000, 1, labels)) + "\n", encoding="utf-8")
        order = {"input": str(corpus), "thread": 1, "seed": 7, "verbose": 0} | PLAIN | more
        orders.append((order, packed, str(folder / f"{name}.bin")))
    subprocess.run(
        [sys.executable, "-c", TRAIN],
        input=json.dumps(orders),
        text=True,
        check=True,
        env=os.environ | {"MALLOC_PERTURB_": "255"},
    )
    return lambda name: (fasttext.load_model(str(folder / f"{name}.bin")), load_classifier(folder / f"{name}.bin"))


def every(texts: list[str]) -> tuple[Any, NDArray[np.int32]]:
    return view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32)


def predict(model: Classifier, text: Text, index: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the best labels, and how probable they are."""
    return judge(model, text, index, np.zeros(0, np.int32))[:2]


def oracle(model: Any, texts: list[str], k: int = 1) -> tuple[list[list[str]], list[list[float]]]:  # noqa: ANN401
    labels, chances = model.predict([text.replace("\n", " ") for text in texts], k=k)
    return [[label.removeprefix("__label__") for label in each] for each in labels], chances


def held_against(model: Any, ours: Classifier, texts: list[str]) -> None:  # noqa: ANN401
    label, best = predict(ours, *every(texts))
    labels, chances = oracle(model, texts)
    assert [[ours.labels[place]] if place != NO_LABEL else [] for place in label] == labels
    assert np.abs(best - [each[0] if len(each) else 0 for each in chances]).max() < CLOSE


@pytest.mark.parametrize("name", MODELS)
def test_equals_the_package(trained: Callable[[str], tuple[Any, Classifier]], name: str) -> None:
    model, ours = trained(name)
    assert model.is_quantized() == (MODELS[name][1] is not None)
    held_against(model, ours, [line.split(" ", 1)[1] for line in lines(1500, 2)] + TEXTS)


@pytest.mark.parametrize("name", ["softmax", "hs subwords", "ova", "ns", "pruned, hs, all packed"])
def test_probability_of_each_label(trained: Callable[[str], tuple[Any, Classifier]], name: str) -> None:
    model, ours = trained(name)
    texts = [*(line.split(" ", 1)[1] for line in lines(200, 3)), "", "ban __label__2"]
    found = {label: probability(ours, *every(texts), label) for label in ours.labels}
    labels, chances = oracle(model, texts, k=len(ours.labels))
    for i, (names, values) in enumerate(zip(labels, chances, strict=True)):
        assert np.abs([found[name][i] - value for name, value in zip(names, values, strict=True)]).max() < CLOSE


@pytest.mark.parametrize("name", ["softmax", "hs subwords", "ova"])
def test_the_best_of_the_others(trained: Callable[[str], tuple[Any, Classifier]], name: str) -> None:
    _, ours = trained(name)
    texts = every([line.split(" ", 1)[1] for line in lines(200, 4)])
    table = np.array([probability(ours, *texts, label) for label in ours.labels])
    label, best, sums, rival = judge(ours, *texts, np.array([0, 3], np.int32))
    assert np.allclose(best, table[label, np.arange(200)], atol=1e-6)
    assert np.allclose(sums, np.minimum(1, table[[0, 3]].sum(axis=0)), atol=1e-6)
    assert np.allclose(rival, table[[1, 2, 4, 5, 6, 7]].max(axis=0), atol=1e-6)
    assert not judge(ours, *texts, np.arange(8, dtype=np.int32))[3].any()


@given(st.lists(st.text(st.sampled_from("ab é北\t\0<>/s_\u0301🙂"), max_size=40), max_size=6))
def test_any_text(texts: list[str]) -> None:
    path = str(_own_model())
    held_against(fasttext.load_model(path), load_classifier(path), [*texts, ""])


def test_neither_order_nor_batches_change_an_answer(edge_texts: dict[str, str]) -> None:
    ours = load_classifier(_own_model())
    texts = [
        *(text[:50_000] for text in edge_texts.values()),
        *(f"{word} {other}" for word in WORDS for other in WORDS),
    ]
    text, index = every(texts)
    whole = judge(ours, text, index, np.array([0], np.int32))
    order = np.random.default_rng(5).permutation(index)
    shuffled = judge(ours, text, order, np.array([0], np.int32))
    for one, other in zip(whole, shuffled, strict=True):
        assert (one[order] == other).all()
    alone = [judge(ours, *every([each]), np.array([0], np.int32)) for each in texts[:60]]
    for place, column in enumerate(whole):
        assert column[:60].tolist() == [each[place][0] for each in alone]


def test_slices_nulls_and_nothing() -> None:
    ours = load_classifier(_own_model())
    texts = pa.array(["weg", "Das ist ein Haus.", None, "this is a house", "weg"])[1:4]
    index = np.arange(3, dtype=np.int32)
    assert [ours.labels[place] for place in predict(ours, view(texts), index)[0]] == ["de", "en", "en"]
    label, best = predict(ours, view(texts), index[:0])
    assert len(label) == len(best) == 0


def test_unknown_label() -> None:
    ours = load_classifier(_own_model())
    with pytest.raises(MixtureError, match="the model has no label 'english'; known: af"):
        probability(ours, *every(["x"]), "english")


def test_real_texts(real_file: Callable[[str], Path]) -> None:
    texts = []
    for name in ("sft/lima.json", "sft/oasst_sft_zh.json", "sft/alpaca_cleaned_1000.json"):
        texts += [str(row.get("output")) for row in json.loads(real_file(name).read_bytes())]
    rows = real_file("sft/oasst_questions_guanaco.jsonl").read_text(encoding="utf-8").splitlines()
    texts += [json.loads(row)["output"] for row in rows]
    assert len(texts) > 3500
    path = str(_own_model())
    held_against(fasttext.load_model(path), load_classifier(path), texts)
