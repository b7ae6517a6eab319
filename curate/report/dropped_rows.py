"""The rows that fell, a few for each step and reason, turn by turn with what was found in them.

Which rows are shown follows from their ids, lowest first. Only their texts are read: a build folder may be large.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from curate.errors import CallError, did_you_mean
from curate.report.highlights import Hit, Piece, pieces
from curate.result.build import Build
from curate.rows.schema import Kind

SHOWN: Final = 10
"""Rows shown for each step and reason."""

TURNS: Final = 12
"""Turns of one row that are shown, if more have nothing to see."""

TWIN: Final = 500
"""Characters: a turn of the row that a duplicate fell to is shown whole up to here."""

AT_ONCE: Final = 16
"""Rows whose texts are read at the same time."""

DEDUPS: Final = ("ExactDedup", "Dedup")
"""The types of step whose rows fall to another row."""

EVALS: Final = "Decontaminate"
"""The type of step whose rows fall to an eval item."""

AGAINST: Final = "against"
"""The source of rows that a step is held against, and that are no part of the build."""


class Turn(NamedTuple):
    """One message or completion: whose it is, its text, and what was met in it as a whole (no text, a role astray).

    `side` is empty for a conversation. A run of turns that are not shown is one `Turn` with `left_out` set.
    """

    side: str
    role: str
    text: tuple[Piece, ...] = ()
    flags: tuple[str, ...] = ()
    left_out: int = 0


class Twin(NamedTuple):
    """The row that a duplicate fell to; without turns where it is not in the build folder."""

    name: str
    fate: str
    turns: tuple[Turn, ...]


class Fallen(NamedTuple):
    """A dropped row: where it stood, what it fell to, and its turns.

    `stale` names the edits that changed the text after it was measured, so that its spans no longer fit and are not
    marked. `holds` names the eval items met in it, as `eval/item`.
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
    twin: Twin | None = None
    holds: tuple[str, ...] = ()

    @property
    def met(self) -> str | None:
        """The phrase that it fell to, where its text shows one."""
        return (
            self.match if not self.holds and any(piece.titles for turn in self.turns for piece in turn.text) else None
        )


def fallen(
    build: Build, *, step: str | None = None, reason: str | None = None, source: str | None = None, n: int = SHOWN
) -> list[Fallen]:
    """Return up to `n` rows for each step and reason, in the order of steps, then reason and id.

    Raises `CallError` for a step or source that the build does not have.
    """
    _check("step", step, build.steps)
    _check("source", source, build.sources)
    wanted = {"step": step, "reason": reason, "source": source}
    chosen = [pl.col(name) == value for name, value in wanted.items() if value is not None]
    lowest = pl.col("id", "source").bottom_k_by(["id", "source"], n)
    found: list[Fallen] = []
    for kind in build.kinds:
        lines = build.lines_of(kind).filter(pl.col("fate") == "dropped", *chosen)
        keys = lines.group_by("step", "reason").agg(lowest).explode("id", "source").select("source", "id").collect()
        found += fallen_rows(build, keys, kind)
    place = {label: number for number, label in enumerate(build.steps)}
    return sorted(found, key=lambda row: (place[row.step], row.reason, row.id, row.source))


def fallen_rows(build: Build, keys: pl.DataFrame, kind: Kind) -> list[Fallen]:
    """Return those of some rows (`source`, `id`) of one kind that fell, in no order that means anything."""
    if not keys.height:
        return []
    verdicts = lines_of(build.lines_of(kind).filter(pl.col("fate") == "dropped"), keys)
    texts = texts_of(build, build.folder_of(kind), keys)
    twins = _twins(build, verdicts, kind)
    return [fallen_row(build, line, texts, twins) for line in verdicts]


def turns_of(
    kind: str, row: dict[str, Any], hits: Sequence[dict[str, Any]] = (), whole: int | None = None
) -> tuple[Turn, ...]:
    """Return the turns of a row (as its Arrow struct reads in Python), with the hits of its evidence on them."""
    every = [_turn(side, number, role, text, hits, whole) for side, number, role, text in every_turn(kind, row)]
    return _shorten(every)


def _check(what: str, value: str | None, known: list[str]) -> None:
    if value is not None and value not in known:
        message = f"this build has no {what} {value!r}; {did_you_mean(value, known)}"
        raise CallError(message)


def lines_of(lines: pl.LazyFrame, keys: pl.DataFrame) -> list[dict[str, Any]]:
    """Read the lines of some rows. The filter by id goes down into the Parquet files; the join is exact."""
    near = lines.filter(pl.col("id").is_in(keys["id"].implode()))
    return near.join(keys.lazy(), on=["source", "id"], how="semi").collect().to_dicts()


def texts_of(build: Build, folder: str, keys: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Read some rows from a folder of the build, by source and id; a row that goes in several times counts once.

    First where they are, from the ids alone, then each by its place: ten rows of 1 GB take 0.3 s, a filter 1.3 s.
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
    # Each holds threads of its own while it is read; polars warns of 512.
    parts = (slices[first : first + AT_ONCE] for first in range(0, len(slices), AT_ONCE))
    rows = [frame.to_dicts()[0] for part in parts for frame in pl.collect_all(part)]
    return {(row["source"], row["id"]): row for row in rows}


def texts_there(build: Build, keys: pl.DataFrame, kind: Kind) -> dict[tuple[str, str], dict[str, Any]]:
    """Read those of some rows of one kind, by source and id, whose text is in the build folder."""
    fell = texts_of(build, build.folder_of(kind), keys)
    return {**fell, **texts_of(build, "data", keys)} if kind == build.kind else fell


def _twins(build: Build, verdicts: Iterable[dict[str, Any]], kind: Kind) -> dict[str, Twin]:
    """Return the rows that duplicates fell to, by `source/id`."""
    groups = labels(build, *DEDUPS)
    names = sorted({line["match"] for line in verdicts if line["step"] in groups and line["match"]})
    split = [name.split("/", 1) for name in names]  # the name of a source has no slash
    keys = pl.DataFrame(split, schema={"source": pl.String, "id": pl.String}, orient="row")
    if not keys.height:
        return {}
    readable = build.lines_of(kind).filter(pl.col("fate") != "quarantined")
    told = lines_of(readable.select("source", "id", "fate", "step", "split"), keys)
    lines = {(line["source"], line["id"]): line for line in told}
    texts = texts_there(build, keys, kind)
    found = {}
    for name, (source, row_id) in zip(names, split, strict=True):
        line, row = lines.get((source, row_id)), texts.get((source, row_id))
        turns = turns_of(kind, row, whole=TWIN) if row else ()
        found[name] = Twin(name, _fate(source, line), turns)
    return found


def _fate(source: str, line: dict[str, Any] | None) -> str:
    """Say in words what became of the row of a ledger line."""
    if line is None:
        return "which the step is held against" if source == AGAINST else "not in the ledger"
    if line["fate"] == "kept":
        return f"kept, in the {line['split']} split"
    if line["fate"] == "dropped":
        return f"dropped by {line['step']}"
    if line["fate"] == "paired":
        return "paired: its text is that of its pairs"
    return "not sampled, so its text is not in the build folder"


def fallen_row(
    build: Build,
    line: dict[str, Any],
    texts: dict[tuple[str, str], dict[str, Any]],
    twins: Mapping[str, Twin] = MappingProxyType({}),
) -> Fallen:
    """Return a row as its ledger line tells of it; without turns where `texts` does not have it."""
    row = texts.get((line["source"], line["id"]), {})
    place = {label: number for number, label in enumerate(build.steps)}
    hits = list(line["evidence"] or [])
    late = [edit for edit in line["edited"] or [] if any(place[hit["step"]] < place[edit] for hit in hits)]
    fitting = [hit for hit in hits if not any(place[hit["step"]] < place[edit] for edit in late)]
    verdict = {
        name: line[name] for name in ("source", "id", "file", "line", "step", "reason", "score", "bound", "match")
    }
    turns = turns_of(build.kind_of_step(line["step"]), row, fitting) if row else ()
    held = holds(line) if line["step"] in labels(build, EVALS) else ()
    return Fallen(**verdict, turns=turns, stale=tuple(late), twin=twins.get(line["match"] or ""), holds=held)


def holds(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the eval items that a step met in the row of a ledger line, the one it fell to first."""
    met = [hit["match"] for hit in line["evidence"] or () if hit["step"] == line["step"]]
    return tuple(dict.fromkeys([line["match"], *met]))


def labels(build: Build, *types: str) -> list[str]:
    """Return the labels of the steps of these types."""
    return [str(step["label"]) for step in build.manifest["steps"] if step["step"]["type"] in types]


def every_turn(kind: str, row: dict[str, Any]) -> list[tuple[str, int, str, str]]:
    """Return side, number, role and text of each turn of a row, named as evidence names them."""
    if kind == "conversation":
        return _messages("dialogue", row["messages"])
    if kind == "preference":
        return [turn for side in ("prompt", "chosen", "rejected") for turn in _messages(side, row[side])]
    answers = [
        (
            "completion",
            number,
            f"assistant, {answer['model']}" if answer["model"] else "assistant",
            answer["content"] or "",
        )
        for number, answer in enumerate(row["completions"] or [])
    ]
    return [*_messages("prompt", row["messages"]), *answers]


def _messages(side: str, messages: list[dict[str, Any]] | None) -> list[tuple[str, int, str, str]]:
    return [
        (side, number, message["role"] or "", message["content"] or "") for number, message in enumerate(messages or [])
    ]


def _turn(side: str, number: int, role: str, text: str, hits: Sequence[dict[str, Any]], whole: int | None) -> Turn:
    """Put the hits of one turn on it: spans on its text, those without a length on the turn itself."""
    own = [hit for hit in hits if (hit["side"], hit["turn"]) == (side, number)]
    spans = [Hit(hit["start"], hit["end"], _title(hit)) for hit in own if hit["start"] < hit["end"]]
    flags = tuple(dict.fromkeys(_title(hit) for hit in own if hit["start"] >= hit["end"]))
    shown = pieces(text, spans) if whole is None else pieces(text, spans, whole=whole)
    return Turn("" if side == "dialogue" else side, role, tuple(shown), flags)


def _title(hit: dict[str, Any]) -> str:
    met = f": {hit['match']}" if hit["match"] else ""
    return f"{hit['reason']}{met}"


def _shorten(turns: list[Turn]) -> tuple[Turn, ...]:
    """Leave out turns in the middle of a long dialogue that have nothing marked, and say how many."""
    if len(turns) <= TURNS:
        return tuple(turns)
    keep = {0, 1, len(turns) - 1} | {
        n for n, turn in enumerate(turns) if turn.flags or any(piece.titles for piece in turn.text)
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
