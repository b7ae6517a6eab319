"""What lints and length control come to on real pairs."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.result.length_bias import length_bias
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Group, Resolved
from curate.steps.pairs._lint_texts import LINTS, Lint
from curate.steps.pairs.balance_length import BalanceLength, balance_length
from curate.steps.pairs.contradictions import contradictions
from curate.steps.pairs.lint_pairs import lint_pairs
from tests.reference import pairs as slow

RealFile = Callable[[str], Path]
Completions = dict[str, list[tuple[str, float]]]

CLEAN = "preference/ultrafeedback_binarized_train_clean.jsonl"
FLIPPED = "preference/ultrafeedback_binarized_label_flip_20.jsonl"
SCORED = ["preference/bon_tulu2dpo13b_scored", "preference/alpaca_eval_weighted"]


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def pair(prompt: str, chosen: str, rejected: str, *scores: float) -> dict[str, Any]:
    sides = {
        "prompt": said("user", prompt),
        "chosen": said("assistant", chosen),
        "rejected": said("assistant", rejected),
    }
    return sides | {"meta": "{}"} | dict(zip(("chosen_score", "rejected_score"), scores, strict=False))


def preference(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, BODIES["preference"])


def pairs_of(file: Path) -> pa.RecordBatch:
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return preference([pair(row["prompt"], row["chosen"], row["rejected"]) for row in rows])


def joined(folder: Path) -> Completions:
    """The completions of each prompt with their scores, a file a model."""
    found: Completions = defaultdict(list)
    for file in sorted(folder.glob("*.json.gz")):
        for row in json.loads(gzip.decompress(file.read_bytes())):
            if row["preference"] is not None:
                found[row["instruction"]].append((row["output_2"], row["preference"]))
    return found


def paired(found: Completions, how: str) -> list[dict[str, Any]]:
    """The best completion against the worst, or against each that is worse."""
    rows = []
    for prompt, answers in found.items():
        best, score = max(answers, key=lambda each: each[1])
        lower = sorted((each for each in answers if each[1] < score), key=lambda each: each[1])
        rows += [pair(prompt, best, text, score, less) for text, less in (lower[:1] if how == "worst" else lower)]
    return rows


def resolved(step: Group, body: pa.RecordBatch, ranks: list[int] | None = None) -> Resolved:
    sheet = MemoryKeys(body.num_rows, {"": step.sign(segments(body))})
    keys = pl.DataFrame(dict(sheet.by_label[""].columns)).with_columns(
        row=pl.int_range(pl.len()),
        source=pl.lit(0, pl.Int16),
        rank=pl.Series(ranks or list(range(body.num_rows)), dtype=pl.UInt64),
        protect=pl.lit(value=False),
    )
    return step.resolve(keys, StoredLists([sheet], "", np.arange(keys.height)), {})


def counts(body: pa.RecordBatch, **settings: Any) -> dict[Lint, int]:  # noqa: ANN401
    columns = lint_pairs(**settings).score(segments(body)).columns
    return {lint: int((columns[lint] > 0).sum()) for lint in LINTS}


def test_what_the_lints_see_of_flipped_labels(real_file: RealFile) -> None:
    clean, flipped = pairs_of(real_file(CLEAN)), pairs_of(real_file(FLIPPED))
    before, after = counts(clean, cut=50), counts(flipped, cut=50)
    print(f"\nclean   {before}\nflipped {after}")  # noqa: T201
    same: tuple[Lint, ...] = ("empty_side", "equal_answers", "equal_when_cut", "identity_leak", "prompt_repeated")
    assert {lint: before[lint] for lint in same} == {lint: after[lint] for lint in same}, "they see both sides alike"
    assert before["equal_answers"] == 4
    assert max(before["refusal_chosen"], after["refusal_chosen"]) <= 40
    both = pa.Table.from_batches([clean, flipped]).combine_chunks().to_batches()[0]
    swapped = sum(
        one != other for one, other in zip(clean["chosen"].to_pylist(), flipped["chosen"].to_pylist(), strict=True)
    )
    found = resolved(contradictions(), both).drops.height
    print(f"{swapped} labels swapped; side by side {found} rows contradict each other")  # noqa: T201
    assert found == 2 * swapped


def rating_rows(found: Completions, spread: float, rating: float, chance: random.Random) -> list[dict[str, Any]]:
    """Rated rows around real scores: four aspects of 1 to 5, and an overall score of 1 to 10, with errors."""

    def near(value: float, low: float, high: float, by: float) -> float:
        return float(min(high, max(low, round(value + chance.gauss(0, by)))))

    rows = []
    for prompt, answers in found.items():
        completions = []
        for text, score in chance.sample(answers, 4):  # as many as UltraFeedback has
            share = min(1.0, max(0.0, score - 1 + chance.gauss(0, 0.15)))
            aspects = {f"aspect {i}": near(1 + 4 * share, 1, 5, rating) for i in range(4)}
            aspects["overall_score"] = near(1 + 9 * share, 1, 10, spread)
            scores = [{"name": name, "value": value} for name, value in aspects.items()]
            completions.append({"content": text, "model": None, "scores": scores})
        rows.append({"messages": said("user", prompt), "completions": completions, "meta": "{}"})
    return rows


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize(("spread", "rating"), [(0.8, 0.5), (1.2, 0.8), (1.6, 1.0)])
def test_ones_that_became_tens_are_found(real_file: RealFile, name: str, spread: float, rating: float) -> None:
    rows = rating_rows(joined(real_file(name)), spread, rating, random.Random(7))
    planted = set()
    for row, each in enumerate(rows):
        for turn, completion in enumerate(each["completions"]):
            overall = completion["scores"][-1]
            score = overall["value"]
            overall["value"] = score if score > 1 else 10 * score
            planted |= {(row, turn)} if overall["value"] != score else set()
    batch = pa.RecordBatch.from_pylist(rows, BODIES["rated"])
    scores = lint_pairs("score_inverted").score(segments(batch))
    evidence = scores.evidence
    assert evidence is not None
    marked = evidence.reason == LINTS.index("score_inverted")
    found = set(zip(evidence.row[marked].tolist(), evidence.turn[marked].tolist(), strict=True))
    assert scores.columns["score_inverted"].sum() == len(found)
    sound = 4 * len(rows) - len(planted)
    caught, alarms = len(found & planted) / len(planted), len(found - planted) / sound
    print(f"\n{name}, spread {spread}: {len(planted)} planted, {caught:.2%} found, {alarms:.2%} of {sound} sound ones")  # noqa: T201
    assert caught >= 0.95
    assert alarms <= 0.02


def lengths(row: dict[str, Any]) -> tuple[int, int]:
    return len(row["chosen"][0]["content"]), len(row["rejected"][0]["content"])


@pytest.mark.parametrize("how", ["worst", "all_lower"])
@pytest.mark.parametrize("name", SCORED)
def test_length_is_balanced_with_the_fewest_removals(real_file: RealFile, name: str, how: str) -> None:
    rows = paired(joined(real_file(name)), how)
    step: BalanceLength = balance_length(0.5)
    falls = set(resolved(step, preference(rows)).drops["row"])
    kept = [lengths(row) for i, row in enumerate(rows) if i not in falls]
    every = [lengths(row) for row in rows]
    longer, shorter = sum(a > b for a, b in every), sum(a < b for a, b in every)
    few = min(longer, shorter)
    # With few of one way left whole, at most few * 51 / 49 of the other keep the share within 0.01 of a half.
    possible = len(rows) - (max(longer, shorter) - few * 51 // 49) if abs(slow.share(every) - 0.5) > 0.01 else len(rows)
    lost = len({row["prompt"][0]["content"] for row in rows}) - len(
        {row["prompt"][0]["content"] for i, row in enumerate(rows) if i not in falls}
    )
    print(f"\n{name}, {how}: {slow.share(every):.3f} of {len(rows)} to {slow.share(kept):.3f} of {len(kept)}, {lost=}")  # noqa: T201
    assert abs(slow.share(kept) - 0.5) <= 0.01
    assert len(kept) == possible
    order = random.Random(3).sample(range(len(rows)), len(rows))
    again = resolved(step, preference([rows[i] for i in order]), order).drops["row"]
    assert {order[row] for row in again} == falls


def test_the_bias_of_real_pairs(real_file: RealFile) -> None:
    rows = [
        row | {"source": Path(name).name} for name in SCORED for row in paired(joined(real_file(name)), "all_lower")
    ]
    found = length_bias(pl.from_arrow(pa.Table.from_pylist(rows)))  # type: ignore[arg-type]
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200, float_precision=3):
        print(found)  # noqa: T201
    whole = found.filter(pl.col("margin_from").is_null(), pl.col("source").is_not_null())
    for line in whole.iter_rows(named=True):
        answers = [lengths(row) for row in rows if row["source"] == line["source"]]
        assert line["pairs"] == len(answers)
        assert line["longer"] == pytest.approx(slow.share(answers))
