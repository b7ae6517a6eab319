"""Chat templates of published models, and a tokenizer that has their tokens; no weights, nothing is downloaded.

Qwen3, Llama 3.1 and Llama 3.2 are the published texts that TRL ships to recognise them (`trl/chat_templates`).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

SMOLLM3: Final = """
{%- set mode = '/think' if enable_thinking is not defined or enable_thinking else '/no_think' -%}
{%- if messages[0].role == 'system' -%}
  {%- set given = messages[0].content -%}
  {%- if '/no_think' in given %}{% set mode = '/no_think' %}
  {%- elif '/think' in given %}{% set mode = '/think' %}{% endif -%}
  {%- set custom_instructions = given.replace('/no_think', '').replace('/think', '').rstrip() -%}
{%- endif -%}
{{- '<|im_start|>system\n' -}}
{%- if '/system_override' in given -%}
  {{- custom_instructions.replace('/system_override', '').rstrip() + '<|im_end|>\n' -}}
{%- else -%}
  {{- '## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: ' + strftime_now('%d %B %Y') -}}
  {{- '\nReasoning Mode: ' + mode + '\n\n## Custom Instructions\n\n' -}}
  {{- (custom_instructions or ('You think.' if mode == '/think' else 'You answer.')) + '\n\n' -}}
  {%- if xml_tools or python_tools -%}
    {{- '### Tools\n\n' -}}
    {%- if xml_tools -%}
      {{- 'These may be called:\n<tools>\n' -}}
      {%- for tool in xml_tools[:] %}{{ (tool | string) + '\n' }}{% endfor -%}
      {{- '</tools>\n\nA call is JSON within <tool_call></tool_call>.' -}}
    {%- endif -%}
    {%- if python_tools -%}
      {{- "Code between '<code>' and '</code>' is run; it may call:\n<tools>\n" -}}
      {%- for tool in python_tools[:] %}{{ (tool | string) + '\n' }}{% endfor -%}
      {{- '</tools>\n\nThe state stays.' -}}
    {%- endif -%}
    {{- '\n\n<|im_end|>\n' -}}
  {%- endif -%}
{%- endif -%}
{%- set start = '<|im_start|>assistant\n' + ('' if mode == '/think' else '<think>\n\n</think>\n') -%}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else '' -%}
  {%- if message.role == 'assistant' -%}
    {% generation %}{{- start + content.lstrip('\n') + '<|im_end|>\n' -}}{% endgeneration %}
  {%- elif message.role in ['user', 'tool'] -%}
    {{- '<|im_start|>user\n' + content + '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ start }}{% endif -%}
"""
"""After the template of HuggingFaceTB/SmolLM3-3B (a169fa4, Apache-2.0): every branch of it, its sentences shortened.

Reasoning and calls are text of a message, and the header of an answer is trained. Without tools the system turn is not
ended. `xml_tools`, `python_tools`, `enable_thinking` and `custom_instructions` are arguments; `tools` is not read."""


def published(name: str) -> str:
    """Return the published template of a model family: `qwen3`, `llama3_1`, `llama3_2` or `smollm3`."""
    import trl

    if name == "smollm3":
        return SMOLLM3
    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")


TOKENS: Final = {
    "qwen3": (
        ["<|im_start|>", "<|im_end|>"],
        ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>"],
    ),
    "smollm3": (["<|im_start|>", "<|im_end|>"], ["<think>", "</think>", "<tool_call>", "</tool_call>"]),
    **dict.fromkeys(
        ("llama3_1", "llama3_2"),
        (["<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|python_tag|>", "<|eot_id|>"], []),
    ),
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
        tokenizer.chat_template = published(name)
    tokenizer.save_pretrained(out)
    return out
