"""What an export does beside its rows: errors that name rows and part, choices, the ledger, the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curate.errors import CallError, ExportError
from curate.export import export as exporting
from curate.export.export import TARGETS, Choices
from curate.io.inputs import files
from curate.mix.amounts import Rows
from curate.result.build import Build
from curate.rows.schema import Kind
from tests.support.build_data import built, chats, source, write_lines
from tests.support.export_rows import ASK, CHATS, HAND_WRITTEN, SAY, TOOLS, build_of, exported, read_back, same_form


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def values(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "train.parquet").to_pylist()
    return rows


def test_an_error_names_the_part_the_rows_and_what_to_say(tmp_path: Path) -> None:
    rows = [CHATS[name] for name in ("plain", "call", "call", "call", "call", "text and call", "template")]
    with pytest.raises(ExportError, match="llama-factory cannot hold what rows of") as raised:
        exported(tmp_path, "conversation", rows, "llama-factory")
    assert str(raised.value).splitlines()[1:] == [
        "  text_with_calls, in 1 row (s1/r5): text beside calls: it has either text or calls in a turn",
        "    say --drop-rows-with text_with_calls or --without text_with_calls",
        "  chat_template_kwargs, in 1 row (s0/r6): arguments of the chat template: it has one setting for all rows",
        "    say --drop-rows-with chat_template_kwargs or --without chat_template_kwargs",
        "  In Python: drop_rows_with=[...], without=[...], flatten=[...]",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build"], "nothing is written"
    with pytest.raises(ExportError, match=r"call_ids, in 5 rows \(s1/r1, s0/r2, s1/r3, \.\.\.\): ids of calls"):
        exported(tmp_path / "b", "conversation", rows, "open-instruct")


def test_every_row_has_a_line_in_the_ledger(tmp_path: Path) -> None:
    rows = [CHATS[name] for name in ("call", "parallel", "plain", "reasoning", "names")]
    made = exported(
        tmp_path, "conversation", rows, "openai",
        drop_rows_with=["parallel_calls", "missing_call_ids"], without=["names", "reasoning"],
    )  # fmt: skip
    lines = [(line["line"], line["fate"], line["reason"]) for line in made.ledger.collect().to_dicts()]
    assert lines == [
        (1, "changed", "without names"),
        (None, "left out", "parallel_calls, missing_call_ids"),
        (2, "exported", None),
        (3, "changed", "without reasoning"),
        (None, "left out", "missing_call_ids"),
    ]
    assert made.counts.rows() == [
        ("train", "changed", "without names", 1),
        ("train", "changed", "without reasoning", 1),
        ("train", "exported", None, 1),
        ("train", "left out", "missing_call_ids", 1),
        ("train", "left out", "parallel_calls, missing_call_ids", 1),
    ]
    text = (made.path / "train.jsonl").read_text()
    assert "Hm." not in text
    assert [list(json.loads(line)) for line in text.splitlines()] == [["messages", "tools"], ["messages"], ["messages"]]


def test_reasoning_and_calls_become_text(tmp_path: Path) -> None:
    rows = [CHATS["reasoning and call"], CHATS["text and call"], CHATS["plain"]]
    made = exported(
        tmp_path, "conversation", rows, "trl", flatten=["reasoning", "calls"], without=["names", "call_ids"]
    )
    said = [[turn["content"] for turn in row["messages"]][1] for row in values(made.path)]
    call = '<tool_call>\n{"name": "tide", "arguments": {"port":  "Brest", "days": 1.50}}\n</tool_call>'
    assert said == [f"<think>\nI need a tool.\n</think>\n\n{call}", f"Let me see.\n{call}", "At 17:40.\n"]
    assert list(values(made.path)[0]["messages"][0]) == ["role", "content"]
    assert made.ledger.collect()["reason"].to_list() == [
        "reasoning as text, calls as text",
        "without names, without call_ids, calls as text",
        None,
    ]


def test_reasoning_that_was_split_is_written_back_as_it_was(tmp_path: Path) -> None:
    texts = ["<think>\nHm.\n</think>\n\nAt 17:40.", "<think>Hm.</think> At 17:40.", "At 17:40."]
    rows = [{"messages": [{**ASK, "content": f"When? {text}"}, {**SAY, "content": text}]} for text in texts]
    split = files(write_lines(tmp_path / "rows.jsonl", rows), "messages", reasoning="split")
    made = built(tmp_path / "b", source("s", split)).export("llama-factory", tmp_path / "lf")
    turns = [row["conversations"] for row in values(made.path)]
    assert sorted(turn[1]["value"] for turn in turns) == sorted(texts)
    assert all(turn[0]["value"] == f"When? {turn[1]['value']}" for turn in turns)
    pairs = [{"prompt": "When?", "chosen": text, "rejected": f"{text}?"} for text in texts]
    split = files(write_lines(tmp_path / "pairs.jsonl", pairs), "preference", reasoning="split")
    made = built(tmp_path / "p", source("s", split)).export("open-instruct", tmp_path / "oi")
    said = [[row[side][-1]["content"] for side in ("chosen", "rejected")] for row in values(made.path)]
    assert sorted(said) == sorted([text, f"{text}?"] for text in texts)


@pytest.mark.parametrize("kind", ["conversation", "preference", "prompt"])
def test_open_instruct_gets_the_fields_that_its_templates_read(kind: Kind, tmp_path: Path) -> None:
    """As read in open_instruct/dataset_transformation.py at e6c3044: the templates `olmo` and RLVR's columns."""
    cannot = [*TARGETS["open-instruct"].kinds[kind].cannot]
    made = exported(tmp_path, kind, list(HAND_WRITTEN[kind].values()), "open-instruct", drop_rows_with=cannot)
    for row in values(made.path):
        for turn in (turn for side in ("messages", "chosen", "rejected") for turn in row.get(side, ())):
            assert turn["role"] in {"system", "user", "assistant", "environment"}
            assert isinstance(turn["content"], str) or (turn["role"] == "assistant" and turn["function_calls"])
            assert turn.get("function_calls") is None or turn["role"] == "assistant"
            assert turn.get("functions") is None or turn["role"] in {"system", "user"}
            assert {*turn} <= {"role", "content", "function_calls", "functions", "name"}
        if kind == "preference":
            assert row["chosen"][0] == row["rejected"][0]
        if kind == "prompt":
            assert (row["ground_truth"], row["dataset"]) == ("4", ["a", "b"])
            assert "tools" not in row, "RLVR's tools are names of what the run is given"


def test_a_message_is_never_left_without_anything(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"reasoning_only, in 1 row \(s0/r0\): a message of nothing but reasoning"):
        exported(tmp_path / "a", "conversation", [CHATS["reasoning alone"]], "openai", without=["reasoning"])
    with pytest.raises(ExportError, match=r"think_tags, in 1 row \(s0/r0\): reasoning that is empty or holds"):
        exported(tmp_path / "b", "conversation", [CHATS["reasoning with its end"]], "openai", flatten=["reasoning"])


def test_text_beside_calls_is_left_out(tmp_path: Path) -> None:
    rows = [CHATS["text and call"], CHATS["call"]]
    made = exported(tmp_path, "conversation", rows, "llama-factory", without=["text_with_calls"])
    assert made.ledger.collect()["reason"].to_list() == ["without text_with_calls", None]
    without, whole = (row["conversations"] for row in values(made.path))
    assert without == whole


def test_rows_are_left_out_for_what_a_choice_makes_of_them(tmp_path: Path) -> None:
    rows = [CHATS["reasoning and call"], CHATS["no ids"], CHATS["text and call"]]
    drops = {"drop_rows_with": ["text_with_calls"], "flatten": ["reasoning"]}
    made = exported(tmp_path, "conversation", rows, "llama-factory", **drops)
    assert made.ledger.collect()["fate"].to_list() == ["left out", "exported", "left out"]


@pytest.mark.parametrize("to", ["jsonl", "openai"])
def test_a_row_is_one_line_where_its_json_has_several(to: str, tmp_path: Path) -> None:
    tools = json.dumps(json.loads(TOOLS), indent=1).replace("\n", "\r\n")
    row = CHATS["call"] | {"tools": tools, "meta": '{"a": [1,\n2.50],\r"b": "one\\ntwo"}'}
    made = exported(tmp_path, "conversation", [row, CHATS["plain"]], to, without=["names"])
    first, second = (made.path / "train.jsonl").read_bytes().splitlines()
    assert json.loads(first)["tools"] == json.loads(TOOLS)
    assert to == "openai" or (b"[1, 2.50]" in first and json.loads(first)["b"] == "one\ntwo")
    assert json.loads(second)["messages"] == CHATS["plain"]["messages"]


def test_ids_are_left_out_of_calls_and_results(tmp_path: Path) -> None:
    made = exported(tmp_path, "conversation", [CHATS["call"]], "axolotl", without=["call_ids"])
    (row,) = values(made.path)
    assert row["messages"][1]["tool_calls"][0]["id"] is None
    assert "tool_call_id" not in row["messages"][2]


def test_the_text_that_dolci_had_is_used_again(tmp_path: Path) -> None:
    said = 'tide(port="Brest",  days=1.50)'
    meta = {"messages": [{}, {"function_calls": said}, {"role": "environment"}, {}]}
    row = CHATS["no ids"] | {"meta": json.dumps(meta)}
    edited = row | {"meta": json.dumps(meta).replace("Brest", "Oslo")}
    made = exported(tmp_path, "conversation", [row, edited], "open-instruct")
    turns = [one["messages"] for one in values(made.path)]
    assert [turn[1]["function_calls"] for turn in turns] == [said, "tide(port='Brest', days=1.5)"]
    assert [turn["role"] for turn in turns[0]] == ["user", "assistant", "environment", "assistant"]
    assert turns[0][0]["functions"] == row["tools"]


def test_fields_of_the_source_are_columns_where_their_name_is_free(tmp_path: Path) -> None:
    rows = [CHATS["meta"], CHATS["plain"]]
    made = exported(tmp_path / "a", "conversation", rows, "trl")
    assert [{name: row[name] for name in ("lang", "n", "meta")} for row in values(made.path)] == [
        {"lang": '"en"', "n": "1.50", "meta": '{"prompt":"x","label":[1, null]}'},
        {"lang": None, "n": None, "meta": None},
    ]
    made = exported(tmp_path / "b", "conversation", rows, "jsonl")
    first, second = (made.path / "train.jsonl").read_text().splitlines()
    assert first.endswith('"label":[1, null],"lang":"en","n":1.50,"prompt":"x"}')
    assert list(json.loads(second)) == ["source", "id", "messages"]
    made = exported(tmp_path / "c", "conversation", rows, "openai")
    assert made.notes == ["not in the files: meta of 1 row"]
    made = exported(tmp_path / "d", "conversation", rows, "llama-factory")
    assert made.notes == ["in the files, and not read by llama-factory: meta of 1 row"]


@pytest.mark.parametrize("to", TARGETS)
def test_the_same_rows_give_the_same_bytes_in_batches_of_any_size(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Kind = "conversation"
    rows, drops = list(HAND_WRITTEN[kind].values()), [*TARGETS[to].kinds[kind].cannot]
    whole, again = (exported(tmp_path / name, kind, rows, to, drop_rows_with=drops) for name in "ab")
    assert files_of(whole.path) == files_of(again.path)
    monkeypatch.setattr(exporting, "BATCH", 3)
    apart = exported(tmp_path / "c", kind, rows, to, drop_rows_with=drops)
    assert [same_form(row) for row in read_back(apart, kind)] == [same_form(row) for row in read_back(whole, kind)]
    assert apart.ledger.collect().equals(whole.ledger.collect())


@pytest.fixture
def build(tmp_path: Path) -> Build:
    rows = files(write_lines(tmp_path / "rows.jsonl", chats(20)), "messages")
    return built(tmp_path / "b", source("s", rows), test=Rows(4))


def test_a_build_exports_its_splits(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = build.export("llama-factory")
    assert made.path == Path("export/mix-llama-factory")
    assert sorted(files_of(made.path)) == [
        "dataset_info.json", "export.json", "ledger/rows.parquet", "test.parquet", "train.parquet",
    ]  # fmt: skip
    assert [(row["split"], row["rows"]) for row in made.counts.to_dicts()] == [("train", 16), ("test", 4)]
    info = json.loads((made.path / "dataset_info.json").read_text())
    assert {name: one["file_name"] for name, one in info.items()} == {
        "curate_train": "train.parquet",
        "curate_test": "test.parquet",
    }
    only = build.export("jsonl", "t", split="test")
    assert sorted(files_of(only.path)) == ["export.json", "ledger/rows.parquet", "test.jsonl"]
    kept = build.kept("test").collect().to_dicts()
    assert [json.loads(line)["messages"] for line in (only.path / "test.jsonl").read_text().splitlines()] == [
        row["messages"] for row in kept
    ]


def test_folders_made_for_an_export_that_fails_are_removed(tmp_path: Path) -> None:
    manifest = build_of(tmp_path / "b", "conversation", [CHATS["template"]])
    how: dict[str, Any] = {"splits": ["train"], "choices": Choices((), (), ()), "overwrite": False}
    with pytest.raises(ExportError, match="chat_template_kwargs, in 1 row"):
        exporting.export(tmp_path / "b", manifest, "axolotl", tmp_path / "new" / "er", **how)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_only_an_export_is_replaced(build: Build, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for overwrite, said in ((False, "exists; choose another"), (True, "is no export of curate")):
        with pytest.raises(ExportError, match=said):
            build.export("trl", out, overwrite=overwrite)
    (out / "thesis.txt").unlink()
    out.rmdir()
    first = files_of(build.export("trl", out).path)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"holds files that no export wrote: notes\.txt; nothing was deleted"):
        build.export("jsonl", out, overwrite=True)
    (out / "notes.txt").unlink()
    assert files_of(out) == first
    assert "train.jsonl" in files_of(build.export("jsonl", out, overwrite=True).path)
    (out / "export.json").write_text("{}")
    with pytest.raises(ExportError, match="is not the record of an export"):
        build.export("jsonl", out, overwrite=True)
    with pytest.raises(ExportError, match="exists and is no export"):
        build.export("jsonl", build.path, overwrite=True)


@pytest.mark.parametrize(
    ("to", "how", "said"),
    [
        ("trt", {}, "no export to 'trt'; did you mean 'trl'"),
        ("trl", {"without": ["calls"]}, r"--without \(.*\): 'calls' is no part for it; it takes reasoning, text_with"),
        ("trl", {"drop_rows_with": ["call"]}, "--drop-rows-with .*: 'call' is no part for it; did you mean 'calls'"),
        ("trl", {"without": ["reasoning"], "flatten": ["reasoning"]}, "reasoning is either left out"),
        ("trl", {"split": "dev"}, "this build has no split 'dev'"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_named(build: Build, to: Any, how: dict[str, Any], said: str, tmp_path: Path) -> None:  # noqa: ANN401
    with pytest.raises(CallError, match=said):
        build.export(to, tmp_path / "out", **how)


def test_a_kind_that_a_trainer_does_not_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CallError, match=r"trl takes no rated rows \(conversation, preference, unpaired, prompt\); jsonl would"
    ):
        exported(tmp_path, "rated", list(HAND_WRITTEN["rated"].values()), "trl")
