"""Dropped rows, a few for each step and reason, turn by turn with their hits highlighted.

The rows of lowest id are shown. Only their texts are read: a build folder may be large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from curate.report.highlights import Hit, Span, cut
from curate.result.build import Build
from curate.result.folder import check_known, named_rows
from curate.result.reproduction import AGAINST
from curate.rows.schema import Kind
from curate.rows.segments import OF_CALL, SIDES

SHOWN: Final = 10
"""Rows shown for each step and reason."""

TURNS: Final = 12
"""Turns shown of one row; turns with a hit are always shown."""

SURVIVOR_CHARACTERS: Final = 500
"""A turn of a surviving duplicate is shown whole up to so many characters."""

AT_ONCE: Final = 16
"""Rows whose texts are read at the same time."""

NAME, ARGUMENTS = OF_CALL[:2]
"""How the place of a hit ends that is in the name of a call, or in its arguments."""


class Turn(NamedTuple):
    """One message or completion: its role, its text, and the hits on the whole turn (no text, a role out of order).

    `side` is empty for a conversation. A run of turns that are not shown is one `Turn` with `left_out` set. Reasoning,
    calls and tools are `folded` on a page, unless they have a hit.
    """

    side: str
    role: str
    text: tuple[Span, ...] = ()
    flags: tuple[str, ...] = ()
    left_out: int = 0
    folded: bool = False


class SurvivingDuplicate(NamedTuple):
    """The row that a duplicate was dropped for; without turns if its text is not in the build folder."""

    name: str
    fate: str
    turns: tuple[Turn, ...]


class DroppedRow(NamedTuple):
    """A dropped row: its file and line, why it was dropped, and its turns.

    `stale` names the edits that changed the text after it was measured, so its spans are not highlighted. `eval_items`
    names the eval items matched in it, as `eval/item`.
    """

    source: str
    id: str
    file: str
    line: int
    step: str
    reason: str
    score: float | None
    bound: float | None
    match: str | None
    turns: tuple[Turn, ...]
    stale: tuple[str, ...] = ()
    survivor: SurvivingDuplicate | None = None
    eval_items: tuple[str, ...] = ()

    @property
    def matched(self) -> str | None:
        """The phrase that dropped it, if its text shows one."""
        has_hits = any(span.titles for turn in self.turns for span in turn.text)
        return self.match if has_hits and not self.eval_items else None


def dropped_rows(
    build: Build, *, step: str | None = None, reason: str | None = None, source: str | None = None, n: int = SHOWN
) -> list[DroppedRow]:
    """Return up to `n` rows for each step and reason, in the order of steps, then reason and id."""
    check_known("step", step, build.steps)
    check_known("source", source, build.sources)
    wanted = {"step": step, "reason": reason, "source": source}
    chosen = [pl.col(name) == value for name, value in wanted.items() if value is not None]
    lowest = pl.col("id", "source").bottom_k_by(["id", "source"], n)
    found: list[DroppedRow] = []
    for kind in build.kinds:
        lines = build.lines_of(kind).filter(pl.col("fate") == "dropped", *chosen)
        keys = lines.group_by("step", "reason").agg(lowest).explode("id", "source").select("source", "id").collect()
        found += read_dropped(build, keys, kind)
    place = {label: number for number, label in enumerate(build.steps)}
    return sorted(found, key=lambda row: (place[row.step], row.reason, row.id, row.source))


def read_dropped(build: Build, keys: pl.DataFrame, kind: Kind) -> list[DroppedRow]:
    """Return the dropped ones of some rows (`source`, `id`) of one kind, in any order."""
    if not keys.height:
        return []
    lines = named_rows(build.lines_of(kind).filter(pl.col("fate") == "dropped"), keys).values()
    texts = texts_of(build, build.folder_of(kind), keys)
    survivors = _survivors(build, lines, kind)
    return [dropped_row(build, line, texts, survivors) for line in lines]


def turns_of(
    kind: str, row: dict[str, Any], hits: Sequence[dict[str, Any]] = (), whole: int | None = None
) -> tuple[Turn, ...]:
    """Return the turns of a row (an Arrow struct as Python values), with the hits of its evidence."""
    every = [_turn(side, number, role, text, hits, whole) for side, number, role, text in every_turn(kind, row)]
    return _shorten(every)


def texts_of(build: Build, folder: str, keys: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Read some rows from a folder of the build, by source and id; copies of a row count once.

    It reads the ids first, then each row by its position: ten rows of 1 GB take 0.3 s, a filter 1.3 s.
    """
    paths = sorted((build.path / folder).glob("*.parquet"))
    if not keys.height or not paths:
        return {}
    names = pl.scan_parquet(paths).select("source", "id").with_row_index("place")
    near = names.filter(pl.col("id").is_in(keys["id"].implode()))
    found = near.join(keys.lazy(), on=["source", "id"], how="semi").group_by("source", "id").agg(pl.col("place").min())
    places = found.sort("place").collect()["place"].to_numpy()
    ends = np.cumsum([pq.read_metadata(path).num_rows for path in paths])
    files = np.searchsorted(ends, places, side="right")
    starts = np.append(0, ends)[files]
    slices = [
        pl.scan_parquet(paths[file]).slice(place, 1)
        for file, place in zip(files.tolist(), (places - starts).tolist(), strict=True)
    ]
    # Each read has its own threads; polars warns at 512.
    parts = (slices[first : first + AT_ONCE] for first in range(0, len(slices), AT_ONCE))
    rows = [frame.to_dicts()[0] for part in parts for frame in pl.collect_all(part)]
    return {(row["source"], row["id"]): row for row in rows}


def texts_there(build: Build, keys: pl.DataFrame, kind: Kind) -> dict[tuple[str, str], dict[str, Any]]:
    """Read those of some rows of one kind, by source and id, whose text is in the build folder."""
    dropped = texts_of(build, build.folder_of(kind), keys)
    return {**dropped, **texts_of(build, "data", keys)} if kind == build.kind else dropped


def _survivors(build: Build, dropped: Iterable[dict[str, Any]], kind: Kind) -> dict[str, SurvivingDuplicate]:
    """Return the surviving rows of duplicates, by `source/id`."""
    groups = build.steps_with("duplicates")
    names = sorted({line["match"] for line in dropped if line["step"] in groups and line["match"]})
    split = [name.split("/", 1) for name in names]  # the name of a source has no slash
    keys = pl.DataFrame(split, schema={"source": pl.String, "id": pl.String}, orient="row")
    if not keys.height:
        return {}
    readable = build.lines_of(kind).filter(pl.col("fate") != "quarantined")
    lines = named_rows(readable.select("source", "id", "fate", "step", "split"), keys)
    texts = texts_there(build, keys, kind)
    survivors = {}
    for name, (source, row_id) in zip(names, split, strict=True):
        line, row = lines.get((source, row_id)), texts.get((source, row_id))
        turns = turns_of(kind, row, whole=SURVIVOR_CHARACTERS) if row else ()
        survivors[name] = SurvivingDuplicate(name, _fate(source, line), turns)
    return survivors


def _fate(source: str, line: dict[str, Any] | None) -> str:
    """Return the fate of a surviving row in words."""
    if line is None:
        return "which the step compares with" if source == AGAINST else "not in the ledger"
    if line["fate"] == "kept":
        return f"kept, in the {line['split']} split"
    if line["fate"] == "dropped":
        return f"dropped by {line['step']}"
    if line["fate"] == "paired":
        return "paired: its text is in its pairs"
    return "not sampled, so its text is not in the build folder"


def dropped_row(
    build: Build,
    line: dict[str, Any],
    texts: dict[tuple[str, str], dict[str, Any]],
    survivors: Mapping[str, SurvivingDuplicate] = MappingProxyType({}),
) -> DroppedRow:
    """Return the dropped row of a ledger line; without turns if `texts` lacks it."""
    row = texts.get((line["source"], line["id"]), {})
    place = {label: number for number, label in enumerate(build.steps)}
    hits = list(line["evidence"] or [])
    late = [edit for edit in line["edited"] or [] if any(place[hit["step"]] < place[edit] for hit in hits)]
    fitting = [hit for hit in hits if not any(place[hit["step"]] < place[edit] for edit in late)]
    verdict = {
        name: line[name] for name in ("source", "id", "file", "line", "step", "reason", "score", "bound", "match")
    }
    turns = turns_of(build.kind_of_step(line["step"]), row, fitting) if row else ()
    items = matched_items(line) if line["step"] in build.steps_with("contamination") else ()
    return DroppedRow(
        **verdict, turns=turns, stale=tuple(late), survivor=survivors.get(line["match"] or ""), eval_items=items
    )


def matched_items(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the eval items that a step matched in the row of a ledger line, the deciding one first."""
    items = [hit["match"] for hit in line["evidence"] or () if hit["step"] == line["step"]]
    return tuple(dict.fromkeys([line["match"], *items]))


ShownTurn: TypeAlias = tuple[str, int, str, str]
"""Side, number, role and text of a turn, or of a part of one."""


def every_turn(kind: str, row: dict[str, Any]) -> list[ShownTurn]:
    """Return side, number, role and text of each turn of a row, its parts and tools, named as evidence names them."""
    tools = _tools("dialogue" if kind == "conversation" else "prompt", row)
    if kind == "conversation":
        return [*tools, *_messages("dialogue", row["messages"])]
    if kind != "rated":
        sides = [side for side in SIDES if side in row]
        return [*tools, *(turn for side in sides for turn in _messages(side, row[side]))]
    answers = [
        (
            "completion",
            number,
            f"assistant, {answer['model']}" if answer["model"] else "assistant",
            answer["content"] or "",
        )
        for number, answer in enumerate(row["completions"] or [])
    ]
    return [*tools, *_messages("prompt", row["messages"]), *answers]


def _tools(side: str, row: dict[str, Any]) -> list[ShownTurn]:
    return [(f"{side}.tools", 0, "tools", row["tools"])] if row.get("tools") else []


def _messages(side: str, messages: list[dict[str, Any]] | None) -> list[ShownTurn]:
    """Return the turns of messages: reasoning before content, calls after it."""
    shown: list[ShownTurn] = []
    for number, message in enumerate(messages or []):
        role, calls = message["role"] or "", message.get("tool_calls") or []
        if message.get("reasoning") is not None:
            shown.append((f"{side}.reasoning", number, f"{role}, reasoning", message["reasoning"]))
        if message["content"] or not calls:
            name = f"{role}, {message['name']}" if message.get("name") else role
            shown.append((side, number, name, message["content"] or ""))
        several = len(calls) > 1
        for place, call in enumerate(calls, 1):
            what = f"{role}, call {place}, of {call['name']}" if several else f"{role}, call of {call['name']}"
            shown.append((f"{side}.call{place}", number, what, call["arguments"]))
    return shown


def _turn(side: str, number: int, role: str, text: str, hits: Sequence[dict[str, Any]], whole: int | None) -> Turn:
    """Return a turn with its hits: in its text, or, those of no length or in the name of a call, on the turn itself."""
    own = [hit for hit in hits if (_of_turn(hit["side"]), hit["turn"]) == (side, number)]
    inside = [hit for hit in own if hit["start"] < hit["end"] <= len(text) and not hit["side"].endswith(NAME)]
    spans = [Hit(hit["start"], hit["end"], _title(hit)) for hit in inside]
    flags = tuple(dict.fromkeys(_title(hit) for hit in own if hit["start"] >= hit["end"] or hit["side"].endswith(NAME)))
    shown = cut(text, spans) if whole is None else cut(text, spans, whole=whole)
    whose, _, part = side.partition(".")
    return Turn("" if whose == "dialogue" else whose, role, tuple(shown), flags, folded=bool(part) and not own)


def _of_turn(place: str) -> str:
    """Return the place of a hit without what of a call it is."""
    return place.removesuffix(NAME).removesuffix(ARGUMENTS)


def _title(hit: dict[str, Any]) -> str:
    what = f"{hit['reason']}: {hit['match']}" if hit["match"] else str(hit["reason"])
    return f"{what} (in the name)" if hit["side"].endswith(NAME) else what


def _shorten(turns: list[Turn]) -> tuple[Turn, ...]:
    """Leave out the middle turns of a long dialogue that have no hits, with their count."""
    if len(turns) <= TURNS:
        return tuple(turns)
    keep = {0, 1, len(turns) - 1} | {
        n for n, turn in enumerate(turns) if turn.flags or any(span.titles for span in turn.text)
    }
    shown: list[Turn] = []
    for number, turn in enumerate(turns):
        if number in keep:
            shown.append(turn)
        elif shown[-1].left_out:
            shown[-1] = shown[-1]._replace(left_out=shown[-1].left_out + 1)
        else:
            shown.append(Turn("", "", left_out=1))
    return tuple(shown)
