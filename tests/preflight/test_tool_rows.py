"""Rows with calls, results, reasoning and tools: tokens and masks are transformers', and nothing is left out unsaid."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from rich.console import Console

from curate.errors import PreflightError
from curate.preflight.chat_template import chat_tokenizer, control_tokens
from curate.preflight.ignored_parts import PartCheck, TemplateParts
from curate.preflight.preflight import check, preflight
from curate.preflight.row_lengths import LABELLED, PAIRED, measured
from curate.preflight.template_input import Chat, Options, chat_of
from curate.report.preflight import preflight_parts
from tests.support.chat_templates import family_tokenizer, published
from tests.support.tool_rows import (
    LLAMA_ROWS,
    PLAIN,
    TOOLS,
    Row,
    as_given,
    built,
    labelled,
    one_call,
    parallel,
    reasoned,
    runs,
    said,
    trl_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

    from curate.preflight.chat_template import ChatTokenizer

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

AS_TEXT: list[Row] = [
    said("user", "Oslo?"),
    said(
        "assistant",
        '<think>\nI look it up.\n</think>\n\n<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>',
    ),
    said("tool", "cold"),
    said("assistant", "<think>\nCold.\n</think>\n\nIt is cold."),
]
BRIEF = {"enable_thinking": False}
NO_THINKING = {"enable_thinking": False, "custom_instructions": "Rhyme."}


ROWS: dict[str, list[Row]] = {
    **LLAMA_ROWS,
    "qwen3": [
        {"messages": one_call(), "tools": TOOLS},
        {"messages": one_call(reasoning_content="I need it."), "tools": TOOLS[:1], "chat_template_kwargs": BRIEF},
        {"messages": parallel(), "tools": TOOLS},
        {"messages": reasoned()},
        {"messages": AS_TEXT, "tools": TOOLS},
        {"messages": PLAIN},
    ],
    "smollm3": [
        {"messages": AS_TEXT, "chat_template_kwargs": {"xml_tools": TOOLS}},
        {"messages": PLAIN, "chat_template_kwargs": NO_THINKING},
        {"messages": PLAIN, "chat_template_kwargs": {"python_tools": ["def clock(): ..."], "enable_thinking": True}},
        {"messages": [said("system", "Rhyme. /no_think"), *PLAIN]},
        {"messages": [said("system", "Rhyme. /system_override"), *PLAIN]},
        {"messages": PLAIN},
    ],
    "chatml": [
        {"messages": one_call(reasoning_content="I need it."), "tools": TOOLS},
        {"messages": [said("system", "Be kind."), *one_call()], "tools": TOOLS[:1]},
        {"messages": parallel(), "tools": TOOLS},
        {"messages": reasoned()},
        {"messages": PLAIN},
    ],
}


@pytest.fixture(params=ROWS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(family: str, tokenizer: Path, tmp_path: Path) -> Path:
    return family_tokenizer(family, tokenizer, tmp_path / family)


def of_transformers(row: Row, chatty: ChatTokenizer, **more: Any) -> Any:  # noqa: ANN401  of transformers
    """Return what transformers makes of a row as it was given."""
    options = {"tools": row.get("tools"), **row.get("chat_template_kwargs", {}), **more}
    return chatty.apply_chat_template(as_given(row["messages"]), return_dict=True, **options)


def test_tokens_and_masks_are_those_of_transformers(family: str, folder: Path, tmp_path: Path) -> None:
    chatty, rows = chat_tokenizer(str(folder)), ROWS[family]
    found = labelled(built(rows, tmp_path / "build"), chatty)
    for place, row in enumerate(rows):
        theirs = of_transformers(row, chatty, return_assistant_tokens_mask=True)
        ids, mask = theirs["input_ids"], theirs["assistant_masks"]
        assert found[str(place)]["input_ids"] == ids
        assert found[str(place)]["labels"] == [i if trained else -100 for i, trained in zip(ids, mask, strict=True)]
    check(preflight(tmp_path / "build", tokenizer=str(folder), limit=10_000))


@pytest.mark.parametrize("family", ["llama3_1", "llama3_2", "smollm3"])
def test_the_text_is_that_of_the_published_template(family: str, folder: Path, tmp_path: Path) -> None:
    """TRL's variant of Qwen3 is another: it keeps the reasoning of every turn."""
    chatty, rows = chat_tokenizer(str(folder)), ROWS[family]
    found = labelled(built(rows, tmp_path / "build"), chatty)
    for place, row in enumerate(rows):
        texts = of_transformers(row, chatty, chat_template=published(family))["input_ids"]
        assert found[str(place)]["input_ids"] == texts


def test_calls_and_reasoning_are_trained_and_results_are_not(tokenizer: Path, tmp_path: Path) -> None:
    rows = [{"messages": one_call(reasoning_content="I need it."), "tools": TOOLS[:1]}, {"messages": parallel()}]
    chatty = chat_tokenizer(str(family_tokenizer("chatml", tokenizer, tmp_path / "chatml")))
    one, two = (row for _, row in sorted(labelled(built(rows, tmp_path / "build"), chatty).items()))
    asks = '<tool_call>\n{"name": "weather", "arguments": {"city": "%s"%s}}\n</tool_call>'
    assert runs(one, chatty) == [
        "<think>\nI need it.\n</think>\n\n" + asks % ("Oslo", ', "days": 0.1') + "<|im_end|>",
        "-2 degrees in Oslo.<|im_end|>",
    ]
    assert runs(two, chatty) == [
        f"I look both up, Rome too.\n{asks % ('Oslo', '')}\n{asks % ('Rome', '')}<|im_end|>",
        "Cold and hot.<|im_end|>",
    ]
    assert (
        "<|im_start|>user\n<tool_response>\ncold\n</tool_response>\n<tool_response>\nhot in Rome\n</tool_response>"
        "<|im_end|>\n<|im_start|>assistant\n" in chatty.decode(two["input_ids"])
    )
    assert json.dumps(TOOLS[0], ensure_ascii=False) in chatty.decode(one["input_ids"])


@pytest.mark.parametrize("name", ["qwen3", "llama3_2", "chatml"])
def test_quoted_tokens_stay_text_in_every_part(tokenizer: Path, tmp_path: Path, name: str) -> None:
    chatty = chat_tokenizer(str(family_tokenizer(name, tokenizer, tmp_path / name)))
    quotes = ["</s>", f"{chatty.eos_token}\n", "<think>", "a <tool_call> b", "<|im_start|>assistant"]

    def rows(text: str) -> list[Row]:
        tool = {"type": "function", "function": {"name": "weather", "description": text, text: {"a": [text]}}}
        made = [
            {"messages": one_call(text), "tools": [tool]},
            {"messages": reasoned(text)},
            {"messages": parallel(text)},
        ]
        made[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] = json.dumps({text: text})
        return made[:1] if name == "llama3_2" else made

    control = {chatty.convert_tokens_to_ids(token) for token in chatty.get_added_vocab()}
    plain = labelled(built(rows("-"), tmp_path / "plain"), chatty)
    for place, text in enumerate(quotes):
        assert control_tokens(chatty).search("</s>")
        quoted = labelled(built(rows(text), tmp_path / f"quoted{place}"), chatty)
        for own, row in quoted.items():
            count = [sum(token in control for token in each["input_ids"]) for each in (row, plain[own])]
            assert count[0] == count[1]
            escaped = json.dumps(text)[1:-1]
            assert text in chatty.decode(row["input_ids"]) or escaped in chatty.decode(row["input_ids"])
            assert len(runs(row, chatty)) == len(runs(plain[own], chatty))


@pytest.mark.parametrize(
    ("template", "row", "match"),
    [
        ("tulu", {"messages": one_call(), "tools": TOOLS}, "ignores the tool calls and the tools on offer of rows/0"),
        (
            "zephyr",
            {"messages": parallel()},
            r"ignores the tool calls of 1 of 1 rows, such as rows/0 \(sources: rows\)",
        ),
        ("tulu", {"messages": reasoned()}, "ignores the reasoning of 1 of 1 rows"),
        ("tulu", {"messages": PLAIN, "tools": TOOLS}, "ignores the tools on offer of 1 of 1"),
        (
            "chatml",
            {"messages": PLAIN, "chat_template_kwargs": {"enable_thinking": False, "python_tools": []}},
            "ignores chat_template_kwargs.enable_thinking of 1 of 1 rows, .* they would be trained without; choose",
        ),
        ("llama3_2", {"messages": parallel()}, "rejects rows/0: This model only supports single tool-calls at once!"),
        ("llama3_2", {"messages": reasoned()}, "ignores the reasoning of 1 of 1 rows"),
        ("llama3_2", {"messages": [*one_call()[:1], *parallel()[2:3]]}, "only supports single"),
        ("smollm3", {"messages": one_call(), "tools": TOOLS}, "ignores the tool calls .* ignores the tools on offer"),
        ("smollm3", {"messages": reasoned()}, "ignores the reasoning of 1 of 1"),
        (
            "chatml",
            {"messages": PLAIN, "chat_template_kwargs": {"tools": [1]}},
            "gives tools, which a row cannot choose",
        ),
        ("chatml", {"messages": PLAIN, "tools": ["weather"]}, "rejects rows/0: Tools should either be a JSON schema"),
    ],
)
def test_a_part_that_the_template_ignores_is_an_error(
    tokenizer: Path, tmp_path: Path, template: str, row: Row, match: str
) -> None:
    ours = template in {"tulu", "zephyr"}
    folder = tokenizer if ours else family_tokenizer(template, tokenizer, tmp_path / template)
    build = built([row], tmp_path / "build")
    with pytest.raises(PreflightError, match=match):
        check(preflight(build, tokenizer=str(folder), limit=10_000, chat_template=template if ours else None))


def test_text_beside_a_call_is_not_lost_unsaid(tokenizer: Path, tmp_path: Path) -> None:
    row = {"messages": one_call()}
    row["messages"][1]["content"] = "I look it up."
    folder = family_tokenizer("llama3_2", tokenizer, tmp_path / "llama")
    with pytest.raises(PreflightError, match="ignores the text beside tool calls of 1 of 1 rows"):
        check(preflight(built([row], tmp_path / "build"), tokenizer=str(folder), limit=10_000))


def test_the_reasoning_of_earlier_turns_may_go_but_it_is_said(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "last.jinja"  # as Qwen3 answers: earlier reasoning is cut
    last = "{% if loop.last and m.reasoning_content %}{{ m.reasoning_content }}{% endif %}"
    answer = "{% generation %}" + last + "{{ m.content }}{% endgeneration %}"
    path.write_text(
        "{% for m in messages %}{% if m.role == 'assistant' %}" + answer + "{% else %}{{ m.content }}{% endif %}"
        "{% endfor %}"
    )
    build = built([{"messages": reasoned()}, {"messages": reasoned()[:2]}, {"messages": PLAIN}], tmp_path / "build")
    found = preflight(build, tokenizer=str(tokenizer), limit=10_000, chat_template=str(path))
    check(found)
    assert found.notes() == [
        "in 1 of 3 rows the chat template leaves out the reasoning of earlier turns, such as rows/0"
    ]
    cut = [*reasoned()[:3], said("assistant", "Yes.")]
    later = built([{"messages": cut}], tmp_path / "later")
    check(preflight(later, tokenizer=str(tokenizer), limit=10_000, chat_template=str(path)))


def test_parts_are_counted_by_source(tokenizer: Path, tmp_path: Path) -> None:
    folder = family_tokenizer("qwen3", tokenizer, tmp_path / "qwen3")
    found = preflight(built(ROWS["qwen3"], tmp_path / "build"), tokenizer=str(folder), limit=10_000)
    assert found.parts.rows() == [("rows", 3, 4, 2, 4, 1), ("total", 3, 4, 2, 4, 1)]
    console = Console(width=80, record=True, file=StringIO())
    console.print(*preflight_parts(found))
    assert "source   calls   results   reasoning   tools   kwargs" in console.export_text()
    plain = preflight(built([{"messages": PLAIN}], tmp_path / "plain"), tokenizer=str(folder), limit=10_000)
    assert plain.parts.rows() == []


def test_rows_of_one_shape_are_looked_at_once(tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chatty = chat_tokenizer(str(family_tokenizer("qwen3", tokenizer, tmp_path / "qwen3")))
    seen = PartCheck(chatty)
    calls: list[Chat] = []
    find = PartCheck._find

    def counted(self: PartCheck, chat: Chat, options: Options) -> TemplateParts:
        calls.append(chat)
        return find(self, chat, options)

    monkeypatch.setattr(PartCheck, "_find", counted)
    for text in ("Oslo", "Rome", "Bern"):
        turns = [{"reasoning": None, **turn, "tool_calls": []} for turn in one_call(text)]
        assert seen(chat_of(turns), Options(json.dumps(TOOLS))).parts == ("results", "tools")
    assert len(calls) == 1


def dpo_rows() -> list[Row]:
    """Return pairs with tools, calls and reasoning on one side or both."""
    prompt = one_call()[:1]
    bad = [said("assistant", "No idea.")]
    return [
        {"prompt": prompt, "chosen": one_call()[1:2], "rejected": bad, "tools": TOOLS},
        {"prompt": one_call()[:3], "chosen": one_call()[3:], "rejected": bad, "tools": TOOLS[:1]},
        {"prompt": prompt, "chosen": one_call(reasoning_content="Let me see.")[1:], "rejected": bad},
        {"prompt": PLAIN[:1], "chosen": PLAIN[1:], "rejected": [said("assistant", "Go.", reasoning_content="Rude.")]},
        {"prompt": PLAIN[:1], "chosen": PLAIN[1:], "rejected": bad, "chat_template_kwargs": {"enable_thinking": False}},
        {"prompt": PLAIN[:1], "chosen": PLAIN[1:], "rejected": bad},
    ]


@pytest.mark.parametrize("name", ["qwen3", "chatml"])
def test_trl_prepares_the_same_pairs(tokenizer: Path, model: Path, tmp_path: Path, name: str) -> None:
    from trl import DPOConfig, DPOTrainer

    chatty = chat_tokenizer(str(family_tokenizer(name, tokenizer, tmp_path / name)))
    rows = dpo_rows()
    build = built(rows, tmp_path / "build")
    columns = ["id", *PAIRED]
    ours = pa.Table.from_batches([one.select(columns) for one in measured(build, chatty, 10_000)]).to_pylist()
    config = DPOConfig(str(tmp_path / "out"), max_length=10_000, bf16=False, report_to="none")
    given = trl_rows(rows, "prompt", "chosen", "rejected")
    theirs = DPOTrainer(str(model), args=config, train_dataset=given, processing_class=chatty).train_dataset
    assert len(theirs) == len(ours) == len(rows)
    for row in ours:
        own = theirs[int(row["id"])]
        assert {column: row[column] for column in PAIRED} == {column: own[column] for column in PAIRED}


@pytest.mark.parametrize("name", ["qwen3", "chatml", "llama3_1", "llama3_2", "smollm3"])
def test_trl_prepares_the_same_conversations(tokenizer: Path, model: Path, tmp_path: Path, name: str) -> None:
    from trl import SFTConfig, SFTTrainer

    chatty = chat_tokenizer(str(family_tokenizer(name, tokenizer, tmp_path / name)))
    ours = labelled(built(ROWS[name], tmp_path / "build"), chatty)
    config = SFTConfig(str(tmp_path / "out"), max_length=10_000, assistant_only_loss=True, bf16=False, report_to="none")
    given = trl_rows(ROWS[name], "messages")
    theirs = SFTTrainer(str(model), args=config, train_dataset=given, processing_class=chatty).train_dataset
    for place, row in enumerate(theirs):
        assert {column: ours[str(place)][column] for column in LABELLED} == {name: row[name] for name in LABELLED}


def test_pairs_are_checked_on_both_sides(tokenizer: Path, tmp_path: Path) -> None:
    build = built(dpo_rows(), tmp_path / "build")
    found = preflight(build, tokenizer=str(family_tokenizer("qwen3", tokenizer, tmp_path / "q")), limit=10_000)
    check(found)
    assert found.parts.rows()[-1] == ("total", 3, 2, 2, 2, 1)
    counts = found.lengths.select(pl.col("ignored").list.len().sum()).item()
    assert counts == 0
