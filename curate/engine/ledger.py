"""The ledger: one line for every input row, with its fate, and the law that the fates add up."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import Verdicts
from curate.engine.group_results import PieceOf, RowNames, between, told_of_falls, with_evidence
from curate.engine.partition import with_names
from curate.engine.pipeline import HIT, Stage
from curate.engine.resolve import Fate, Standing
from curate.engine.source_lines import InPlace, read_again
from curate.engine.spill import read_pile
from curate.errors import ConservationError
from curate.io.atomic import read_ipc, replacing
from curate.io.parquet import parquet_options
from curate.rows.identity import numbered
from curate.rows.schema import kind_of, row_schema
from curate.rows.take import take

LEDGER = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("id", pa.string()),
        ("fate", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("score", pa.float64()),
        ("bound", pa.float64()),
        ("match", pa.string()),
        ("edited", pa.list_(pa.string())),
        ("evidence", pa.list_(HIT)),
        ("copies", pa.int32()),
        ("split", pa.string()),
        ("tokens", pa.int64()),
        ("column", pa.string()),
        ("expected", pa.string()),
        ("excerpt", pa.string()),
    ]
)
"""The columns of the ledger, before the scores, which are named `step.score`.

- `file`, `line`: where the row stood; the line in JSON Lines, CSV and TSV, else the number of the row, from 1.
- `fate`: kept, dropped, unsampled or quarantined; of a rated row that gave pairs, paired.
- `step`, `reason`, `score`, `bound`: of a dropped row, what it fell to.
- `match`: the phrase a dropped row was caught by, or `source/id` of the row that a duplicate fell to.
- `copies`, `split`: how often a kept row is in the data files, and in which split.
- `column`, `expected`, `excerpt`: of a quarantined row, what is wrong and its first 200 characters.
"""


WORDS = ("file", "fate", "step", "reason", "split", "column", "expected", "match")
"""Columns of few different values, written with a dictionary."""


What: TypeAlias = Literal["rows", "rated", "pairs"]
"""What ledger lines tell of: rows on their way into the data files, rated rows to be paired, or their pairs."""

FATES: Final[dict[What, tuple[Fate, ...]]] = {
    "rows": (Fate.KEPT, Fate.DROPPED, Fate.UNSAMPLED, Fate.QUARANTINED),
    "rated": (Fate.PAIRED, Fate.DROPPED, Fate.QUARANTINED),
    "pairs": (Fate.KEPT, Fate.DROPPED, Fate.UNSAMPLED),
}
"""What may become of them."""

FOLDERS: Final[dict[What, tuple[str, str]]] = {
    "rows": ("ledger", "dropped"),
    "rated": ("ledger", "rated"),
    "pairs": ("pairs", "dropped"),
}
"""Where in a build folder their lines lie, and those of them that fell."""


class Books(NamedTuple):
    """What ledger lines of one half of a build are written from."""

    names: tuple[str, ...]
    pipelines: tuple[tuple[Stage, ...], ...]
    standing: Standing
    pieces: tuple[PieceOf, ...]
    lines: InPlace
    verdicts: Verdicts
    kept: RowNames
    score_types: dict[str, pa.DataType]


def write_source(books: Books, what: What, out: Path, number: int) -> dict[str, int]:
    """Write the lines and the dropped rows of one source into a build folder; returns how many rows met each fate."""
    ledger, dropped = (out / folder / f"{number:03d}-{books.names[number]}.parquet" for folder in FOLDERS[what])
    pieces = [piece for piece in books.pieces if piece.source == number]
    schema = pa.schema([*LEDGER, *books.score_types.items()])
    fates = dict.fromkeys((fate.name.lower() for fate in FATES[what]), 0)
    with replacing(ledger) as draft, pq.ParquetWriter(draft, schema, **parquet_options(schema, WORDS)) as writer:
        for piece in pieces:
            lines = _lines(books, piece, schema)
            writer.write_batch(lines)
            for found in pc.value_counts(lines["fate"]):
                fates[found["values"].as_py()] += found["counts"].as_py()
    _write_dropped(books, pieces, dropped)
    return fates


def check_conservation(source: str, read: int, fates: dict[str, int]) -> None:
    """Raise `ConservationError` unless the fates of a source add up to the rows read.

    >>> check_conservation("lima", 3, {"kept": 2, "dropped": 1})
    """
    if sum(fates.values()) != read:
        message = (
            f"source {source!r}: {read:,} rows were read, but the ledger has {sum(fates.values()):,}: {fates}; "
            "this is a defect of curate, please report it"
        )
        raise ConservationError(message)


def _lines(books: Books, piece: PieceOf, schema: pa.Schema) -> pa.RecordBatch:
    """Return the lines of one piece in the order of the file."""
    lines = read_ipc(piece.paths.lines)
    bad = lines.num_rows - piece.rows
    here = slice(piece.first, piece.first + piece.rows)
    standing = books.standing
    fate = np.append(standing.fate[here], np.full(bad, Fate.QUARANTINED, np.uint8))
    fates = pa.array([fate.name.lower() for fate in Fate], pa.string())
    grouped = np.append(standing.grouped[here], np.zeros(bad, np.bool_))
    columns = {name: lines[name] for name in lines.schema.names}
    columns["source"] = pa.repeat(pa.scalar(books.names[piece.source], pa.string()), lines.num_rows)
    columns["id"] = _padded(numbered(lines["id"].slice(0, piece.rows), standing.occurrence[here]), bad)
    columns["fate"] = fates.take(pa.array(fate))
    columns["copies"] = _padded(pa.array(standing.copies[here].astype(np.int32)), bad)
    columns["split"] = _padded(_split(standing, here), bad)
    columns["tokens"] = _padded(pa.array(standing.tokens[here]), bad)
    met = between(books.verdicts.hits, piece.first, piece.rows)
    columns |= _group_verdicts(books, piece, columns, grouped)
    columns["evidence"] = with_evidence(columns["evidence"], met, piece.first)
    columns |= _clashes(books, piece, columns, bad)
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    by_line = np.argsort(np.asarray(batch["line"]), kind="stable").astype(np.int32)
    return take(batch, by_line) if bad else batch


def _padded(column: pa.Array, bad: int) -> pa.Array:
    """Add nulls for the rows that could not be read."""
    return pa.concat_arrays([column, pa.nulls(bad, column.type)])


def _split(standing: Standing, here: slice) -> pa.Array:
    splits = pa.array(["train", "test"], pa.string())
    return splits.take(pa.array(standing.test[here].astype(np.int8), mask=standing.copies[here] == 0))


def _group_verdicts(
    books: Books, piece: PieceOf, columns: dict[str, pa.Array], grouped: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Say of rows that fell to a group to which one, and to which row; of the others what met them first."""
    matched = _first_match(columns["evidence"], columns["step"], columns["reason"])
    if not grouped.any():
        return {"match": matched}
    falls = between(books.verdicts.drops, piece.first, piece.rows)
    told = told_of_falls(falls, books.pipelines[piece.source], books.kept)
    mask = pa.array(grouped)
    return {name: pc.replace_with_mask(columns.get(name, matched), mask, told[name]) for name in told}


def _first_match(evidence: pa.ListArray, step: pa.Array, reason: pa.Array) -> pa.Array:
    """Return what each row's deciding reason met first; null where nothing fell or nothing was met."""
    hits, row = pc.list_flatten(evidence), np.asarray(pc.list_parent_indices(evidence))
    if not len(hits):
        return pa.nulls(len(evidence), pa.string())
    owner = pa.array(row)
    same = pc.and_(pc.equal(hits.field("step"), step.take(owner)), pc.equal(hits.field("reason"), reason.take(owner)))
    decided = np.flatnonzero(np.asarray(pc.fill_null(same, fill_value=False)))
    rows, first = np.unique(row[decided], return_index=True)
    pick = np.full(len(evidence), -1, np.int64)
    pick[rows] = decided[first]
    return hits.field("match").take(pa.array(pick, mask=pick < 0))


def _clashes(books: Books, piece: PieceOf, columns: dict[str, pa.Array], bad: int) -> dict[str, pa.Array]:
    """Say of rows that share an id with a row that says something else what is wrong with them."""
    clash = books.standing.fate[piece.first : piece.first + piece.rows] == Fate.QUARANTINED
    if not clash.any():
        return {}
    mask = pa.array(np.append(clash, np.zeros(bad, np.bool_)))
    count = int(clash.sum())
    told = {
        "column": pa.repeat(pa.scalar("id", pa.string()), count),
        "expected": pa.repeat(pa.scalar("an id that no other row of the source has", pa.string()), count),
        "excerpt": columns["id"].filter(mask),
    }
    none = pa.nulls(count, pa.string())
    old = {"step": none, "reason": none, "match": none}
    return {name: pc.replace_with_mask(columns[name], mask, value) for name, value in {**told, **old}.items()}


def _write_dropped(books: Books, pieces: list[PieceOf], path: Path) -> None:
    """Write the rows that fell, in the order of the file; no file where none did."""
    found = (rows for piece in pieces if (rows := _dropped(books, piece)).num_rows)
    first = next(found, None)
    if first is None:
        return
    with replacing(path) as draft, pq.ParquetWriter(draft, first.schema, **parquet_options(first.schema)) as writer:
        writer.write_batch(first)
        for rows in found:
            writer.write_batch(rows)


def _picked(buckets: list[pa.RecordBatch], wanted: NDArray[np.bool_]) -> list[pa.RecordBatch]:
    """Return the rows whose number within the piece is wanted; only buckets that have any are opened."""
    ends = np.cumsum([bucket.num_rows for bucket in buckets])
    place = np.flatnonzero(wanted[np.concatenate([np.asarray(bucket["row"]) for bucket in buckets])])
    which = np.searchsorted(ends, place, side="right")
    return [
        take(buckets[number], (place[which == number] - ends[number] + buckets[number].num_rows).astype(np.int32))
        for number in np.unique(which).tolist()
    ]


def _dropped(books: Books, piece: PieceOf) -> pa.RecordBatch:
    """Return the rows of a piece that fell to filters, which lie apart, and to groups, which lie among the others."""
    standing = books.standing
    here = slice(piece.first, piece.first + piece.rows)
    parts = [read_ipc(piece.paths.dropped)]
    grouped = standing.grouped[here].copy()
    grouped[np.asarray(parts[0]["row"])] = False  # it fell to a filter behind the group too, and is there
    stays = books.lines.start[here] >= 0
    if (grouped & ~stays).any():
        parts += _picked(read_pile(piece.paths.rows), grouped & ~stays)
    row = np.flatnonzero(grouped & stays)
    parts += [
        with_names(found.body, found.ids, row[found.place]) for found in read_again(books.lines, piece.first + row)
    ]
    batch = pa.concat_batches(parts)
    row = np.asarray(batch["row"])
    order = np.argsort(row, kind="stable")
    order = order[standing.fate[piece.first + row[order]] == Fate.DROPPED]
    picked = take(batch, order.astype(np.int32))
    row = piece.first + row[order]
    source = pa.repeat(pa.scalar(books.names[piece.source], pa.string()), len(row))
    ids = numbered(picked["id"], standing.occurrence[row])
    return pa.RecordBatch.from_arrays([source, ids, *picked.columns[3:]], schema=row_schema(kind_of(batch.schema)))
