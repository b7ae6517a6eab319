"""The law of exports: what is exported reads back the same, and what is left out has a part that the target lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.export.export import LEFT_OUT, TARGETS
from curate.io.inputs import files
from curate.rows.schema import Kind
from tests.support.build_data import built, source
from tests.support.export_rows import HAND_WRITTEN, Row, exported, read_back, same_form, some_rows
from tests.support.part_oracles import ANSWERS, ORACLES

EVERY = [(name, kind) for name, target in TARGETS.items() for kind in target.kinds]


def check(folder: Path, kind: Kind, rows: list[Row], to: str) -> int:
    if to == "open-instruct":  # where a prompt begins with the assistant, a reader takes the answers for whole
        rows = [row for row in rows if row.get("prompt", [{"role": "user"}])[0]["role"] != "assistant"]
    cannot = TARGETS[to].kinds[kind].cannot
    made = exported(folder, kind, rows, to, drop_rows_with=[*cannot])
    ledger = made.ledger.collect().to_dicts()
    assert [line["id"] for line in ledger] == [f"r{i}" for i in range(len(rows))]
    for row, line in zip(rows, ledger, strict=True):
        wrong = [part for part in cannot if ORACLES[part](row)]
        assert (line["reason"] or "") == ", ".join(wrong), row
        assert (line["fate"] == LEFT_OUT) == bool(wrong)
    stays = [(row, line) for row, line in zip(rows, ledger, strict=True) if line["fate"] != LEFT_OUT]
    assert [line["line"] for _, line in stays] == list(range(1, len(stays) + 1))
    back = read_back(made, kind)
    assert len(back) == len(stays)
    for (row, line), found in zip(stays, back, strict=True):
        if to != "openai":
            assert found["id"] == line["id"]
        assert whole(same_form(found), to) == whole(same_form(row), to), row
    return len(stays)


def whole(row: Row, to: str) -> Row:
    """Return a row as a trainer has it: tools wrapped, and the prompt before each answer, without where they part."""
    if to == "openai" and row["tools"]:
        row["tools"] = [one if "function" in one else {"type": "function", "function": one} for one in row["tools"]]
    sides = [side for side in ANSWERS if side in row and (to in {"open-instruct", "axolotl", "llama-factory"})]
    if not sides:
        return row
    prompt = row.pop("prompt")
    return {**row, **{side: prompt + row[side] for side in sides}}


@pytest.mark.parametrize(("to", "kind"), EVERY)
def test_hand_written_rows_come_back(to: str, kind: Kind, tmp_path: Path) -> None:
    rows = list(HAND_WRITTEN[kind].values())
    assert check(tmp_path, kind, rows, to) > 2


@pytest.mark.parametrize(("to", "kind"), EVERY)
def test_made_up_rows_come_back(to: str, kind: Kind, tmp_path: Path) -> None:
    rows = some_rows(kind, 400, seed=1)
    assert len(rows) > 10
    check(tmp_path, kind, rows, to)


REAL = (
    "sft/glaive_toolcall_en_demo.json",
    "sft/v1_sft_demo.jsonl",
    "preference/dpo_en_demo.json",
    "preference/kto_en_demo.json",
)


@pytest.mark.parametrize("name", REAL)
def test_real_rows_come_back(name: str, real_file: Callable[[str], Path], tmp_path: Path) -> None:
    build = built(tmp_path / "b", source("s", files(real_file(name))))
    rows = build.kept().drop("source", "id").collect().to_dicts()
    assert len(rows) >= 300
    for to, target in TARGETS.items():
        if build.kind in target.kinds:
            assert check(tmp_path / to, build.kind, rows, to) > len(rows) / 3
