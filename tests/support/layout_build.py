"""Rows of a layout, from its file through every step to the data files of a build, and both sides compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl

import curate as c
from curate.result.build import Build
from curate.rows.schema import Kind
from curate.steps.base import Step
from tests.support.bank import Row
from tests.support.layouts import Layout, exact, missing, pruned

SIDES: Final = ("messages", "prompt", "chosen", "rejected", "completion")
DEMO: Final = Path(__file__).parents[2] / "mixtures" / "demo" / "evals.jsonl"
FOLDER: Final = TemporaryDirectory(prefix="curate-layouts-")


@cache
def every_step(kind: Kind) -> tuple[Step, ...]:
    """Return every step that takes rows of a kind, with bounds that let these rows through."""
    folder = Path(FOLDER.name) / kind
    folder.mkdir()
    chats = c.frame(pl.DataFrame({"prompt": ["Hello there."], "completion": ["Hi."]}))
    old = c.Mixture("old", [c.Source("old", chats)]).build(folder / "old", quiet=True)
    good, bad = (
        c.frame(pl.DataFrame({"prompt": ["Why?"] * 80, "completion": [f"{word} {i} is" for i in range(80)]}))
        for word in ("so", "lol")
    )
    model = c.train_classifier(good, bad, folder / "q.bin", dim=2).path
    lenient = ("empty_turns", "unanswered", "unknown_tools", "bad_arguments", "unmatched_calls", "open_reasoning")
    steps: list[Step] = [
        c.shape(**dict.fromkeys(lenient, True), role_order=False),  # type: ignore[arg-type]
        c.language(),
        c.character_share(chinese=1.0, emoji=1.0),
        c.refusals(),
        c.refusals(max_share=1.0),
        c.repetition(),
        c.quality(model, at_least=0.0),
        c.score("meta.n", at_least=-1.0),
        c.judge("tests.support.judges:turns", batch=8, cache=folder / "judged"),
        c.secrets_and_pii(),
        c.secrets_and_pii("mask"),
        c.truecase(),
        c.cut_refusals(),
        c.where(pl.col("characters") >= 0),
        c.keep_if(lambda texts: texts.str.len_chars() >= 0),
        c.change(lambda texts: texts.str.replace_all("qqq", "q")),
        c.lint_pairs(),
        c.exact_dedup(),
        c.dedup(threshold=1.0),
        c.decontaminate(c.evals.files(DEMO, question="question", answer="answer", id="id", name="pellow")),
        c.exclude_prompts_of(old),
        c.contradictions(),
        c.balance_length(within=0.5),
    ]
    return tuple(steps)


def build_rows(layout: Layout, rows: Sequence[Row], out: Path, steps: Sequence[Step] = (), form: Any = None) -> Build:  # noqa: ANN401
    """Save raw rows as the layout has them, and build them by their format."""
    path = layout.save(out, rows)
    source = c.Source("s", c.files(path, form or layout.form or "auto", reasoning=layout.reasoning, calls=layout.calls))
    return c.Mixture("m", [source], steps).build(out, quiet=True)


def as_read(layout: Layout, rows: Sequence[Row]) -> list[Row]:
    """Return raw rows as the reader of their layout has them, each with what is left over as `rest`."""
    found = []
    for row in rows:
        raw = json.loads(json.dumps(row))
        own = raw.pop("id", None)
        found.append(layout.read(raw) | {"id": own, "rest": raw, "raw": row | raw})
    return found


def normal(row: Row) -> Row:
    """Return a neutral row for comparison: JSON exact but for white space, no key for what a row does not have."""
    found: Row = {name: [normal_turn(turn) for turn in row[name]] for name in SIDES if row.get(name) is not None}
    for name in ("tools", "chat_template_kwargs"):
        found[name] = exact(row.get(name)) or None
    for name in ("label", "chosen_score", "rejected_score"):
        found[name] = row.get(name)
    if row.get("completions") is not None:
        found["completions"] = [_completion(one) for one in row["completions"]]
    return found


def normal_turn(turn: Row) -> Row:
    calls = [{**one, "arguments": exact(one["arguments"])} for one in turn.get("tool_calls") or ()]
    known = {name: turn.get(name) for name in ("reasoning", "tool_call_id", "name")}
    return {"role": turn["role"], "content": turn["content"], "calls": calls, **known}


def _completion(one: Row) -> Row:
    scores = sorted((score["name"], float(score["value"])) for score in one.get("scores") or ())
    return {"content": one["content"], "model": one.get("model"), "scores": scores}


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return rows in an order that depends on nothing but what they say."""
    return sorted(rows, key=lambda row: json.dumps([row.get(name) for name in SIDES], sort_keys=True, default=str))


def rows_of(build: Build) -> list[Row]:
    return build.kept().collect().to_dicts()


def meta_of(text: str) -> Row:
    """Return `meta` without the notes on how calls and reasoning were written in text."""
    return {name: one for name, one in json.loads(text).items() if name not in {"call_marks", "think_marks"}}


def differences(one: Any, other: Any, path: str = "") -> list[str]:  # noqa: ANN401  any value
    """Return where two values differ, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        every = sorted({*one, *other})
        return [each for name in every for each in differences(one.get(name), other.get(name), f"{path}.{name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for i, (ours, theirs) in pairs for each in differences(ours, theirs, f"{path}[{i}]")]
    return [] if one == other and type(one) is type(other) else [f"{path}: {one!r}, not {other!r}"]


def check_build(layout: Layout, given: Sequence[Row], made: Sequence[Row]) -> None:
    """Hold the rows of a build against those that its source's reader found, in every field."""
    assert len(made) == len(given)
    ours = in_order([{**normal(row), "row": row} for row in given])
    theirs = in_order([{**normal(row), "row": row} for row in made])
    for one, other in zip(ours, theirs, strict=True):
        check_row(layout, one["row"], other["row"])


def check_row(layout: Layout, row: Row, found: Row) -> None:
    """Hold one row of a build against its raw row: the same in every field, and what is left over in `meta`."""
    assert not (wrong := differences(normal(row), normal(found))), wrong
    if row["id"] is not None:
        assert found["id"] == row["id"]
    meta = meta_of(found["meta"])
    if layout.kind == "prompt":
        names = found.keys() - {"source", "id", "prompt", "tools", "chat_template_kwargs", "meta"}
        as_is = {name for name in names if name not in layout.as_text or found[name] == row["rest"].get(name)}
        meta |= {name: found[name] if name in as_is else json.loads(found[name]) for name in names}
    assert not (lost := missing(pruned(row["rest"]), meta)), (lost, row["rest"], meta)
    assert not (made_up := missing(meta, row["raw"])), (made_up, meta, row["raw"])
