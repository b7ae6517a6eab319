"""Every published eval file loads under its name, with the number of items that its authors state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from curate.evalsets.items import EvalItems, EvalSet
from tests.support.real_evals import real_evals, rephrased

ITEMS: Final = {
    "alpaca_eval": 805,
    "arena_hard": 500,
    "bbh": 6511,
    "gsm8k": 1319,
    "human_eval": 164,
    "ifeval": 541,
    "math": 500,
    "mbpp": 427,
    "mmlu": 14_042,
    "mt_bench": 160,
    "toxigen": 10_000,
    "truthful_qa": 817,
    "nq_open": 3610,
    "arena_hard_1k": 478,
    "koala": 180,
    "self_instruct": 252,
    "ultra_eval": 385,
    "vicuna_bench": 80,
    "rephrased_human_eval": 164,
    "rephrased_human_eval_multi": 820,
    "rephrased_us_history": 204,
    "rephrased_sociology": 201,
}
"""MT-bench has 80 dialogues of two turns; MATH is MATH-500; MBPP is EvalPlus's selection."""

EMPTY: Final = {
    "rephrased_human_eval": 17,
    "rephrased_human_eval_multi": 55,
    "rephrased_us_history": 12,
    "rephrased_sociology": 4,
}
"""Rows of these files whose text is empty."""


@pytest.fixture(scope="module")
def loaded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, EvalItems]:
    sets: tuple[EvalSet, ...] = (*real_evals(real_data, tmp_path_factory.mktemp("evals")), *rephrased(real_data))
    return {one.name: one.load() for one in sets}


def test_every_file_is_read(loaded: dict[str, EvalItems]) -> None:
    assert {name: len(items.ids) for name, items in loaded.items()} == ITEMS


@pytest.mark.parametrize("name", ITEMS)
def test_items_are_whole(loaded: dict[str, EvalItems], name: str) -> None:
    items = loaded[name]
    assert all(len(column) == ITEMS[name] for column in items)
    assert items.ids.null_count == items.question.null_count == 0
    assert len(set(items.ids.to_pylist())) == ITEMS[name]
    assert items.question.to_pylist().count("") == EMPTY.get(name, 0)


def test_parts_of_an_item_are_kept_apart(loaded: dict[str, EvalItems]) -> None:
    mmlu = loaded["mmlu"]
    assert mmlu.answer.null_count == mmlu.choices.null_count == 0
    assert set(map(len, mmlu.choices.to_pylist())) == {4}
    assert all(answer in four for answer, four in zip(mmlu.answer.to_pylist(), mmlu.choices.to_pylist(), strict=True))
    assert "world_religions_test/170" in mmlu.ids.to_pylist()
    for name in ("gsm8k", "human_eval", "math", "mbpp", "bbh", "truthful_qa", "nq_open"):
        assert loaded[name].answer.null_count == 0


def test_ids_are_those_of_the_files(loaded: dict[str, EvalItems]) -> None:
    assert loaded["human_eval"].ids[163].as_py() == "HumanEval/163"
    assert loaded["mt_bench"].ids.to_pylist()[:3] == ["81/0", "81/1", "82/0"]
    assert loaded["truthful_qa"].ids[816].as_py() == "816"
    assert loaded["ifeval"].ids[0].as_py() == "1000"
    assert loaded["bbh"].ids[6510].as_py() == "word_sorting/249"


def test_questions_are_those_of_the_files(loaded: dict[str, EvalItems], real_data: Path) -> None:
    rows = [json.loads(line) for line in (real_data / "evals" / "gsm8k_test.jsonl").read_text("utf-8").splitlines()]
    assert loaded["gsm8k"].question.to_pylist() == [row["question"] for row in rows]
    assert loaded["gsm8k"].answer.to_pylist() == [row["answer"] for row in rows]
    prompts = (real_data / "evals" / "toxigen_prompts" / "hate_women_1k.txt").read_text("utf-8").splitlines()
    ids = loaded["toxigen"].ids.to_pylist()
    first = ids.index("hate_women_1k/0")
    found = loaded["toxigen"].question.to_pylist()[first : first + 1000]
    assert found == [prompt.replace("\\n", "\n") for prompt in prompts]


def test_two_loads_give_the_same_items(loaded: dict[str, EvalItems], real_data: Path) -> None:
    for one in rephrased(real_data):
        assert one.load().digest() == loaded[one.name].digest()
