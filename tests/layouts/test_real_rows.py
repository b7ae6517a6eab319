"""Real rows with calls, labels and parts, held to the same readers as the rows that are written here."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import curate as c
from curate.io.inputs import Input
from curate.rows.schema import Kind
from tests.support.bank import Row
from tests.support.chat_layouts import read_chat, read_sharegpt
from tests.support.judged_layouts import read_kto_messages
from tests.support.layout_build import SIDES, as_read, check_row, every_step
from tests.support.layout_exports import check_exports
from tests.support.layouts import Layout, read_messages


def read_dialogue(raw: Row) -> Row:
    """Read a dialogue of SGD: `turns` of `speaker` and `utterance`; frames and services are left over."""
    for turn in raw["turns"]:
        turn["role"] = {"USER": "user", "SYSTEM": "assistant"}[turn["speaker"]]
    return {"messages": read_messages(raw, "turns", ("role", "utterance"))}


SGD: Final = c.messages("turns", role="speaker", content="utterance", roles={"SYSTEM": "assistant", "USER": "user"})
REAL: Final[dict[str, tuple[Kind, Callable[[Row], Row], Callable[[Path], Input]]]] = {
    "sft/glaive_toolcall_en_demo.json": ("conversation", read_sharegpt, c.files),
    "sft/toolbench_weather_demo.json": ("conversation", read_sharegpt, lambda path: c.files(path, id=None)),
    "sft/sgd_dialogues/dialogues_001.json.gz": ("conversation", read_dialogue, lambda path: c.files(path, SGD)),
    "preference/kto_en_demo.json": ("unpaired", read_kto_messages, c.files),
    "sft/v1_sft_demo.jsonl": ("conversation", read_chat, c.files),
}


def rows_in(path: Path) -> list[Row]:
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    rows: list[Row] = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    return rows


def turns_of(row: Row) -> list[Row]:
    return [turn for side in SIDES for turn in row.get(side) or ()]


def texts_of(row: Row) -> list[str | None]:
    return [turn["content"] for turn in turns_of(row)]


def edits_of(text: str) -> str:
    """Return what a text can have been before its letters were made capital and its secrets were masked."""
    return re.sub(r"\\\[[A-Z]+\\\]", ".+?", re.escape(text))


@pytest.mark.parametrize("name", REAL)
def test_real_rows_come_through_every_step_to_every_trainer(
    name: str, real_file: Callable[[str], Path], tmp_path: Path
) -> None:
    kind, read, source = REAL[name]
    layout = Layout(name, kind, frozenset(), lambda row, _number: row, read)
    path = real_file(name)
    given = as_read(layout, rows_in(path))
    steps = every_step(kind)
    build = c.Mixture("m", [c.Source("s", source(path), take=c.All())], steps).build(tmp_path / "b", quiet=True)
    made: dict[str, Any] = {row["id"]: row for row in (*build.kept().collect().to_dicts(), *build.dropped().to_dicts())}
    lines = build.ledger.collect().select("line", "id", "fate", "edited").to_dicts()
    assert len(lines) == len(given) == len(made)
    for line in lines:
        row, found = given[line["line"] - 1] | {"id": None}, made[line["id"]]
        assert bool(line["edited"]) == (texts_of(row) != texts_of(found)), "the ledger names the rows that were edited"
        assert {*line["edited"]} <= {"truecase", "secrets_and_pii-2"}
        for turn, other in zip(turns_of(row), turns_of(found), strict=True):
            if turn["content"] != other["content"]:
                assert re.fullmatch(edits_of(other["content"]), turn["content"], re.DOTALL | re.IGNORECASE)
                turn["content"] = other["content"]
        check_row(layout, row, found)
    check_exports(build, tmp_path / "out")
