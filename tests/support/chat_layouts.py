"""Layouts of conversations, as their authors publish them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.io.formats.dialogues import messages, prompt_completion, sharegpt
from tests.support.bank import Row
from tests.support.layouts import (
    EVERYTHING,
    WORDS,
    Layout,
    flat_call,
    message,
    python_calls,
    python_text,
    read_messages,
)

READS: Final = ("messages", "tools", "chat_template_kwargs")


def more(row: Row, number: int, *, own: bool = True) -> Row:
    """Return the fields of a row beyond its messages: its id and what it says beyond, as far as names are free."""
    return ({"id": f"own {number}"} if own else {}) | row["extra"]


def tools_of(raw: Row, name: str = "tools") -> str | None:
    found = raw.pop(name, None)
    return found if isinstance(found, str) or found is None else json.dumps(found, ensure_ascii=False)


def kwargs_of(raw: Row) -> str | None:
    found = raw.pop("chat_template_kwargs", None)
    return json.dumps(found, ensure_ascii=False) if found else None


def read_chat(raw: Row) -> Row:
    """Read `messages`, `tools` and `chat_template_kwargs`, in any spelling of messages."""
    return {"messages": read_messages(raw), "tools": tools_of(raw), "chat_template_kwargs": kwargs_of(raw)}


# https://platform.openai.com/docs/guides/supervised-fine-tuning: arguments are text, `weight` of an assistant message.
def _openai(row: Row, number: int) -> Row:
    turns = [message(turn) for turn in row["messages"]]
    if row["extra"]:
        next(turn for turn in turns if turn["role"] == "assistant")["weight"] = number % 2
        turns[0 if turns[0]["role"] == "user" else 1]["name"] = "Ann"
    if turns[0]["role"] == "system" and number % 2:
        turns[0]["role"] = "developer"
    tools = {"tools": json.loads(row["tools"])} if "tools" in row else {}
    return {"messages": turns, **tools, **({"parallel_tool_calls": False} if number % 2 else {}), **row["extra"]}


# https://huggingface.co/docs/trl/dataset_formats: arguments are objects, a turn with calls has no content.
def _trl(reasoning: str, tools: Callable[[str], Any]) -> Callable[[Row, int], Row]:
    def write(row: Row, number: int) -> Row:
        turns = [message(turn, decoded=True, reasoning=reasoning, null=False) for turn in row["messages"]]
        made: Row = {"messages": turns} | more(row, number)
        if "tools" in row:
            made["tools"] = tools(row["tools"])
        if "chat_template_kwargs" in row:
            made["chat_template_kwargs"] = json.loads(row["chat_template_kwargs"])
        return made

    return write


def save_json_columns(path: Path, rows: Sequence[Row]) -> Path:
    """Save rows as `datasets` does with `List(Json())` for messages and tools, and `Json()` for other objects."""
    path = path.with_suffix(".parquet")
    columns: dict[str, pa.Array] = {}
    for name in sorted({name for row in rows for name in row}):
        values = [row.get(name) for row in rows]
        if name in {"messages", "tools"}:
            texts = [
                one and [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in one] for one in values
            ]
            ends = pa.array(
                [0, *(sum(len(one or ()) for one in texts[: i + 1]) for i in range(len(texts)))], pa.int32()
            )
            flat = pa.array([text for one in texts for text in one or ()], pa.string())
            items = pa.ExtensionArray.from_storage(pa.json_(), flat)
            mask = pa.array([one is None for one in texts])
            columns[name] = pa.ListArray.from_arrays(ends, items, mask=mask)
        elif any(isinstance(one, dict) for one in values):
            texts = pa.array([one and json.dumps(one, ensure_ascii=False) for one in values], pa.string())
            columns[name] = pa.ExtensionArray.from_storage(pa.json_(), texts)
        else:
            columns[name] = pa.array(values)
    pq.write_table(pa.table(columns), path)
    return path


# https://docs.axolotl.ai/docs/dataset-formats/conversation.html: ids, `reasoning_content`, parts, `train`.
def _axolotl(row: Row, number: int) -> Row:
    turns = [message(turn) for turn in row["messages"]]
    for i, turn in enumerate(turns):
        if turn["role"] == "assistant" and (number + i) % 3 == 0:
            for name in ("content", "reasoning_content"):
                if turn.get(name):
                    turn[name] = _trained(turn[name], number)
        elif turn["role"] != "tool":
            turn["train"] = turn["role"] == "assistant"
            if number % 5 == 0:
                turn["train_detail"] = [{"begin_offset": 0, "end_offset": 4, "train": False}]
    made: Row = {"messages": turns} | more(row, number)
    if "tools" in row:
        made["tools"] = json.loads(row["tools"])
        if number % 2:
            for tool in made["tools"]:
                tool["function"]["parameters"] = json.dumps(tool["function"]["parameters"])
    return made


def _trained(text: str, number: int) -> list[Row]:
    cut = number % (len(text) + 1)
    return [{"type": "text", "text": text[:cut], "train": False}, {"type": "text", "text": text[cut:], "train": True}]


# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "ShareGPT": a call is a turn, tools are text.
def _sharegpt(row: Row, number: int, results: str = "observation") -> Row:
    words = {"user": "human", "assistant": "gpt", "tool": results}
    turns: list[Row] = []
    for turn in row["messages"]:
        if turn.get("tool_calls"):
            turns.append({"from": "function_call", "value": flat_calls(turn["tool_calls"])})
        elif turn["role"] != "system":
            turns.append({"from": words[turn["role"]], "value": turn["content"]})
    made: Row = {"conversations": turns} | more(row, number)
    if row["messages"][0]["role"] == "system":
        made["system"] = row["messages"][0]["content"]
    return made | ({"tools": row["tools"]} if "tools" in row else {})


# Its reasoning is in tags, before the text or the call.
def _thinking(row: Row, number: int) -> Row:
    made = _sharegpt(row, number)
    answers = [turn for turn in made["conversations"] if turn["from"] in {"gpt", "function_call"}]
    for one, turn in zip(answers, (turn for turn in row["messages"] if turn["role"] == "assistant"), strict=True):
        if turn.get("reasoning"):
            one["value"] = f"<think>\n{turn['reasoning']}\n</think>\n\n{one['value']}"
    return made


def split(read: Callable[[Row], Row], name: str = "content") -> Callable[[Row], Row]:
    """Return a reader that takes reasoning in tags at the start of an answer for what it is."""

    def read_split(raw: Row) -> Row:
        column = "messages" if "messages" in raw else "conversations"
        thoughts = [THINK.match(turn[name] or "") for turn in raw[column]]
        answers = [turn.get("role", turn.get("from")) in {"assistant", "gpt", "function_call"} for turn in raw[column]]
        found = [(match if mine else None) for match, mine in zip(thoughts, answers, strict=True)]
        for turn, match in zip(raw[column], found, strict=True):
            turn[name] = turn[name][match.end() :] if match else turn[name]
        row = read(raw)
        turns = row["messages"][len(row["messages"]) - len(found) :]
        for turn, match in zip(turns, found, strict=True):
            turn.update({"reasoning": match[1], "content": turn["content"] or ""} if match else {})
        return row

    return read_split


def split_calls(read: Callable[[Row], Row]) -> Callable[[Row], Row]:
    """Return a reader that takes the calls at the end of an answer, and `xml_tools`, for what they are."""

    def read_split(raw: Row) -> Row:
        row = read(raw)
        described = json.loads(row.get("chat_template_kwargs") or "{}").get("xml_tools")
        row["tools"] = row.get("tools") or (described and f"[{','.join(described)}]")
        for turn in row["messages"]:
            found = [*CALL.finditer(turn["content"] or "")] if turn["role"] == "assistant" else []
            if found:
                turn["tool_calls"] = [flat_call(json.loads(one[1]), one[1]) for one in found]
                before = turn["content"][: found[0].start()].removesuffix("\n")
                turn["content"] = before or ("" if turn.get("reasoning") else None)
        return row

    return read_split


def _usual(write: Callable[[Row, int], Row]) -> Callable[[Row, int], Row]:
    """Return a writer of rows whose calls are in the usual form: no white space before, no end of a call within."""

    def written(row: Row, number: int) -> Row:
        plain = json.loads(json.dumps(row).replace("</tool_call>", "</call>"))
        for turn in plain["messages"]:
            if turn.get("tool_calls") and turn["content"]:
                turn["content"] = turn["content"].strip()
        return write(plain, number)

    return written


CALL: Final = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
THINK: Final = re.compile(r"<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def flat_calls(calls: Sequence[Row]) -> str:
    found = [f'{{"name": {json.dumps(one["name"])}, "arguments": {one["arguments"]}}}' for one in calls]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def read_sharegpt(raw: Row) -> Row:
    system = raw.pop("system", None)
    turns: list[Row] = [{"role": "system", "content": system}] if system else []
    for one in raw["conversations"]:
        word, value = one["from"], one.pop("value")
        turn: Row = {"role": WORDS[word], "content": value}
        if word == "function_call":
            turn = {"role": "assistant", "content": None, "tool_calls": _flat(value)}
        elif word in {"human", "gpt", "system", "tool"}:
            del one["from"]
        turns.append(turn)
    return {"messages": turns, "tools": tools_of(raw)}


def _flat(value: str) -> list[Row]:
    found = json.loads(value)
    many = found if isinstance(found, list) else [found]
    calls, start = [], 0
    for one in many:
        start = value.index('"arguments":', start)
        calls.append(flat_call(one, value[start:]))
        start += len('"arguments":') + len(calls[-1]["arguments"])
    return calls


# LLaMA-Factory 1.0, `v1_sft_demo`: parts of `value`, calls and reasoning are parts, and a weight of the loss.
def _parts(row: Row, number: int) -> Row:
    turns = []
    for turn in row["messages"]:
        parts = [{"type": "reasoning", "value": turn["reasoning"]}] if turn.get("reasoning") else []
        parts += [{"type": "text", "value": turn["content"]}] if turn["content"] is not None else []
        parts += [{"type": "tool_call", "value": flat_calls([one])} for one in turn.get("tool_calls", ())]
        turns.append({"role": turn["role"], "content": parts, "loss_weight": float(turn["role"] == "assistant")})
    made: Row = {"messages": turns} | more(row, number)
    return made | ({"tools": row["tools"]} if "tools" in row else {})


# https://huggingface.co/datasets/allenai/Dolci-Instruct-SFT-Tool-Use: calls as Python, tools of the system turn.
def _dolci(row: Row, number: int) -> Row:
    turns = []
    for turn in row["messages"]:
        made: Row = {"role": "environment" if turn["role"] == "tool" else turn["role"], "content": turn["content"]}
        calls = turn.get("tool_calls")
        turns.append(made | {"function_calls": python_text(calls) if calls else None, "functions": None})
    if "tools" in row:
        turns[0]["functions"] = row["tools"]
    return {"messages": turns, "dataset_source": "allenai/x"} | more(row, number)


def read_dolci(raw: Row) -> Row:
    turns, tools = [], None
    for one in raw["messages"]:
        spelt = one.get("function_calls")
        tools = tools or one.pop("functions", None)
        word, calls = one["role"], python_calls(spelt) if spelt else []
        turns.append({"role": WORDS[word], "content": one.pop("content"), "tool_calls": calls})
        if word in {"system", "user", "assistant"}:
            del one["role"]
    return {"messages": turns, "tools": tools}


# https://huggingface.co/datasets/HuggingFaceTB/smoltalk2: calls and reasoning within text, arguments of the template.
def _smoltalk(row: Row, number: int) -> Row:
    made: Row = {"messages": in_text(row), "source": f"part {number % 3}"} | more(row, number)
    return made | (
        {"chat_template_kwargs": json.loads(row["chat_template_kwargs"])} if "chat_template_kwargs" in row else {}
    )


def in_text(row: Row) -> list[Row]:
    turns = []
    for turn in row["messages"]:
        tags = [
            f'<tool_call>\n{{"name": "{one["name"]}", "arguments": {one["arguments"]}}}\n</tool_call>'
            for one in turn.get("tool_calls", ())
        ]
        text = "\n".join(filter(None, [turn["content"], *tags]))
        if turn.get("reasoning"):
            text = f"<think>\n{turn['reasoning']}\n</think>\n\n{text}"
        turns.append({"role": turn["role"], "content": text})
    return turns


# https://huggingface.co/datasets/nvidia/Nemotron-Post-Training-Dataset-v1: also reasoning and calls on one turn.
def _nemotron(row: Row, number: int) -> Row:
    made: Row = {"uuid": f"u{number}", "messages": [message(turn) for turn in row["messages"]], "reasoning": "on"}
    made |= {"metadata": json.dumps(row["extra"]), "license": "cc-by-4.0", "generator": "m", "version": "v1"}
    return made | ({"tools": json.loads(row["tools"])} if "tools" in row else {})


# https://huggingface.co/datasets/nvidia/Llama-Nemotron-Post-Training-Dataset: `input`, `output`, `reasoning` on or off.
def _input_output(row: Row, number: int) -> Row:
    *asked, last = in_text(row)
    made: Row = {"input": asked, "output": last["content"], "category": "chat", "reasoning": ("on", "off")[number % 2]}
    return made | {"used_in_training": "yes", "system_prompt": "detailed thinking off"} | more(row, number)


def read_input_output(raw: Row) -> Row:
    asked = [{"role": one.pop("role"), "content": one.pop("content")} for one in raw["input"]]
    return {"messages": [*asked, {"role": "assistant", "content": raw.pop("output")}]}


NO_IDS: Final = EVERYTHING - {"odd", "ids"}
CHATS: Final = (
    Layout("openai", "conversation", EVERYTHING - {"names", "reasoning", "kwargs"}, _openai, read_chat, messages()),
    Layout("trl", "conversation", NO_IDS - {"empty"}, _trl("thinking", json.loads), read_chat, messages()),
    Layout(
        "trl, tools as text", "conversation", NO_IDS - {"empty"}, _trl("reasoning_content", str), read_chat, messages()
    ),
    Layout(
        "trl, columns of Json", "conversation", NO_IDS - {"empty"}, _trl("reasoning_content", json.loads), read_chat,
        messages(), save=save_json_columns,
    ),
    Layout("axolotl", "conversation", EVERYTHING - {"kwargs"}, _axolotl, read_chat, messages()),
    Layout(
        "llama-factory", "conversation", NO_IDS - {"names", "text", "empty", "reasoning", "kwargs"},
        _sharegpt, read_sharegpt, sharegpt(),
    ),
    Layout(
        "llama-factory, reasoning", "conversation", NO_IDS - {"names", "text", "empty", "kwargs"},
        _thinking, split(read_sharegpt, "value"), sharegpt(), reasoning="split",
    ),
    Layout("llama-factory 1.0", "conversation", NO_IDS - {"names", "kwargs"}, _parts, read_chat, messages()),
    Layout("dolci", "conversation", NO_IDS - {"names", "reasoning", "kwargs"}, _dolci, read_dolci, messages()),
    Layout("smoltalk2", "conversation", EVERYTHING - {"ids", "names", "tools"}, _smoltalk, read_chat, messages()),
    Layout(
        "smoltalk2, reasoning", "conversation", EVERYTHING - {"ids", "names", "tools"}, _smoltalk, split(read_chat),
        messages(), reasoning="split",
    ),
    Layout(
        "smoltalk2, reasoning and calls", "conversation", NO_IDS - {"names", "tools", "empty"}, _usual(_smoltalk),
        split_calls(split(read_chat)), messages(), reasoning="split", calls="split",
    ),
    Layout("nemotron", "conversation", EVERYTHING - {"names", "kwargs"}, _nemotron, read_chat, messages()),
    Layout(
        "nemotron, input and output", "conversation", frozenset({"calls", "system", "turns", "reasoning", "extra"}),
        _input_output, read_input_output, prompt_completion("input", "output"),
    ),
    Layout(
        "hermes, calls", "conversation", NO_IDS - {"names", "kwargs", "reasoning", "empty"},
        _usual(lambda row, number: _sharegpt({**row, "messages": in_text(row)}, number, "tool")),
        split_calls(read_sharegpt), sharegpt(), calls="split",
    ),
    Layout(
        "hermes", "conversation", EVERYTHING - {"ids", "names", "kwargs"},
        lambda row, number: _sharegpt({**row, "messages": in_text(row)}, number, "tool"), read_sharegpt, sharegpt(),
    ),
)  # fmt: skip
