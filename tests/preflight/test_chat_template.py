"""A tokenizer has the template that training uses, or says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.errors import CallError
from curate.preflight.chat_template import chat_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("tulu", "<s><|user|>\nHi\n<|assistant|>\nHello.</s>"),
        ("zephyr", "<s><|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n"),
        ("chatml", "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"),
    ],
)
def test_templates_are_the_published_ones(tokenizer: Path, template: str, told: str) -> None:
    found = chat_tokenizer(str(tokenizer), template)
    assert found.apply_chat_template(CHAT, tokenize=False) == told
    asked = found.apply_chat_template(CHAT[:1], tokenize=False, add_generation_prompt=True)
    assert told.startswith(asked)
    assert found.decode(found.eos_token_id) == ("<|im_end|>" if template == "chatml" else "</s>")


def test_a_saved_tokenizer_keeps_its_template(tokenizer: Path, tmp_path: Path) -> None:
    first = chat_tokenizer(str(tokenizer), "chatml")
    first.save_pretrained(tmp_path)
    again = chat_tokenizer(str(tmp_path))
    assert again.chat_template == first.chat_template
    assert again.eos_token == first.eos_token
    assert len(again) == len(first) == len(chat_tokenizer(str(tmp_path), "chatml"))


def test_a_template_of_the_user(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    marked = "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    path.write_text("{% for m in messages %}" + marked + "{% endfor %}")
    assert chat_tokenizer(str(tokenizer), str(path)).chat_template == path.read_text()


def test_a_file_that_is_no_text(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.jinja"
    path.write_bytes(b"\x89PNG")
    with pytest.raises(CallError, match=r"picture.jinja cannot be read"):
        chat_tokenizer(str(tokenizer), str(path))


def test_no_template_is_a_choice(tokenizer: Path) -> None:
    with pytest.raises(CallError, match="has no chat template; choose one: chat_template='tulu' or 'zephyr'"):
        chat_tokenizer(str(tokenizer))


def test_a_template_without_marks_is_a_choice(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.jinja"
    path.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(CallError, match="does not mark the assistant's turns"):
        chat_tokenizer(str(tokenizer), str(path))


def test_a_known_template_without_marks_is_given_them(tokenizer: Path, tmp_path: Path) -> None:
    from trl.chat_template_utils import qwen2_5_chat_template

    path = tmp_path / "qwen.jinja"
    path.write_text(qwen2_5_chat_template)
    assert "{%- generation" in chat_tokenizer(str(tokenizer), str(path)).chat_template.replace("{% ", "{%- ")


@pytest.mark.parametrize(
    ("name", "template", "match"),
    [
        ("nothing/here", "tulu", "no tokenizer could be loaded from 'nothing/here'"),
        ("", "tuluu", "did you mean 'tulu'"),
    ],
)
def test_what_is_not_there(tokenizer: Path, name: str, template: str, match: str) -> None:
    with pytest.raises(CallError, match=match):
        chat_tokenizer(name or str(tokenizer), template)


def test_a_tokenizer_that_ends_nothing(tokenizer: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    loaded.eos_token = None
    loaded.save_pretrained(tmp_path)
    with pytest.raises(CallError, match="has no eos_token"):
        chat_tokenizer(str(tmp_path), "tulu")
