"""What Python's csv and json, gzip, zstd and xz read is read alike: in every dialect, layout, encoding and packing."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from curate.errors import FormatError, MixtureError, QuarantineError
from curate.io.formats.columns import columns
from curate.io.inputs import files
from curate.mix.spec import Source
from tests.support.build_data import built

CELLS: Final = (
    "",
    "a",
    "a b",
    ' "quoted" ',
    "it's",
    "1,5",
    "x;y",
    "t\tt",
    "p|q",
    "two\nlines",
    "two\r\nlines",
    "\\",
    "\\n",
    "日本é",
)

Rows = list[list[str]]


def read(path: Path, **options: Any) -> tuple[Rows, list[tuple[int, str]]]:  # noqa: ANN401
    """Return the cells of each row, and the lines that are quarantined with the reason."""
    opened = files(path, columns("a", ("b", "c")), columns=("a", "b", "c"), **options).open()
    rows: Rows = []
    bad: list[tuple[int, str]] = []
    for block in opened.blocks():
        parsed = opened.parse(block)
        rows += [[turn["content"] for turn in turns] for turns in parsed.body["messages"].to_pylist()]
        bad += zip(parsed.bad["line"].to_pylist(), parsed.bad["expected"].to_pylist(), strict=True)
    return rows, bad


def expected(reader: Any) -> Rows:  # noqa: ANN401
    """Return what `columns` makes of each row of three cells that Python's csv reads: null cells stay away."""
    whole = [row for row in reader if len(row) == 3]
    return [[a, "\n\n".join([b, *([c] if c else [])])] for a, b, c in whole]


DIALECTS: Final[list[dict[str, Any]]] = [
    dict(
        zip(
            ("delimiter", "quotechar", "escapechar", "doublequote", "quoting", "skipinitialspace", "end"),
            each,
            strict=True,
        )
    )
    for each in itertools.product(
        [",", "\t", ";", "|", " "],
        ['"', "'"],
        [None, "\\", "^"],
        [True, False],
        [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE],
        [True, False],
        ["\n", "\r\n", "\r"],
    )
    if (each[3] or each[2]) and (each[4] != csv.QUOTE_NONE or each[2])
]
"""More than 700; those that cannot write every text are left out."""


def test_every_dialect_of_pythons_csv(tmp_path: Path) -> None:
    """Every dialect is written and read back, and read from hostile cells that no writer wrote."""
    assert len(DIALECTS) > 200
    path = tmp_path / "rows.csv"
    for number, options in enumerate(DIALECTS):
        rng = random.Random(number)

        class Described(csv.Dialect):
            delimiter = options["delimiter"]
            quotechar = options["quotechar"]
            escapechar = options["escapechar"]
            doublequote = options["doublequote"]
            quoting = options["quoting"]
            skipinitialspace = options["skipinitialspace"]
            lineterminator = options["end"]

        sink = io.StringIO(newline="")
        csv.writer(sink, Described).writerows([[rng.choice(CELLS) for _ in range(3)] for _ in range(9)])
        path.write_bytes(sink.getvalue().encode())
        rows, bad = read(path, dialect=Described)
        reference = expected(csv.reader(io.StringIO(sink.getvalue(), newline=""), Described))
        assert rows == reference, options
        assert {reason for _, reason in bad} <= {f"3 cells, not {n}" for n in range(30)}, (options, bad)


def test_hostile_cells_are_read_alike_or_quarantined(tmp_path: Path) -> None:
    """Any bytes: a row that Python's csv reads alike, or a line in the quarantine; never other text."""
    path = tmp_path / "rows.csv"
    for seed in range(400):
        rng = random.Random(seed)
        text = "".join(rng.choices(['"', '""', ",", "\n", "\r\n", "\r", "a", "b ", "\\", " "], k=rng.randint(1, 60)))
        path.write_bytes(text.encode())
        rows, bad = read(path)
        reference = expected(csv.reader(io.StringIO(text, newline="")))
        assert bad or rows == reference, seed
        plain = expected(csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NONE))
        rows, bad = read(path, quoted=False)
        assert rows == plain, seed
        assert all("cells, not" in reason for _, reason in bad), seed


def test_an_open_quote_costs_its_line(tmp_path: Path) -> None:
    """Wherever the quote is that is never closed, every other row is read, in blocks of any size."""
    good = [f'q{i},"say ""{i}"",\nso",c' if i % 3 else f"q{i},plain,c" for i in range(40)]
    for place in (0, 1, 7, 39, 40):
        path = tmp_path / "rows.csv"
        path.write_text("\n".join([*good[:place], 'x,"never closed,c', *good[place:], ""]))
        rows, bad = read(path)
        assert [row[0] for row in rows] == [f"q{i}" for i in range(40)], place
        line = 1 + sum(1 + row.count("\n") for row in good[:place])
        assert bad == [(line, "a closing quote: the one that opens on this line is never closed")]


@pytest.mark.parametrize("separator", ["\t", ";", "|", ","])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_header_tells_the_separator(tmp_path: Path, separator: str, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_text(f"question{separator}answer\nWhy?{separator}So.\n")
    assert files(path).open().describe().startswith("question_answer()")


def test_a_dialect_or_an_encoding_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(MixtureError, match=r"dialect='excl': unknown dialect; registered: excel, excel-tab, unix"):
        files("a.csv", dialect="excl")
    with pytest.raises(MixtureError, match="encoding='utf8000' is none that Python knows"):
        files("a.csv", encoding="utf8000")


OBJECTS: Final = [{"question": f"{cell}?", "answer": cell or "no", "n": i} for i, cell in enumerate(CELLS)]
ENCODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
NAMED: Final = ("cp932", "euc_jp", "gb18030", "utf-7", "iso2022_jp_2")
"""Encodings that nothing in a file tells: the caller names them."""


def pandas_columns(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {str(i): row[name] for i, row in enumerate(rows)} for name in rows[0]}


LAYOUTS: Final[dict[str, Callable[[list[dict[str, Any]]], str]]] = {
    "lines": lambda rows: "\n".join(map(json.dumps, rows)),
    "lines, Windows": lambda rows: "\r\n".join(map(json.dumps, rows)) + "\r\n",
    "lines, old Mac": lambda rows: "\r".join(map(json.dumps, rows)),
    "blank lines": lambda rows: "\n\n \n".join(map(json.dumps, rows)),
    "plain characters": lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
    "array": json.dumps,
    "array, indented": lambda rows: json.dumps(rows, indent=2),
    "array, one row per line": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]",
    "objects, indented": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows),
    "objects on one line": lambda rows: "".join(map(json.dumps, rows)),
    "objects by id": lambda rows: json.dumps({f"row {i}": row for i, row in enumerate(rows)}),
    "wrapped": lambda rows: json.dumps({"version": "1", "data": rows}),
    "columns": lambda rows: json.dumps(pandas_columns(rows)),
    "columns, indented": lambda rows: json.dumps(pandas_columns(rows), indent=4),
    "columns as lists": lambda rows: json.dumps({name: [row[name] for row in rows] for name in rows[0]}),
    "split": lambda rows: json.dumps(
        {"columns": list(rows[0]), "index": [*range(len(rows))], "data": [[*r.values()] for r in rows]}
    ),
    "table": lambda rows: json.dumps({"schema": {"fields": []}, "data": rows}),
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".txt"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_encoding_of_json(tmp_path: Path, layout: str, suffix: str) -> None:
    """17 layouts, four names and eight encodings: 544 files, and the same rows."""
    text = LAYOUTS[layout](OBJECTS)
    for encoding in ENCODINGS:
        path = tmp_path / f"{encoding}{suffix}"
        path.write_bytes(text.encode(encoding))
        opened = files(path).open()
        parsed = [opened.parse(block) for block in opened.blocks()]
        assert sum(each.bad.num_rows for each in parsed) == 0
        said = [[turn["content"] for turn in row] for each in parsed for row in each.body["messages"].to_pylist()]
        assert said == [[row["question"], row["answer"]] for row in OBJECTS], encoding
        assert [json.loads(meta)["n"] for each in parsed for meta in each.body["meta"].to_pylist()] == [
            *range(len(CELLS))
        ]


@pytest.mark.parametrize("encoding", [*ENCODINGS, *NAMED])
def test_every_encoding_of_csv(tmp_path: Path, encoding: str) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([[cell or "x", cell, cell] for cell in CELLS if encoding != "cp932" or "é" not in cell])
    path = tmp_path / "rows.csv"
    path.write_bytes(sink.getvalue().encode(encoding))
    rows, bad = read(path, encoding=encoding if encoding in NAMED else None)
    assert (rows, bad) == (expected(csv.reader(io.StringIO(sink.getvalue(), newline=""))), [])


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_json_has_not_is_null_or_named(tmp_path: Path, layout: str, constant: str) -> None:
    rows = [*OBJECTS[:5], {**OBJECTS[5], "n": float(constant)}, *OBJECTS[6:]]
    path = tmp_path / "rows.jsonl"
    path.write_text(LAYOUTS[layout](rows))
    try:
        opened = files(path, "question_answer").open()
        parsed = [opened.parse(block) for block in opened.blocks()]
    except FormatError as error:
        assert constant != "NaN"
        assert constant in str(error)  # noqa: PT017
        return
    bad = [one for each in parsed for one in each.bad.to_pylist()]
    if constant == "NaN":
        assert bad == []
        assert [json.loads(meta)["n"] for each in parsed for meta in each.body["meta"].to_pylist()][5] is None
    else:
        assert [constant in one["expected"] for one in bad] == [True]


SKIPPED: Final = b"\x5a\x2a\x4d\x18\x05\0\0\0hello"
DATA: Final = b"".join(json.dumps(row).encode() + b"\n" for row in OBJECTS)
ARCHIVES: Final[dict[str, bytes]] = {
    "gzip": gzip.compress(DATA),
    "gzip, with a name and a comment": b"\x1f\x8b\x08\x18\0\0\0\0\0\xffname\0note\0" + gzip.compress(DATA)[10:],
    "gzip, in members": b"".join(gzip.compress(line + b"\n") for line in DATA.splitlines()),
    "gzip, padded": gzip.compress(DATA) + b"\0" * 100_000,
    "gzip, padded between": gzip.compress(DATA[:40]) + b"\0" * 70 + gzip.compress(DATA[40:]),
    "gzip, an empty member": gzip.compress(b"") + gzip.compress(DATA) + gzip.compress(b""),
    "gzip, stored": gzip.compress(DATA, 0),
    "zstd": pa.compress(DATA, "zstd", asbytes=True),
    "zstd, in frames": pa.compress(DATA[:99], "zstd", asbytes=True) + pa.compress(DATA[99:], "zstd", asbytes=True),
    "zstd, a frame to skip first": SKIPPED + pa.compress(DATA, "zstd", asbytes=True),
    "zstd, a frame to skip between": b"".join(
        [pa.compress(DATA[:99], "zstd", asbytes=True), SKIPPED, pa.compress(DATA[99:], "zstd", asbytes=True), SKIPPED]
    ),
    "xz": lzma.compress(DATA),
    "xz, without a check": lzma.compress(DATA, check=lzma.CHECK_NONE),
    "xz, in streams with padding": lzma.compress(DATA[:99]) + b"\0" * 8 + lzma.compress(DATA[99:]) + b"\0" * 4,
    "lzma": lzma.compress(DATA, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress(DATA),
    "bzip2, in streams": bz2.compress(DATA[:99]) + bz2.compress(DATA[99:]),
}


def rows_of(path: Path) -> list[str]:
    opened = files(path, "question_answer").open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    assert sum(each.bad.num_rows for each in parsed) == 0
    return [row[1]["content"] for each in parsed for row in each.body["messages"].to_pylist()]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.jsonl.xz", "rows.json"])
@pytest.mark.parametrize("archive", ARCHIVES)
def test_every_archive_under_any_name(tmp_path: Path, archive: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(ARCHIVES[archive])
    assert rows_of(path) == [row["answer"] for row in OBJECTS]


@pytest.mark.parametrize("archive", ARCHIVES)
def test_the_commands_unpack_the_same(archive: str) -> None:
    if archive == "gzip, padded between":  # Python goes on behind the padding, the command does not
        assert gzip.decompress(ARCHIVES[archive]) == DATA
        return
    command = {"gzip": "gzip", "zstd": "zstd", "xz": "xz", "lzma": "xz", "bzip2": "bzip2"}[archive.partition(",")[0]]
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    done = subprocess.run([command, "-dc"], input=ARCHIVES[archive], capture_output=True, check=False)
    assert done.stdout == DATA


@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_archive_that_is_cut_or_goes_on_says_so(tmp_path: Path, archive: str) -> None:
    """Half an archive, and one with other bytes behind it, never pass for whole."""
    path, data = tmp_path / "rows.jsonl", ARCHIVES[archive].rstrip(b"\0")
    for wrong in [data + b"and so on", data[:-3], data[: len(data) * 2 // 3]]:
        path.write_bytes(wrong)
        with pytest.raises(FormatError, match="cannot be read"):
            rows_of(path)


def test_rows_of_another_length_than_the_columns_are_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"columns": ["question", "answer"], "index": [0], "data": [["a", "b", "lost"]]}')
    opened = files(path, "question_answer").open()
    assert [(parsed.body.num_rows, parsed.bad.num_rows) for parsed in map(opened.parse, opened.blocks())] == [(0, 1)]


# --- text that is not UTF-8 ----------------------------------------------------------------------------------------

GERMAN: Final = [{"question": f"Was heißt „{i}“?", "answer": f"Schön – {i}"} for i in range(300)]


def as_csv(rows: list[dict[str, str]], *names: str) -> str:
    sink = io.StringIO()
    csv.writer(sink).writerows([names or ("question", "answer"), *(row.values() for row in rows)])
    return sink.getvalue()


def as_lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_array(rows: list[dict[str, str]]) -> str:
    return json.dumps(rows, ensure_ascii=False)


WRITERS: Final[dict[str, Callable[[list[dict[str, str]]], str]]] = {
    "a.csv": as_csv,
    "header.csv": lambda rows: as_csv([{**row, "size": "1"} for row in rows], "question", "answer", "größe"),
    "a.jsonl": as_lines,
    "a.json": as_array,
}


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_may_be_windows_1252_names_the_call_that_reads_it(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes(WRITERS[name](GERMAN).encode(encoding, "ignore"))
    call = rf"{name} is not UTF-8\. If it is Windows-1252 or Latin-1, read it with files\(\.\.\., encoding='cp1252'\)$"
    with pytest.raises(FormatError, match=call):
        files(path).open()
    opened = files(path, encoding="cp1252").open()
    answers = [
        turns[1]["content"] for block in opened.blocks() for turns in opened.parse(block).body["messages"].to_pylist()
    ]
    assert answers == [row["answer"].encode(encoding, "ignore").decode(encoding) for row in GERMAN]


def test_bytes_that_are_not_text_at_the_end_of_a_build_name_the_call_too(tmp_path: Path) -> None:
    rows = [{"question": f"Ask {i}?", "answer": "plain" if i < 200 else "schön"} for i in range(300)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_lines(rows).encode("cp1252"))
    with pytest.raises(QuarantineError, match=r"(?s)first 5:.*a\.jsonl is not UTF-8\..*encoding='cp1252'\)\.\nCorrect"):
        built(tmp_path / "out", Source("s", files(path)))
    assert built(tmp_path / "out", Source("s", files(path, encoding="cp1252"))).kept().collect().height == 300


@pytest.mark.parametrize(
    "data",
    [
        as_lines(GERMAN[:5]).encode() + b"\xff\xfe\xfd\n" * 20,
        b"\x81\x8d\n" * 20,
        as_lines(GERMAN).replace("question", "frage").encode(),
    ],
    ids=["mostly UTF-8", "no Windows-1252", "UTF-8"],
)
def test_another_fault_names_no_encoding(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"\A(?!.*encoding=)"):
        files(path).open()


def test_two_faults_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(GERMAN, "größe", "antwort").encode("cp1252"))
    with pytest.raises(FormatError, match=r"encoding='cp1252'\)\. Read so, .*no format fits.*'größe', 'antwort'"):
        files(path).open()
