"""TRL takes its export as it is: its own code reads rows, renders calls and tools, and prepares them for training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curate.export.export import TARGETS, Export
from curate.rows.schema import Kind
from tests.support.export_rows import HAND_WRITTEN, exported

if TYPE_CHECKING:
    from curate.preflight.chat_template import ChatTokenizer

utilities = pytest.importorskip("trl.data_utils", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers

TEMPLATE = """\
{%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}
{%- if enable_thinking is defined and enable_thinking is false %}<quiet>{% endif %}
{%- for m in messages %}<{{ m.role }}{% if m.name is defined %}:{{ m.name }}{% endif %}>
{%- if m.role == 'assistant' and 'reasoning_content' in m %}<think>{{ m.reasoning_content }}</think>{% endif %}
{%- if 'tool_calls' in m %}{% for call in m.tool_calls %}<call>{{ call.function.name }}
{%- for word, value in call.function.arguments.items() %} {{ word }}={{ value }}{% endfor %}</call>{% endfor %}
{%- endif %}
{%- if m.content is not none %}{{ m.content }}{% endif %}</s>{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""
"""Like Llama's and Qwen's, it asks whether a key is there, and walks over arguments: null and text would break it."""

Loaded = Callable[[Kind], tuple[Export, Any]]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    import datasets

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    def load(kind: Kind) -> tuple[Export, Any]:
        cannot = [*TARGETS["trl"].kinds[kind].cannot]
        made = exported(tmp_path / kind, kind, list(HAND_WRITTEN[kind].values()), "trl", drop_rows_with=cannot)
        rows = datasets.load_dataset(str(made.path), split="train", cache_dir=str(tmp_path / "cache"))
        assert len(rows) == made.counts.filter(fate="exported")["rows"].sum()
        return made, rows

    return load


def tokenizer() -> ChatTokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: place for place, word in enumerate(["<pad>", "</s>", *letters])}
    bare = Tokenizer(models.BPE(vocab=words, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    ends = {"eos_token": "</s>", "pad_token": "<pad>"}
    made: ChatTokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, chat_template=TEMPLATE, **ends)
    return made


def rendered(row: dict[str, Any]) -> dict[str, str]:
    known = {"messages", "prompt", "chosen", "rejected", "completion", "label", "chat_template_kwargs"}
    example = {name: value for name, value in row.items() if name in known}
    if "messages" in row:
        example = {name: value for name, value in example.items() if name in {"messages", "chat_template_kwargs"}}
    text: dict[str, str] = utilities.apply_chat_template(example, tokenizer(), tools=row["tools"])
    return text


def test_conversations_are_rendered_with_their_parts(loaded: Loaded) -> None:
    made, rows = loaded("conversation")
    assert all(map(utilities.is_conversational, rows))
    names = list(HAND_WRITTEN["conversation"])
    left = made.ledger.collect().filter(fate="left out")["id"].to_list()
    by_name = {names[int(row["id"][1:])]: rendered(row)["text"] for row in rows}
    assert len(by_name) + len(left) == len(names)
    tools = (
        '<tools>{"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}'
    )
    ask, say, call = (
        "<user>When is high tide?</s>",
        "<assistant>At 17:40.\n</s>",
        "<call>tide port=Brest days=1.5</call>",
    )
    assert by_name["plain"] == ask + say
    assert by_name["call"] == f"{tools}</tools>{ask}<assistant>{call}</s><tool:tide>17:40</s>{say}"
    assert by_name["parallel"].count("<call>") == 2
    assert by_name["reasoning"] == f"{ask}<assistant><think>Hm.\nThe moon ...</think>At 17:40.\n</s>"
    assert by_name["template"] == f"<quiet>{ask}{say}"
    assert "<quiet>" not in by_name["plain"]


@pytest.mark.parametrize("kind", ["preference", "unpaired"])
def test_answers_are_rendered_behind_their_prompt(kind: Kind, loaded: Loaded) -> None:
    made, rows = loaded(kind)
    assert made.record["kind"] == kind
    for row in rows:
        if row["prompt"][-1]["role"] == "system":  # this function renders none, though the trainers do
            continue
        answer = rendered(row)["chosen" if kind == "preference" else "completion"]
        last = (row["chosen"] if kind == "preference" else row["completion"])[-1]
        assert all(call["function"]["name"] in answer for call in last.get("tool_calls", ()))
        assert (last.get("content") or "") in answer
        assert (last.get("reasoning_content") or "") in answer


def test_rewards_are_columns(loaded: Loaded) -> None:
    _, rows = loaded("prompt")
    assert {"ground_truth", "dataset", "n"} <= set(rows.column_names)
    assert rows[0]["dataset"] == ["a", "b"]
    assert all(row["prompt"][-1]["role"] in {"user", "tool"} for row in rows)


@pytest.mark.parametrize("kind", ["conversation", "preference", "unpaired"])
def test_trainers_prepare_every_row(kind: Kind, loaded: Loaded, tmp_path: Path) -> None:
    import trl
    from transformers import LlamaConfig, LlamaForCausalLM

    _, rows = loaded(kind)
    own = tokenizer()
    config = LlamaConfig(
        vocab_size=len(own), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    name = {"conversation": "SFT", "preference": "DPO", "unpaired": "KTO"}[kind]
    home = trl if hasattr(trl, f"{name}Trainer") else __import__("trl.experimental.kto", fromlist=["KTOTrainer"])
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    own.save_pretrained(tmp_path / "model")
    settings = getattr(home, f"{name}Config")(
        output_dir=str(tmp_path / "m"), use_cpu=True, report_to=[], max_length=4096, per_device_train_batch_size=4
    )
    trainer = getattr(home, f"{name}Trainer")(
        model=str(tmp_path / "model"), args=settings, train_dataset=rows, processing_class=own
    )
    prepared = trainer.train_dataset
    assert len(prepared) == len(rows)
    if kind == "conversation":
        texts = {row["id"]: own.decode(ids) for row, ids in zip(rows, prepared["input_ids"], strict=True)}
        assert any("<call>tide port=Brest" in text and "<tools>" in text for text in texts.values())
        assert texts == {row["id"]: rendered(row)["text"] for row in rows}
