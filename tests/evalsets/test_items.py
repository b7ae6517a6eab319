"""An eval set gives the same items from every kind of file, loses no row, and says what is wrong where it has none."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.engine.manifest import canonical
from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.evalsets.evals import evals
from curate.evalsets.fields import Fields
from curate.evalsets.items import EvalItems, EvalSet
from curate.evalsets.origins import Hub

ROWS = [
    {"id": "a", "question": "Who, then?", "answer": "She."},
    {"id": "b", "question": 'He said "no"\nand left', "answer": "é"},
    {"id": "c", "question": "你好世界", "answer": ""},
]


def ask(path: Path, **fields: str | tuple[str, ...]) -> EvalSet:
    (one,) = evals.files(path, **{"question": "question", **fields})  # type: ignore[arg-type]
    return one


def questions(items: EvalItems) -> list[str]:
    texts: list[str] = items.question.to_pylist()
    return texts


def write(path: Path) -> Path:
    table = pa.Table.from_pylist(ROWS)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    cells = io.StringIO()
    delimited = csv.DictWriter(cells, list(ROWS[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
    delimited.writeheader()
    delimited.writerows(ROWS)
    match path.suffixes:
        case [".jsonl"]:
            path.write_text(lines)
        case [".jsonl", ".gz"]:
            path.write_bytes(gzip.compress(lines.encode()))
        case [".jsonl", ".zst"]:
            path.write_bytes(pa.compress(lines.encode(), "zstd", asbytes=True))
        case [".json"]:
            path.write_text(json.dumps(ROWS))
        case [".csv"]:
            path.write_text(cells.getvalue(), "utf-8", newline="")
        case [".parquet"]:
            pq.write_table(table, path)
        case _:
            with pyarrow.ipc.new_file(path, table.schema) as out:
                out.write_table(table)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst", "x.json", "x.csv", "x.parquet", "x.arrow"])
def test_every_kind_of_file_gives_the_same_items(tmp_path: Path, name: str) -> None:
    one = ask(write(tmp_path / name), answer="answer", id="id")
    items = one.load()
    assert one.name == "x"
    assert items.ids.to_pylist() == ["a", "b", "c"]
    assert questions(items) == [row["question"] for row in ROWS]
    assert items.answer.to_pylist() == [row["answer"] for row in ROWS]
    assert items.passage.null_count == items.choices.null_count == 3
    assert [column.type for column in items] == [pa.string()] * 3 + [pa.list_(pa.string())] + [pa.string()]
    assert (
        items.digest()
        == one.load().digest()
        == ask(write(tmp_path / "y.jsonl"), answer="answer", id="id").load().digest()
    )


def test_the_digest_tells_columns_and_items_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl")
    found = {
        ask(path).load().digest(),
        ask(path, answer="answer").load().digest(),
        ask(path, passage="answer").load().digest(),
        ask(path, id="id").load().digest(),
    }
    assert len(found) == 4


def test_separator_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('1;"Is; it?";yes\n2;Why?;no\n')
    items = ask(path, columns=("id", "question", "answer"), separator=";", answer="answer").load()
    assert questions(items) == ["Is; it?", "Why?"]
    assert items.answer.to_pylist() == ["yes", "no"]


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text('Say "hi", twice\nor not\n')
    items = ask(path, columns=("question",)).load()
    assert questions(items) == ['Say "hi", twice', "or not"]


def test_rows_without_a_question_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'{"question": "a"}\n{"question": null}\n{"question": 3}\n{"x": 1}\n[1]\n{"quest\n{"question": "\xff"}\n'
    )
    items = ask(path).load()
    assert questions(items) == ["a", "", "", "", "", "", ""]
    assert items.ids.to_pylist() == list("0123456")


def test_cells_that_cannot_be_read_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'question,answer\na,b\nx\n\xff,b\nlast,"open')
    items = ask(path, answer="answer").load()
    assert questions(items) == ["a", "", "", ""]


def test_text_that_is_not_utf8_in_parquet_costs_its_row_only(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )
    pq.write_table(pa.table({"question": bad}), tmp_path / "x.parquet")
    assert questions(ask(tmp_path / "x.parquet").load()) == ["a", ""]


def test_nesting_without_end_costs_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "a"}\n{"question": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    assert questions(ask(path).load()) == ["a", ""]


def test_edge_texts_come_through(tmp_path: Path, edge_texts: dict[str, str]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in edge_texts.values()))
    assert questions(ask(path).load()) == list(edge_texts.values())


def test_json_keyed_by_id(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"one": {"question": "a"}, "two": {"question": "b"}}')
    assert ask(path).load().ids.to_pylist() == ["one", "two"]


def test_the_list_of_one_object_and_one_object_that_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"canary": "x", "examples": [{"question": "a"}, {"question": "b"}]}')
    assert questions(ask(path).load()) == ["a", "b"]
    path.write_text('{"question": "a", "choices": [{"text": "b"}]}')
    assert ask(path, choices="choices.text").load().choices.to_pylist() == [["b"]]


def test_several_files_number_their_items_apart(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/z.jsonl", "a.v1.jsonl", "a.v2.jsonl"):
        (tmp_path / name).write_text('{"question": "x"}\n{"question": "y"}\n')
    items = ask(tmp_path, id="own").load()
    assert items.ids.to_pylist() == ["a.v1/0", "a.v1/1", "a.v2/0", "a.v2/1", "b/z/0", "b/z/1"]
    assert ask(tmp_path).name == tmp_path.name


def test_ids_are_unique(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    own = ["a", "a", "a-2", "a", None, "4", 4]
    path.write_text("".join(json.dumps({"question": "x", "id": one}) + "\n" for one in own))
    assert ask(path, id="id").load().ids.to_pylist() == ["a", "a-3", "a-2", "a-4", "4", "4-2", "4-3"]


def test_turns_without_ids(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"turns": ["a", "b"]}\n{"turns": ["c"]}\n')
    assert ask(path, question="turns").load().ids.to_pylist() == ["0/0", "0/1", "1/0"]


def test_at_reads_a_registry_entry_from_files(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    path.write_text("Type,Question,Best Answer,Correct Answers,Incorrect Answers\nx,Why?,So,So; Thus,Else\n")
    (hub,) = evals("truthful_qa")
    items = hub.at(path).load()
    assert questions(items) == ["Why?"]
    assert items.answer.to_pylist() == ["So"]
    assert items.choices.to_pylist() == [["So; Thus", "Else"]]
    assert hub.at(path).name == "truthful_qa"
    assert isinstance(hub.origin, Hub)
    with pytest.raises(MixtureError, match=r"at\(\) takes at least one path for 'truthful_qa'"):
        hub.at()


def test_both_layouts_of_an_entry_give_the_same_items(tmp_path: Path) -> None:
    headless, published = tmp_path / "test.csv", tmp_path / "test.jsonl"
    headless.write_text('"What, now?",a,b,c,d,C\n')
    published.write_text('{"question": "What, now?", "choices": ["a", "b", "c", "d"], "answer": 2, "subject": "x"}\n')
    (mmlu,) = evals("mmlu")
    items = mmlu.at(headless).load()
    assert items.answer.to_pylist() == ["c"]
    assert items.digest() == mmlu.at(published).load().digest()


def test_relative_paths_start_at_the_root(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl")
    (one,) = evals.files("x.jsonl", question="question")
    assert len(one.load(str(tmp_path)).ids) == 3
    with pytest.raises(SourceNotFoundError, match=r"'x\.jsonl' is not there"):
        one.load(str(tmp_path.parent))


def test_a_set_is_a_value(tmp_path: Path) -> None:
    one, again, other = ask(tmp_path / "x.csv"), ask(tmp_path / "x.csv"), ask(tmp_path / "x.csv", answer="a")
    assert one == again
    assert len({one, again, other}) == 2
    assert canonical(one) == canonical(ask(tmp_path / "elsewhere" / "x.csv"))
    assert str(tmp_path) not in json.dumps(canonical(one))
    assert canonical(one) != canonical(other)


def test_a_set_without_a_question_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl")
    with pytest.raises(
        FormatError, match=r"no question in 'qestion'; its fields are 'id', 'question', 'answer' \(did you"
    ):
        ask(path, question="qestion").load()
    path.write_text("")
    with pytest.raises(FormatError, match=r"the eval set 'x' \(.*x.jsonl\) holds no row"):
        ask(path).load()
    path.write_text("[1]\n{\n")
    with pytest.raises(FormatError, match="has no row that can be read"):
        ask(path).load()
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(FormatError, match="holds no row"):
        ask(tmp_path / "x.json").load()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"question": "a"}\n' * 1000)[:-20])
    with pytest.raises(FormatError, match=r"x.jsonl.gz cannot be read"):
        ask(path).load()
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(FormatError, match=r"is a zip archive; unpack it"):
        ask(tmp_path / "x.zip").load()


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names(name: str) -> None:
    with pytest.raises(MixtureError, match="an eval set has a name"):
        EvalSet(name=name, origin=Hub(id="x/y", split="test"), fields=(Fields(question="q"),))


def test_fields_are_needed() -> None:
    with pytest.raises(MixtureError, match="'x' names no field"):
        EvalSet(name="x", origin=Hub(id="x/y", split="test"), fields=())
