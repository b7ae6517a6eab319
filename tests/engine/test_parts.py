"""Rows with tool calls, reasoning and tools from their file to the files of a build, beside rows of plain chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pyarrow.parquet as pq
import pytest

from curate.compare.diff import diff
from curate.io.formats.dialogues import messages
from curate.io.inputs import files
from curate.io.tables import frame
from curate.mix.amounts import Repeat, Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.report.dropped_rows import dropped_rows
from curate.report.terminal_rows import row_text
from curate.result.build import Build
from curate.rows.schema import row_schema
from curate.steps.base import Step
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.secrets_and_pii import secrets_and_pii
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from curate.steps.pairs.binarize import binarize

PLAIN = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
TOOLS = '[{"type":"function","function":{"name":"tide"}}]'


def calling(port: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": f'{{"port":  "{port}"}}'}}
    chat = [
        {"role": "user", "content": "when is high tide there?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "tide", "content": "17:40"},
        {"role": "assistant", "content": "at 17:40."},
    ]
    return {"messages": chat, "tools": json.loads(TOOLS), **more}


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def built(path: Path, sources: list[Source], steps: list[Step], **how: Any) -> Build:  # noqa: ANN401
    return Mixture("m", sources, steps).build(path, quiet=True, **how)


def rows_of(build: Build) -> list[dict[str, Any]]:
    return sorted(build.kept().collect().to_dicts(), key=lambda row: str(row["id"]))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rows = [PLAIN | {"id": f"p{i}", "n": i} for i in range(200)] + [calling(f"Port {i}", id=f"t{i}") for i in range(40)]
    return save(tmp_path / "mixed.jsonl", rows)


def test_calls_results_and_tools_come_out_as_they_went_in(mixed: Path, tmp_path: Path) -> None:
    build = built(tmp_path / "b", [Source("s", files(mixed, messages()))], [shape()])
    rows = rows_of(build)
    assert len(rows) == 240
    for row in rows:
        if row["id"].startswith("p"):
            assert row["tools"] is None
            assert all(turn["tool_calls"] is turn["name"] is turn["tool_call_id"] is None for turn in row["messages"])
        else:
            assert row["tools"] == json.dumps(json.loads(TOOLS))
            (call,) = row["messages"][1]["tool_calls"]
            assert call == {"id": "c1", "name": "tide", "arguments": f'{{"port":  "Port {row["id"][1:]}"}}'}
            assert row["messages"][1]["content"] is None
            assert (row["messages"][2]["tool_call_id"], row["messages"][2]["name"]) == ("c1", "tide")
            assert row["messages"][0]["tool_calls"] is None


def test_a_column_that_no_row_uses_is_not_written(mixed: Path, tmp_path: Path) -> None:
    build = built(tmp_path / "b", [Source("s", files(mixed, messages()))], [])
    (path,) = (build.path / "data").glob("*.parquet")
    schema = pq.read_schema(path)
    assert schema.names == ["source", "id", "messages", "tools", "meta"]
    message = schema.field("messages").type.value_type
    assert [field.name for field in message] == ["role", "content", "tool_calls", "tool_call_id", "name"]
    # Where no row with calls is kept, files are those of plain chat; what was dropped has its columns.
    plain = built(tmp_path / "p", [Source("s", files(mixed, messages()))], [shape(max_turns=2, allow_large_drop=True)])
    (path,) = (plain.path / "data").glob("*.parquet")
    assert pq.read_schema(path) == row_schema("conversation")
    dropped = plain.dropped().to_dicts()
    assert len(dropped) == 40
    assert all(row["tools"] and row["messages"][1]["tool_calls"] for row in dropped)


def test_plain_rows_are_the_same_beside_others_and_alone(mixed: Path, tmp_path: Path) -> None:
    lines = mixed.read_text().splitlines(keepends=True)
    alone = tmp_path / "alone.jsonl"
    alone.write_text("".join(line for line in lines if '"tools"' not in line).replace('"id"', '"no"'))
    beside = tmp_path / "beside.jsonl"
    beside.write_text("".join(lines).replace('"id": "p', '"no": "p').replace('"id": "t', '"no": "t'))
    ids = [
        {row["id"] for row in rows_of(built(tmp_path / path.stem, [Source("s", files(path, messages()))], []))}
        for path in (alone, beside)
    ]
    assert len(ids[0]) == 200
    assert ids[0] < ids[1]


def test_threads_copies_and_edits_change_no_byte(mixed: Path, tmp_path: Path) -> None:
    takes: dict[str, Repeat | Rows] = {"s": Repeat(3), "t": Rows(7)}
    sources = [Source(name, files(mixed, messages()), take=take) for name, take in takes.items()]
    builds = [built(tmp_path / f"b{n}", sources, [truecase()], threads=n) for n in (1, 2)]
    assert [split["shards"] for split in builds[0].manifest["splits"].values()] == [
        split["shards"] for split in builds[1].manifest["splits"].values()
    ]
    turns = next(row for row in rows_of(builds[0]) if row["tools"])["messages"]
    assert [turn["content"] for turn in turns] == ["When is high tide there?", None, "17:40", "at 17:40."]


def test_data_sets_and_polars_load_it_and_it_is_a_source_again(
    mixed: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    first = built(tmp_path / "a", [Source("s", files(mixed, messages()))], [])
    loaded = datasets.load_dataset(str(first.path / "data"), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted((dict(row) for row in loaded), key=lambda row: row["id"]) == rows_of(first)
    assert pl.scan_parquet(first.path / "data" / "*.parquet").collect().height == 240
    assert not [warning for warning in recwarn if "curate" not in str(warning.filename)]
    again = built(
        tmp_path / "b", [Source("s", frame(pl.read_parquet(first.path / "data/*.parquet").drop("source")))], []
    )
    drop = ("meta",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in rows_of(again)] == [
        {k: v for k, v in row.items() if k not in drop} for row in rows_of(first)
    ]


def test_rows_with_other_calls_are_no_duplicates(tmp_path: Path) -> None:
    rows = [
        calling("Brest"),
        calling("Brest") | {"id": "x"},
        calling("Oslo"),
        calling("Brest", tools=[{"name": "other"}]),
    ]
    path = save(tmp_path / "a.jsonl", rows)
    for step, count in ((exact_dedup(), 3), (exact_dedup("prompt"), 2), (dedup(threshold=1.0), 2)):
        steps = built(tmp_path / f"{step.name}-{step.on}", [Source("s", files(path))], [replaced(step)])
        assert len(rows_of(steps)) == count, step


def replaced(step: Step) -> Step:
    from dataclasses import replace

    return replace(step, allow_large_drop=True)


def test_builds_with_and_without_parts_are_compared(mixed: Path, tmp_path: Path) -> None:
    whole = built(tmp_path / "a", [Source("s", files(mixed, messages()))], [])
    plain = built(tmp_path / "b", [Source("s", files(mixed, messages()))], [shape(max_turns=2, allow_large_drop=True)])
    found = diff(whole, plain)
    assert (found.same, found.rows["change"].to_list()) == (200, ["left"] * 40)


def test_pairs_keep_the_tools_and_calls_of_their_prompt(tmp_path: Path) -> None:
    chat = [*calling("Brest")["messages"][:3], {"role": "user", "content": "And then?"}]
    answers = [
        {"content": text, "model": "m", "scores": [{"name": "overall", "value": value}]}
        for text, value in (("a", 1.0), ("b", 2.0))
    ]
    row = {"messages": chat, "completions": answers, "tools": TOOLS}
    build = built(tmp_path / "p", [Source("s", frame(pl.DataFrame([row], strict=False), "rated"))], [binarize()])
    (pair,) = rows_of(build)
    assert pair["tools"] == TOOLS
    assert pair["prompt"][1]["tool_calls"][0]["name"] == "tide"
    assert [turn["content"] for turn in pair["chosen"]] == ["b"]


def test_the_page_shows_calls_folded_and_hits_open(tmp_path: Path) -> None:
    rows = [calling("<b>Brest</b>"), calling("Oslo", tools=[{"name": "other<i>"}])]
    rows[0]["messages"][3]["reasoning_content"] = "It is <u>spring</u>."
    path = save(tmp_path / "a.jsonl", [*rows, PLAIN])
    build = built(tmp_path / "b", [Source("s", files(path))], [shape(max_turns=3, allow_large_drop=True)])
    page = (build.path / "report.html").read_text()
    assert page.count('<details class="turn">') == 4
    assert "assistant, call of tide" in page
    assert "unknown_tool: tide" in page
    assert not any(text in page for text in ("<b>Brest", "<u>spring", "other<i>"))
    assert "It is &lt;u&gt;spring&lt;/u&gt;." in page


def test_page_terminal_and_ledger_say_which_call_and_which_of_its_texts(tmp_path: Path) -> None:
    row = calling("Brest", id="r")
    mail, name = "ann.lee@mail.org", "bo.lee@mail.org"
    functions = [{"name": "tide", "arguments": '{"port": "Brest"}'}, {"name": name, "arguments": f'{{"to": "{mail}"}}'}]
    row["messages"][1]["tool_calls"] = [{"type": "function", "function": one} for one in functions]
    steps: list[Step] = [secrets_and_pii("drop", allow_large_drop=True)]
    build = built(tmp_path / "b", [Source("s", files(save(tmp_path / "a.jsonl", [row, PLAIN])))], steps)
    hits = build.lines.filter(pl.col("id") == "r").collect()["evidence"][0].to_list()
    assert [(hit["side"], hit["turn"]) for hit in hits] == [
        ("dialogue.call2.name", 1),
        ("dialogue.call2.arguments", 1),
    ]
    (shown,) = dropped_rows(build)
    calls = {turn.role: turn for turn in shown.turns if "call" in turn.role}
    assert list(calls) == ["assistant, call 1, of tide", f"assistant, call 2, of {name}"]
    first, second = calls.values()
    assert (first.flags, [span.titles for span in first.text]) == ((), [()])
    assert second.flags == ("email: email (in the name)",)
    assert [span.text for span in second.text if span.titles] == [mail]
    assert (first.folded, second.folded) == (True, False)
    page = (build.path / "report.html").read_text()
    assert f'call 2, of {name} <mark title="email: email (in the name)">' in page
    assert f'<mark title="email: email">{mail}</mark>' in page
    assert f"call 2, of {name}: " in row_text(shown).plain
