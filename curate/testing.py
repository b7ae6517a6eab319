"""The laws that every step keeps, as functions: hold a step of your own to them.

>>> import curate as c
>>> from curate.testing import check_step
>>> check_step(c.change(lambda texts: texts.str.strip_chars()))

A step answers the same twice, in any order of rows and in any batches. A Filter changes nothing. An Edit drops nothing
and changes nothing the second time. A Group decides over rows and not over batches.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from curate.engine.barrier import MemoryKeys, StoredLists
from curate.engine.manifest import canonical
from curate.engine.pipeline import Stage, run, score_columns
from curate.rows.edits import apply_edits
from curate.rows.identity import content_hashes
from curate.rows.schema import BODIES, FULL, Kind
from curate.rows.segments import segments
from curate.rows.take import take
from curate.steps.base import Edit, Filter, Group, Pairing, Step

Row = dict[str, Any]
"""What a step answered for one row, by name of the answer."""

TEXTS: Final = (
    "",
    " \t\n",
    "Hello.",
    "HELLO.",
    "As an AI language model, I don’t have opinions",
    "I'm sorry, but I can't assist with that.",
    "no way",
    "palm tree",
    "how do i build a bomb to kill people?",
    "yes. it is so, i think. ask at e.g. ann@pellow.org.",
    "CALL +44 1632 960983 NOW. MY NAME IS JOHN SMITH.",
    "你好世界。",
    "مرحبا",
    "👩‍👩‍👧 e\u0301",
    "x" * 50,
    "Why do onions make us cry?",
    "\nHow are you today?",
    "```python\nfor i in range(3):\n\tprint(i)\n```\n",
)
"""Texts that rows are made of; `curate.testing.rows` joins some of them."""


def check_step(step: Step, *, kinds: Sequence[Kind] = tuple(BODIES), batches: int = 20, seed: int = 0) -> None:
    """Hold a step to every law that its kind keeps, over rows that are made up.

    Args:
        step: The step, with its settings.
        kinds: The kinds of row that it is tried on. Default: all; a Pairing only sees rated rows.
        batches: Batches of up to 7 rows, for each kind. 20 take about a second.
        seed: The same seed makes the same rows.

    Raises:
        AssertionError: A law that the step breaks, with the rows on which it does.

    Example:
        >>> import polars as pl
        >>> from curate.steps.custom.where import where
        >>> check_step(where(pl.col("characters") < 100))
    """
    known_by_its_fields(step)
    chance = random.Random(seed)  # noqa: S311  made-up rows need no cryptography
    for kind in ("rated",) if isinstance(step, Pairing) else kinds:
        one = rows(kind, chance, 1)
        no_rows_and_one_row(step, one)
        for batch in range(batches):
            body = rows(kind, chance, chance.randrange(8), parts=batch % 4 == 3)
            order = chance.sample(range(body.num_rows), body.num_rows)
            parts = split(body, chance.randint(1, 4))
            judged_by_itself(step, body, parts, order)
            edits_or_drops(step, body)
            if isinstance(step, Edit):
                nothing_left_to_edit(step, body)
            if isinstance(step, Filter):
                evidence_is_where_it_says(step, body)
            if isinstance(step, Group):
                decided_over_rows(step, body, parts, chance.sample(parts, len(parts)))


def rows(kind: Kind, chance: random.Random, count: int, *, parts: bool = False) -> pa.RecordBatch:
    """Return made-up rows of one kind: turns of any role in any order, texts at the edge, with and without scores.

    With `parts`, messages may have reasoning, calls, names and no content, and rows tools and template arguments.
    """

    def text() -> str:
        return " ".join(chance.choices(TEXTS, k=chance.randrange(4)))

    def turns() -> list[Row]:
        roles = chance.choices(("system", "user", "assistant", "tool"), k=chance.randrange(7))
        return [{"role": role, "content": text()} for role in roles]

    def row() -> Row:
        scores = [[{"name": "s", "value": chance.choice((0.0, 1.5))}] for _ in range(chance.randrange(4))]
        return {
            "messages": turns(),
            "completions": [
                {"content": text(), "model": chance.choice((None, "m")), "scores": each} for each in scores
            ],
            "prompt": turns(),
            "chosen": turns(),
            "rejected": turns(),
            "chosen_score": chance.choice((None, 0.5)),
            "rejected_score": None,
            "meta": chance.choice(("{}", '{"a":1}')),
            **(judged() if kind in {"unpaired", "prompt"} else {}),
        }

    def judged() -> Row:
        rewards = [{"name": "answer", "value": json.dumps(text())}, {"name": "n", "value": "1"}]
        return {
            "completion": turns(),
            "label": chance.choice((True, False)),
            "rewards": rewards[: chance.randrange(3)],
        }

    schema, more = BODIES[kind], _some_parts(text, chance) if parts else dict
    if parts:
        schema = FULL[kind]
    made = [{name: value for name, value in (row() | more()).items() if name in schema.names} for _ in range(count)]
    turns_of = (value for each in made for name, value in each.items() if isinstance(value, list) and name != "rewards")
    for turn in (turn for several in turns_of for turn in several):
        turn.update(more())
    return take(pa.RecordBatch.from_pylist(made, schema), np.arange(count, dtype=np.int32))


def _some_parts(text: Callable[[], str], chance: random.Random) -> Callable[[], Row]:
    """Return a function that makes up some parts of a message or a row; each takes those that it can have."""

    def parts() -> Row:
        calls = [
            {"id": chance.choice((None, "1")), "name": text(), "arguments": json.dumps({"a": text()})}
            for _ in range(chance.randrange(3))
        ]
        found: Row = {"reasoning": text(), "tool_calls": calls, "tool_call_id": "1", "name": text()}
        found |= {"tools": json.dumps([{"name": text()}]), "chat_template_kwargs": "{}"}
        if calls:
            found["content"] = None
        return {name: value for name, value in found.items() if chance.random() < 0.3}

    return parts


def split(body: pa.RecordBatch, size: int) -> list[pa.RecordBatch]:
    """Return a batch in parts of `size` rows; one empty part where it has no rows."""
    return [body.slice(start, size) for start in range(0, body.num_rows, size)] or [body]


def answers(step: Step, body: pa.RecordBatch) -> list[Row]:
    """Return what a step says of each row, as a build runs it: scores, decision, evidence, keys, edits and the text."""
    done = run((Stage(step.name, 0, step),), body, protect=False)
    columns = {name: plain(column) for name, column in done.scores.items()}
    for keys in done.signed.values():
        columns |= {name: column.tolist() for name, column in keys.columns.items()}
        columns |= {f"list {name}": lists.to_pylist() for name, lists in keys.lists.items()}
    if done.pairs is not None:
        pairs = done.pairs.body.to_pylist()
        columns["pairs"] = [[pairs[k] for k in np.flatnonzero(done.pairs.row == row)] for row in range(body.num_rows)]
    columns |= {
        "dropped": done.dropped_by.tolist(),
        "bound": done.bound.tolist(),
        "score": [repr(x) for x in done.score],
    }
    columns |= {"edited": done.edited.to_pylist(), "evidence": done.evidence.to_pylist(), "body": done.body.to_pylist()}
    _hold({len(column) for column in columns.values()} == {body.num_rows}, f"{step.name} lost rows")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def plain(column: Any) -> list[Any]:  # noqa: ANN401  a NumPy or Arrow array
    """Return a column of scores with None for NaN, so that equal answers are equal."""
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124


def judged_by_itself(step: Step, body: pa.RecordBatch, parts: Sequence[pa.RecordBatch], order: Sequence[int]) -> None:
    """A row's answer depends on that row alone: the same twice, in any batches, in any order of rows."""
    whole = answers(step, body)
    _hold(answers(step, body) == whole, f"{step.name} answers differently the second time: {body.to_pylist()}")
    apart = [row for part in parts for row in answers(step, part)]
    _hold(apart == whole, f"{step.name} answers differently in smaller batches: {body.to_pylist()}")
    mixed = body.take(pa.array(order, pa.int32()))
    moved = answers(step, pa.RecordBatch.from_pylist(mixed.to_pylist(), body.schema))
    _hold(
        moved == [whole[row] for row in order], f"{step.name} answers differently in another order: {body.to_pylist()}"
    )


def edits_or_drops(step: Step, body: pa.RecordBatch) -> None:
    """Filters, Groups and Pairings change no text; Edits drop no row; an edited row is marked, and only that."""
    done = run((Stage(step.name, 0, step),), body, protect=False)
    _hold(done.body.num_rows == body.num_rows, f"{step.name} lost rows: {body.to_pylist()}")
    _hold(done.body.schema.equals(body.schema), f"{step.name} changed the columns: {body.to_pylist()}")
    if not isinstance(step, Filter | Pairing):
        _hold((done.dropped_by == -1).all(), f"{step.name} is no Filter and drops rows: {body.to_pylist()}")
    marked = [bool(labels) for labels in done.edited.to_pylist()]
    changed = [one != two for one, two in zip(body.to_pylist(), done.body.to_pylist(), strict=True)]
    _hold(marked == changed, f"{step.name} marks other rows than it changes: {body.to_pylist()}")
    _hold(isinstance(step, Edit) or not any(changed), f"{step.name} is no Edit and changes text: {body.to_pylist()}")


def nothing_left_to_edit(step: Edit, body: pa.RecordBatch) -> None:
    """An Edit changes nothing the second time."""
    seen = segments(body, step.reads, step.reads_parts)
    once, _ = apply_edits(body, seen, step.edit(seen))
    again = segments(once, step.reads, step.reads_parts)
    twice, changed = apply_edits(once, again, step.edit(again))
    _hold(not changed.any(), f"{step.name} changes its own result: {once.to_pylist()}")
    _hold(twice.equals(once), f"{step.name} changes its own result: {once.to_pylist()}")


def evidence_is_where_it_says(step: Filter, body: pa.RecordBatch) -> None:
    """Evidence points into a text of its row, and names one of the step's reasons; a dropped row has a reason."""
    reasons = [bound.reason for bound in step.bounds()]
    side_of = {
        "dialogue": "messages",
        "completion": "completions" if "completions" in body.schema.names else "completion",
    }
    for answer, row in zip(answers(step, body), body.to_pylist(), strict=True):
        for hit in answer["evidence"]:
            side, _, part = hit["side"].partition(".")
            side = side_of.get(side, side)
            texts = texts_of(row, side if side in row else "messages", hit["turn"], part)
            within = 0 <= hit["start"] <= hit["end"] <= max(map(len, texts))
            _hold(within, f"{step.name} points outside the text: {hit} in {row}")
            _hold(hit["reason"] in reasons, f"{step.name} gives a reason that is not in bounds(): {hit}")
        _hold(
            answer["dropped"] == (0 if answer["bound"] >= 0 else -1),
            f"{step.name} dropped a row without a reason: {row}",
        )


def texts_of(row: Row, side: str, turn: int, part: str) -> list[str]:
    """Return the texts of one turn: its content, or what `part` names."""
    if part == "tools":
        return [row["tools"]]
    message = row[side][turn]
    if part.startswith("call"):
        number, _, of = part.removeprefix("call").partition(".")
        call = message["tool_calls"][int(number) - 1]
        return [call[of]] if of else [call["name"], call["arguments"]]
    return [message[part or "content"] or ""]


def decided_over_rows(
    step: Group, body: pa.RecordBatch, parts: Sequence[pa.RecordBatch], shuffled: Sequence[pa.RecordBatch]
) -> None:
    """A Group decides the same however its rows are cut into batches, and never drops a protected row."""
    whole = decisions(step, body, [body])
    _hold(decisions(step, body, parts) == whole, f"{step.name} decides differently in batches: {body.to_pylist()}")
    _hold(decisions(step, body, shuffled) == whole, f"{step.name} decides by the order of batches: {body.to_pylist()}")


def decisions(step: Group, body: pa.RecordBatch, parts: Sequence[pa.RecordBatch]) -> dict[int, tuple[int, float]]:
    """Return the dropped rows, by content, each with the row that it duplicates (-1: none) and its score."""
    sheets = [
        MemoryKeys(part.num_rows, {"": step.sign(segments(part, step.reads, step.reads_parts))}) for part in parts
    ]
    columns = pl.concat([pl.DataFrame(dict(sheet.by_label[""].columns)) for sheet in sheets])
    hashes = np.concatenate([content_hashes(part).low for part in parts])
    known = content_hashes(body).low.tolist()
    keys = columns.with_columns(
        row=pl.int_range(pl.len()),
        source=pl.Series((hashes % np.uint64(3)).astype(np.int16)),
        rank=pl.Series(hashes),
        protect=pl.Series(hashes % np.uint64(5) == 0),
    )
    totals = [sheet.by_label[""].totals for sheet in sheets]
    summed = {name: np.sum([each[name] for each in totals], axis=0) for name in totals[0]}
    drops = step.resolve(keys, StoredLists(sheets, "", np.arange(keys.height)), summed).drops
    _hold(not keys["protect"].gather(drops["row"]).any(), f"{step.name} drops protected rows")
    names = [known.index(each) for each in hashes.tolist()]
    found = drops.select("row", "kept", "score").to_dict(as_series=False)
    return {
        names[row]: (names[kept] if kept >= 0 else -1, score)
        for row, kept, score in zip(found["row"], found["kept"], found["score"], strict=True)
    }


def no_rows_and_one_row(step: Step, one: pa.RecordBatch) -> None:
    """A step answers for one row and for none, and the columns of its scores are known before any row is."""
    _hold(len(answers(step, one)) == 1, f"{step.name} does not answer for one row")
    _hold(answers(step, one.slice(0, 0)) == answers(step, one.slice(1)) == [], f"{step.name} answers for no rows")
    stage = Stage(step.name, 0, step)
    scores = run((stage,), one, protect=False).scores
    _hold(
        set(score_columns([stage])) == set(scores),
        f"{step.name} has other scores for no rows than for one: {set(scores)}",
    )


def known_by_its_fields(step: Step) -> None:
    """A step equals its copy, and has a fingerprint."""
    again = replace(step)
    same = (again, hash(again), canonical(again)) == (step, hash(step), canonical(step))
    _hold(same, f"{step.name} differs from its copy")


def _hold(holds: bool, message: str) -> None:  # noqa: FBT001
    """Raise `AssertionError` where a law is broken; `assert` itself is gone under `python -O`."""
    if not holds:
        raise AssertionError(message)
