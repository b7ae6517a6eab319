"""`mixtures/ultrafeedback.py` pairs raw UltraFeedback as each variant was published."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import LargeDropError
from curate.io.inputs import files
from curate.mixture import Mixture
from curate.result.build import Build

SCRIPT = Path(__file__).parents[2] / "mixtures" / "ultrafeedback.py"
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
VARIANTS = ("zephyr", "argilla_cleaned", "max_min", "ours")


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def raw(number: int, *rated: tuple[str, float, tuple[str, str, str, str]]) -> dict[str, Any]:
    """A row of raw UltraFeedback: completions with an overall score and the ratings of the four aspects."""
    completions = [
        {
            "response": text,
            "model": f"model-{place}",
            "overall_score": overall,
            "annotations": {
                name: {"Rating": rating, "Rationale": "So."} for name, rating in zip(ASPECTS, ratings, strict=True)
            },
        }
        for place, (text, overall, ratings) in enumerate(rated)
    ]
    return {"source": "made", "instruction": f"How wide is river number {number}?", "completions": completions}


# The worst of three became a 10: by overall scores it is chosen, by the aspects it is not.
ROWS = [
    raw(
        number,
        (f"It is {number} metres wide.", 8.0, ("5", "5", "4", "5")),
        ("About as wide as a road is, or so they say here.", 5.0, ("3", "3", "3", "3")),
        ("No.", 10.0, ("1", "1", "1", "1")),
    )
    for number in range(30)
]
TIED = raw(99, ("Wide.", 7.0, ("4", "4", "4", "4")), ("Very.", 7.0, ("4", "4", "4", "4")))


def built(declared: dict[str, Any], folder: Path, variant: str) -> Build:
    path = folder / "raw.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, TIED]), encoding="utf-8")
    mixture: Mixture = declared["ultrafeedback"](variant, data=files(path, "ultrafeedback"), evals=(), test=0)
    return mixture.build(folder / variant, quiet=True)


@pytest.mark.parametrize("variant", ["zephyr", "argilla_cleaned", "max_min"])
def test_a_variant_chooses_as_published(declared: dict[str, Any], tmp_path: Path, variant: str) -> None:
    build = built(declared, tmp_path, variant)
    pairs = build.kept().collect()
    chosen = pairs["chosen"].list.first().struct.field("content")
    by_aspects = variant == "argilla_cleaned"
    assert chosen.str.ends_with("metres wide.").sum() == (30 if by_aspects else 0)
    ties = variant == "zephyr"  # which keeps them
    assert pairs.height == 30 + ties
    assert build.dropped(step=build.steps[-1])["reason"].to_list() == ([] if ties else ["all_tied"])


def test_ours_counts_the_wrong_scores_and_balances_lengths(declared: dict[str, Any], tmp_path: Path) -> None:
    variant: Mixture = declared["ultrafeedback"]("ours", data=files("x.jsonl", "ultrafeedback"), evals=(), test=0)
    assert [step.name for step in variant.steps][-1] == "balance_length"
    build = built(declared, tmp_path, "ours")
    assert build.scores("lint_pairs")["score_inverted"].sum() == 30
    cost = build.length_cost().row(0, named=True)
    assert cost["longer_left"] == pytest.approx(0.5, abs=0.05)
    chosen = build.kept().collect()["chosen"].list.first().struct.field("content")
    assert not chosen.is_in(["No."]).any()


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_is_declared_for_the_command_line(declared: dict[str, Any], name: str) -> None:
    mixture = declared[name]
    assert isinstance(mixture, Mixture)
    assert mixture.name == f"ultrafeedback-{name.replace('_', '-')}"
    assert "decontaminate" in [step.name for step in mixture.steps]


def test_real_rows_without_ratings_stop_the_build(
    declared: dict[str, Any], real_file: Callable[[str], Path], tmp_path: Path
) -> None:
    data = files(real_file("preference/ultrafeedback_truthful_qa_completions.json"), "ultrafeedback")
    mixture = declared["ultrafeedback"]("zephyr", data=data, evals=(), test=0)
    with pytest.raises(LargeDropError, match=r"step 'binarize' drops 10 of the 10 rows of source 'ultrafeedback'"):
        mixture.build(tmp_path / "b", quiet=True)
