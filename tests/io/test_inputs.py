"""Files of every sort come in whole, in order and under stable names; what cannot be read says where and what to do."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.io import blocks, parse
from curate.io.formats.columns import columns
from curate.io.formats.dialogues import question_answer
from curate.io.formats.oasst import oasst_messages
from curate.io.inputs import Input, Opened, files
from curate.io.tables import dataset, frame

ROWS = [{"id": f"r{i}", "question": f'é{i}\n"{i}"', "answer": f"a,{i}", "n": i} for i in range(40)]


def json_lines(rows: list[dict[str, Any]] = ROWS) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def csv_bytes(path: Path) -> bytes:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    return path.read_bytes()


def ipc_bytes(*, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(ROWS)
    with (pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return sink.getvalue().to_pybytes()


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=11)
    return sink.getvalue().to_pybytes()


def pack(data: bytes, packing: str) -> bytes:
    match packing:
        case ".gz":
            return gzip.compress(data)
        case ".zst":
            return pa.compress(data, "zstd", asbytes=True)
        case _:
            return data


def read(source: Input | Opened) -> list[dict[str, Any]]:
    """Return every row with its id, file and line, and every bad one with its file."""
    opened = source.open() if isinstance(source, Input) else source
    found = []
    for block in opened.blocks():
        parsed = opened.parse(pickle.loads(pickle.dumps(block)))  # noqa: S301
        for row, own, line in zip(parsed.body.to_pylist(), parsed.ids.to_pylist(), parsed.line.tolist(), strict=True):
            found.append({"file": block.file, "line": line, "id": own, **row})
        found += [{"file": block.file, **bad} for bad in parsed.bad.to_pylist()]
    return found


def texts(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(message["content"] for message in row["messages"]) for row in found]


EXPECTED = [(row["question"], row["answer"]) for row in ROWS]


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, bytes]:
    """The same rows in every sort of file."""
    return {
        "a.jsonl": json_lines(),
        "lines.json": json_lines().rstrip(),
        "bom.jsonl": b"\xef\xbb\xbf" + json_lines().replace(b"\n", b"\r\n"),
        "array.json": json.dumps(ROWS, indent=1).encode(),
        "keyed.json": json.dumps({row["id"]: {k: v for k, v in row.items() if k != "id"} for row in ROWS}).encode(),
        "wrapped.json": json.dumps({"version": 1, "examples": ROWS}).encode(),
        "a.csv": csv_bytes(tmp_path / "made.csv"),
        "bom.csv": b"\xef\xbb\xbf" + csv_bytes(tmp_path / "made.csv"),
        "a.parquet": parquet_bytes(),
        "file.arrow": ipc_bytes(stream=False),
        "stream.arrow": ipc_bytes(stream=True),
    }


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_sort_of_file_says_the_same(tmp_path: Path, contents: dict[str, bytes], packing: str) -> None:
    for name, data in contents.items():
        path = tmp_path / (name + packing)
        path.write_bytes(pack(data, packing))
        found = read(files(path))
        assert texts(found) == EXPECTED, name
        assert [row["id"] for row in found] == [row["id"] for row in ROWS], name
        assert {row["file"] for row in found} == {path.name}
        number = [str(row["n"]) if name.endswith("csv") else row["n"] for row in ROWS]
        assert [json.loads(row["meta"]) for row in found] == [{"n": n} for n in number], name
        assert files(path).open().size == path.stat().st_size


@pytest.mark.parametrize("size", [1, 7, 64, 300, 1 << 20])
def test_where_blocks_end_changes_nothing(
    tmp_path: Path, contents: dict[str, bytes], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    opened = files(folder, "question_answer").open()
    expected = read(opened)
    assert len(expected) == len(ROWS) * len(contents)
    step = blocks.file_blocks
    monkeypatch.setattr("curate.io.inputs.file_blocks", lambda *args, **more: step(*args, **{**more, "size": size}))
    assert read(opened) == expected


def test_sizes_of_blocks_add_up(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json_lines() * 50))
    assert sum(block.size for block in files(path).open().blocks()) == path.stat().st_size


@pytest.mark.parametrize("how", ["one line", "one object", "tree"])
def test_a_file_with_one_row_is_that_row(tmp_path: Path, how: str) -> None:
    row: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    if how == "tree":
        row = {"prompt": {"text": "Hi", "role": "prompter", "replies": []}}
    path = tmp_path / "one.json"
    path.write_text(json.dumps(row, indent=2 if how == "one object" else None))
    assert texts(read(files(path))) == [("Hi",)]


def test_tables_in_memory() -> None:
    table = pl.DataFrame([*ROWS, {"id": None, "question": None, "answer": "x", "n": None}])
    found = read(frame(table))
    assert texts(found[:-1]) == EXPECTED
    assert (found[-1]["line"], found[-1]["column"], found[-1]["expected"]) == (41, "question", "a field of this name")
    assert frame(table).open().stamp() == frame(table.clone()).open().stamp() != frame(table.head(3)).open().stamp()
    assert texts(read(dataset(datasets.Dataset.from_list(ROWS)))) == EXPECTED
    streamed = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
    assert texts(read(dataset(streamed))) == EXPECTED
    with pytest.raises(MixtureError, match=r"polars.DataFrame, not LazyFrame; call .collect\(\)"):
        frame(table.lazy())  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match="not DatasetDict; choose a split: train"):
        dataset(datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)))


def test_flat_messages_come_from_tables_too(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"message_id": "b", "parent_id": "a", "text": "B", "role": "assistant"},
        {"message_id": "a", "parent_id": None, "text": "A", "role": "prompter"},
    ]
    for name in ("a.parquet", "a.arrow", "a.jsonl", "a.json"):
        path = tmp_path / name
        match path.suffix:
            case ".parquet":
                pl.DataFrame(rows).write_parquet(path, row_group_size=1)
            case ".arrow":
                pl.DataFrame(rows).write_ipc(path, record_batch_size=1)
            case ".jsonl":
                path.write_bytes(json_lines(rows))
            case ".json":
                path.write_text(json.dumps(rows))
        assert texts(read(files(path))) == [("A", "B")], name
    assert texts(read(frame(pl.DataFrame(rows), oasst_messages()))) == [("A", "B")]


def test_a_table_without_a_header_and_with_escapes(tmp_path: Path) -> None:
    path = tmp_path / "cot.tsv"
    path.write_text('"Q" 1\\nlast\t5\\" a\tbecause\nshort\tline\n\n2\t3\t"4')
    named = files(path, columns("q", ("why", "a")), columns=("q", "a", "why"), unescape=True)
    found = read(named)
    assert texts([row for row in found if "messages" in row]) == [
        ('"Q" 1\nlast', 'because\n\n5\\" a'),
        ("2", '"4\n\n3'),
    ]
    assert [(row["line"], row["expected"]) for row in found if "expected" in row] == [(2, "3 cells, not 2")]
    plain = read(files(path, columns("q", "a"), columns=("q", "a", "why")))
    assert plain[0]["messages"][0]["content"] == '"Q" 1\\nlast'


def test_csv_counts_lines_and_turns_bad_cells_away(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'question,answer\r\n"a\nb","say ""x"""\r\n\r\n1,"2" 3\r\n\xff,4\n5,6,7\n8,"9\n')
    found = read(files(path, "question_answer"))
    assert texts(found[:1]) == [("a\nb", 'say "x"')]
    assert [(row["line"], row.get("column"), row.get("expected")) for row in found] == [
        (2, None, None),
        (5, "answer", "a separator after the closing quote"),
        (6, "question", "UTF-8; invalid start byte"),
        (7, "", "2 cells, not 3"),
        (8, "", "a closing quote: the one that opens on this line is never closed"),
    ]
    assert found[2]["excerpt"] == "\\xff,4"


def test_files_are_found_named_and_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/2.jsonl", "b/c/1.jsonl", "a.jsonl", "b/.hidden.jsonl", "b/_tmp/x.jsonl", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(json_lines(ROWS[:1]))

    def names(paths: Any) -> list[str]:  # noqa: ANN401
        return [name for name, _, _ in files(paths, "question_answer").open().stamp()]

    assert names(tmp_path) == ["a.jsonl", "b/2.jsonl", "b/c/1.jsonl"]
    assert names(tmp_path / "b") == ["2.jsonl", "c/1.jsonl"]
    assert names(f"{tmp_path}/**/*.jsonl") == ["a.jsonl", "b/2.jsonl", "b/c/1.jsonl"]
    assert names(f"{tmp_path}/b/[0-9].json*") == ["2.jsonl"]
    assert names([tmp_path / "b/2.jsonl", tmp_path / "a.jsonl", tmp_path / "b"]) == [
        "a.jsonl",
        "b/2.jsonl",
        "b/c/1.jsonl",
    ]
    monkeypatch.chdir(tmp_path / "b")
    assert names(["../a.jsonl"]) == ["a.jsonl"]
    assert files("2.jsonl", "alpaca").open(str(tmp_path / "b")).size == len(json_lines(ROWS[:1]))
    with pytest.raises(SourceNotFoundError, match=r"'3\.jsonl' is not there; .* holds 2\.jsonl"):
        files("3.jsonl").open()
    with pytest.raises(SourceNotFoundError, match=r"pattern '\*\.csv' matches no file"):
        files("*.csv").open()
    with pytest.raises(SourceNotFoundError, match=r"'c/none' is not there; .* holds 1\.jsonl"):
        files("c/none").open()
    with pytest.raises(MixtureError, match="at least one path"):
        files([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="holds no data"):
        files(tmp_path / "empty").open()


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut.jsonl.gz": (
        gzip.compress(json_lines() * 9)[:-20],
        "cut.jsonl.gz cannot be read: truncated.* It is cut short",
    ),
    "cut.jsonl.zst": (pack(json_lines() * 9, ".zst")[:-4], "Truncated"),
    "cut.json": (b'[{"question": "q",\n"answer": "a"},\n{"question":', "line 3: it ends early"),
    "broken.json": (
        b'[{"question": "q",\n"answer": a}]',
        r"not valid JSON, line 2: invalid character \(byte 29\). Repair it",
    ),
    "deep.json": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "twice.json": (b'{"a": {"question": "q"},\n "a": {"question": "q"}}', "key 'a' twice"),
    "cut.parquet": (parquet_bytes()[:-9], "cut.parquet cannot be read"),
    "cut.arrow": (ipc_bytes(stream=True)[:-50], "cut.arrow cannot be read"),
    "a.json.zip": (b"PK\x03\x04 and so on", "zip archive; unpack it"),
    "a.bin": (b"\x00\x01", "in none of the layouts"),
    "twice.csv": (b"question,question\n1,2\n", "column 'question' twice"),
    "header.csv": (b"\xff,a\n1,2\n", "header.csv is not UTF-8"),
    "second.csv": (b"\x81,a\n1,2\n", r"header of .* is not UTF-8\. Name its encoding"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, name: str) -> None:
    data, match = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=match):
        read(files(tmp_path / name, "question_answer"))


def test_a_file_or_folder_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines())

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # root, who runs CI, may read everything
    with pytest.raises(FormatError, match=r"a\.jsonl cannot be read: Permission denied\. Give it"):
        read(files(tmp_path / "a.jsonl", "question_answer"))
    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(FormatError, match="cannot be read: Permission denied"):
        files(tmp_path).open()


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.jsonl.gz"])
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"question,answer\n"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str, data: bytes) -> None:
    if b"," in data and not name.endswith("csv"):
        return
    (tmp_path / name).write_bytes(pack(data, Path(name).suffix))
    assert read(files(tmp_path / name, "question_answer")) == []
    assert files(tmp_path / name).open().describe().endswith("(auto: there is no row to look at)")


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_line_that_is_too_long_is_not_kept(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blocks, parse):
        monkeypatch.setattr(module, "MAX_LINE", 5000)
    long = json.dumps({"question": "q" * 50_000, "answer": "a"}).encode()
    first, *rest = json_lines(ROWS[:3]).splitlines(keepends=True)
    path = tmp_path / "a.jsonl"
    path.write_bytes(first + long + b"\n" + b"".join(rest) + long + b"\n" + first + long)
    opened = files(path, "question_answer").open()
    found = [
        (block, opened.parse(block))
        for block in blocks.file_blocks(opened.parts[0], opened.input.how, bool, size=size)  # type: ignore[attr-defined]
    ]
    assert [line for _, parsed in found for line in parsed.line.tolist()] == [1, 3, 4, 6]
    bad = [one for _, parsed in found for one in parsed.bad.to_pylist()]
    assert [(one["line"], one["excerpt"]) for one in bad] == [(line, long[:200].decode()) for line in (2, 5, 7)]


def test_a_long_file_streams(tmp_path: Path) -> None:
    line = json.dumps({"question": "q" * 1000, "answer": "a" * 1000}).encode() + b"\n"
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(line * 60_000, 1))
    opened = files(path, "question_answer").open()
    rows = 0
    tracemalloc.start()
    for block in opened.blocks():
        rows += blocks.count_lines(block.data.data)  # type: ignore[union-attr]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 60_000
    assert peak < 5 * blocks.BLOCK < len(line) * 60_000


def test_arguments_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(MixtureError, match="did you mean 'alpaca'"):
        files("x.json", "alpacca")
    with pytest.raises(MixtureError, match="not a single ASCII"):
        files("x.csv", separator=";;")


def test_a_path_is_marked_as_no_part_of_a_fingerprint() -> None:
    one = files("/somewhere/x.json", question_answer())
    marked = [field.name for field in dataclasses.fields(one) if not field.metadata.get("fingerprint", True)]
    assert marked == ["where", "paths"]


def test_an_id_column_of_a_mapping_goes_first(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines([{"id": 1, "key": "k", "q": "Q", "a": "A"}]))
    found = read(files(tmp_path / "a.jsonl", columns("q", "a", id="key")))
    assert (found[0]["id"], found[0]["meta"]) == ("k", '{"id":1}')
    assert read(files(tmp_path / "a.jsonl", columns("q", "a"), id=None))[0]["id"] is None


def test_lines_are_numbered_over_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([b'{"question":"q","answer":"a"}' if i % 3 else b"" for i in range(1000)]))
    opened = files(path, "question_answer").open()
    step = blocks.file_blocks(opened.parts[0], opened.input.how, bool, size=500)  # type: ignore[attr-defined]
    lines = np.concatenate([opened.parse(block).line for block in step])
    assert lines.tolist() == [i + 1 for i in range(1000) if i % 3]
