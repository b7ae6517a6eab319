"""Chat templates of published models, and a tokenizer that has their tokens; no weights, nothing is downloaded.

Qwen3, Llama 3.1 and Llama 3.2 are the published texts that TRL ships to recognise them (`trl/chat_templates`).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

SMOLLM3: Final = """
{%- if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif -%}
{%- set mode = '/think' if enable_thinking else '/no_think' -%}
{{- '<|im_start|>system\n' -}}
{%- if messages[0].role == 'system' -%}
  {%- set given = messages[0].content -%}
  {%- if '/no_think' in given %}{% set mode = '/no_think' %}
  {%- elif '/think' in given %}{% set mode = '/think' %}{% endif -%}
  {%- set custom_instructions = given.replace('/no_think', '').replace('/think', '').rstrip() -%}
{%- endif -%}
{{- '## Metadata\n\nKnowledge Cutoff Date: June 2025\nReasoning Mode: ' + mode + '\n\n## Custom Instructions\n\n' -}}
{{- (custom_instructions or 'You are a helpful AI assistant named SmolLM, trained by Hugging Face.') + '\n\n' -}}
{%- if xml_tools -%}
  {{- '### Tools\n\nYou may call one or more functions to assist with the user query.\n<tools>\n' -}}
  {%- for tool in xml_tools %}{{ (tool | string) + '\n' }}{% endfor -%}
  {{- '</tools>\n\nFor each call, return json within <tool_call></tool_call> XML tags.\n\n' -}}
{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else '' -%}
  {%- if message.role == 'assistant' -%}
    {% generation %}
    {{- '<|im_start|>assistant\n' + ('' if mode == '/think' else '<think>\n\n</think>\n') -}}
    {{- content.lstrip('\n') + '<|im_end|>\n' -}}
    {% endgeneration %}
  {%- elif message.role in ['user', 'tool'] -%}
    {{- '<|im_start|>user\n' + content + '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' + ('' if mode == '/think' else '<think>\n\n</think>\n') -}}
{%- endif -%}
"""
"""After the template of HuggingFaceTB/SmolLM3-3B (Apache-2.0), shortened, without the date: reasoning and calls are
text of a message, a turn's header is trained, and `xml_tools`, `enable_thinking` and `custom_instructions` are
arguments."""

LLAMA_TURN: Final = r"message['content'] | trim + '<|eot_id|>' }}"
LLAMA_CALL: Final = r"""{{- '{"name": "' + tool_call.name + '", ' }}"""


def published(name: str) -> str:
    """Return the published template of a model family: `qwen3`, `llama3_1`, `llama3_2` or `smollm3`."""
    import trl

    if name == "smollm3":
        return SMOLLM3
    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")


def marked_llama() -> str:
    """Return the template of Llama 3.2 with marks around what the assistant says; it renders the same text."""
    text = published("llama3_2")
    assert text.count(LLAMA_TURN) == text.count(LLAMA_CALL) == 1
    said = "{%- generation %}{{- " + LLAMA_TURN + "{%- endgeneration %}"
    other = "{%- else %}{{- " + LLAMA_TURN + "{%- endif %}"
    text = text.replace("+ " + LLAMA_TURN, "}}{%- if message['role'] == 'assistant' %}" + said + other)
    before, after = text.split(LLAMA_CALL)
    call, end, rest = after.partition('{{- "<|eot_id|>" }}')
    return before + "{%- generation %}" + LLAMA_CALL + call + end + "{%- endgeneration %}" + rest


TOKENS: Final = {
    "qwen3": (
        ["<|im_start|>", "<|im_end|>"],
        ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>"],
    ),
    "smollm3": (["<|im_start|>", "<|im_end|>"], ["<think>", "</think>", "<tool_call>", "</tool_call>"]),
    "llama3_2": (["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], []),
    "chatml": (["<|im_start|>", "<|im_end|>"], []),
}
"""Tokens of a family: those that are special, the last of which ends a turn, and those that models write as text."""


def family_tokenizer(name: str, base: Path, out: Path) -> Path:
    """Save the tokenizer of the folder `base` with the template and the tokens of a family; return its folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    special, written = TOKENS[name]
    tokenizer.add_special_tokens({"extra_special_tokens": special}, replace_extra_special_tokens=False)
    tokenizer.add_tokens(written)
    tokenizer.eos_token = special[-1]
    if name == "chatml":
        tokenizer.chat_template = (files("curate.preflight") / "templates" / "chatml.jinja").read_text("utf-8")
    else:
        tokenizer.chat_template = marked_llama() if name == "llama3_2" else published(name)
    tokenizer.save_pretrained(out)
    return out
