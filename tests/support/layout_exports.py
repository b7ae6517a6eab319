"""A build's exports held to its rows: what is in a file is all that the row says, what is not is named and counted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from curate.errors import ExportError
from curate.export.export import EXPORTED, LEFT_OUT, TARGETS, Export
from curate.export.parts import FLATTENED, REMOVABLE
from curate.result.build import Build
from tests.support.bank import Row
from tests.support.export_readers import SIDES, read_export, untagged
from tests.support.layout_build import differences, meta_of, normal
from tests.support.layouts import Number, missing
from tests.support.part_oracles import ORACLES

STOP: Final = re.compile(r"^  (\w+), in ([\d,]+) rows? \((.*?)\): ", re.MULTILINE)
TAGGED: Final = ("llama-factory", "open-instruct")
JOINED: Final = {
    ("open-instruct", "preference"): ("chosen", "rejected"),
    ("llama-factory", "unpaired"): ("completion",),
    ("axolotl", "unpaired"): ("completion",),
}
"""Targets whose answers begin with their prompt."""


def check_exports(build: Build, folder: Path, targets: Sequence[str] = tuple(TARGETS)) -> None:
    """Export a build to each trainer: as it is, then by each override for a part that its rows have."""
    rows = rows_of(build)
    for to in (name for name in targets if build.kind in TARGETS[name].kinds):
        check_export(build, rows, to, folder / to)
        for how, parts in (("without", REMOVABLE), ("flatten", FLATTENED)):
            for part in parts:
                if any(map(ORACLES[part], rows.values())):
                    check_export(build, rows, to, folder / f"{to} {how} {part}", **{how: (part,)})


def rows_of(build: Build) -> dict[str, Row]:
    """Return the rows of a build by their id, those of prompts with what rewards read."""
    found = build.kept().collect().to_dicts()
    own = {"source", "id", "meta", "prompt", "tools", "chat_template_kwargs"}
    for row in found:
        names = [name for name in row if name not in own] if build.kind == "prompt" else []
        row["rewards"] = [{"name": name, "value": row[name]} for name in names if row[name] is not None]
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


def check_export(build: Build, rows: Mapping[str, Row], to: str, out: Path, **how: tuple[str, ...]) -> None:
    """Export a build, leave out the rows of what stops it, and hold the files to the rows and the choices."""
    edited = {name: changed(row, **how) for name, row in rows.items()}
    made, stops = tried(build, to, out, how)
    for part, (count, first) in stops.items():
        # What is done to reasoning is judged by the reasoning that there was.
        before = part in {"think_tags", "reasoning_only"} and "reasoning" in (
            *how.get("flatten", ()),
            *how.get("without", ()),
        )
        having = {f"{row['source']}/{name}" for name, row in (rows if before else edited).items() if ORACLES[part](row)}
        assert count == len(having), (to, part, how)
        assert set(first) <= having
    drops = [*stops]
    for part in drops:
        assert TARGETS[to].kinds[build.kind].cannot.get(part) or how, "the trainer says why"
    if made is None:
        made = build.export(to, out, drop_rows_with=drops, **how)  # type: ignore[arg-type]
    check_files(made, rows, edited, to, build.kind, drops, how)


def tried(
    build: Build, to: str, out: Path, how: Mapping[str, tuple[str, ...]]
) -> tuple[Export | None, dict[str, tuple[int, list[str]]]]:
    """Return an export, or the parts that stop it, each with the number of its rows and those that are named."""
    try:
        return build.export(to, out, **how), {}  # type: ignore[arg-type]
    except ExportError as error:
        assert not out.exists()
        found = {part: (int(count.replace(",", "")), first) for part, count, first in STOP.findall(str(error))}
        assert found
        return None, {part: (count, first.removesuffix(", ...").split(", ")) for part, (count, first) in found.items()}


def changed(row: Row, without: Sequence[str] = (), flatten: Sequence[str] = ()) -> Row:
    """Return a row of a build without some parts, and with some in the text of their messages."""
    made = {name: one for name, one in row.items() if name not in without}
    return made | {side: [_turn(one, without, flatten) for one in row[side]] for side in SIDES if side in row}


def _turn(turn: Row, without: Sequence[str], flatten: Sequence[str]) -> Row:
    made = dict(turn)
    if "text_with_calls" in without and turn.get("tool_calls"):
        made["content"] = None
    if "calls" in flatten and turn.get("tool_calls"):
        names = [(json.dumps(one["name"], ensure_ascii=False), one["arguments"]) for one in turn["tool_calls"]]
        tagged = [f'<tool_call>\n{{"name": {name}, "arguments": {said}}}\n</tool_call>' for name, said in names]
        made |= {"tool_calls": [], "content": "\n".join([*filter(None, [turn["content"]]), *tagged])}
    if "reasoning" in flatten and turn.get("reasoning") is not None:
        made["content"] = f"<think>\n{turn['reasoning']}\n</think>\n\n{made['content'] or ''}"
    if "reasoning" in {*without, *flatten}:
        made["reasoning"] = None
    if "names" in without:
        made["name"] = None
    if "call_ids" in without:
        made["tool_call_id"] = None
        made["tool_calls"] = [one | {"id": None} for one in made.get("tool_calls") or ()]
    return made


def check_files(
    made: Export,
    rows: Mapping[str, Row],
    edited: Mapping[str, Row],
    to: str,
    kind: str,
    drops: Sequence[str],
    how: Mapping[str, tuple[str, ...]],
) -> None:
    """Hold the ledger and the files of an export to the rows of the build, and to what was asked for."""
    ledger = made.ledger.collect().to_dicts()
    assert sorted(line["id"] for line in ledger) == sorted(rows)
    found = read_export(made.path, to, kind)
    says = [f"without {part}" for part in how.get("without", ())] + [
        f"{part} as text" for part in how.get("flatten", ())
    ]
    parts = [part for some in how.values() for part in some]
    number = 0
    for line in ledger:
        row, whole = rows[line["id"]], edited[line["id"]]
        wrong = [part for part in drops if ORACLES[part](row) or ORACLES[part](whole)]
        done = [said for said, part in zip(says, parts, strict=True) if ORACLES[part](row)]
        assert line["reason"] == (", ".join(wrong or done) or None)
        assert line["fate"] == (LEFT_OUT if wrong else "changed" if done else EXPORTED)
        number += not wrong
        assert line["line"] == (None if wrong else number)
        if not wrong:
            check_row(whole, found[number - 1], to, kind)
    assert number == len(found)
    stays = [edited[line["id"]] for line in ledger if line["line"] is not None]
    layout = TARGETS[to].kinds[kind]  # type: ignore[index]
    for name, carried in (("unread", layout.unread), ("left", layout.left)):
        counts = {part: sum(map(ORACLES[part], stays)) for part in carried}
        assert made.record[name] == {part: count for part, count in counts.items() if count}


def check_row(row: Row, found: Row, to: str, kind: str) -> None:
    """Hold a row of a file to the row of the build: the same but for what the target has no place for."""
    one, other = held(row, to, kind), held(found, to, kind, given=False)
    assert not (wrong := differences(one, other)), (to, wrong)
    rewards = {each["name"]: each["value"] for each in row["rewards"]}
    rest = meta_of(json.dumps(found["rest"]))
    if to != "openai":
        assert found["id"] == row["id"]
    meta = {} if to == "openai" else meta_of(row["meta"])
    assert not missing(meta | rewards, rest), (to, meta, rest)
    assert not missing(rest, meta | rewards), (to, meta, rest)


def held(row: Row, to: str, kind: str, *, given: bool = True) -> Row:
    """Return a row for comparison as a target tells it: the prompt joined to answers, no empty text beside calls."""
    made = normal(row)
    sides = JOINED.get((to, kind), ())
    if sides and given:
        prompt = made.pop("prompt")
        made |= {side: prompt + made[side] for side in sides}
    for turn in (turn for side in SIDES for turn in made.get(side, ())):
        if to in TAGGED and given and turn["reasoning"] is None and turn["role"] == "assistant":
            turn.update(untagged(turn, "content"))  # reasoning that the source has in its text
        if to in TAGGED and (turn["calls"] or turn["reasoning"]):
            turn["content"] = turn["content"] or None
        if to == "open-instruct":
            turn["calls"] = [{**one, "arguments": rough(one["arguments"])} for one in turn["calls"]]
    if to == "openai":
        tools = made["tools"] or []
        wrapped = (one if "function" in dict(one) else [("type", "function"), ("function", one)] for one in tools)
        made["tools"] = [*wrapped] or None
        made |= {"chosen_score": None, "rejected_score": None}
    return made


def rough(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Return decoded JSON with numbers as Python has them, and of repeated keys the last."""
    if isinstance(value, Number):
        return json.loads(value)
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return [(name, rough(one)) for name, one in dict(value).items()]
    return [rough(one) for one in value] if isinstance(value, list) else value
