"""How often rows that `dedup(semantic=...)` calls duplicates are paraphrases, and how long 100,000 rows take.

Run it with `pytest -s tests/bench/bench_semantic.py`, `CURATE_REAL_DATA` and `CURATE_STATIC_MODEL`, the folder of a
static embedding model (such as the folder `wordllama` of the unpacked wheel wordllama 0.4.0.post1, 256 dimensions).

Labelled pairs: MRPC, QQP and PAWS as T0 asks about them (200 pairs each, with yes or no), and questions of MMLU and
problems of HumanEval with their rephrasings, where every other pair of an original and a rephrasing is none. Precision
is the share of flagged pairs that are paraphrases, recall that of paraphrases that are flagged. Beside it: n-grams.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from curate.rows.embeddings import embed
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.rows.shingles import row_sets
from curate.steps.dedup._vector_search import nearest_vectors
from curate.text.embeddings.static_model import StaticModel, load_static_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

T0: Final = "sft/t0_train_50k"
PAIRS: Final = {
    "MRPC": ("glue_mrpc_same_thing", r"^Do the following.*?\n(.*)\n(.*)\n?$", "yes"),
    "QQP": ("glue_qqp_meaning", r"^Question 1: (.*)\nQuestion 2: (.*)\n\nDo these", "Yes"),
    "PAWS": ("paws_labeled_final_Meaning_no_label", r"^Sentence 1: (.*)\nSentence 2: (.*)\n", "Yes"),
}
MMLU: Final = ("high_school_us_history", "sociology")
ALPACA: Final = ("alpaca_random_9k", "alpagasus_claude_t45")
SHOWN: Final = 10
THRESHOLDS: Final = (0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)


class Pairs(NamedTuple):
    """Texts in two columns: pair by pair with a label each, or all with all, of which those of one number are pairs."""

    first: list[str]
    second: list[str]
    label: NDArray[np.bool_]


@pytest.fixture(scope="module")
def model() -> StaticModel:
    folder = os.environ.get("CURATE_STATIC_MODEL")
    if not folder:
        pytest.skip("CURATE_STATIC_MODEL names no folder of a static embedding model")
    return load_static_model(folder)


def lines(path: Path) -> list[dict[str, str]]:
    held = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(held) if path.suffix == ".gz" else held).splitlines()]


def labelled(real_file: Callable[[str], Path]) -> Iterator[tuple[str, Pairs]]:
    for name, (file, pattern, yes) in PAIRS.items():
        rows = lines(real_file(f"{T0}/{file}.jsonl.gz"))
        found = [(re.search(pattern, row["prompt"]), row["completion"]) for row in rows]
        pairs = [(match[1], match[2], said.startswith(yes)) for match, said in found if match]
        first, second, label = zip(*dict.fromkeys(pairs), strict=True)
        yield name, Pairs(list(first), list(second), np.array(label))
    with zipfile.ZipFile(real_file("evals/mmlu.zip")) as packed:
        for subject in MMLU:
            (member,) = (one for one in packed.namelist() if one.endswith(f"test/{subject}_test.csv"))
            original = [row[0].splitlines()[-1] for row in csv.reader(io.StringIO(packed.read(member).decode()))]
            other = lines(real_file(f"evals/rephrased_{subject}_test_rephrase_english_filtered_question.jsonl"))
            yield f"MMLU {subject}", rephrased(original, [row["text"] for row in other])
    original = [row["prompt"] + row["canonical_solution"] for row in lines(real_file("evals/HumanEval.jsonl.gz"))]
    other = lines(real_file("evals/rephrased_humaneval_python.jsonl"))
    yield "HumanEval", rephrased(original, [row["text"] for row in other])


def rephrased(original: list[str], other: list[str]) -> Pairs:
    assert len(original) == len(other)
    kept = [(one, two) for one, two in zip(original, other, strict=True) if two.strip()]
    first, second = ([pair[side] for pair in kept] for side in (0, 1))
    return Pairs(first, second, np.eye(len(kept), dtype=np.bool_))


def vectors(texts: list[str], model: StaticModel) -> NDArray[np.float32]:
    return embed(segments(batch(texts)), model)


def batch(texts: list[str]) -> pa.RecordBatch:
    rows = [{"messages": [{"role": "user", "content": text}], "meta": "{}"} for text in texts]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def shingles(texts: list[str]) -> list[set[int]]:
    sets = list(row_sets(segments(batch(texts)), 5))
    ends = [end for one in sets for end in zip(one.offsets[:-1], one.offsets[1:], strict=True)]
    return [set(sets[-1].values[start:end].tolist()) for start, end in ends]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


def test_precision_and_recall(model: StaticModel, real_file: Callable[[str], Path]) -> None:
    every: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    for name, (first, second, label) in labelled(real_file):
        a, b = vectors(first, model).astype(np.float64), vectors(second, model).astype(np.float64)
        cosine = a @ b.T if label.ndim == 2 else (a * b).sum(axis=1)
        one, two = shingles(first), shingles(second)
        alike = np.array(
            [[jaccard(x, y) for y in two] for x in one] if label.ndim == 2 else list(map(jaccard, one, two))
        )
        print(
            f"\n{name}: {label.size:,} pairs, {label.sum()} paraphrases; 5-grams at 0.8: {figures(alike, label, 0.8)}"
        )
        by_threshold(cosine, label)
        if name != "PAWS":
            every.append((cosine.ravel(), label.ravel()))
    cosine, label = (np.concatenate(column) for column in zip(*every, strict=True))
    print(f"\nall but PAWS: {label.size:,} pairs, {label.sum():,} paraphrases")
    by_threshold(cosine, label)


def by_threshold(cosine: NDArray[np.float64], label: NDArray[np.bool_]) -> None:
    for threshold in THRESHOLDS:
        print(f"  {threshold:<6} {figures(cosine, label, threshold)}")


def figures(score: NDArray[np.float64], label: NDArray[np.bool_], threshold: float) -> str:
    flagged = score >= threshold
    right, all_of = int((flagged & label).sum()), int(flagged.sum())
    precision = f"{right / all_of:6.1%}" if all_of else "     -"
    return f"precision {precision} ({right} of {all_of}), recall {right / label.sum():6.1%}"


def test_prompts_of_alpaca(model: StaticModel, real_file: Callable[[str], Path]) -> None:
    """Pairs that only people can judge: prints how many there are, and some to read."""
    rows = [row for name in ALPACA for row in json.loads(real_file(f"sft/{name}.json").read_bytes())]
    texts = list(dict.fromkeys("\n".join(filter(None, (row["instruction"], row.get("input")))) for row in rows))
    found = vectors(texts, model)
    sets = shingles(texts)
    for threshold in (0.9, 0.95):
        near = nearest_vectors(found.copy(), 0, threshold)
        dropped = [row for row in np.flatnonzero(near.kept >= 0) if jaccard(sets[row], sets[near.kept[row]]) < 0.8]
        print(f"\n{len(texts):,} prompts, at {threshold}: {len(dropped)} dropped that 5-grams at 0.8 keep")
        for row in dropped[:: max(1, len(dropped) // SHOWN)]:
            print(f"  {near.score[row]:.3f} {texts[row][:90]!r}\n        {texts[near.kept[row]][:90]!r}")


def test_100000_rows(model: StaticModel, real_file: Callable[[str], Path]) -> None:
    """Prompts of T0 and answers of Alpaca and others, then made-up vectors near random ones up to 100,000."""
    texts = [row["prompt"] for path in sorted(real_file(T0).glob("*.gz")) for row in lines(path)]
    start = time.process_time()
    real = vectors(texts, model)
    print(f"\n{len(texts):,} prompts of T0 ({sum(map(len, texts)) / 1e6:.0f} MB) as vectors: ", end="")
    print(f"{time.process_time() - start:.1f} s of processor")
    real = real[real.any(axis=1)]
    random = np.random.default_rng(0)
    more = random.normal(size=(100_000 - len(real), model.dimensions))
    made = (more / np.linalg.norm(more, axis=1, keepdims=True)).astype(np.float32)
    rows = random.permutation(np.concatenate([real, made]))
    nearest_vectors(rows[:2000].copy(), 0, 0.95)
    for threshold in (0.9, 0.95):
        wall, start = time.perf_counter(), time.process_time()
        found = nearest_vectors(rows.copy(), 0, threshold)
        took = f"{time.process_time() - start:.1f} s of processor, {time.perf_counter() - wall:.1f} s"
        print(f"  {threshold}: {int((found.kept >= 0).sum()):,} of 100,000 dropped, {took}")
