"""Dolci Instruct, SFT and DPO, is read, built and held against the report of Olmo 3.

allenai/Dolci-Instruct-SFT at bd3c8f3a has data/train-*-of-00015.parquet with the columns `id, messages {content,
function_calls, functions, role}, source_dataset, domain`; the values of `source_dataset` and their counts were taken
from all 2,152,112 rows by two public repositories that pin it, and are those of table 30. allenai/Dolci-Instruct-DPO
at aed155cf has `chosen, rejected, chosen_model, rejected_model, prompt_id, preference_type`, whose turns have
WildChat's fields beside `content` and `role`; the four values of `preference_type` were counted in the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from curate.result.build import Build
from tests.support.hub_server import Repository, serving
from tests.support.replicas import (
    QUESTION,
    Row,
    built_clean,
    built_twice,
    chat,
    full_size,
    function,
    recipe,
    repository,
    text,
)

DOMAINS: Final = {
    "Chat": {"Wildchat": 302_406, "OpenAssistant": 7_132},
    "Coding": {
        "Dolci Instruct Python Algorithms": 186_345,
        "Evol CodeAlpaca": 107_270,
        "Tulu 3 Persona Python": 34_999,
    },
    "Hardcoded Data": {"Hardcoded Data": 69},
    "Math": {
        "Tulu 3 Persona MATH": 149_958,
        "OpenMathInstruct 2": 50_000,
        "Tulu 3 Persona GSM": 49_980,
        "Tulu 3 Persona Algebra": 19_999,
    },
    "Multilingual": {"Aya": 99_987},
    "Other": {"Logic Puzzles": 159_882, "FLAN": 89_981, "TableGPT": 5_000},
    "Precise IF": {"Dolci Instruct Precise IF": 136_833},
    "Reasoning": {"Verifiable Reasoning": 310_572},
    "Safety": {"WildJailbreak": 49_965, "WildGuardMix": 49_373, "CoCoNot": 10_957},
    "Science": {"Dolci Instruct OpenThoughts3+ Science": 99_268, "SciRiff": 4_557},
    "Tool Use": {"Dolci Instruct Tool Use": 227_579},
}
PAIRS: Final = {
    "delta_learning": 124_942,
    "llm_judged": 124_980,
    "multiturn_self_talk": 5_000,
    "multiturn_synthetic_context": 5_000,
}
SFT, DPO = "allenai/Dolci-Instruct-SFT", "allenai/Dolci-Instruct-DPO"


def called(name: str) -> str:
    return name.lower().replace(" ", "_").replace("+", "")


def talk(source: str, number: int | str, domain: str = "", **first: str) -> Row:
    turns = [turn | {"function_calls": None, "functions": None} for turn in chat(f"{source} {number}", 2, **first)]
    if source == "Dolci Instruct Tool Use":
        turns[0]["functions"] = '[{"name": "look_up", "parameters": {"word": {"type": "str"}}}]'
        turns[1] |= {"content": "", "function_calls": 'look_up(word="river")'}
        plain = {"function_calls": None, "functions": None}
        turns += [{"role": "environment", "content": '{"found": 3}', **plain}]
        turns += [{"role": "assistant", "content": text(f"{source} {number} end"), **plain}]
    return {"id": f"{source}_{number}", "messages": turns, "source_dataset": source, "domain": domain}


def conversations(per: int, *more: Row) -> dict[str, Repository]:
    rows = [
        talk(source, i, domain)
        for domain, sources in DOMAINS.items()
        for source, size in sources.items()
        for i in range(max(1, round(size / per)))
    ]
    files = {f"data/train-0000{part}-of-00002.parquet": [*rows, *more][part::2] for part in range(2)}
    return {SFT: repository(files, licence="odc-by", configs={"default": {"train": "data/train-*"}})}


def pair(kind: str, number: int | str, chosen: str = "", rejected: str | None = "") -> Row:
    prompt: list[Row] = chat(f"{kind} {number}", 1 if kind in {"delta_learning", "llm_judged"} else 3)
    beside: Row = {"country": None, "hashed_ip": None, "language": None, "toxic": None, "turn_identifier": None}
    sides = (chosen or text(f"{kind} {number} good"), text(f"{kind} {number} bad") if rejected == "" else rejected)
    ends: list[Row] = [{"role": "assistant", "content": side} for side in sides]
    good, bad = ([turn | beside for turn in [*prompt, end]] for end in ends)
    models = {"chosen_model": "qwen3-no_reasoning-32b", "rejected_model": "qwen3-no_reasoning-0.6b"}
    return {"chosen": good, "rejected": bad, **models, "prompt_id": f"{kind}_{number}", "preference_type": kind}


def pairs(per: int, *more: Row) -> dict[str, Repository]:
    rows = [pair(kind, i) for kind, size in PAIRS.items() for i in range(max(1, round(size / per)))]
    files = {"data/train-00000-of-00001.parquet": [*rows, *more]}
    return {DPO: repository(files, licence="odc-by", configs={"default": {"train": "data/train-*"}})}


def test_a_replica_builds_as_published(tmp_path: Path) -> None:
    build = built_twice("olmo3_instruct", conversations(100), tmp_path, scale=0.01, revision=None)
    lines = build.reproduction()
    assert lines["difference"].to_list() == [0] * 23
    assert set(lines["why"][:-1]) == {"same count"}
    tools = build.kept().collect().filter(source="dolci_instruct_tool_use").row(0, named=True)
    assert [turn["role"] for turn in tools["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert build.licences["licence"].unique().to_list() == ["odc-by"]


def test_pairs_build_as_published(tmp_path: Path) -> None:
    lost = pair("llm_judged", "lost", rejected=None)
    build = built_twice("olmo3_instruct_dpo", pairs(100, lost), tmp_path, scale=0.01, revision=None)
    assert build.reproduction()["difference"].to_list() == [0] * 5
    assert build.quarantined().height == 1


def test_the_plan_at_full_size() -> None:
    every = {called(name): rows for sources in DOMAINS.values() for name, rows in sources.items()}
    assert full_size(recipe("olmo3_instruct")) == every
    assert sum(every.values()) == 2_152_112
    assert full_size(recipe("olmo3_instruct_dpo")) == PAIRS
    assert sum(PAIRS.values()) == 259_922


def test_wildchat_is_held_to_its_share(tmp_path: Path) -> None:
    replicas = conversations(10_000)
    build = built_twice("olmo3_instruct", replicas, tmp_path, scale=0.0001, wildchat=0.05, revision=None)
    line = build.composition.filter(source="wildchat").row(0, named=True)
    assert line["share"] <= 0.05
    assert line["capped"] == 30 - line["rows"] > 0


FLAWED: Final = {
    "refusals": "I am ChatGPT, a language model that was trained by OpenAI.",
    "refusals-2": "As of my last update in September 2021, that is all.",
    "repetition": "The river runs to the sea. " * 12,
    "character_share": "河流在春天流向大海。" * 4,
    "shape": "<think> The river, so",
}


def made(name: str, replicas: dict[str, Repository], folder: Path, **settings: object) -> Build:
    with serving(replicas) as hub, hub.here(folder / "hf"):
        return function(name)(scale=0.0001, revision=None, **settings).build(folder / "b", quiet=True)


def test_the_filters_of_the_report_find_what_they_are_for(tmp_path: Path) -> None:
    rows = [talk("Logic Puzzles", step, assistant=said) for step, said in FLAWED.items()]
    build = made("olmo3_instruct", conversations(10_000, *rows), tmp_path, filters=True)
    found = {line["id"].partition("_")[2]: line["step"] for line in build.dropped().to_dicts()}
    assert found == {step: step for step in FLAWED}


def test_of_pairs_the_chosen_answer_is_filtered_and_multi_turn_ones_are_as_long(tmp_path: Path) -> None:
    flawed = {step: said for step, said in FLAWED.items() if step != "shape"}
    long = text("long", 120)
    rows = [pair("llm_judged", step, chosen=said) for step, said in flawed.items()]
    rows += [pair("llm_judged", f"{step} rejected", rejected=said) for step, said in flawed.items()]
    rows += [pair("llm_judged", "long", chosen=long), pair("multiturn_self_talk", "long", chosen=long)]
    build = made("olmo3_instruct_dpo", pairs(10_000, *rows), tmp_path, filters=True)
    kept = build.dropped().select(pl.col("meta").str.json_path_match("$.prompt_id"), "step", "reason").rows()
    assert {name: step for name, step, _ in kept} == {
        **{f"llm_judged_{step}": step for step in flawed},
        "multiturn_self_talk_long": "multiturn_self_talk:lint_pairs",
    }
    assert {reason for _, step, reason in kept if "lint" in step} == {"length_difference"}


def test_the_clean_mixture_says_what_it_removed(tmp_path: Path) -> None:
    rows = [talk("FLAN", "again", user=text("Logic Puzzles 3/0")), talk("Aya", "leaked", user=QUESTION)]
    build = built_clean("olmo3_instruct", conversations(10_000, *rows), tmp_path, scale=0.0001, revision=None)
    dropped = {line["id"]: line["step"] for line in build.dropped().to_dicts()}
    assert dropped == {"Logic Puzzles_3": "exact_dedup", "Aya_leaked": "decontaminate"}
    assert build.contamination().select("eval", "source", "rows").row(0) == ("quiz", "aya", 1)
    why = dict(build.reproduction().select("source", "why").rows())
    assert why["logic_puzzles"].endswith("1 row is also in flan")


def test_the_clean_pairs_say_what_they_removed(tmp_path: Path) -> None:
    leaked = pair("llm_judged", "leaked")
    for side in ("chosen", "rejected"):
        leaked[side][0] = leaked[side][0] | {"content": QUESTION}
    again = pair("delta_learning", 3) | {"preference_type": "llm_judged", "prompt_id": "again"}
    build = built_clean("olmo3_instruct_dpo", pairs(10_000, leaked, again), tmp_path, scale=0.0001, revision=None)
    assert sorted(build.dropped()["step"]) == ["decontaminate", "exact_dedup"]
    assert "1 row is also in delta_learning" in dict(build.reproduction().select("source", "why").rows())["llm_judged"]


def test_formulas_and_generic_phrases_are_no_questions() -> None:
    for name in ("olmo3_instruct", "olmo3_instruct_dpo"):
        search: Any = recipe(name, clean=True).steps[-1]
        assert (search.symbols, search.numbers, search.content, search.on) == (False, False, 0, frozenset({"user"}))
        assert {one for one, _ in search.ignore} == {one.name for one in search.evals}
