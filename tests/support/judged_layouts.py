"""Layouts of judged and of rated answers, and of prompts for reward functions, as their authors publish them."""

from __future__ import annotations

from typing import Final

from curate.io.formats.ranked import nectar, stepwise
from curate.io.formats.rated import rated, scored, ultrafeedback
from curate.io.formats.unpaired import prompts, unpaired
from tests.support.bank import Row
from tests.support.chat_layouts import kwargs_of, more, read_sharegpt, tools_of
from tests.support.layouts import EVERYTHING, Layout, message, read_messages
from tests.support.pair_layouts import TEXT, TEXT_AND_CALLS, _turn, beside, one_text, parts, read_sides, sides


# https://huggingface.co/docs/trl/dataset_formats#unpaired-preference
def _kto(row: Row, number: int) -> Row:
    return sides(row) | parts(row) | {"label": row["label"]} | more(row, number)


def _kto_text(row: Row, number: int) -> Row:
    return {"prompt": one_text(row), "completion": row["completion"][-1]["content"], "label": row["label"]} | more(
        row, number
    )


# https://docs.axolotl.ai/docs/rlhf.html, KTO: the prompt is `question`, or `instruction`.
def _kto_axolotl(row: Row, number: int) -> Row:
    made = _kto_text(row, number)
    name = ("question", "instruction")[number % 2]
    system = row["prompt"][0]
    return {name: made.pop("prompt"), **made} | ({"system": system["content"]} if system["role"] == "system" else {})


def read_kto_axolotl(raw: Row) -> Row:
    raw["prompt"] = raw.pop("question", None) or raw.pop("instruction")
    system = raw.pop("system", None)
    found = read_sides(raw)
    return found | {"prompt": [*([{"role": "system", "content": system}] if system else []), *found["prompt"]]}


# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "KTO Dataset", in both spellings.
def _kto_tag(row: Row, number: int) -> Row:
    turns = [_turn(one) for one in (*row["prompt"], *row["completion"])]
    made: Row = {"conversations": turns, "kto_tag": row["label"]} | more(row, number)
    return made | ({"tools": row["tools"]} if "tools" in row else {})


def read_kto_tag(raw: Row) -> Row:
    found = read_sharegpt(raw)
    *asked, last = found.pop("messages")
    return found | {"prompt": asked, "completion": [last], "label": raw.pop("kto_tag")}


def _kto_messages(row: Row, number: int) -> Row:
    turns = [message(one) for one in (*row["prompt"], *row["completion"])]
    return {"messages": turns, "label": row["label"]} | more(row, number)


def read_kto_messages(raw: Row) -> Row:
    *asked, last = read_messages(raw)
    return {"prompt": asked, "completion": [last], "label": raw.pop("label")}


# https://huggingface.co/datasets/allenai/RLVR-GSM-MATH-IF-Mixed-Constraints
def _rlvr(row: Row, number: int) -> Row:
    return {"messages": [message(turn) for turn in row["prompt"]]} | parts(row) | row["rewards"] | more(row, number)


# https://huggingface.co/docs/trl/grpo_trainer: a prompt, and any columns for reward functions.
def _grpo(row: Row, number: int) -> Row:
    made = _rlvr(row, number)
    made["solution"] = f"$x = {number}$"
    return {"prompt": made.pop("messages"), **{name: one for name, one in made.items() if name != "ground_truth"}}


def read_prompt(raw: Row) -> Row:
    column = "messages" if "messages" in raw else "prompt"
    return {"prompt": read_messages(raw, column), "tools": tools_of(raw), "chat_template_kwargs": kwargs_of(raw)}


EXTRA: Final = frozenset({"extra", "turns"})
ASPECTS: Final = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


# https://huggingface.co/datasets/nvidia/HelpSteer2
def _helpsteer2(row: Row, number: int) -> Row:
    scores = {name: (number + i) % 5 for i, name in enumerate(ASPECTS)}
    return (
        {"prompt": row["messages"][-1]["content"], "response": row["completions"][0]["content"]}
        | scores
        | more(row, number)
    )


def read_helpsteer2(raw: Row) -> Row:
    prompt, response = raw.pop("prompt"), raw.pop("response")
    scores = [{"name": name, "value": raw.pop(name)} for name in ASPECTS]
    return {"messages": [_user(prompt)], "completions": [{"content": response, "scores": scores}]}


def _user(text: str) -> Row:
    return {"role": "user", "content": text}


# https://huggingface.co/datasets/berkeley-nest/Nectar: the prompt in HH's spelling, with the marker of the answer.
def _nectar(row: Row, number: int) -> Row:
    answers = [
        {"answer": one["content"], "model": one["model"] or "m0", "rank": float(i + 1)}
        for i, one in enumerate(row["completions"])
    ]
    made = {"prompt": f"\n\nHuman: {row['messages'][-1]['content']}\n\nAssistant: ", "answers": answers}
    return (
        made | {"turns": 1, "num_responses": 3, "source": ["a", "b"], "good_natured": bool(number % 2)} | row["extra"]
    )


def read_nectar(raw: Row) -> Row:
    text = raw.pop("prompt").removeprefix("\n\nHuman: ").removesuffix("\n\nAssistant: ")
    answers = [
        {
            "content": one.pop("answer"),
            "model": one.pop("model"),
            "scores": [{"name": "rank", "value": one["rank"]}, {"name": "overall", "value": 4 - one.pop("rank")}],
        }
        for one in raw["answers"]
    ]
    return {"messages": [_user(text)], "completions": answers}


# https://huggingface.co/docs/trl/dataset_formats#stepwise-supervision
def _prm(row: Row, number: int) -> Row:
    steps = [one["content"] for one in row["completions"]]
    made = {"prompt": row["messages"][-1]["content"], "completions": steps}
    return made | {"labels": [(number + i) % 3 > 0 for i in range(3)]} | more(row, number)


def read_prm(raw: Row) -> Row:
    pairs = zip(raw.pop("completions"), raw.pop("labels"), strict=True)
    steps = [{"content": text, "scores": [{"name": "label", "value": good}]} for text, good in pairs]
    return {"messages": [_user(raw.pop("prompt"))], "completions": steps}


# https://huggingface.co/datasets/openbmb/UltraFeedback
def _ultrafeedback(row: Row, number: int) -> Row:
    answers = [
        {
            "response": one["content"],
            "model": one["model"] or "m0",
            "annotations": {
                score["name"]: {"Rating": str(score["value"]), "Rationale": "So."} for score in one["scores"]
            },
            "overall_score": number / 2,
            "custom_system_prompt": "Be «honest».",
        }
        for one in row["completions"]
    ]
    return {"instruction": row["messages"][-1]["content"], "completions": answers, "models": ["m"]} | more(row, number)


def read_ultrafeedback(raw: Row) -> Row:
    answers = []
    for one in raw["completions"]:
        scores = [{"name": name, "value": note["Rating"]} for name, note in one["annotations"].items()]
        scores.append({"name": "overall_score", "value": one.pop("overall_score")})
        answers.append({"content": one.pop("response"), "model": one.pop("model"), "scores": scores})
    return {"messages": [_user(raw.pop("instruction"))], "completions": answers}


def _rated(row: Row, number: int) -> Row:
    answers = [
        {
            "content": one["content"],
            "model": one["model"],
            "scores": {each["name"]: each["value"] for each in one["scores"]},
        }
        for one in row["completions"]
    ]
    return (
        {"messages": [message(turn) for turn in row["messages"]], "completions": answers}
        | parts(row)
        | more(row, number)
    )


def read_rated(raw: Row) -> Row:
    answers = [
        {
            "content": one.pop("content"),
            "model": one.pop("model"),
            "scores": [{"name": name, "value": value} for name, value in one.pop("scores").items()],
        }
        for one in raw["completions"]
    ]
    return {"messages": read_messages(raw), "completions": answers} | beside(raw)


JUDGED: Final = (
    Layout("trl kto", "unpaired", EVERYTHING | {"several"}, _kto, read_sides, unpaired()),
    Layout("trl kto of text", "unpaired", TEXT, _kto_text, read_sides, unpaired()),
    Layout("axolotl kto", "unpaired", TEXT, _kto_axolotl, read_kto_axolotl, unpaired()),
    Layout(
        "llama-factory kto", "unpaired", TEXT_AND_CALLS, _kto_tag, read_kto_tag,
        unpaired("conversations", label="kto_tag"),
    ),
    Layout(
        "llama-factory kto, messages", "unpaired", EVERYTHING - {"tools", "kwargs"}, _kto_messages, read_kto_messages,
        unpaired("messages"),
    ),
    Layout(
        "rlvr", "prompt", EVERYTHING - {"extra"}, _rlvr, read_prompt, prompts(), as_text=frozenset({"ground_truth"})
    ),
    Layout("grpo", "prompt", EVERYTHING - {"extra"}, _grpo, read_prompt, prompts("prompt")),
    Layout(
        "helpsteer2", "rated", EXTRA, _helpsteer2, read_helpsteer2,
        scored("prompt", "response", ASPECTS), detected=False,
    ),
    Layout("nectar", "rated", EXTRA, _nectar, read_nectar, nectar()),
    Layout("prm", "rated", EXTRA, _prm, read_prm, stepwise()),
    Layout("ultrafeedback", "rated", EXTRA, _ultrafeedback, read_ultrafeedback, ultrafeedback()),
    Layout("rated", "rated", EVERYTHING, _rated, read_rated, rated()),
)  # fmt: skip
