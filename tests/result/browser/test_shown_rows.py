"""The document of rows: of limited size whatever the rows are, and with all that it does not cut."""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mix.takes.ranked import Longest
from curate.mixture import Mixture
from curate.result.browser.sample import sample
from curate.result.browser.shown_rows import LIMITS, Document, document, shown_rows
from curate.result.build import Build
from curate.steps.refusals.refusals import refusals
from tests.support.tool_rows import TOOLS

Row = dict[str, Any]
PHRASE = "As an AI language model"


def read(found: Document) -> Row:
    data: Row = json.loads(zlib.decompress(b64decode(found.data)))
    assert len(data["rows"]) == found.rows
    return data


def shown_of(build: Build, n: int, budget: int) -> Document:
    found = sample(build, n)
    return document(build, shown_rows(build, found.rows), found.total, budget)


def text(part: Row) -> str:
    return "".join(span if isinstance(span, str) else span[0] for span in part.get("text", []))


def built(folder: Path, rows: list[Row], max_quarantine: float = 0.01) -> Build:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8", newline="")
    source = Source("rows", files(path, format="messages"), max_quarantine=max_quarantine)
    return Mixture("rows", (source,), (refusals(),)).build(folder / "build", quiet=True)


def row(name: str, *said: str) -> Row:
    roles = ("user", "assistant")
    return {"id": name, "messages": [{"role": roles[n % 2], "content": one} for n, one in enumerate(said)]}


def test_rows_are_there_whole_with_their_verdict(rated_build: Build) -> None:
    data = read(shown_of(rated_build, 2000, 10**6))
    lines = {(line["source"], line["id"]): line for line in rated_build.lines.collect().to_dicts()}
    texts = pl.concat(
        [pl.scan_parquet(rated_build.path / name / "*.parquet").collect() for name in ("data", "dropped", "rated")],
        how="diagonal",
    )
    whole = {(one["source"], one["id"]): one for one in texts.to_dicts()}
    assert data["total"] == len(data["rows"]) == len(whole)
    for shown in data["rows"]:
        key = shown["source"], shown["id"]
        line, own = lines[key], whole[key]
        for name in ("fate", "step", "reason", "file", "line", "score", "bound"):
            value = line[name]
            assert shown.get(name) == (pytest.approx(value) if isinstance(value, float) else value)
        said = [message["content"] for message in (own["messages"] or own["prompt"])]
        if own["completions"]:
            said += [one["content"] for one in own["completions"]]
            scores = [part["scores"] for part in shown["parts"] if part["side"] == "completion"]
            assert scores == [[[s["name"], s["value"]] for s in one["scores"]] for one in own["completions"]]
        else:
            said += [message["content"] for side in ("chosen", "rejected") for message in own[side]]
            assert ["chosen_score", own["chosen_score"]] in shown["fields"]
        assert [text(part) for part in shown["parts"]] == said
        assert shown["characters"] == sum(map(len, said))
    leak = next(shown for shown in data["rows"] if shown.get("step") == "decontaminate")
    assert leak["items"][0][0].startswith("pellow/")
    assert leak["items"][0][1].startswith("words 1 to ")


def test_a_row_is_not_taken_for_a_quarantined_one_of_the_same_id(tmp_path: Path) -> None:
    """One of two rows of an id is kept, the other quarantined."""
    rows = [row(f"r{n}", f"Ask {n}?", "Yes.") for n in range(300)]
    build = built(tmp_path, [*rows, *(row(f"r{n}", f"Ask {n}?", "No.") for n in range(20))], max_quarantine=0.5)
    lines = build.ledger.filter(fate="kept").select("id", "line", "fate").collect()
    assert build.ledger.select(pl.len()).collect().item() == 20 + lines.height == 320
    shown = read(shown_of(build, 2000, 10**6))["rows"]
    assert [(one["id"], one["line"], one["fate"]) for one in shown] == lines.sort("id").rows()


def test_same_bytes_each_time(rated_build: Build) -> None:
    made = {shown_of(rated_build, 20, 10**6) for _ in range(2)}
    assert len(made) == 1


def test_long_rows_are_cut_and_say_how_much(tmp_path: Path) -> None:
    huge = "All work and no play. " * (10_000_000 // 22)
    rows = [
        row("huge", "Tell me.", f"{huge}{PHRASE}, I cannot. {huge}"),
        row("many", *(f"turn {n}" for n in range(500))),
        row("hits", "Go on.", f"{PHRASE}. " * 20_000),
        row("each", *(f"{PHRASE} {n}." for n in range(400))),
        row("short", "Hm?", "Yes."),
    ]
    data = read(shown_of(built(tmp_path, rows), 9, 10**6))
    shown = {one["id"]: one for one in data["rows"]}
    assert len(shown) == 5
    assert all(len(json.dumps(one)) < LIMITS[0] * 1.2 for one in data["rows"])
    parts = shown["huge"]["parts"][1]["text"]
    assert [span[0] for span in parts if isinstance(span, list)] == [PHRASE]
    gaps = [int(span["gap"].split()[0].replace(",", "")) for span in parts if isinstance(span, dict)]
    rest = sum(len(span if isinstance(span, str) else span[0]) for span in parts if not isinstance(span, dict))
    assert sum(gaps) + rest == len(rows[0]["messages"][1]["content"])
    assert shown["huge"]["characters"] == sum(gaps) + rest + len("Tell me.")
    assert shown["many"]["turns"] == 500
    assert sum(part.get("left_out", 1) for part in shown["many"]["parts"]) == 500
    assert shown["short"]["parts"][1]["text"] == ["Yes."]


@pytest.mark.parametrize("budget", [400_000, 60_000, 5_000])
def test_what_does_not_compress_is_cut_then_left_out(tmp_path: Path, budget: int) -> None:
    random_of = random.Random(4)
    noise = ["".join(chr(random_of.randrange(0x4E00, 0x9FFF)) for _ in range(3000)) for _ in range(60)]
    made = built(tmp_path, [row(f"r{n}", "Hm?", one) for n, one in enumerate(noise)])
    found = shown_of(made, 60, budget)
    assert len(found.data) <= budget
    data = read(found)
    assert data["total"] == 60
    assert (len(data["rows"]) == 60) == (budget > 60_000)
    assert len(data["rows"]) > 0 or budget < 10_000


def test_parts_and_hostile_texts_are_carried(tmp_path: Path) -> None:
    arguments = '{"q": "\\u0000 \\ud800 </script>"}'
    call = {"type": "function", "function": {"name": "find", "arguments": arguments}}
    messages: list[Row] = [
        {"role": "user", "content": "</script><script>alert(1)</script> \u202e javascript:alert(2)"},
        {"role": "assistant", "reasoning_content": "Hmm <!-- ", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "]]> \x0b", "name": "find"},
        {"role": "assistant", "content": "Done."},
    ]
    made = built(tmp_path, [{"id": "<b>\u202e", "messages": messages, "tools": TOOLS, "more": {"x": "</script>"}}])
    (shown,) = read(shown_of(made, 9, 10**6))["rows"]
    assert shown["id"] == "<b>\u202e"
    assert shown["turns"] == 4
    said = [(part["role"], text(part), part.get("folded", False)) for part in shown["parts"]]
    assert said[1:] == [
        ("user", messages[0]["content"], False),
        ("assistant, reasoning", "Hmm <!-- ", True),
        ("assistant, call of find", arguments, True),
        ("tool, find", "]]> \x0b", False),
        ("assistant", "Done.", False),
    ]
    assert said[0][0] == "tools"
    assert ["meta", ['{"more":{"x": "</script>"}}']] in shown["fields"]


def test_a_chosen_row_says_its_place_and_why(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps(row(f"r{n}", f"Why {n}?", "So it is. " * n)) + "\n" for n in range(1, 9)), "utf-8"
    )
    source = Source("rows", files(path, format="messages"), take=Longest(3))
    build = Mixture("rows", (source,)).build(tmp_path / "build", quiet=True)
    shown = {one["id"]: one.get("chosen") for one in read(shown_of(build, 2000, 10**6))["rows"]}
    assert shown == {name: [place, 3, [["characters", size]]] for name, place, size in chosen(build)}


def chosen(build: Build) -> list[tuple[str, int, int]]:
    return build.chosen("rows").select("id", "place", "characters").rows()
