"""Rows like those of a reference: the weights are those of a few lines of Python, whatever the texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.kernels.buffers import view
from curate.mix.spec import Source
from curate.mix.takes.selection import Budget, Selection
from curate.mix.takes.similar import BUCKETS, PRIOR, UNIT, Similar, gumbel, log_ratios
from curate.mixture import Mixture
from curate.text.ngrams import hash_words, ngrams
from tests.bench.bench_diverse import real_rows
from tests.reference import similar as reference
from tests.support.build_data import chat, write_lines
from tests.support.choices import choose, ranks_of

ANYWHERE: Final = files("dev.jsonl")
NOWHERE: Final[Any] = "nowhere"
NO_INPUT: Final[Any] = 3
GSM8K: Final[Any] = evals("gsm8k")
WORDS: Final = ("one", "two", "three", "four", "five", "six")
TEXT = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)


def test_these_words_and_their_pairs_have_buckets_of_their_own() -> None:
    texts = [*WORDS, *(f"{a} {b}" for a in WORDS for b in WORDS)]
    words = hash_words(view(pa.array(texts)), np.arange(len(texts), dtype=np.int32))
    single, pairs = (np.unique(ngrams(words, n, short=False)[0]) % BUCKETS for n in (1, 2))
    assert len(single) + len(pairs) == len({*single.tolist(), *pairs.tolist()}) == 42


@given(st.lists(TEXT, min_size=1, max_size=20), st.lists(TEXT.filter(bool), min_size=1, max_size=5))
def test_the_weight_is_that_of_a_few_lines(rows: list[str], to: list[str]) -> None:
    expected = reference.weights(rows, to, min(PRIOR, sum(len(reference.grams(text)) for text in to)))
    take = Similar(99, to=ANYWHERE, noise=False)
    found = choose(take, [[text, "So."] for text in rows], Budget(rows=99), [[text] for text in to])
    size = [len(reference.grams(text)) for text in rows]
    assert found.why["log_ratio"].to_list() == pytest.approx([expected[i] for i in found.lines], abs=1e-4)
    assert found.why["ngrams"].to_list() == [size[i] for i in found.lines]
    last = [i for i in found.lines.tolist() if not size[i]]
    assert found.lines.tolist()[len(rows) - len(last) :] == sorted(last), "rows without a word come last, in order"
    ratios = found.why["log_ratio"].to_numpy()[: len(rows) - len(last)]
    assert (np.diff(ratios) <= 0).all()
    noisy = choose(Similar(99, to=ANYWHERE), [[text, "So."] for text in rows], Budget(rows=99), [[one] for one in to])
    value = np.array(expected) + gumbel(ranks_of(len(rows)))
    first = noisy.lines.tolist()[: len(rows) - len(last)]
    assert (np.diff(value[first]) <= 1e-4).all()


def test_the_noise_is_that_of_gumbel() -> None:
    ranks = np.random.default_rng(0).integers(0, 2**64, 200_000, np.uint64)
    noise = gumbel(np.concatenate([ranks, np.array([0, 2**64 - 1], np.uint64)]))
    assert np.isfinite(noise).all()
    assert noise[:-2].mean() == pytest.approx(np.euler_gamma, abs=0.02)
    assert noise[:-2].std() == pytest.approx(np.pi / 6**0.5, abs=0.02)
    assert noise[-2] == noise.max()


def test_rows_are_drawn_as_often_as_their_weights_say() -> None:
    """With one n-gram each, a row that the reference has k times as often is drawn first k times as often."""
    given = np.array([30_000, 0])
    says = log_ratios(given, np.array([1, 1])) / UNIT
    times = np.exp(says[0] - says[1])
    ranks = np.random.default_rng(1).integers(0, 2**64, (50_000, 2), np.uint64)
    first = gumbel(ranks[:, 0]) + says[0] > gumbel(ranks[:, 1]) + says[1]
    assert first.mean() / (1 - first.mean()) == pytest.approx(times, rel=0.1)


def test_the_telling_words_are_named_and_marks_are_not() -> None:
    chats = [["How many apples, apples?!", "3"], ["Write a poem about apples", "x"], ["", "y"]]
    found = choose(Similar(3, to=ANYWHERE, noise=False), chats, Budget(rows=3), [["How many pears?"], ["many apples"]])
    assert found.lines.tolist() == [0, 1, 2]
    assert found.why["words"].to_list()[0] == "many, how"
    assert found.why["words"].to_list()[2] == ""


def test_it_reads_on_and_not_the_rest() -> None:
    chats = [["alpha", "beta"], ["beta", "alpha"]]
    prompt = choose(Similar(1, to=ANYWHERE, noise=False), chats, Budget(rows=2), [["beta", "alpha"]])
    answer = choose(Similar(1, to=ANYWHERE, noise=False, on="response"), chats, Budget(rows=2), [["beta", "alpha"]])
    assert prompt.lines.tolist() == answer.lines.tolist() == [1, 0]
    assert choose(Similar(1, to=ANYWHERE, noise=False), chats, Budget(rows=2), [["beta", "x"]]).lines.tolist() == [1, 0]


@pytest.mark.parametrize("to", [["你好世界今天天气"], ["Wie viele Äpfel hat sie?"], ["zzz"], ["🙂 ok"]])
def test_queries_that_share_nothing_still_give_an_order_that_nests(to: list[str]) -> None:
    chats = [[f"Ask w{i} and w{i + 1} of that?", "So."] for i in range(30)]
    take = Similar(1, to=ANYWHERE)
    whole = choose(take, chats, Budget(rows=30), [to])
    assert sorted(whole.lines.tolist()) == list(range(30))
    assert choose(take, chats, Budget(rows=7), [to]).lines.tolist() == whole.lines.tolist()[:7]


def test_texts_at_the_edge(edge_text: str) -> None:
    chats = [[edge_text[:200_000], "So."], ["Plain words here.", "So."]]
    for to in ([["Plain words."]], [[edge_text[:200_000]], ["a word"]]):
        found = choose(Similar(2, to=ANYWHERE), chats, Budget(rows=2), to)
        assert sorted(found.lines.tolist()) == [0, 1]
        assert (found.why["words"].str.len_chars() <= 200).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Similar(1, to=GSM8K), r"Similar\(to=evals\('gsm8k'\)\).*dev prompts.*test_sets="),
        (lambda: Similar(1, to=GSM8K[0]), r"Similar\(to=evals\('gsm8k'\)\)"),
        (lambda: Similar(1, to=NO_INPUT), "takes inputs such as files"),
        (lambda: Similar(1, to=ANYWHERE, on=NOWHERE), "on='nowhere'"),
        (lambda: Similar(1, to=ANYWHERE, test_sets="gsm8k"), r"Similar\(test_sets=...\)\('gsm8k'\): no eval set"),
        (lambda: Similar(0, to=ANYWHERE), r"Rows\(0\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Selection], said: str) -> None:
    with pytest.raises(MixtureError, match=said):
        make()


def test_prompts_of_gsm8k_find_its_rows_and_test_items_are_refused(
    real_data: Path, real_file: Callable[[str], Path], tmp_path: Path
) -> None:
    train = json.loads(real_file("sft/gsm8k_train_alpaca.json").read_bytes())
    dev, known = [row["instruction"] for row in train[:100]], {row["instruction"] for row in train}
    rows = [row for row in real_rows(real_data / "sft") if row[0].strip() and row[0] not in set(dev)]
    pool = [
        chat(ask, say, id=f"{'gsm' if ask in known else 'other'}-{i}") for i, (ask, say, *_) in enumerate(rows[::20])
    ]
    path, to = (
        write_lines(tmp_path / "pool.jsonl", pool),
        write_lines(tmp_path / "dev.jsonl", [chat(ask, "?") for ask in dev]),
    )
    test = evals.files(real_file("evals/gsm8k_test.jsonl"), question="question", answer="answer")

    def mixture(take: Similar) -> Mixture:
        return Mixture("likeness", [Source("pool", files(path, "messages"), take=take)], [])

    built = mixture(Similar(300, to=files(to, "messages"), test_sets=test)).build(tmp_path / "b", quiet=True)
    share = int(built.chosen("pool")["id"].str.starts_with("gsm").sum()) / 300
    random = sum(row["id"].startswith("gsm") for row in pool) / len(pool)
    print(f"\ngsm8k: {share:.1%} of 300 chosen rows, {random:.1%} of the {len(pool):,} rows of the pool")  # noqa: T201
    assert share > 6 * random

    items = pl.read_ndjson(real_file("evals/gsm8k_test.jsonl"))["question"].to_list()
    leaked = write_lines(tmp_path / "leaked.jsonl", [chat(dev[0], "?", id="d0"), chat(items[7], "?", id="t7")])
    said = (
        r"1 of 2 queries are test items of an eval: row leaked\.jsonl/t7 matches gsm8k_test/7\. .*tune on dev prompts"
    )
    with pytest.raises(MixtureError, match=said):
        mixture(Similar(300, to=files(leaked, "messages"), test_sets=test)).build(tmp_path / "no", quiet=True)
    whole = write_lines(tmp_path / "test.jsonl", [chat(text, "?") for text in items])
    with pytest.raises(MixtureError, match=r"1,319 of 1,319 queries are test items"):
        mixture(Similar(300, to=files(whole, "messages"), test_sets=test)).build(tmp_path / "no", quiet=True)


def test_one_query_finds_what_it_asks_about() -> None:
    things = ("salt", "rain", "bread", "glass")
    rows = [[f"What is {thing} made of, in {n} words?", "So."] for n in range(2, 12) for thing in things]
    found = choose(Similar(10, to=ANYWHERE), rows, Budget(rows=10), [["What is bread made of?"]])
    assert {rows[i][0].split()[2] for i in found.lines[:10]} == {"bread"}
