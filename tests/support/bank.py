"""Rows to write into any layout: each set of parts, with hand-made variation of texts, arguments, results and tools.

A row is in a neutral form, that of a build's documented columns: messages of `role`, `content`, `reasoning`,
`tool_calls` (`id`, `name`, `arguments` as JSON text), `tool_call_id` and `name`, beside `tools` and
`chat_template_kwargs` as JSON text. `extra` is what a source says beyond.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any, Final

Row = dict[str, Any]
Parts = frozenset[str]

TEXTS: Final = (
    "The tide turns at noon in the harbour of Brest.",
    "Öl, ﬁnance und e\u0301tudes — «ça va» cost 3½ ㎏ in Zürich.",
    "Line one.\nLine two.\r\n\tTabbed, and a last one.\n",
    'She said "yes" \\ and wrote \\n, C:\\temp and \\u0041 by hand.',
    "你好，世界。今天的潮汐是什么时候？",
    "مرحبا بالعالم، كيف حال البحر؟",
    "Flags 🏳️‍🌈 👩‍👩‍👧 and zero\u200bwidth \u202eletters\u202c are here.",
    '{"role": "user", "content": "A row in a row."}',
    "<b>Bold</b> & <script>alert('x')</script> stay as they are.",
    "{{ A }} {% if b %} ${c} %s {0} <|im_start|>assistant </s> [INST]",
    "```python\nfor i in range(3):\n\tprint(i)  # Two  spaces\n```\n",
    "  Leading and trailing white space.  \n\n",
    "\ufeffA mark of byte order, \x01 a control and \x7f a delete.",
    "Ends with a backslash \\",
)

ARGUMENTS: Final = (
    "{}",
    '{"port": "Brest"}',
    '{"port":"Zürich","count":123456789012345678901234}',
    '{ "zeta" : 1 ,\t"alpha":[1, 2.50, -0.0, 1E3],\n "mid":{"z":0,"a":[]} }',
    '{"q": {"a": {"b": [{"c": null}, true, "\\u00e9 \\n \\"x\\" <y> </tool_call>"]}}}',
    '{"text":"你好 🌊","empty":"","none":null,"no":false}',
    '{"big":9223372036854775808,"small":-9223372036854775809,"n":18446744073709551616}',
    '{"code":"if a < b:\\n\\treturn \'c\'\\n","path":"C:\\\\temp"}',
    '{"exact":0.1000,"long":3.14159265358979323846264338,"tiny":1e-300}',
)
"""JSON objects as models write them: none, unicode, integers beyond 64 bits, odd white space, any order of keys."""

ODD: Final = ("port=Brest", "[1, 2]", '"text"', "{", '{"a": 1} {"b": 2}')
"""Arguments that are no JSON object."""

RESULTS: Final = (
    '{"high": "17:40", "low": [5.0, 23]}',
    "",
    "Error: 404 Not Found\nTraceback (most recent call last): ...",
    "17:40",
    "<result>\n  ½ metre\n</result>",
    "[]",
)

REASONING: Final = (
    "The moon decides. I look it up.",
    "First:\n- Ask the tide.\n- Then answer.\n\nÜberlegung: «so» 你好.",
    'They want {"json": 1}, or <b>markup</b>.',
)

NAMES: Final = ("tide", "weather.now", "look_up", "Tide2")

TOOLS: Final = tuple(
    [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Look up {name}, «é» 你好 \\n.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "port": {"type": "string", "enum": ["Brest", "Zürich"]},
                        "days": {"type": "integer"},
                    },
                    "required": ["port"],
                },
            },
        }
        for name in some
    ]
    for some in (NAMES[:1], NAMES, NAMES[1:3])
)

KWARGS: Final = (
    {"enable_thinking": False},
    {
        "enable_thinking": True,
        "custom_instructions": "Be «brief».\n",
        "xml_tools": ['{"name": "tide"}'],
        "python_tools": [],
    },
    {"custom_instructions": "", "python_tools": ["def tide(port: str): ..."], "xml_tools": []},
)

CALLS: Final = ("parallel", "ids", "names", "text", "empty", "odd", "none", "several")
"""What only rows with calls have: several at once, ids, names beside results, text or an empty text beside the call,
arguments that are no JSON object, no result."""

OTHERS: Final = ("system", "turns", "reasoning", "tools", "kwargs", "extra", "scores")


def words(number: int) -> str:
    """Return words that no other number has, so that no row is a duplicate of another."""
    return " ".join(
        ("Able", "Baker", "Cast", "Dog", "Easy", "Fox", "Gale", "Hat", "Ink", "Jug")[int(i)] for i in str(number)
    )


def text(number: int, of: int = 0) -> str:
    return f"{words(number * 7 + of)}. {TEXTS[(number + of) % len(TEXTS)]}"


def said(role: str, content: str | None, **more: Any) -> Row:  # noqa: ANN401  any JSON value
    return {"role": role, "content": content, **more}


def conversation(parts: Iterable[str], number: int) -> Row:
    """Return a conversation with these parts; each number has other texts."""
    has = frozenset(parts)
    turns = [said("system", f"Answer as {text(number, 1)}")] if "system" in has else []
    turns += _round(has, number, 2)
    if "turns" in has:
        turns += _round(has - {"calls"} if number % 2 else has, number, 4)
        turns += _round(has - {"calls", "reasoning"}, number, 6)
    row: Row = {"messages": turns, "extra": {}}
    if "tools" in has:
        indent = (None, 1)[number % 2]
        row["tools"] = json.dumps(TOOLS[number % len(TOOLS)], ensure_ascii=bool(number % 3), indent=indent)
    if "kwargs" in has:
        row["chat_template_kwargs"] = json.dumps(KWARGS[number % len(KWARGS)], ensure_ascii=False)
    if "extra" in has:
        row["extra"] = {
            "lang": "en",
            "n": number / 4,
            "from": {"list": [number, None, "é"], "url": "https://example.org"},
        }
    return row


def pair(parts: Iterable[str], number: int) -> Row:
    """Return a pair: the last turn of a conversation is chosen, and with "several" the turns of its last answer."""
    has = frozenset(parts)
    row = conversation(has, number)
    turns = row.pop("messages")
    cut = max(i for i, turn in enumerate(turns) if turn["role"] == "user") + 1 if "several" in has else -1
    thought = {"reasoning": f"{REASONING[number % 3]} No."} if "reasoning" in has and number % 2 else {}
    other = said("assistant", text(number, 8), **thought)
    row |= {"prompt": turns[:cut], "chosen": turns[cut:], "rejected": [other]}
    return row | ({"chosen_score": number / 8, "rejected_score": -1.0} if "scores" in has else {})


def answer(parts: Iterable[str], number: int) -> Row:
    """Return a judged answer: one side of a pair."""
    row = pair(parts, number)
    chosen, rejected = row.pop("chosen"), row.pop("rejected")
    return row | {"completion": chosen if number % 2 else rejected, "label": bool(number % 2)}


def prompt(parts: Iterable[str], number: int) -> Row:
    """Return a prompt, with what a reward function reads."""
    row = pair(parts, number)
    truth = ("4", "x = ½", ["4", "four"], '{"func_name": "f", "N": 2}')[number % 4]
    rewards: Row = {"ground_truth": truth, "dataset": ["math"] if number % 3 else ["ifeval", "code"]}
    rewards |= {"difficulty": number / 4, "count": number} if row.get("extra") else {}
    kept = ("prompt", "tools", "chat_template_kwargs")
    return {name: row[name] for name in kept if name in row} | {"rewards": rewards, "extra": {}}


def rated(parts: Iterable[str], number: int) -> Row:
    """Return a prompt with scored answers."""
    row = pair({*parts, "several"}, number)
    answers = [
        {
            "content": text(number, 10 + i),
            "model": (None, "m 1", "m/2")[i],
            "scores": [
                {"name": name, "value": float((number + 2 * i) % 5)} for name in ("helpfulness", "honesty")[: 1 + i % 2]
            ],
        }
        for i in range(3)
    ]
    return {name: row[name] for name in ("tools", "chat_template_kwargs") if name in row} | {
        "messages": row["prompt"],
        "completions": answers,
        "extra": row["extra"],
    }


def _round(has: Parts, number: int, of: int) -> list[Row]:
    """Return a question and its answer, perhaps by way of calls."""
    thought = {"reasoning": f"{REASONING[(number + of) % 3]} {words(number)}"} if "reasoning" in has else {}
    turns = [said("user", f"{text(number, of)}?")]
    if "calls" in has:
        calls = [_call(has, number, of, i) for i in range(1 + ("parallel" in has) * (1 + number % 2))]
        content = text(number, of) if "text" in has else "" if "empty" in has else None
        turns.append(said("assistant", content, tool_calls=calls, **thought))
        if "none" in has:
            return turns
        turns += [_result(has, one, number + i) for i, one in enumerate(calls)]
        thought = thought if number % 2 else {}
    return [*turns, said("assistant", text(number, of + 1), **thought)]


def _call(has: Parts, number: int, of: int, place: int) -> Row:
    some = ODD if "odd" in has else ARGUMENTS
    known = f"call_{number}_{of}_{place}" if "ids" in has else None
    return {"id": known, "name": NAMES[(number + place) % 4], "arguments": some[(number + of + place) % len(some)]}


def _result(has: Parts, call: Row, number: int) -> Row:
    more = {"tool_call_id": call["id"]} if "ids" in has else {}
    more |= {"name": call["name"]} if "names" in has else {}
    return said("tool", RESULTS[number % len(RESULTS)], **more)


def subsets(holds: Iterable[str], most: int | None = None) -> Iterator[Parts]:
    """Yield each set of these parts, of at most so many; those of calls only with a call."""
    known = frozenset(holds)
    others, calls = sorted(known & {*OTHERS}), sorted(known & {*CALLS})
    for has_calls in (False, True) if "calls" in known else (False,):
        names = [*others, *(calls if has_calls else ())]
        for size in range((len(names) if most is None else most) + 1):
            for some in combinations(names, size):
                if not {"text", "empty"} <= {*some}:
                    yield frozenset({*some, *(("calls",) if has_calls else ())})


def some_rows(kind: str, holds: Iterable[str], most: int | None = None) -> list[Row]:
    """Return a row for each set of parts, and then 24 with as many as the layout can hold."""
    make = MAKE[kind]
    each = [make(parts, i) for i, parts in enumerate(subsets(holds, most))]
    known = sorted({*holds} - {"odd", "none"})
    whole = [make((part for k, part in enumerate(known) if i % (k + 3)), len(each) + i) for i in range(24)]
    return each + whole


MAKE: Final[dict[str, Callable[[Iterable[str], int], Row]]] = {
    "conversation": conversation, "preference": pair, "unpaired": answer, "prompt": prompt, "rated": rated,
}  # fmt: skip
