"""`mixtures/ultrafeedback.py` pairs raw UltraFeedback as each variant was published.

openbmb/UltraFeedback at 40b43656 has six .jsonl files, one for each `source`, with columns `source, instruction,
models, completions, correct_answers, incorrect_answers`; a completion has `annotations, custom_system_prompt, model,
principle, response, critique, fine-grained_score, overall_score`, an annotation `Rating, Rationale` (its README, and
the files named in its history on the Hub). The sizes of the files are those of the README.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from curate.cli.mixture_file import run_file
from curate.cli.mixture_recipes import recipes_folder
from curate.errors import LargeDropError
from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.mixture import Mixture
from curate.result.build import Build
from tests.support.replicas import Row, built_twice, full_size, recipe, repository, text

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
SIZES: Final = {
    "evol_instruct": 10_000,
    "false_qa": 2_339,
    "flan": 20_939,
    "sharegpt": 19_949,
    "truthful_qa": 811,
    "ultrachat": 9_929,
}
LEFT_OUT: Final = ("zephyr", "argilla_cleaned", "argilla_multi", "max_min", "ours")
"""The variants without TruthfulQA's questions."""
AS_PUBLISHED: Final = ("zephyr_paper", "argilla", "notus")
PAIRS: Final = {
    "zephyr": 63_135,
    "zephyr_paper": 63_966,
    "argilla": 63_619,
    "argilla_cleaned": 60_917,
    "argilla_multi": 158_000,
    "notus": 63_619,
}


@pytest.fixture(scope="module")
def ultrafeedback() -> Any:  # noqa: ANN401
    return run_file(recipes_folder() / "ultrafeedback.py").ultrafeedback


def completion(place: int, said: str, overall: float, ratings: tuple[str, ...]) -> Row:
    kinds = zip(ASPECTS, ratings, strict=True)
    return {
        "annotations": {name: {"Rating": rating, "Rationale": "So."} for name, rating in kinds},
        "custom_system_prompt": "Be helpful.",
        "model": f"model-{place}",
        "principle": "helpfulness",
        "response": said,
        "critique": "Clear.",
        "fine-grained_score": sum(float(rating) for rating in ratings if rating != "N/A") / 4,
        "overall_score": overall,
    }


def raw(number: int, *rated: tuple[str, float, tuple[str, ...]], source: str = "flan") -> Row:
    """A row of raw UltraFeedback: completions with an overall score and the ratings of the four aspects."""
    completions = [completion(place, *each) for place, each in enumerate(rated)]
    return {
        "source": source,
        "instruction": f"How wide is river number {number}?",
        "models": [each["model"] for each in completions],
        "completions": completions,
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
    }


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


def built(ultrafeedback: Any, folder: Path, variant: str, **settings: object) -> Build:  # noqa: ANN401
    path = folder / "raw.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, TIED]), encoding="utf-8")
    given = {"data": files(path, "ultrafeedback"), "evals": (), "test": 0} | settings
    mixture: Mixture = ultrafeedback(variant, **given)
    return mixture.build(folder / variant, quiet=True)


@pytest.mark.parametrize(
    ("variant", "best", "pairs"),
    [
        ("zephyr", False, 31),  # by the overall score, and ties stay
        ("zephyr_paper", True, 31),
        ("argilla", True, 31),
        ("argilla_cleaned", True, 30),
        ("argilla_multi", True, 60),  # each of the two lower ones
        ("notus", True, 30),
        ("max_min", False, 30),
    ],
)
def test_a_variant_chooses_as_published(
    ultrafeedback: Any,  # noqa: ANN401
    tmp_path: Path,
    variant: str,
    best: bool,  # noqa: FBT001
    pairs: int,
) -> None:
    build = built(ultrafeedback, tmp_path, variant)
    rows = build.kept().collect()
    chosen = rows["chosen"].list.first().struct.field("content")
    assert rows.height == pairs
    assert chosen.str.ends_with("metres wide.").sum() == (pairs // 30 * 30 if best else 0)
    assert build.dropped(step=build.steps[-1])["reason"].to_list() == ([] if pairs == 31 else ["all_tied"])


def test_ours_counts_the_wrong_scores_and_balances_lengths(ultrafeedback: Any, tmp_path: Path) -> None:  # noqa: ANN401
    build = built(ultrafeedback, tmp_path, "ours")
    assert build.steps[-1] == "balance_length"
    assert build.scores("lint_pairs")["score_inverted"].sum() == 30
    cost = build.length_cost().row(0, named=True)
    assert cost["longer_left"] == pytest.approx(0.5, abs=0.05)
    chosen = build.kept().collect()["chosen"].list.first().struct.field("content")
    assert not chosen.is_in(["No."]).any()


@pytest.mark.parametrize("variant", [*LEFT_OUT, *AS_PUBLISHED])
def test_each_variant_is_declared_for_the_command_line(variant: str) -> None:
    mixture, cleaned = (recipe("ultrafeedback", variant=variant, clean=clean) for clean in (False, True))
    assert mixture.name == cleaned.name == f"ultrafeedback-{variant.replace('_', '-')}"
    assert ("decontaminate" in [step.name for step in mixture.steps]) == (variant in LEFT_OUT)
    assert [step.name for step in cleaned.steps][:2] == ["exact_dedup", "decontaminate"]
    assert mixture.published == ({} if variant in {"max_min", "ours"} else mixture.published)


@pytest.mark.parametrize(("variant", "pairs"), PAIRS.items())
def test_the_plan_at_full_size(variant: str, pairs: int) -> None:
    assert sum(SIZES.values()) == 63_967
    mixture = recipe("ultrafeedback", variant=variant, test=0)
    assert full_size(mixture) == {"ultrafeedback": pairs}
    assert mixture.published["ultrafeedback"].rows in {63_967, pairs}


def replica() -> dict[str, list[Row]]:
    """Return a hundredth of the set, in six files."""
    found: dict[str, list[Row]] = {}
    chance = random.Random(3)
    for source, size in SIZES.items():
        rows = found[f"{source}.jsonl"] = []
        for i in range(round(size / 100)):
            rated = [
                (text(f"{source}{i}/{place}"), float(chance.randint(1, 10)), tuple(chance.choices("12345", k=4)))
                for place in range(4)
            ]
            rows.append(raw(i, *rated, source=source) | {"instruction": text(f"{source} {i}")})
    return found


def test_a_replica_is_held_against_the_card(tmp_path: Path) -> None:
    replicas = {"openbmb/UltraFeedback": repository(replica(), licence="mit")}
    build = built_twice("ultrafeedback", replicas, tmp_path, variant="argilla", scale=0.01, revision=None)
    line = build.reproduction().row(0, named=True)
    assert (line["published"], line["published_kept"], line["read"]) == (640, 636, 638)
    assert line["rows"] == build.kept().collect().height == 638
    assert build.manifest["sources"][0]["licence"] == "mit"
    assert list(build.manifest["splits"]) == ["train"]


def test_the_clean_variant_leaves_out_questions_and_repeated_prompts(
    ultrafeedback: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    (tmp_path / "quiz.jsonl").write_text('{"id": "7", "ask": "How wide is river number 7?"}\n')
    quiz = evals.files(tmp_path / "quiz.jsonl", question="ask", id="id")
    build = built(ultrafeedback, tmp_path, "argilla", evals=quiz, clean=True)
    assert build.dropped(step="decontaminate")["match"].to_list() == ["quiz/7"]
    assert built(ultrafeedback, tmp_path / "..", "argilla", evals=quiz).funnel["rows"][-1] == 31


def test_real_rows_without_ratings_stop_the_build(
    ultrafeedback: Any,  # noqa: ANN401
    real_file: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    data = files(real_file("preference/ultrafeedback_truthful_qa_completions.json"), "ultrafeedback")
    mixture = ultrafeedback("zephyr", data=data, evals=(), test=0)
    with pytest.raises(LargeDropError, match=r"step 'binarize' drops 10 of the 10 rows of source 'ultrafeedback'"):
        mixture.build(tmp_path / "b", quiet=True)
