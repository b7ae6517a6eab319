"""LLaMA-Factory and axolotl read our exports by their own code: every row, with its calls, tools and reasoning.

Each has an environment of its own, made by pip (`tests/bench/peers.py`): 4.3 GB and 2.2 GB, five minutes for both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from curate.export.export import TARGETS
from curate.rows.schema import Kind
from tests.bench.peers import environment, run
from tests.support.export_rows import HAND_WRITTEN, Row, exported

PACKAGES: Final = {
    "llama-factory": ("torch==2.13.0", "llamafactory==0.9.5"),
    "axolotl": ("torch==2.13.0", "axolotl==0.19.0"),
}
PATIENCE: Final = 3600
"""Seconds that an installation may take."""

SIDES: Final = (Path(__file__).parent / "trainer_sides.py").read_text(encoding="utf-8")

TEMPLATE: Final = """\
{%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}
{%- for message in messages %}<{{ message.role }}>
{%- if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}{{ message.content }}
{%- for call in message.tool_calls %}<call>{{ call.function.name }} {{ call.function.arguments | tojson }}</call>
{%- endfor %}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes, with a chat template that writes every part."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: place for place, word in enumerate(["<pad>", "</s>", *letters])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    out = tmp_path_factory.mktemp("words")
    bare.save(str(out / "tokenizer.json"))
    ends = {"eos_token": "</s>", "pad_token": "<pad>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (out / "tokenizer_config.json").write_text(json.dumps(ends | {"chat_template": TEMPLATE}))
    return out


def said(row: Row, to: str) -> list[str]:
    """Return the texts of a row that training must see."""
    found = [row["tools"]] if row.get("tools") and to == "axolotl" else []
    found = [json.dumps(tool) for text in found for tool in json.loads(text)]
    for side in ("messages", "prompt", "chosen", "rejected", "completion"):
        for turn in row.get(side, ()):
            kept = (
                side != "prompt" or to != "llama-factory"
            )  # with the template of Qwen3, that of a prompt is taken out
            found += [text for text in (turn["content"], turn.get("reasoning") if kept else None) if text]
            for call in turn.get("tool_calls", ()):
                found += [call["name"], *map(str, json.loads(call["arguments"]))]
    return found


@pytest.mark.parametrize(
    ("to", "kind"), [(to, kind) for to in PACKAGES for kind in ("conversation", "preference", "unpaired")]
)
def test_every_row_reaches_training(to: str, kind: Kind, words: Path, tmp_path: Path) -> None:
    rows = list(HAND_WRITTEN[kind].values())
    made = exported(tmp_path, kind, rows, to, drop_rows_with=[*TARGETS[to].kinds[kind].cannot])
    kept = made.ledger.collect().filter(fate="exported")["id"].to_list()
    found: list[Any] = run(
        environment(*PACKAGES[to], patience=PATIENCE), SIDES, to, kind, made.path, words, folder=tmp_path
    ).result["rows"]
    print(f"{to} {kind}: {len(found)} of {len(rows)} rows")
    assert len(found) == len(kept)
    for name, text in zip(kept, found, strict=True):
        whole = json.dumps(text, ensure_ascii=False).replace("\\n", "\n").replace('\\"', '"')
        for part in said(rows[int(name[1:])], to):
            assert part.strip() in whole, (part, whole)
