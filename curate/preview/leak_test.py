"""A test of a search before anybody trusts what it does not find: eval items planted into copies of the data's rows.

An item that is planted and not found would slip through the build as well. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.evalsets.items import EvalSet
from curate.kernels.buffers import strings, view
from curate.kernels.hashing import hash_strings
from curate.result.folder import GENERIC
from curate.rows.edits import Change, Edits, apply_edits
from curate.rows.parts import conform, together
from curate.rows.schema import BODIES, kind_of
from curate.rows.segments import On, segments, select
from curate.rows.take import take, text_bytes
from curate.steps.base import Group
from curate.text.ngrams import word_spans
from curate.text.normal import hash_normal

CARRIERS: Final = 64
"""Rows of the data that texts are planted into, in turn."""

CARRIED: Final = 8_192
"""Bytes of text: larger rows carry nothing, so that a test takes a second."""

AROUND: Final = 200
"""Characters of the row's own turn that go before and behind a planted text."""

MANY: Final = 12
"""Words of a text from which on a fuzzy search should find it with one of them changed."""

VERBATIM, CASED, WITHIN, THIRD = "verbatim", "re-cased", "with prefix and suffix", "in turn three"
CHANGED, CHANGED_SHORT = f"one word changed, of {MANY} or more", "one word changed, of fewer"
WAYS: Final = (VERBATIM, CASED, WITHIN, THIRD, CHANGED, CHANGED_SHORT)

OTHER, ANOTHER = "otherwise", "likewise"
"""What a changed word becomes; the second, if the first is what it was."""


class Planted(NamedTuple):
    """Rows with planted texts: row `i` of `body` holds text `text[i]`, planted in the way `WAYS[way[i]]`."""

    body: pa.RecordBatch
    text: NDArray[np.int32]
    way: NDArray[np.int8]


def plant(bodies: Iterable[pa.RecordBatch], on: On, texts: pa.StringArray, seed: NDArray[np.uint64]) -> Planted | None:
    """Plant each text in each way that `on` reads, in copies of the first rows of `bodies` that have a turn for it.

    A text takes the place of the first turn that `on` selects, is put in the middle of it, or becomes the third turn of
    the dialogue. `seed` has a number for each text, which says what word of it changes; one without words has none.
    Returns None where no row has a turn to plant in.
    """
    found = _carriers(bodies, on, len(texts))
    if found is None:
        return None
    replaced, count = _ways(texts, _first_turns(found, on), seed)
    every = np.arange(len(texts), dtype=np.int32)
    parts = [(VERBATIM, every, _replaced(found, on, texts))]
    parts += [(name, every, _replaced(found, on, text)) for name, text in replaced.items() if name != CHANGED]
    third = _third(found, on, texts)
    if third is not None:
        parts.append((THIRD, every, third))
    changed = _replaced(found, on, replaced[CHANGED])
    for name, some in ((CHANGED, count >= MANY), (CHANGED_SHORT, (count > 1) & (count < MANY))):
        which = np.flatnonzero(some).astype(np.int32)
        parts.append((name, which, take(changed, which)))
    return Planted(
        together(body for _, _, body in parts),
        np.concatenate([which for _, which, _ in parts]),
        np.concatenate([np.full(len(which), WAYS.index(name), np.int8) for name, which, _ in parts]),
    )


def _carriers(bodies: Iterable[pa.RecordBatch], on: On, count: int) -> pa.RecordBatch | None:
    """Return `count` copies of rows of the first batch that has any with a selected turn."""
    for body in bodies:
        parts = select(segments(body), on).parts
        if not parts:
            continue
        rows = np.unique(parts[0].row)
        size = text_bytes(body)[rows]
        small = rows[size <= CARRIED][:CARRIERS]
        chosen = small if len(small) else rows[np.argmin(size)][None]
        return take(body, chosen[np.arange(count) % len(chosen)].astype(np.int32))
    return None


def _first_turns(body: pa.RecordBatch, on: On) -> pl.Series:
    """Return the first turn of each row that `on` selects."""
    part = select(segments(body), on).parts[0]
    _, first = np.unique(part.row, return_index=True)
    return pl.Series(strings(part.text.data, part.text.offsets).take(pa.array(part.index[first])))


def _ways(
    texts: pa.StringArray, own: pl.Series, seed: NDArray[np.uint64]
) -> tuple[dict[str, pa.StringArray], NDArray[np.int64]]:
    """Return the texts as each way has them, and how many words each has."""
    every = np.arange(len(texts), dtype=np.int32)
    plain = pl.Series(texts, dtype=pl.String)
    upper = plain.str.to_uppercase()
    # The letters of some scripts do not come back from upper case ("ı" becomes "I"): such a text stays as it is.
    same = hash_normal(view(_arrow(upper)), every).high == hash_normal(view(texts), every).high
    spans = word_spans(view(texts), every)
    count = np.diff(spans.offsets)
    word = np.where(count > 0, spans.offsets[:-1] + (seed % np.maximum(count, 1).astype(np.uint64)).astype(np.int64), 0)
    start, end = (np.append(side, 0)[word] for side in (spans.start, spans.end))
    frame = pl.DataFrame({"text": plain, "own": own, "upper": upper, "same": same, "start": start, "end": end})
    old = pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start"))
    new = pl.when(old.str.to_lowercase() == OTHER).then(pl.lit(ANOTHER)).otherwise(pl.lit(OTHER))
    columns = frame.select(
        pl.when("same").then("upper").otherwise("text").alias(CASED),
        pl.concat_str(pl.col("own").str.head(AROUND), "text", pl.col("own").str.tail(AROUND), separator=" ").alias(
            WITHIN
        ),
        pl.concat_str(
            pl.col("text").str.slice(0, pl.col("start")), new, pl.col("text").str.slice(pl.col("end")), separator=" "
        ).alias(CHANGED),
    )
    return {name: _arrow(columns[name]) for name in columns.columns}, count


def _arrow(series: pl.Series) -> pa.StringArray:
    return series.rechunk().to_arrow().cast(pa.string())


def _replaced(body: pa.RecordBatch, on: On, texts: pa.StringArray) -> pa.RecordBatch:
    """Put each text in the place of the first selected turn of its row."""
    found = select(segments(body), on)
    _, first = np.unique(found.parts[0].row, return_index=True)
    return apply_edits(body, found, Edits((Change(first.astype(np.int32), texts),)))[0]


def _third(body: pa.RecordBatch, on: On, texts: pa.StringArray) -> pa.RecordBatch | None:
    """Make each text the third and last turn of its row's dialogue or prompt; None where `on` does not read it."""
    kind = kind_of(body.schema)
    body = conform(body, BODIES[kind])
    name = "messages" if "messages" in body.schema.names else "prompt"
    lists = body[name]
    old = lists.values
    length = np.diff(lists.offsets.to_numpy())
    index = lists.offsets.to_numpy()[:-1, None] + np.arange(3)
    # Behind the messages there are come the texts, and placeholders for turns that a row does not have.
    index[:, 2] = len(old) + np.arange(len(texts))
    pads = len(old) + len(texts) + np.arange(2)
    index[:, :2] = np.where(np.arange(2) < length[:, None], index[:, :2], pads)
    role = _role(on)
    more = {
        "content": pa.concat_arrays([texts, pa.array(["Hello.", "Hello."])]),
        "role": pa.concat_arrays([pa.repeat(pa.scalar(role), len(texts)), pa.array(["user", "assistant"])]),
    }
    pick = pa.array(index.ravel())
    columns = [pa.concat_arrays([old.field(field.name), more[field.name]]).take(pick) for field in old.type]
    offsets = pa.array(np.arange(0, 3 * len(texts) + 1, 3, dtype=np.int32))
    dialogue = pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(columns, fields=list(old.type)), type=lists.type
    )
    planted = body.set_column(body.schema.get_field_index(name), body.schema.field(name), dialogue)
    asked = (part for part in select(segments(planted), on).parts if part.side in {"dialogue", "prompt"})
    return planted if sum(int((part.turn == 2).sum()) for part in asked) == len(texts) else None


def _role(on: On) -> str:
    """Return a role that `on` reads."""
    if isinstance(on, frozenset):
        return "user" if "user" in on else min(on)
    return "assistant" if on in {"response", "last_response"} else "user"


ITEMS: Final = 300
"""Items planted for each step, as many of each eval."""

LEAST: Final = 12
"""Items planted of each eval, however many evals there are."""

NAMED: Final = 10
"""Items named of those that were missed."""

SURE: Final = (VERBATIM, CASED, WITHIN, THIRD)
"""Ways in which no item may be missed."""


class Way(NamedTuple):
    """How many items were planted in one way, and how many of them found; `missed` names the first that were not."""

    name: str
    planted: int
    found: int
    missed: tuple[str, ...]

    @property
    def sure(self) -> bool:
        """Whether no item may be missed in this way."""
        return self.name in SURE

    @property
    def failed(self) -> bool:
        """Whether an item was missed that must not be."""
        return self.sure and self.found < self.planted


class LeakTest(NamedTuple):
    """What became of the items planted for one step.

    `items` is the step's table of them. `ways` leaves out those that the step's `on` does not read, and generic
    items: `generic` tells how many of them were found as a turn of their own. No way: no row could carry an item.
    """

    label: str
    fuzzy: float | None
    items: pl.DataFrame
    ways: tuple[Way, ...]
    generic: Way

    @property
    def failed(self) -> bool:
        """Whether an item was missed that must not be."""
        return any(way.failed for way in self.ways)


def leak_test(
    step: Group, label: str, bodies: Iterable[pa.RecordBatch], totals: Mapping[str, NDArray[np.int64]]
) -> LeakTest:
    """Plant items of the evals of `step` into copies of rows of `bodies`, and run the step over the copies.

    `totals` are those of the rows read: what is generic follows from the data, not from what is planted.
    """
    fuzzy = getattr(step, "fuzzy", None)  # the similarity of a rephrased hit, if the step looks for those
    items = _chosen(step.eval_sets)
    planted = plant(bodies, step.on, items["question"].to_arrow().cast(pa.string()), items["seed"].to_numpy())
    if planted is None:
        return LeakTest(label, fuzzy, pl.DataFrame(), (), Way(GENERIC, 0, 0, ()))
    tables = _search(step, label, planted.body, totals)
    found = _found_items(items, planted, tables)
    plain = found.filter(pl.col("kind") != GENERIC)
    ways = (_way(name, plain.filter(way=name)) for name in WAYS)
    return LeakTest(
        label,
        fuzzy,
        tables["items"],
        tuple(way for way in ways if way.planted),
        _way(GENERIC, found.filter(way=VERBATIM, kind=GENERIC)),
    )


def _chosen(sets: Sequence[EvalSet]) -> pl.DataFrame:
    """Return some items of each eval, by the hash of their ids: `eval`, `item`, `question`, and the hash, `seed`."""
    most = max(ITEMS // len(sets), LEAST)
    found = []
    for one in sets:
        items = one.load()
        seed = hash_strings(view(items.ids)).high
        first = np.sort(np.argsort(seed, kind="stable")[:most])
        columns = {"item": items.ids, "question": items.question}
        frame = pl.DataFrame({name: pl.Series(column.take(pa.array(first))) for name, column in columns.items()})
        found.append(frame.select(pl.lit(one.name).alias("eval"), "item", "question", pl.Series("seed", seed[first])))
    return pl.concat(found)


def _search(
    step: Group, label: str, body: pa.RecordBatch, totals: Mapping[str, NDArray[np.int64]]
) -> Mapping[str, pl.DataFrame]:
    """Run a step over rows, and return its tables."""
    signed = step.sign(segments(body, step.reads))
    row = np.arange(body.num_rows)
    keys = pl.DataFrame(
        {
            "row": row,
            "source": np.zeros(len(row), np.int16),
            "rank": row.astype(np.uint64),
            "protect": np.zeros(len(row), np.bool_),
            **signed.columns,
        }
    )
    lists = StoredLists([MemoryKeys(len(row), {label: signed})], label, row)
    return step.resolve(keys, lists, totals).tables


def _found_items(items: pl.DataFrame, planted: Planted, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return a line for each planted item that can be found: `way`, `eval`, `item`, `kind` and `found`."""
    rows = items.select("eval", "item")[planted.text].with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64), way=pl.Series(WAYS, dtype=pl.String).gather(planted.way)
    )
    hits = tables["hits"].select("row", "eval", "item", found=True).unique()
    kinds = tables["items"].select("eval", "item", "kind").filter(pl.col("kind") != "unmatchable")
    return (
        rows.join(kinds, on=["eval", "item"], how="inner", maintain_order="left")
        .join(hits, on=["row", "eval", "item"], how="left", maintain_order="left")
        .with_columns(pl.col("found").fill_null(value=False))
    )


def _way(name: str, lines: pl.DataFrame) -> Way:
    found = int(lines["found"].sum())
    missed = lines.filter(~pl.col("found")).head(NAMED) if found < lines.height else lines.clear()
    names = missed.select(pl.format("{}/{}", "eval", "item")).to_series().to_list() if missed.height else []
    return Way(name, lines.height, found, tuple(names))
