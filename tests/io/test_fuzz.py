"""Files of every container and packing, whole or damaged: only errors of curate, and every row accounted for.

2,000 files by default; `CURATE_FUZZ=20000` tries more, from the same seed on.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.errors import CurateError
from curate.io.formats.marked_calls import forms as forms_in
from curate.io.formats.marked_calls import written
from curate.io.inputs import files
from curate.rows.validate import Call
from tests.support.build_data import built, source

FILES: Final = int(os.environ.get("CURATE_FUZZ", "2000"))
PARTS: Final = 8
"""Parts of the run, so that several processes share it."""

BUILT: Final = 40
"""Of so many files, one is built in full."""

WORDS: Final = (
    "tea",
    "Müller",
    '"so"',
    "a,b",
    "line\nend",
    "tab\there",
    "日本",
    "😀",
    "it's",
    "\\n",
    "{x}",
    " ",
    ";",
    "\r\n",
    "[1]",
    "<tool_call>",
    "{'name': 'f', 'arguments': {}}",
    "</tool_call>",
)

Rows = list[dict[str, Any]]
Texts = Sequence[tuple[str, ...]]


class Made(NamedTuple):
    """A file: its name, its bytes, the dialect that reads it, and the texts of its rows."""

    name: str
    data: bytes
    options: dict[str, Any]
    texts: Texts


def text(rng: random.Random) -> str:
    return "x" + " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))


def rows_of(rng: random.Random) -> tuple[str, Rows, Texts]:
    """Return a format, some rows in it, and the texts of their turns."""
    said = [(text(rng), text(rng)) for _ in range(rng.randint(1, 12))]
    layouts: dict[str, Callable[[str, str], dict[str, Any]]] = {
        "question_answer": lambda q, a: {"question": q, "answer": a},
        "prompt_completion": lambda q, a: {"prompt": q, "completion": a},
        "alpaca": lambda q, a: {"instruction": q, "input": "", "output": a},
        "messages": lambda q, a: {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]},
        "sharegpt": lambda q, a: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]},
        "preference": lambda q, a: {"prompt": q, "chosen": a, "rejected": "no", "chosen_score": 1.5},
        "rated": lambda q, a: {"prompt": q, "completions": [{"content": a, "model": "m", "scores": {"s": 1}}]},
        "ultrafeedback": lambda q, a: {"instruction": q, "completions": [{"response": a, "overall_score": 3.0}]},
    }
    name = rng.choice(list(layouts))
    return name, [{**layouts[name](q, a), "n": i} for i, (q, a) in enumerate(said)], said


def delimited(rows: Rows, rng: random.Random, separator: str) -> tuple[bytes, dict[str, Any]]:
    class Described(csv.excel):
        delimiter = separator
        quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
        # Python's writer leaves a line feed without quotes where rows end with a carriage return.
        lineterminator = rng.choice(["\n", "\r\n", "\r"][: 2 if quoting == csv.QUOTE_MINIMAL else 3])
        doublequote = rng.random() < 0.7
        escapechar = "\\"
        quotechar = rng.choice("\"'")

    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, list(rows[0]), dialect=Described)
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode(), {"dialect": Described}


def container(rows: Rows, rng: random.Random) -> tuple[str, bytes, dict[str, Any]]:
    """Return a suffix, the rows in that container, and how to read it."""
    table = pa.Table.from_pylist(rows)
    ascii_only, sink = rng.random() < 0.3, pa.BufferOutputStream()
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    kinds = ["jsonl", "array", "keyed", "concatenated", "columns", "parquet", "arrow", "stream"]
    flat = all(isinstance(value, str | int) for value in rows[0].values())
    kind = rng.choice([*kinds, "csv", "tsv"] if flat else kinds)
    suffix = rng.choice([".json", ".jsonl", ".ndjson"])
    match kind:
        case "jsonl":
            return suffix, rng.choice(["\n", "\r\n", "\n\n"]).join(lines).encode(), {}
        case "array":
            return suffix, json.dumps(rows, indent=rng.choice([None, 1])).encode(), {}
        case "keyed":
            return suffix, json.dumps({f"row {i}": row for i, row in enumerate(rows)}, indent=1).encode(), {}
        case "concatenated":
            return suffix, rng.choice([" ", ""]).join(lines).encode(), {}
        case "columns":
            return suffix, json.dumps({name: [row[name] for row in rows] for name in rows[0]}).encode(), {}
        case "csv" | "tsv":
            return f".{kind}", *delimited(rows, rng, "," if kind == "csv" else "\t")
        case "parquet":
            pq.write_table(
                table, sink, row_group_size=rng.choice([1, 5, 100]), compression=rng.choice(["none", "zstd"])
            )
        case _:
            packed = pyarrow.ipc.IpcWriteOptions(compression=rng.choice([None, "lz4", "zstd"]))
            new = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
            with new(sink, table.schema, options=packed) as writer:
                writer.write_table(table, max_chunksize=rng.choice([1, 5, 100]))
    return f".{'parquet' if kind == 'parquet' else 'arrow'}", sink.getvalue().to_pybytes(), {}


PACKINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data[:9], mtime=0) + gzip.compress(data[9:], mtime=0) + b"\0" * 512,
    ".zst": lambda data: b"\x50\x2a\x4d\x18\3\0\0\0abc" + pa.compress(data, "zstd", asbytes=True),
    ".xz": lambda data: lzma.compress(data[:5]) + lzma.compress(data[5:]) + b"\0" * 8,
    ".bz2": bz2.compress,
}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few of them changed, lost, added, repeated or exchanged, or cut short."""
    mine = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 6])):
        at, size = rng.randrange(len(mine) + 1), rng.choice([1, 1, 4, 40])
        match rng.randrange(6):
            case 0:
                mine[at : at + size] = rng.randbytes(len(mine[at : at + size]))
            case 1:
                del mine[at : at + size]
            case 2:
                mine[at:at] = rng.choice([b'"', b"\0", b"\n", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"]", b"\r"])
            case 3:
                mine[at:at] = mine[at : at + size]
            case 4 if len(mine) >= 8:
                place = rng.randrange(len(mine) - 7)
                mine[place : place + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\1\0\0\0"])
            case _:
                del mine[at:]
    return bytes(mine)


def made(seed: int) -> tuple[str, Made, bool]:
    """Return a format, a file, and whether it is damaged."""
    rng = random.Random(seed)
    form, rows, said = rows_of(rng)
    suffix, data, options = container(rows, rng)
    packing = rng.choice(["", "", "", *PACKINGS])
    where = rng.choice(["nowhere", "within", "packed"])
    is_text = suffix not in {".parquet", ".arrow"}
    if is_text and rng.random() < 0.2:
        data = data.decode().encode(rng.choice(["utf-16", "utf-8-sig", "utf-32", "utf-16-le"]))
    if where == "within":
        data = damaged(data, rng)
    data = PACKINGS[packing](data)
    if where == "packed":
        data = damaged(data, rng)
    return form, Made(f"rows{suffix}{packing}", data, options, said), where != "nowhere"


def turns(parsed: Any) -> Texts:  # noqa: ANN401
    """Return the texts of the first two turns or answers of each row."""
    found: list[tuple[str, ...]] = []
    for row in parsed.body.to_pylist():
        forms = {(side.replace("dialogue", "messages"), at): form for (side, at), form in forms_in(row["meta"]).items()}
        sides = [side for side in ("prompt", "messages", "chosen", "completions") if side in row]
        said = [(turn, forms.get((side, at), [])) for side in sides for at, turn in enumerate(row[side])]
        found.append(tuple(text_of(turn, form) for turn, form in said))
    return found


def text_of(turn: dict[str, Any], form: list[str]) -> str:
    """Return the text of a turn as it was before its calls were read."""
    calls = [Call(**call) for call in turn.get("tool_calls", ())]
    return written(turn["content"] or "", calls, form) if calls else str(turn["content"])


def expected_rows(one: Made) -> int | None:
    """Return how many rows a plain file of JSON lines holds by its own count; None for any other."""
    if not one.name.endswith((".jsonl", ".ndjson")):
        return None
    lines = [line for line in one.data.split(b"\n") if line.strip()]
    whole = [line for line in lines if line.startswith(b"{") and line.strip().endswith(b"}")]
    return len(lines) if len(whole) > 2 and lines[0] in whole and 2 * len(whole) > len(lines) else None


@pytest.mark.parametrize("part", range(PARTS))
def test_files_are_read_or_refused(tmp_path: Path, part: int) -> None:
    refused = damaged_files = 0
    for seed in range(part, FILES, PARTS):
        form, one, hurt = made(seed)
        path = tmp_path / one.name
        path.write_bytes(one.data)
        rows: list[tuple[str, ...]] = []
        bad = 0
        try:
            opened = files(path, form, **one.options, calls="split").open()
            for block in opened.blocks():
                parsed = opened.parse(block)
                rows.extend(turns(parsed))
                bad += parsed.bad.num_rows
            if seed % BUILT == 0:
                done = built(tmp_path / f"out{seed}", source("s", files(path, form, **one.options)))
                assert done.funnel["read"][0] == len(rows) + bad, seed
        except CurateError as error:
            if not hurt or "defect of curate" in str(error):
                raise AssertionError(seed) from error
            refused += 1
            rows, bad = [], -1
        if not hurt:
            assert (rows, bad) == (one.texts, 0), seed
        elif bad >= 0 and (count := expected_rows(one)) is not None:
            assert len(rows) + bad == count, seed
        damaged_files += hurt
        path.unlink()
    assert FILES < PARTS * 50 or 0.1 * damaged_files < refused < damaged_files
