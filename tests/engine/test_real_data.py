"""Real files in every layout become one build, in which each of their rows is accounted for.

Rows are counted, and their texts read, by `json`, `csv` and `gzip` alone. Bad rows are planted at known places.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import datasets
import polars as pl
import pytest

from curate.io.formats.columns import columns
from curate.io.formats.oasst import oasst_messages
from curate.io.inputs import Input, files
from curate.io.tables import dataset, frame
from curate.mix.amounts import All, Fraction, Rows
from curate.mix.spec import Source
from curate.mix.takes.selection import Take
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import fates

Raw = Any
Turns = list[tuple[str, str]]
Place = tuple[str, int]
"""A file's name and a line or row of it."""

Find = Callable[[str], Path]

ROLES: Final = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
CHECKED: Final = 200
"""Rows of each source whose text is held against the raw file."""


class RowsOnDisk(NamedTuple):
    """A file with bad rows planted: the input that reads it, what each good row says, and where the bad ones lie."""

    input: Input
    rows: dict[Place, Turns]
    bad: set[Place]


# --- what a raw row says ------------------------------------------------------------------------------------------


def alpaca(raw: Raw) -> Turns:
    history = [
        (role, text) for pair in raw.get("history", ()) for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    ask = f"{raw['instruction']}\n\n{raw['input']}" if raw.get("input") else raw["instruction"]
    return [*history, ("user", ask), ("assistant", raw.get("output", raw.get("response")))]


def sharegpt(raw: Raw) -> Turns:
    return [(ROLES[turn["from"]], turn["value"]) for turn in raw["conversations"]]


def messages(raw: Raw) -> Turns:
    return [(turn["role"], "".join(part["value"] for part in turn["content"])) for turn in raw["messages"]]


def pair(ask: str, *say: str) -> Callable[[Raw], Turns]:
    return lambda raw: [("user", raw[ask]), ("assistant", "\n\n".join(raw[name] for name in say))]


def tree(raw: Raw) -> Turns:
    node, turns = raw["prompt"], []
    while node is not None:
        turns.append(("user" if node["role"] == "prompter" else "assistant", node["text"]))
        alive = [reply for reply in node["replies"] if not reply.get("deleted")]
        node = min(alive, key=lambda reply: (reply.get("rank") is None, reply.get("rank") or 0), default=None)
    return turns


# --- how files are written with bad rows in them ------------------------------------------------------------------


def plant(rows: list[bytes], bad: list[bytes], seed: int) -> list[tuple[bytes, bool]]:
    """Put the bad rows between the good ones; the first and the last row are bad."""
    chance = random.Random(seed)
    places = sorted(chance.sample(range(1, len(rows)), len(bad) - 2))
    cuts = [0, 0, *places, len(rows)]
    found: list[tuple[bytes, bool]] = []
    for one, (start, end) in zip(bad, pairwise(cuts), strict=True):
        found += [*((row, False) for row in rows[start:end]), (one, True)]
    return found


JSON_LINES: Final = [b'{"messages": ', b"not json", b'{"prompt": 1, "question": 2}', b'{"a": "caf\xe9"}', b"[]"]
JSON_ITEMS: Final = [b'"text"', b"{}", b"[1]", b'{"instruction": 7, "conversations": "none"}']


def placed(
    rows: list[tuple[bytes, bool]], name: str, first: int, read: Callable[[bytes], Turns]
) -> tuple[dict[Place, Turns], set[Place]]:
    good = {(name, first + i): read(row) for i, (row, is_bad) in enumerate(rows) if not is_bad}
    return good, {(name, first + i) for i, (_, is_bad) in enumerate(rows) if is_bad}


def read_with(turns: Callable[[Raw], Turns]) -> Callable[[bytes], Turns]:
    return lambda row: turns(json.loads(row))


def lines(folder: Path, path: Path, turns: Callable[[Raw], Turns], **how: Any) -> RowsOnDisk:  # noqa: ANN401
    packed = path.suffix == ".gz"
    data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    rows = plant(data.rstrip(b"\n").split(b"\n"), JSON_LINES, len(data))
    text = b"\n".join(row for row, _ in rows) + b"\n"
    (folder / path.name).write_bytes(gzip.compress(text, 1) if packed else text)
    return RowsOnDisk(files(folder / path.name, **how), *placed(rows, path.name, 1, read_with(turns)))


def array(folder: Path, path: Path, turns: Callable[[Raw], Turns], **how: Any) -> RowsOnDisk:  # noqa: ANN401
    items = [json.dumps(item, ensure_ascii=len(str(item)) % 2 == 0).encode() for item in json.loads(path.read_bytes())]
    rows = plant(items, JSON_ITEMS, len(items))
    (folder / path.name).write_bytes(b"[\n " + b",\n ".join(row for row, _ in rows) + b"\n]\n")
    return RowsOnDisk(files(folder / path.name, **how), *placed(rows, path.name, 1, read_with(turns)))


def keyed(folder: Path, path: Path, turns: Callable[[Raw], Turns]) -> RowsOnDisk:
    items = [json.dumps(item).encode() for item in json.loads(path.read_bytes())]
    rows = plant(items, [b"{}", b'{"instruction": null}', b'{"instruction": "no answer"}'], 5)
    held = b", ".join(b'"key-%d": %s' % (i, row) for i, (row, _) in enumerate(rows))
    (folder / path.name).write_bytes(b"{" + held + b"}")
    return RowsOnDisk(files(folder / path.name, "alpaca"), *placed(rows, path.name, 1, read_with(turns)))


def tsv(folder: Path, path: Path) -> RowsOnDisk:
    rows = plant(
        path.read_bytes().rstrip(b"\n").split(b"\n"), [b"one cell", b"two\tcells", b"a\tb\tc\td", b"\xff\tb\tc"], 6
    )
    (folder / path.name).write_bytes(b"\n".join(row for row, _ in rows) + b"\n")

    def read(row: bytes) -> Turns:
        ask, say, why = (cell.replace("\\n", "\n") for cell in row.decode().split("\t"))
        return [("user", ask), ("assistant", f"{why}\n\n{say}")]

    form = columns("question", ("why", "answer"))
    how = files(folder / path.name, form, columns=("question", "answer", "why"), unescape=True)
    return RowsOnDisk(how, *placed(rows, path.name, 1, read))


def table(folder: Path, path: Path) -> RowsOnDisk:
    """Write a CSV with cells over several lines, and bad rows after the good ones."""
    text = path.read_text("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    good: dict[Place, Turns] = {}
    line = reader.line_num + 1
    for row in reader:
        good[path.name, max(line, 2)] = pair("Question", "Best Answer")(row)
        line = reader.line_num + 1
    bad = 'too,few\n"Adversarial" x,b,c,d,e,f,g\n'
    (folder / path.name).write_text(text.rstrip("\r\n") + "\n" + bad, "utf-8", newline="")
    return RowsOnDisk(
        files(folder / path.name, columns("Question", "Best Answer")), good, {(path.name, line), (path.name, line + 1)}
    )


def several(folder: Path, paths: list[Path]) -> RowsOnDisk:
    """Write packed files into one folder."""
    (folder / "packed").mkdir()
    parts = [lines(folder / "packed", path, pair("prompt", "completion")) for path in paths]
    good = {place: turns for part in parts for place, turns in part.rows.items()}
    return RowsOnDisk(
        files(folder / "packed", "prompt_completion"), good, {place for part in parts for place in part.bad}
    )


def flat(folder: Path, path: Path) -> RowsOnDisk:
    """Write trees as messages in a flat list, parents after children, with a message that lost its parent."""
    trees = [json.loads(line) for line in path.read_bytes().splitlines()]
    listed: list[Raw] = [{"message_id": "lost", "parent_id": "gone", "text": "x", "role": "assistant"}]
    starts: dict[str, Turns] = {}
    for each in trees:
        starts[each["prompt"]["message_id"]] = tree(each)
        stack = [(None, each["prompt"])]
        while stack:
            parent, node = stack.pop()
            listed.append({**{name: node[name] for name in node if name != "replies"}, "parent_id": parent})
            stack += [(node["message_id"], reply) for reply in node["replies"]]
    listed.reverse()
    (folder / "flat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed), "utf-8")
    good = {
        ("flat.jsonl", i): starts[row["message_id"]] for i, row in enumerate(listed, 1) if row["message_id"] in starts
    }
    return RowsOnDisk(files(folder / "flat.jsonl", oasst_messages()), good, {("flat.jsonl", len(listed))})


def in_memory(path: Path, turns: Callable[[Raw], Turns], how: str) -> RowsOnDisk:
    raws = json.loads(path.read_bytes())
    raws[5]["output"] = None
    held = (
        frame(pl.DataFrame(raws), "alpaca") if how == "frame" else dataset(datasets.Dataset.from_list(raws), "alpaca")
    )
    good = {(how, i): turns(raw) for i, raw in enumerate(raws, 1) if raw["output"] is not None}
    return RowsOnDisk(held, good, {(how, 6)})


def parquet(folder: Path, path: Path, turns: Callable[[Raw], Turns], name: str) -> RowsOnDisk:
    raws = json.loads(path.read_bytes())
    for i in (0, 7):
        raws[i]["instruction"] = "has\0NUL"
    held = pl.DataFrame(raws)
    held.write_parquet(folder / name, row_group_size=300) if name.endswith("parquet") else held.write_ipc(folder / name)
    good = {(name, i + 1): turns(raw) for i, raw in enumerate(raws) if i not in {0, 7}}
    return RowsOnDisk(files(folder / name), good, {(name, 1), (name, 8)})


def written(folder: Path, find: Find) -> dict[str, RowsOnDisk]:
    """Copy the real files, with bad rows in them, into `folder`; by the name that their source will have."""

    def sft(name: str) -> Path:
        return find(f"sft/{name}")

    t0 = [
        sft(f"t0_train_50k/{name}.jsonl.gz") for name in ("dream_baseline", "gigaword_TLDR", "imdb_Reviewer_Enjoyment")
    ]
    return {
        "v1": lines(folder, sft("v1_sft_demo.jsonl"), messages, format="messages"),
        "lima": array(folder, sft("lima.json"), alpaca),
        "alpaca_en": array(folder, sft("alpaca_en_demo.json"), alpaca, format="alpaca"),
        "alpaca_zh": array(folder, sft("alpaca_zh_demo.json"), alpaca),
        "oasst_zh": array(folder, sft("oasst_sft_zh.json"), alpaca),
        "roleplay": array(folder, sft("gpteacher_roleplay-simple-deduped-roleplay-instruct.json"), alpaca),
        "code": keyed(folder, sft("code_alpaca_2k.json"), alpaca),
        "vicuna": array(folder, sft("vicuna_dummy_data.json"), sharegpt),
        "longest": array(folder, sft("alpaca_1k_longest.json"), sharegpt, format="sharegpt"),
        "glaive": array(folder, sft("glaive_toolcall_en_demo.json"), sharegpt),
        # Its `id` names a question, not a row: 245 rows have 144.
        "toolbench": array(folder, sft("toolbench_weather_demo.json"), sharegpt, id=None),
        "trees": lines(folder, sft("oasst_en_100_tree.jsonl"), tree, format="oasst"),
        "flat": flat(folder, sft("oasst_en_100_tree.jsonl")),
        "t0": several(folder, t0),
        "judge": lines(folder, sft("truthfulqa_judge_finetune_truth.jsonl"), pair("prompt", "completion")),
        "gsm8k": lines(folder, sft("gsm8k_train.jsonl"), pair("question", "answer"), format="question_answer"),
        "flan": tsv(folder, sft("flan_cot/strategyqa_train.tsv")),
        "halueval": lines(
            folder,
            sft("halueval_general.json"),
            pair("user_query", "chatgpt_response"),
            format=columns("user_query", "chatgpt_response", id="ID"),
        ),
        "truthful": table(folder, find("evals/TruthfulQA.csv")),
        "frame": in_memory(sft("rasbt_instruction_data.json"), alpaca, "frame"),
        "dataset": in_memory(sft("identity.json"), alpaca, "dataset"),
        "parquet": parquet(folder, sft("alpaca_cleaned_1000.json"), alpaca, "rows.parquet"),
        "arrow": parquet(folder, sft("alpaca_cleaned_1000.json"), alpaca, "rows.arrow"),
    }


class Done(NamedTuple):
    files: dict[str, RowsOnDisk]
    build: Build


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, real_file: Find) -> Done:
    folder = tmp_path_factory.mktemp("real")
    held = written(folder, real_file)
    takes: dict[str, Take] = {"judge": Rows(2_000), "gsm8k": Fraction(0.5)}
    sources = [
        Source(name, each.input, take=takes.get(name, All()), max_quarantine=0.06) for name, each in held.items()
    ]
    steps = (
        cut_refusals(),
        refusals(allow_large_drop=True),
        shape(unanswered=True),
        exact_dedup(keep="longest", allow_large_drop=True),
    )
    return Done(held, Mixture("real", sources, steps, seed=42, test=Rows(500)).build(folder / "out", quiet=True))


def test_enough_files_in_enough_layouts(done: Done) -> None:
    assert len(done.files) >= 15
    formats = {source["format"].split("(")[0] for source in done.build.manifest["sources"]}
    assert formats == {
        "messages",
        "alpaca",
        "sharegpt",
        "oasst",
        "oasst_messages",
        "prompt_completion",
        "question_answer",
        "columns",
    }


def test_the_fates_of_a_source_add_up_to_its_rows(done: Done) -> None:
    counted = {name: len(each.rows) + len(each.bad) for name, each in done.files.items()}
    found = fates(done.build)
    assert {name: sum(counts.values()) for name, counts in found.items()} == counted
    assert dict(done.build.funnel.select("source", "read").iter_rows()) == {**counted, "total": sum(counted.values())}
    assert found["judge"]["kept"] == 2_000
    assert all(counts["kept"] for name, counts in found.items() if name not in {"flat", "arrow"})
    # Both are copies of rows that came before.
    assert "kept" not in found["flat"]
    assert "kept" not in found["arrow"]


def test_the_rows_in_quarantine_are_those_planted(done: Done) -> None:
    bad = done.build.quarantined()
    found = {name: set(bad.filter(source=name).select("file", "line").iter_rows()) for name in done.files}
    assert found == {name: each.bad for name, each in done.files.items()}
    assert bad.height == sum(len(each.bad) for each in done.files.values())


def test_every_line_of_the_ledger_is_one_row(done: Done) -> None:
    places = done.build.ledger.select("source", "file", "line").collect()
    assert places.is_unique().all()
    for name, each in done.files.items():
        assert set(places.filter(source=name).select("file", "line").iter_rows()) == each.rows.keys() | each.bad


def turns_of(row: Any) -> Turns:  # noqa: ANN401
    """Return role and text of each turn; a call is the JSON that it came in."""
    return [
        (turn["role"], *map(call_text, turn.get("tool_calls") or ()))
        if turn["content"] is None
        else (turn["role"], turn["content"])
        for turn in row
    ]


def call_text(call: dict[str, str]) -> str:
    return f'{{"name": {json.dumps(call["name"])}, "arguments": {call["arguments"]}}}'


def test_kept_rows_say_what_the_file_says(done: Done) -> None:
    untouched = done.build.ledger.filter(fate="kept").filter(pl.col("edited").list.len() == 0)
    kept = done.build.kept().join(untouched.select("source", "id", "file", "line"), on=["source", "id"]).collect()
    assert kept.height == untouched.select(pl.len()).collect().item()
    for name, each in done.files.items():
        rows = kept.filter(source=name)
        for row in rows.sample(min(CHECKED, rows.height), seed=1).iter_rows(named=True):
            assert turns_of(row["messages"]) == each.rows[row["file"], row["line"]], (name, row["file"], row["line"])


def test_dropped_and_cut_rows_say_what_the_file_says(done: Done) -> None:
    dropped = done.build.dropped()
    assert dropped.height == sum(counts.get("dropped", 0) for counts in fates(done.build).values())
    for row in dropped.sample(CHECKED, seed=2).iter_rows(named=True):
        assert turns_of(row["messages"]) == done.files[row["source"]].rows[row["file"], row["line"]]
    cut = done.build.ledger.filter(fate="kept").filter(pl.col("edited").list.len() > 0)
    rows = done.build.kept().join(cut.select("source", "id", "file", "line"), on=["source", "id"]).collect()
    assert rows.height
    for row in rows.iter_rows(named=True):
        whole, left = done.files[row["source"]].rows[row["file"], row["line"]], turns_of(row["messages"])
        assert whole[: len(left)] == left != whole


def test_the_evidence_is_in_the_text(done: Done) -> None:
    dropped = done.build.dropped(step="refusals")
    assert dropped.height > 100
    for row in dropped.iter_rows(named=True):
        for hit in row["evidence"]:
            matched = row["messages"][hit["turn"]]["content"][hit["start"] : hit["end"]]
            letters = [char for char in matched.casefold() if char.isalpha()]
            assert letters, (row["id"], hit)
        assert row["match"] in {hit["match"] for hit in row["evidence"]}


def test_duplicates_name_a_row_that_is_there(done: Done) -> None:
    dropped = done.build.dropped(step="exact_dedup")
    assert {"flat", "arrow"} <= set(dropped["source"])
    names = done.build.ledger.select(name=pl.format("{}/{}", "source", "id")).collect()["name"]
    assert dropped["match"].is_in(names.implode()).all()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("preference/dpo_en_demo.json", "preference"),
        ("preference/ultrafeedback_binarized_train_clean.jsonl", "preference"),
        ("preference/ultrafeedback_truthful_qa_completions.json", "ultrafeedback"),
    ],
)
def test_the_other_kinds_of_rows(tmp_path: Path, real_file: Find, name: str, form: Any) -> None:  # noqa: ANN401
    path = real_file(name)
    count = len(json.loads(path.read_bytes())) if path.suffix == ".json" else path.read_bytes().count(b"\n")
    steps = (refusals(allow_large_drop=True), shape(), exact_dedup())
    done = Mixture("pairs", (Source("pairs", files(path, form)),), steps).build(tmp_path / "out", quiet=True)
    assert sum(fates(done)["pairs"].values()) == count
    assert done.kind == ("rated" if form == "ultrafeedback" else "preference")
    assert done.quarantined().height == 0
    assert done.kept().collect().height > count / 3
