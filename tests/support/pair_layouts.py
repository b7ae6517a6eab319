"""Layouts of pairs, of judged and of rated answers, and of prompts, as their authors publish them."""

from __future__ import annotations

import json
from typing import Final

from curate.io.formats.preference import helpsteer3, hh, openai_pairs, preference
from tests.support.bank import Row
from tests.support.chat_layouts import flat_calls, kwargs_of, more, read_sharegpt, tools_of
from tests.support.layouts import EVERYTHING, Layout, message, read_message, read_messages

SIDES: Final = ("prompt", "chosen", "rejected", "completion")
PARTS: Final = ("tools", "chat_template_kwargs")
TEXT: Final = frozenset({"system", "turns", "extra"})
TEXT_AND_CALLS: Final = TEXT | {"calls", "parallel", "none", "tools"}


def sides(row: Row, *, decoded: bool = False) -> Row:
    return {name: [message(turn, decoded=decoded) for turn in row[name]] for name in SIDES if name in row}


def parts(row: Row) -> Row:
    return {name: json.loads(row[name]) for name in PARTS if name in row}


def read_sides(raw: Row) -> Row:
    found = {
        name: _texts(raw, name) if isinstance(raw[name], str) else read_messages(raw, name)
        for name in SIDES
        if name in raw
    }
    return found | beside(raw)


def beside(raw: Row) -> Row:
    """Take the parts, the label and the scores of a row out."""
    found: Row = {"tools": tools_of(raw), "chat_template_kwargs": kwargs_of(raw)}
    if "label" in raw:
        found["label"] = raw.pop("label")
    for ours, theirs in (("chosen_score", "score_chosen"), ("rejected_score", "score_rejected")):
        score = raw.pop(ours, raw.pop(theirs, None))
        found[ours] = None if score is None else float(score)
    return found


def _texts(raw: Row, name: str) -> list[Row]:
    return [{"role": "user" if name == "prompt" else "assistant", "content": raw.pop(name)}]


def one_text(row: Row) -> str:
    """Return the text of the last user turn of a prompt."""
    return [turn["content"] for turn in row["prompt"] if turn["role"] == "user"][-1]


# https://huggingface.co/docs/trl/dataset_formats#preference: an explicit prompt, of messages or of text.
def _trl(row: Row, number: int) -> Row:
    scores = {name: row[name] for name in ("chosen_score", "rejected_score") if name in row}
    return sides(row, decoded=True) | parts(row) | scores | more(row, number)


def _trl_text(row: Row, number: int) -> Row:
    texts = {name: row[name][-1]["content"] for name in ("chosen", "rejected")}
    return {"prompt": one_text(row)} | texts | more(row, number)


# TRL's implicit prompt; also HuggingFaceH4/ultrafeedback_binarized: both answers begin with the prompt.
def _implicit(row: Row, number: int) -> Row:
    found = sides(row)
    whole: Row = {name: found["prompt"] + found[name] for name in ("chosen", "rejected")}
    names = {"chosen_score": "score_chosen", "rejected_score": "score_rejected"}
    scores = {theirs: row[ours] for ours, theirs in names.items() if ours in row}
    return whole | parts(row) | scores | {"prompt_id": f"p{number}"} | more(row, number)


# https://huggingface.co/datasets/allenai/Dolci-Instruct-DPO, and SmolTalk2's preference: `prompt` is the last question.
def _with_question(row: Row, number: int) -> Row:
    made = _implicit(row, number)
    models = {"chosen_model": "a", "rejected_model": "b", "preference_type": ("llm_judge", "delta")[number % 2]}
    return made | ({"prompt": one_text(row)} if row["prompt"][-1]["role"] == "user" else {}) | models


def read_implicit(raw: Row) -> Row:
    chosen, rejected = raw["chosen"], raw["rejected"]
    same = next((i for i, both in enumerate(zip(chosen, rejected, strict=False)) if both[0] != both[1]), None)
    cut = min(len(chosen), len(rejected)) - 1 if same is None else same
    question = raw.pop("prompt", None)
    asked = [read_message(one) for one in chosen[:cut]]
    list(map(read_message, rejected[:cut]))
    assert question in {None, [turn["content"] for turn in asked if turn["role"] == "user"][-1]}
    found = {"prompt": asked, "chosen": list(map(read_message, chosen[cut:]))}
    found["rejected"] = list(map(read_message, rejected[cut:]))
    return found | beside(raw)


# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Preference Dataset" of ShareGPT.
def _turn(turn: Row) -> Row:
    if turn.get("tool_calls"):
        return {"from": "function_call", "value": flat_calls(turn["tool_calls"])}
    words = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
    return {"from": words[turn["role"]], "value": turn["content"]}


def _ranking(row: Row, number: int) -> Row:
    made: Row = {"conversations": list(map(_turn, row["prompt"]))} | more(row, number)
    made |= {name: _turn(row[name][0]) for name in ("chosen", "rejected")}
    return made | ({"tools": row["tools"]} if "tools" in row else {})


def read_ranking(raw: Row) -> Row:
    found = read_sharegpt(raw)
    found["prompt"] = found.pop("messages")
    for name in ("chosen", "rejected"):
        inner = {"conversations": [raw[name]]}
        found[name] = read_sharegpt(inner)["messages"]
    return found


# https://docs.axolotl.ai/docs/rlhf.html, `chat_template.default`: `messages`, and one message for an answer.
def _axolotl(row: Row, number: int) -> Row:
    found = sides(row)
    return {"messages": found["prompt"], "chosen": found["chosen"][0], "rejected": found["rejected"][0]} | more(
        row, number
    )


def read_axolotl(raw: Row) -> Row:
    asked = read_messages(raw)
    return {"prompt": asked, **{name: [read_message(raw[name])] for name in ("chosen", "rejected")}}


# https://platform.openai.com/docs/guides/direct-preference-optimization
def _openai(row: Row, number: int) -> Row:
    found = sides(row)
    tools = {"tools": json.loads(row["tools"])} if "tools" in row else {}
    asked = {"messages": found["prompt"], **tools, **({"parallel_tool_calls": True} if number % 2 else {})}
    return {"input": asked, "preferred_output": found["chosen"], "non_preferred_output": found["rejected"]} | row[
        "extra"
    ]


def read_openai(raw: Row) -> Row:
    asked = raw.pop("input")
    found: Row = {"prompt": read_messages(asked), "tools": tools_of(asked)}
    raw |= {name if name != "messages" else "input": one for name, one in asked.items()}
    found |= {
        ours: read_messages(raw, theirs)
        for ours, theirs in (("chosen", "preferred_output"), ("rejected", "non_preferred_output"))
    }
    return found


# https://huggingface.co/datasets/nvidia/HelpSteer3: `overall_preference` is below 0 where `response1` is better.
def _helpsteer3(row: Row, number: int) -> Row:
    better = (-3, -2, -1, 1, 2, 3)[number % 6]
    texts = [row[name][-1]["content"] for name in ("chosen", "rejected")]
    first, second = texts if better < 0 else reversed(texts)
    asked = [message(turn) for turn in row["prompt"]]
    notes = [{"score": better, "reasoning": "It is «better».", "feedback1": None}]
    made = {"domain": "general", "language": "english", "context": asked, "response1": first, "response2": second}
    return made | {"overall_preference": better, "individual_preference": notes} | row["extra"]


def read_helpsteer3(raw: Row) -> Row:
    texts = [raw.pop("response1"), raw.pop("response2")]
    chosen, rejected = texts if raw["overall_preference"] < 0 else reversed(texts)
    found = {"prompt": read_messages(raw, "context"), "chosen": [{"role": "assistant", "content": chosen}]}
    return found | {"rejected": [{"role": "assistant", "content": rejected}]}


# https://huggingface.co/datasets/Intel/orca_dpo_pairs: a system text that may be empty.
def _orca(row: Row, number: int) -> Row:
    texts = {name: row[name][-1]["content"] for name in ("chosen", "rejected")}
    system = row["prompt"][0]["content"] if row["prompt"][0]["role"] == "system" else ""
    return {"system": system, "question": one_text(row)} | texts | more(row, number)


def read_orca(raw: Row) -> Row:
    system, question = raw.pop("system"), raw.pop("question")
    asked = [{"role": "system", "content": system}] if system else []
    found: Row = {"prompt": [*asked, {"role": "user", "content": question}]}
    return found | {name: _texts(raw, name) for name in ("chosen", "rejected")}


# https://huggingface.co/datasets/Anthropic/hh-rlhf: dialogues in one text each.
def _hh(row: Row, _number: int) -> Row:
    words = {"user": "Human", "assistant": "Assistant"}
    whole = {name: [*row["prompt"], *row[name]] for name in ("chosen", "rejected")}
    return {
        name: "".join(f"\n\n{words[one['role']]}: {one['content']}" for one in turns) for name, turns in whole.items()
    }


def read_hh(raw: Row) -> Row:
    found = {name: _dialogue(raw.pop(name)) for name in ("chosen", "rejected")}
    cut = len(found["chosen"]) - 1
    assert found["chosen"][:cut] == found["rejected"][:cut]
    return {"prompt": found["chosen"][:cut], "chosen": found["chosen"][cut:], "rejected": found["rejected"][cut:]}


def _dialogue(text: str) -> list[Row]:
    turns = []
    for part in text.split("\n\nHuman: ")[1:]:
        asked, *said = part.split("\n\nAssistant: ")
        turns += [{"role": "user", "content": asked}, *({"role": "assistant", "content": one} for one in said)]
    return turns


PAIRS: Final = (
    Layout("trl pairs", "preference", EVERYTHING - {"odd"} | {"several", "scores"}, _trl, read_sides, preference()),
    Layout("trl pairs of text", "preference", TEXT, _trl_text, read_sides, preference()),
    Layout(
        "trl pairs, implicit prompt", "preference", EVERYTHING | {"several", "scores"}, _implicit, read_implicit,
        preference(),
    ),
    Layout(
        "dolci pairs", "preference", frozenset({"system", "turns", "extra", "scores", "kwargs"}), _with_question,
        read_implicit, preference(),
    ),
    Layout("llama-factory pairs", "preference", TEXT_AND_CALLS, _ranking, read_ranking, preference()),
    Layout("axolotl pairs", "preference", EVERYTHING - {"tools", "kwargs"}, _axolotl, read_axolotl, preference()),
    Layout(
        "openai pairs", "preference", EVERYTHING - {"names", "reasoning", "kwargs"}, _openai, read_openai,
        openai_pairs(),
    ),
    Layout("helpsteer3", "preference", TEXT, _helpsteer3, read_helpsteer3, helpsteer3()),
    Layout("orca pairs", "preference", TEXT, _orca, read_orca, preference()),
    Layout("hh", "preference", frozenset({"turns"}), _hh, read_hh, hh()),
)  # fmt: skip
