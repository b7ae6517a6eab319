"""Rows with calls of tools, results and reasoning, as OpenAI spells them, and what a chat template takes for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.result.build import Build

Row = dict[str, Any]

TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up the {name}, é 你好.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number"}}},
        },
    }
    for name in ("weather", "clock")
]


def call(number: int, **arguments: Any) -> Row:  # noqa: ANN401  any JSON value
    """Return a call of the weather, its arguments as JSON text."""
    function = {"name": "weather", "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call{number:05d}", "type": "function", "function": function}


def said(role: str, content: str | None, **more: Any) -> Row:  # noqa: ANN401  any JSON value
    """Return a message."""
    return {"role": role, "content": content, **more}


def one_call(text: str = "Oslo", **first: Any) -> list[Row]:  # noqa: ANN401  any JSON value
    """Return a dialogue with one call and its result; `text` is quoted in each part."""
    return [
        said("user", f"How cold is it in {text}?"),
        said("assistant", None, tool_calls=[call(1, city=text, days=0.1)], **first),
        said("tool", json.dumps({"city": text, "degrees": -2}), tool_call_id="call00001"),
        said("assistant", f"-2 degrees in {text}."),
    ]


def parallel(text: str = "Rome") -> list[Row]:
    """Return a dialogue with two calls at once, and text beside them."""
    return [
        said("system", "Be brief."),
        said("user", f"Oslo and {text}?"),
        said("assistant", f"I look both up, {text} too.", tool_calls=[call(1, city="Oslo"), call(2, city=text)]),
        said("tool", "cold", tool_call_id="call00001"),
        said("tool", f"hot in {text}", tool_call_id="call00002"),
        said("assistant", "Cold and hot."),
    ]


def reasoned(text: str = "a hat") -> list[Row]:
    """Return a dialogue with reasoning before each answer."""
    return [
        said("user", "What do I wear?"),
        said("assistant", f"Wear {text}.", reasoning_content=f"It is cold,\nso {text} helps."),
        said("user", "Sure?"),
        said("assistant", "Yes.", reasoning_content=f"{text}: still cold."),
    ]


def as_given(messages: Sequence[Row]) -> list[Row]:
    """Return messages as a chat template takes them: arguments decoded, nulls left out."""
    found = json.loads(json.dumps(messages))
    for each in (one["function"] for turn in found for one in turn.get("tool_calls", ())):
        each["arguments"] = json.loads(each["arguments"])
    return [{key: value for key, value in turn.items() if value is not None} for turn in found]


def built(rows: Sequence[Row], out: Path, name: str = "rows") -> Build:
    """Write rows to a file of JSON lines and build them, in their order."""
    path = out.with_suffix(".jsonl")
    path.write_text("".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows)), "utf-8")
    return Mixture(name, [Source(name, files(path))]).build(out, quiet=True)
