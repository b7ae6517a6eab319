"""Every type of Arrow and Polars comes in, and no buffer is trusted."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import random
import struct
import uuid
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.errors import FormatError, MixtureError
from curate.io.arrow_rows import batch_rows
from curate.io.formats.dialogues import question_answer
from curate.io.inputs import Input, files
from curate.io.tables import Frame, frame

QUESTIONS = {"question": pa.array(["Why?", "How?"]), "answer": pa.array(["So.", "Thus."])}
MOMENT = 1_700_000_000_123_456_789
TYPES: dict[str, tuple[pa.Array, Any]] = {
    "nanoseconds": (pa.array([MOMENT, None], pa.timestamp("ns")), "2023-11-14T22:13:20.123456789"),
    "whole seconds in nanoseconds": (pa.array([10**18, 0], pa.timestamp("ns")), "2001-09-09T01:46:40"),
    "microseconds": (pa.array([MOMENT // 1000, None], pa.timestamp("us")), "2023-11-14T22:13:20.123456"),
    "a zone": (pa.array([MOMENT, 0], pa.timestamp("ns", "Asia/Kolkata")), "2023-11-15T03:43:20.123456789+05:30"),
    "UTC": (pa.array([MOMENT, 0], pa.timestamp("ns", "UTC")), "2023-11-14T22:13:20.123456789Z"),
    "after 9999": (pa.array([300_000_000_000, 0], pa.timestamp("s")), "11476-08-15T05:20:00"),
    "before 1": (pa.array([-(10**11), 0], pa.timestamp("s", "UTC")), "-1199-02-15T14:13:20Z"),
    "time": (pa.array([3_600_000_000_001, 0], pa.time64("ns")), "01:00:00.000000001"),
    "time in seconds": (pa.array([3600, 0], pa.time32("s")), "01:00:00"),
    "duration": (pa.array([86_400 * 10**9 + 1, 0], pa.duration("ns")), "P1DT0.000000001S"),
    "negative duration": (pa.array([-1500, 0], pa.duration("ms")), "-PT1.5S"),
    "date": (pa.array([dt.date(2024, 2, 29), None]), "2024-02-29"),
    "far date": (pa.array([10**7, 0], pa.int32()).cast(pa.date32()), "29349-01-26"),
    "far date64": (pa.array([10**7 * 86_400_000, 0], pa.int64()).cast(pa.date64()), "29349-01-26"),
    "decimal": (pa.array([decimal.Decimal("1.50"), None]), "1.50"),
    "half float": (pa.array([1.5, None], pa.float16()), 1.5),
    "NaN": (pa.array([float("nan"), 1.0]), None),
    "interval": (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), [1, 2, 3]),
    "uuid": (pa.array([uuid.UUID(int=1).bytes] * 2, pa.uuid()), str(uuid.UUID(int=1))),
    "bytes": (pa.array([b"\xff", None]), "/w=="),
    "dictionary": (pa.array(["x", None]).dictionary_encode(), "x"),
    "dictionary of moments": (
        pa.array([1, 1], pa.timestamp("ns")).dictionary_encode(),
        "1970-01-01T00:00:00.000000001",
    ),
    "run-end encoded": (
        pa.RunEndEncodedArray.from_arrays([2], pa.array([1], pa.timestamp("ns"))),
        "1970-01-01T00:00:00.000000001",
    ),
    "text views": (
        pa.array(["a long text that is no inline one", None], pa.string_view()),
        "a long text that is no inline one",
    ),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), {"k": 1}),
    "map of moments": (
        pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.timestamp("ns"))),
        {"k": "1970-01-01T00:00:00.000000001"},
    ),
    "list": (pa.array([[1], None], pa.list_(pa.duration("s"))), ["PT1S"]),
    "list view": (pa.array([[1], None], pa.list_view(pa.timestamp("ns"))), ["1970-01-01T00:00:00.000000001"]),
    "fixed list": (pa.array([[1], None], pa.list_(pa.date32(), 1)), ["1970-01-02"]),
    "struct": (
        pa.array([{"a": {"when": 1}}] * 2, pa.struct({"a": pa.struct({"when": pa.timestamp("ns")})})),
        {"a": {"when": "1970-01-01T00:00:00.000000001"}},
    ),
    "union": (
        pa.UnionArray.from_sparse(
            pa.array([1, 0], pa.int8()), [pa.array([1, 2]), pa.array([3, 4], pa.timestamp("ns"))]
        ),
        "1970-01-01T00:00:00.000000003",
    ),
}


def metas(source: Input) -> list[dict[str, Any]]:
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    assert [one for each in parsed for one in each.bad.to_pylist()] == []
    return [json.loads(meta) for each in parsed for meta in each.body["meta"].to_pylist()]


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_kept_in_meta(tmp_path: Path, name: str) -> None:
    values, first = TYPES[name]
    table = pa.table({**QUESTIONS, "x": values})
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    assert metas(files(tmp_path / "a.arrow"))[0] == ({} if first is None else {"x": first})


@pytest.mark.parametrize("name", TYPES)
def test_parquet_and_frames_say_the_same(tmp_path: Path, name: str) -> None:
    table = pa.table({**QUESTIONS, "x": TYPES[name][0]})
    try:
        pq.write_table(table, tmp_path / "a.parquet")
    except (pa.ArrowException, NotImplementedError):
        pytest.skip("Parquet has no such type")
    metas(files(tmp_path / "a.parquet"))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_moments_are_written_as_python_would(unit: str, zone: str | None) -> None:
    rng = random.Random(7)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    numbers = [rng.randrange(-60 * 10**9, 200 * 10**9) * per_second // 7 for _ in range(200)]
    moments = pa.array(numbers, pa.int64()).cast(pa.timestamp(unit, zone))
    found = [row["x"] for row in batch_rows(pa.record_batch({"x": moments})) if isinstance(row, dict)]
    assert found == msgspec.to_builtins(moments.to_pylist())


def test_polars_types() -> None:
    data = pl.DataFrame(
        {
            "question": pl.Series(["Why?"], dtype=pl.Categorical),
            "answer": pl.Series(["So."], dtype=pl.Enum(["So."])),
            "when": pl.Series([MOMENT], dtype=pl.Datetime("ns", "UTC")),
            "took": pl.Series([1], dtype=pl.Duration("ns")),
            "clock": pl.Series([1], dtype=pl.Int64).cast(pl.Time),
            "pair": pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)),
            "nothing": pl.Series([None]),
            "share": pl.Series([float("nan")]),
            "price": pl.Series([decimal.Decimal("0.10")]),
            "raw": pl.Series([b"\0"]),
            "nested": pl.Series([[{"at": 1}]]).cast(pl.List(pl.Struct({"at": pl.Datetime("ns")}))),
        }
    )
    assert metas(frame(data)) == [
        {
            "when": "2023-11-14T22:13:20.123456789Z",
            "took": "PT0.000000001S",
            "clock": "00:00:00.000000001",
            "pair": [1, 2],
            "price": "0.10",
            "raw": "AA==",
            "nested": [{"at": "1970-01-01T00:00:00.000000001"}],
        }
    ]
    for kind in (pl.Object, pl.Int128):
        with pytest.raises(MixtureError, match=r"column 'x' is \w+, which Arrow has not; cast it to text, or drop it"):
            frame(pl.DataFrame({"x": pl.Series([1], dtype=kind)}))


def test_scores_of_any_number_type(tmp_path: Path) -> None:
    for number, kind in enumerate([pa.decimal128(5, 2), pa.float16(), pa.int8(), pa.string()]):
        table = pa.table(
            {
                "prompt": ["p"],
                "chosen": ["a"],
                "rejected": ["b"],
                "chosen_score": pa.array([3]).cast(pa.int8()).cast(kind),
            }
        )
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        opened = files(path).open()
        assert [opened.parse(block).body["chosen_score"].to_pylist() for block in opened.blocks()] == [[3.0]], kind


WRONG_OFFSETS = {
    "leak": (0, 5, 40, 64),
    "far": (0, 5, 10, 2_000_000_000),
    "negative": (0, 5, 10, -5),
    "falling": (0, 9, 5, 15),
}
OFFSETS = struct.pack("<4i", 0, 5, 10, 15)


def nested(kind: str) -> pa.Array:
    words = pa.array(["WORDA", "WORDB", "WORDC"])
    match kind:
        case "list":
            return pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), words)
        case "struct":
            return pa.StructArray.from_arrays([words], ["inner"])
        case "dictionary":
            return pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), words)
        case _:
            return words


@pytest.mark.parametrize("kind", ["text", "list", "struct", "dictionary"])
@pytest.mark.parametrize("how", WRONG_OFFSETS)
@pytest.mark.parametrize("stream", [True, False])
def test_offsets_that_point_elsewhere_are_refused(tmp_path: Path, how: str, kind: str, *, stream: bool) -> None:
    table = pa.table(
        {"question": ["q"] * 3, "answer": ["a"] * 3, "x": nested(kind), "z": ["another column's bytes"] * 3}
    )
    sink = pa.BufferOutputStream()
    with (pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    at = data.index(OFFSETS)
    path = tmp_path / "a.arrow"
    path.write_bytes(data[:at] + struct.pack("<4i", *WRONG_OFFSETS[how]) + data[at + 16 :])
    with pytest.raises(FormatError, match=r"column 'x' is damaged: .*Write the file again"):
        metas(files(path, "question_answer"))


def test_a_dictionary_with_wrong_places_is_refused() -> None:
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 7]), pa.array(["only"]), safe=False)
    batch = pa.record_batch({"question": wrong, "answer": pa.array(["a", "b"])})
    with pytest.raises(FormatError, match="column 'question' is damaged"):
        metas(frame_of(batch))


def frame_of(batch: pa.RecordBatch) -> Input:
    """Return an input over a batch as it is, as a data set on disk would give it."""
    return Frame(format=question_answer(), name="frame", batches=lambda: iter([batch]))


def test_text_that_is_not_utf8_costs_its_row_only(tmp_path: Path) -> None:
    offsets, data = struct.pack("<4i", 0, 4, 6, 14), b"fine\xff\xfefine too"
    broken = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    table = pa.table({"question": ["a", "b", "c"], "answer": broken})
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    opened = files(tmp_path / "a.arrow", "question_answer").open()
    (parsed,) = [opened.parse(block) for block in opened.blocks()]
    assert (parsed.body.num_rows, parsed.bad["line"].to_pylist()) == (2, [2])
    assert parsed.bad["expected"].to_pylist()[0].startswith("UTF-8")


def test_parquet_metadata_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """Every byte of the footer, changed to two others: read, or an error of curate."""
    pq.write_table(pa.table({"question": ["q"] * 3, "answer": ["a"] * 3}), tmp_path / "good.parquet")
    data = (tmp_path / "good.parquet").read_bytes()
    footer = len(data) - 8 - struct.unpack("<i", data[-8:-4])[0]
    path, refused = tmp_path / "a.parquet", 0
    for at in range(footer, len(data)):
        for byte in (0xFF, data[at] ^ 0x80):
            path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
            try:
                metas(files(path, "question_answer"))
            except FormatError:
                refused += 1
            except AssertionError:
                continue  # rows were quarantined
    assert refused > 100


def test_a_stream_that_is_cut_between_two_batches_is_refused(tmp_path: Path) -> None:
    table = pa.table({"question": ["q"] * 3, "answer": ["a"] * 3})
    sink = pa.BufferOutputStream()
    writer = pyarrow.ipc.new_stream(sink, table.schema)
    places = []
    for batch in table.to_batches(max_chunksize=1):
        writer.write_batch(batch)
        places.append(sink.tell())
    writer.close()
    data, path = sink.getvalue().to_pybytes(), tmp_path / "a.arrow"
    path.write_bytes(data)
    assert len(metas(files(path))) == 3
    for place in places:
        path.write_bytes(data[:place])
        with pytest.raises(FormatError, match=r"truncated: the mark at its end is missing\. It is cut short"):
            metas(files(path))


def test_a_key_twice_in_a_map_costs_its_row() -> None:
    batch = pa.record_batch({"m": pa.array([[("a", 1), ("a", 2)], [("a", 1)]], pa.map_(pa.string(), pa.int64()))})
    first, second = batch_rows(batch)
    assert second == {"m": {"a": 1}}
    assert not isinstance(first, dict)
    assert first.expected == "each key of a map once"


def test_columns_of_json_are_json(tmp_path: Path) -> None:
    texts = ['{"n": 1.50, "a": [1,  2]}', '"word"', "[null]", "2", None]
    typed = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5], pa.int32()), typed)
    table = pa.table({"question": ["q"] * 5, "answer": ["a"] * 5, "one": typed, "many": lists})
    pq.write_table(table, tmp_path / "a.parquet")
    found = [{name: json.dumps(value) for name, value in row.items()} for row in metas(files(tmp_path / "a.parquet"))]
    said = [json.dumps(None if text is None else json.loads(text)) for text in texts]
    assert [row.get("one", "null") for row in found] == said
    assert [row["many"] for row in found] == [f"[{one}]" for one in said]
