"""The published templates of Llama are given marks around what is trained, and render what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.errors import CallError
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.row_lengths import LABELLED
from tests.support.chat_templates import family_tokenizer, published
from tests.support.tool_rows import LLAMA_ROWS, PLAIN, Row, as_given, built, labelled, runs

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers


@pytest.mark.parametrize("family", ["llama3_1", "llama3_2"])
def test_the_published_template_of_llama_is_given_marks(family: str, tokenizer: Path, tmp_path: Path) -> None:
    """What is trained is what the published text adds for an assistant's turn behind the header that asks for one."""
    chatty, rows = chat_tokenizer(str(family_tokenizer(family, tokenizer, tmp_path / family))), LLAMA_ROWS[family]
    found = labelled(built(rows, tmp_path / "build"), chatty)

    def text(row: Row, turns: int, *, asked: bool = False) -> str:
        options = {"tools": row.get("tools"), **row.get("chat_template_kwargs", {}), "chat_template": published(family)}
        turned = as_given(row["messages"])[:turns]
        return str(chatty.apply_chat_template(turned, tokenize=False, add_generation_prompt=asked, **options))

    for place, row in enumerate(rows):
        answers = [i for i, turn in enumerate(row["messages"]) if turn["role"] == "assistant"]
        said = [text(row, i + 1).removeprefix(text(row, i, asked=True)) for i in answers]
        assert all(one.endswith(("<|eot_id|>", "<|eom_id|>")) for one in said)
        assert runs(found[str(place)], chatty) == said
        assert not any("start_header_id" in one for one in said)


def test_marks_of_llama_are_where_trl_has_them(tokenizer: Path, tmp_path: Path) -> None:
    from trl.chat_template_utils import llama3_training_chat_template

    folder = family_tokenizer("llama3_2", tokenizer, tmp_path / "llama")
    chatty, theirs = chat_tokenizer(str(folder)), chat_tokenizer(str(folder))
    theirs.chat_template = llama3_training_chat_template
    ours, own = (
        labelled(built([{"messages": [*PLAIN, *PLAIN]}], tmp_path / name), each)["0"]
        for name, each in (("ours", chatty), ("theirs", theirs))
    )
    size = len(own["input_ids"]) - 1  # Llama 3.2 has a system turn before
    assert {name: ours[name][-size:] for name in LABELLED} == {name: own[name][1:] for name in LABELLED}


@pytest.mark.parametrize(
    "change", [("| trim + '<|eot_id|>' }}", "}}<|eot_id|>"), ("}}{%- set tool_call", "{%- set call"), ("ipython", "x")]
)
def test_a_template_that_is_only_like_llama_is_not_given_marks(
    tokenizer: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    text = published("llama3_2").replace("        {%- set tool_call", "        {{- 'call ' }}{%- set tool_call")
    path = tmp_path / "odd.jinja"
    path.write_text(text.replace(*change))
    folder = str(family_tokenizer("llama3_2", tokenizer, tmp_path / "llama"))
    with pytest.raises(CallError, match="does not mark the assistant's turns"):
        chat_tokenizer(folder, str(path))
