"""HelpSteer3-Preference is read, built and held against its card.

nvidia/HelpSteer3 has preference/train.jsonl.gz and preference/validation.jsonl.gz (its file list on the Hub), which
its card names as the config `preference`, beside `feedback`, `edit`, `edit_quality` and `principle`. Rows have
`domain, language, context, response1, response2, overall_preference, individual_preference`: the card, which also has
the counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.replicas import QUESTION, Row, built_clean, built_twice, chat, full_size, recipe, repository, text


def row(number: int, preference: int) -> Row:
    judged = {"score": preference, "reasoning": text(f"why {number}"), "feedback1": "Clear.", "feedback2": "Long."}
    return {
        "domain": "general",
        "language": "english",
        "context": chat(f"help {number}", 1 + 2 * (number % 2)),
        "response1": text(f"one {number}"),
        "response2": text(f"two {number}"),
        "overall_preference": preference,
        "individual_preference": [judged] * 3,
    }


TRAIN: Final = [row(i, 0 if i < 22 else (-3, -1, 1, 2)[i % 4]) for i in range(385)]
REPLICAS: Final = {
    "nvidia/HelpSteer3": repository(
        {
            "preference/train.jsonl.gz": TRAIN,
            "preference/validation.jsonl.gz": [row(1000 + i, 1) for i in range(20)],
            "feedback/train.jsonl.gz": [{"domain": "general", "response": "Yes.", "feedback": ["Short."]}],
        },
        licence="cc-by-4.0",
        configs={
            "preference": {"train": "preference/train.jsonl.gz", "validation": "preference/validation.jsonl.gz"},
            "feedback": {"train": "feedback/train.jsonl.gz"},
        },
    )
}


def test_a_replica_builds_as_published(tmp_path: Path) -> None:
    build = built_twice("helpsteer3", REPLICAS, tmp_path, scale=0.01, revision=None)
    line = build.reproduction().row(0, named=True)
    assert (line["published"], line["published_kept"], line["read"], line["rows"]) == (385, 363, 385, 363)
    assert line["why"].startswith("same count; its ties are quarantined")
    assert build.quarantined()["column"].unique().to_list() == ["overall_preference"]
    pairs = build.kept().collect()
    chosen = pairs["chosen"].list.first().struct.field("content").to_list()
    better = {text(f"{'one' if row['overall_preference'] < 0 else 'two'} {i}") for i, row in enumerate(TRAIN) if i > 21}
    assert set(chosen) == better


def test_the_validation_split_has_rows_of_its_own(tmp_path: Path) -> None:
    build = built_twice("helpsteer3", REPLICAS, tmp_path, split="validation", scale=0.01, revision=None)
    assert build.funnel["rows"].to_list() == [20, 20]


def test_the_plan_at_full_size() -> None:
    assert full_size(recipe("helpsteer3")) == {"train": 36_299}
    assert full_size(recipe("helpsteer3", split="validation")) == {"validation": 2_017}
    assert recipe("helpsteer3").published["train"].rows + 2_017 == 40_476
    assert [step.name for step in recipe("helpsteer3", clean=True).steps][-1] == "decontaminate"


def test_the_clean_mixture_says_what_it_removed(tmp_path: Path) -> None:
    refused = row(51, -2) | {"response1": "I'm sorry, but I can't help with that."}
    opposite = [row(52, -1), row(52, 1)]
    rows = [*(row(i, 1) for i in range(30)), row(3, 1), refused, *opposite, row(54, 2)]
    rows[-1]["context"] = [{"role": "user", "content": QUESTION}]
    replica = repository({"preference/train.jsonl.gz": rows}, configs={"preference": {"train": "preference/train*"}})
    build = built_clean("helpsteer3", {"nvidia/HelpSteer3": replica}, tmp_path, revision=None)
    assert sorted(build.dropped()["step"].unique()) == ["contradictions", "decontaminate", "exact_dedup", "lint_pairs"]
    assert build.dropped(step="lint_pairs")["reason"].to_list() == ["refusal_chosen"]
