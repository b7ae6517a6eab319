"""`joined` makes one rated row of all answers to a prompt, loses nothing, and says which rows it could not read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from curate.engine.manifest import canonical
from curate.errors import MixtureError, SourceNotFoundError
from curate.io.formats.rated import scored
from curate.io.inputs import Input, files
from curate.io.joined import joined


def save(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def said(prompt: str, text: object, score: object, **more: object) -> dict[str, Any]:
    return {"instruction": prompt, "output": text, "preference": score, **more}


def read(source: Input) -> tuple[list[dict[str, Any]], list[str | None], list[tuple[str, int, str]]]:
    """The rows of an input with their `meta` decoded, their ids, and the rows that it quarantines."""
    opened = source.open()
    rows, ids, bad = [], [], []
    for block in opened.blocks():
        parsed = opened.parse(block)
        rows += [row | {"meta": json.loads(row["meta"])} for row in parsed.body.to_pylist()]
        ids += parsed.ids.to_pylist()
        bad += [(block.file, each["line"], each["expected"]) for each in parsed.bad.to_pylist()]
    return rows, ids, bad


def answers(row: dict[str, Any]) -> list[tuple[str, str | None, dict[str, float]]]:
    return [
        (each["content"], each["model"], {score["name"]: score["value"] for score in each["scores"]})
        for each in row["completions"]
    ]


FIELDS: dict[str, Any] = {"on": "instruction", "content": "output", "score": "preference"}


def test_a_file_for_each_model(tmp_path: Path) -> None:
    one = save(tmp_path / "one.jsonl", [said("q", "a", 1, set="x", cost=2), said("only one", "b", 0.5, set="x")])
    two = save(tmp_path / "two.jsonl", [said("other", "c", None, set="x"), said("q", "é\r\n", "1.5", set="x", cost=3)])
    rows, _, bad = read(joined({"one": one, "org/two": two}, **FIELDS))
    assert [row["messages"] for row in rows] == [
        [{"role": "user", "content": prompt}] for prompt in ("q", "only one", "other")
    ]
    assert [answers(row) for row in rows] == [
        [("a", "one", {"preference": 1.0}), ("é\r\n", "org/two", {"preference": 1.5})],
        [("b", "one", {"preference": 0.5})],
        [("c", "org/two", {})],
    ]
    assert rows[0]["meta"] == {"set": "x", "completions": [{"cost": 2}, {"cost": 3}]}
    assert rows[1]["meta"] == {"set": "x"}
    assert bad == []


def test_one_file_with_a_row_for_each_answer(tmp_path: Path) -> None:
    rated = [
        {"prompt": prompt, "response": text, "helpfulness": 3, "verbosity": "N/A", "by": "m"}
        for prompt, text in (("p", "a"), ("q", "b"), ("p", "c"), ("p", "c"))
    ]
    path = save(tmp_path / "train.jsonl", rated)
    rows, _, _ = read(joined(path, on="prompt", content="response", score=("helpfulness", "verbosity"), model="by"))
    one = {"helpfulness": 3.0}
    assert [answers(row) for row in rows] == [[("a", "m", one), ("c", "m", one), ("c", "m", one)], [("b", "m", one)]]
    alone, _, _ = read(files(path, scored("prompt", "response", ("helpfulness", "verbosity"), model="by")))
    assert [answers(row) for row in alone] == [[(each["response"], "m", one)] for each in rated]


def test_prompts_are_joined_by_their_normal_form_and_each_spelling_is_kept(tmp_path: Path) -> None:
    asked = ("Why so\u200b?", "why so?", "Why so\u200b?", " ", "\u200b")
    rows, _, _ = read(
        joined(save(tmp_path / "a.jsonl", [said(text, str(i), i) for i, text in enumerate(asked)]), **FIELDS)
    )
    assert [row["messages"][0]["content"] for row in rows] == ["Why so\u200b?", " ", "\u200b"]
    assert [answer[0] for answer in answers(rows[0])] == ["0", "1", "2"]
    assert rows[0]["meta"] == {"completions": [{}, {"instruction": "why so?"}, {}]}


def test_ids_stay_with_the_row_or_with_the_answer(tmp_path: Path) -> None:
    save(tmp_path / "a.jsonl", [said("same", "1", 1, id=7), said("differs", "2", 1, id="x"), said("none", "3", 1)])
    save(tmp_path / "b.jsonl", [said("same", "4", 1, id=7), said("differs", "5", 1, id="y"), said("none", "6", 1)])
    rows, ids, _ = read(joined(tmp_path, **FIELDS))
    assert ids == ["7", None, None]
    assert [row["meta"] for row in rows] == [{}, {"completions": [{"id": "x"}, {"id": "y"}]}, {}]


def test_fields_named_like_those_of_rated_are_kept(tmp_path: Path) -> None:
    more = {"prompt": "P", "messages": [1], "completions": 2, "content": "C", "model": 3, "scores": [], "row": 4}
    path = save(tmp_path / "a.jsonl", [said("q", "a", 1) | more, said("q", "b", 1) | more | {"content": "D"}])
    rows, _, bad = read(joined(path, **FIELDS))
    assert bad == []
    assert [answer[:2] for answer in answers(rows[0])] == [("a", None), ("b", None)]
    seen = {"prompt": "P", "messages": [1], "completions": 2}
    kept = [{key: value for key, value in each.items() if key != "row"} for each in rows[0]["meta"]["completions"]]
    assert kept == [seen, seen]
    everything = json.dumps(rows[0]["meta"])
    for word in ('"C"', '"D"', '"model": 3', '"scores": []', '"row": 4'):
        assert word in everything


def test_what_cannot_be_read_is_quarantined_by_itself(tmp_path: Path) -> None:
    good = said("q", "a", 1)
    save(tmp_path / "a.jsonl", [good, {"instruction": "q"}, said("q", "nul \0", 1), said("q", 5, 1)])
    save(tmp_path / "b.jsonl", [said("q", "b", "high"), said("q", "c", 2)])
    (tmp_path / "c.jsonl").write_bytes(b'{"instruction": \n\xff\n')
    rows, _, bad = read(joined(tmp_path, **FIELDS))
    assert [answers(row) for row in rows] == [[("a", None, {"preference": 1.0}), ("c", None, {"preference": 2.0})]]
    assert [(file, line) for file, line, _ in bad] == [
        ("a.jsonl", 2),
        ("a.jsonl", 3),
        ("a.jsonl", 4),
        ("b.jsonl", 1),
        ("c.jsonl", 1),
        ("c.jsonl", 2),
    ]
    assert [expected for *_, expected in bad][:4] == [
        "output: a field of this name",
        "output: text without NUL",
        "output: str, not int",
        'preference: a number, or "N/A"',
    ]


def test_sorts_of_files_and_sizes_of_blocks_change_nothing(tmp_path: Path) -> None:
    rows = [said(f"q{i % 7}", f"a{i}", i / 3, n=i) for i in range(40)]
    save(tmp_path / "lines" / "x.jsonl", rows)
    (tmp_path / "array").mkdir()
    (tmp_path / "array" / "x.json.gz").write_bytes(gzip.compress(json.dumps(rows, indent=1).encode()))
    lines, array = (joined(tmp_path / name, **FIELDS) for name in ("lines", "array"))
    assert read(lines) == read(array)
    opened = lines.open()
    small = list(opened.input.read(opened.parts, (opened.format,), size=300))
    assert len(small) > 3
    again = [row for block in small for row in opened.parse(block).body.to_pylist()]
    assert [row | {"meta": json.loads(row["meta"])} for row in again] == read(lines)[0]
    assert sum(block.size for block in small) <= sum(file.size for file in opened.parts)


def test_nothing_to_join(tmp_path: Path) -> None:
    empty = save(tmp_path / "empty.jsonl", [])
    assert read(joined(empty, **FIELDS)) == ([], [], [])
    with pytest.raises(SourceNotFoundError, match="is not there"):
        joined({"m": tmp_path / "missing.jsonl"}, **FIELDS).open()
    with pytest.raises(MixtureError, match="at least one path"):
        joined([], **FIELDS)
    with pytest.raises(MixtureError, match="are ambiguous"):
        joined({"a": empty, "a/b": empty}, **FIELDS)
    with pytest.raises(MixtureError, match="each once"):
        joined(empty, on="x", content="x", score="s")


def test_where_files_lie_is_no_part_of_the_identity(tmp_path: Path) -> None:
    here, there = (joined({"m": tmp_path / name}, **FIELDS) for name in "ab")
    assert canonical(here) == canonical(there)
    assert canonical(here) != canonical(joined({"n": tmp_path / "a"}, **FIELDS))


def test_text_at_the_edge(tmp_path: Path, edge_texts: dict[str, str]) -> None:
    texts = [text for text in edge_texts.values() if len(text) < 10**6]
    path = save(tmp_path / "a.jsonl", [said(text, text, 1, note=text) for text in texts] * 2)
    rows, _, bad = read(joined(path, **FIELDS))
    assert bad == []
    assert [row["messages"][0]["content"] for row in rows] == texts
    assert [[answer[0] for answer in answers(row)] for row in rows] == [[text, text] for text in texts]
    assert [row["meta"] for row in rows] == [{"note": text} for text in texts]
