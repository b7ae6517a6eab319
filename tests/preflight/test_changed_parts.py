"""What a template ignores is left out, or made text, where the user says so: counted, and rendered as without it."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from curate.errors import CallError, PreflightError
from curate.preflight.changed_parts import Changes
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.preflight import check, preflight
from curate.report.preflight import preflight_parts
from tests.support.chat_templates import family_tokenizer
from tests.support.tool_rows import (
    DATE,
    PLAIN,
    TOOLS,
    Row,
    as_given,
    built,
    labelled,
    one_call,
    parallel,
    reasoned,
)

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

CALL = '<tool_call>\n{"name": %s, "arguments": %s}\n</tool_call>'
BESIDE = one_call()
BESIDE[1]["content"] = "I look it up."
ROWS: dict[str, Row] = {
    "call": {"messages": one_call(), "tools": TOOLS},
    "beside": {"messages": BESIDE, "tools": TOOLS, "chat_template_kwargs": DATE},
    "reasoned": {"messages": reasoned()},
    "both": {"messages": one_call(reasoning_content="I need it."), "tools": TOOLS[:1]},
    "parallel": {"messages": parallel()},
    "plain": {"messages": PLAIN, "chat_template_kwargs": {"enable_thinking": False}},
}


def changed(row: Row, changes: Changes) -> Row:
    """Return a row with the changes, made by hand."""
    made = json.loads(json.dumps({key: value for key, value in row.items() if key not in changes.without}))
    for turn in made["messages"]:
        if "text_with_calls" in changes.without and turn.get("tool_calls"):
            turn["content"] = None
        if "calls" in changes.flatten:
            calls = [each["function"] for each in turn.pop("tool_calls", [])]
            texts = [CALL % (json.dumps(one["name"]), one["arguments"]) for one in calls]
            turn["content"] = "\n".join([*([turn["content"]] if turn["content"] else []), *texts])
        if {"reasoning"} & {*changes.without, *changes.flatten}:
            reasoning = turn.pop("reasoning_content", None)
            if "reasoning" in changes.flatten and reasoning:
                turn["content"] = f"<think>\n{reasoning}\n</think>\n\n{turn['content'] or ''}"
    return dict(made)


CHANGES = [
    ("tulu", Changes(("tools", "reasoning", "chat_template_kwargs"), ("calls",))),
    ("zephyr", Changes(("tools", "chat_template_kwargs"), ("reasoning", "calls"))),
    ("chatml", Changes(("reasoning", "chat_template_kwargs"))),
    ("llama3_2", Changes(("text_with_calls", "reasoning"))),
    ("smollm3", Changes(("tools",), ("reasoning", "calls"))),
]


@pytest.mark.parametrize(("template", "changes"), CHANGES)
def test_tokens_are_those_of_rows_without_the_parts(
    tokenizer: Path, tmp_path: Path, template: str, changes: Changes
) -> None:
    ours = template in {"tulu", "zephyr"}
    folder = tokenizer if ours else family_tokenizer(template, tokenizer, tmp_path / template)
    own = template if ours else None
    chatty = chat_tokenizer(str(folder), own)
    rows = {name: {**row} for name, row in ROWS.items() if (name, template) != ("parallel", "llama3_2")}
    if template == "llama3_2":
        rows = {name: {**row, "chat_template_kwargs": DATE} for name, row in rows.items()}
    elif template == "smollm3":
        rows["beside"].pop("chat_template_kwargs")
    build = built(list(rows.values()), tmp_path / "build")
    found = labelled(build, chatty, changes)
    with pytest.raises(PreflightError, match=r"leave such rows out, or train without: .*--(without|flatten) "):
        check(preflight(build, tokenizer=str(folder), limit=10_000, chat_template=own))
    by_hand = [changed(row, changes) for row in rows.values()]
    assert found == labelled(built(by_hand, tmp_path / "hand"), chatty)
    for place, row in enumerate(by_hand):
        options = {"tools": row.get("tools"), **row.get("chat_template_kwargs", {})}
        if "</think>" not in str(row):  # tokens of their own for our templates, which TRL does not know
            theirs = chatty.apply_chat_template(as_given(row["messages"]), return_dict=True, **options)
            assert found[str(place)]["input_ids"] == theirs["input_ids"]
    options = {"limit": 10_000, "chat_template": own, **changes._asdict()}
    check(preflight(build, tokenizer=str(folder), **options))


def test_what_is_left_out_is_counted_by_source_and_said(tokenizer: Path, tmp_path: Path) -> None:
    build = built(list(ROWS.values()), tmp_path / "build")
    options: dict[str, Any] = {"without": ["tools", "reasoning", "chat_template_kwargs"], "flatten": ["calls"]}
    found = preflight(build, tokenizer=str(tokenizer), limit=10_000, chat_template="tulu", **options)
    check(found)
    counts = ("rows", 3, 2, 2, 4)
    assert found.changed.rows() == [counts, ("total", *counts[1:])]
    assert found.changed.columns[1:] == [*(f"without {part}" for part in options["without"]), "calls as text"]
    assert found.notes()[:4] == [
        "3 of 6 rows are trained without tools",
        "2 of 6 rows are trained without reasoning",
        "2 of 6 rows are trained without chat_template_kwargs",
        "4 of 6 rows are trained with calls as text",
    ]
    console = Console(width=120, record=True, file=StringIO())
    console.print(*preflight_parts(found))
    assert "source   without tools   without reasoning   without chat_template_kwargs" in console.export_text()
    as_they_are = preflight(built([{"messages": PLAIN}], tmp_path / "plain"), tokenizer=str(tokenizer), limit=99,
                            chat_template="tulu", **options)  # fmt: skip
    assert len(as_they_are.changed) == len(as_they_are.notes()) == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"without": ["calls"]},
            r"--without \(without=\[...\]\): 'calls' is no part for it; it takes reasoning",
        ),
        ({"without": ["tool"]}, "'tool' is no part for it; did you mean 'tools'"),
        ({"without": ["reasoning"], "flatten": ["reasoning"]}, "reasoning is either left out .without. or written"),
    ],
)
def test_parts_that_cannot_be_left_out(tokenizer: Path, tmp_path: Path, options: Any, match: str) -> None:  # noqa: ANN401
    build = built([ROWS["call"]], tmp_path / "build")
    with pytest.raises(CallError, match=match):
        preflight(build, tokenizer=str(tokenizer), limit=99, chat_template="tulu", **options)


@pytest.mark.parametrize(
    ("turn", "options", "match"),
    [
        (
            {"content": None, "reasoning_content": "Hm."},
            {"without": ["reasoning"]},
            "has a message of nothing",
        ),
        (
            {"content": "a", "reasoning_content": "b</think>"},
            {"flatten": ["reasoning"]},
            "has reasoning that is",
        ),
    ],
)
def test_an_answer_is_never_emptied(tokenizer: Path, tmp_path: Path, turn: Row, options: Any, match: str) -> None:  # noqa: ANN401
    build = built([{"messages": [PLAIN[0], {"role": "assistant", **turn}]}], tmp_path / "build")
    with pytest.raises(PreflightError, match=f"rows/0 {match}.*leave such rows out"):
        preflight(build, tokenizer=str(tokenizer), limit=99, chat_template="tulu", **options)
