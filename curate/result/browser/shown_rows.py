"""Rows as the browser takes them: one JSON document of limited size, with all that it shows of each row.

Long texts are cut around their hits, the longest rows first, until the document fits; it says how many characters of
which text are left out. Rows that do not fit even so are left out from the end of the sample, and counted.
"""

from __future__ import annotations

import json
import math
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import polars as pl

from curate.engine.group_results import table_path
from curate.engine.ledger import LEDGER
from curate.mix.takes.selection import CHOSEN as CHOICE_TABLE
from curate.mix.takes.selection import choice_label
from curate.result.browser.highlights import Span, cut
from curate.result.browser.sample import ROW
from curate.result.browser.stored_texts import Name, SeenTexts, each_text
from curate.result.browser.turns import Turn, all_turns, every_turn
from curate.result.browser.verdicts import SurvivingDuplicate, fitting_hits, matched_items, surviving
from curate.result.folder import BuildFolder, named_rows, table
from curate.rows.schema import Kind
from curate.text.unseen import UNSEEN, name_of

LEVELS: Final = ((6000, 60), (2500, 40), (1000, 24), (550, 12))
"""A text is shown whole up to so many characters, in so many turns: the first that makes a row small enough counts."""

LIMITS: Final = (60_000, 24_000, 10_000, 4_000)
"""Bytes that a row may take of the document; all rows have the first limit that makes the document small enough."""

NUMBERS: Final = ("chosen_score", "rejected_score", "label")
"""Columns beside the turns that are a number, or true or false."""

SURVIVOR: Final = 1500
"""Characters: a turn of a surviving duplicate is shown whole up to here."""

FIELD: Final = 2000
"""Characters shown of what a row carries beside its turns."""

COMPRESSION: Final = 4
"""The level of zlib: 4 % more bytes than with the usual 6, in 40 % of the time."""

IN_LEDGER: Final = frozenset(LEDGER.names)
COMPACT: Final[dict[str, Any]] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}

SAID: Final = frozenset({"place", "source", "id", "tokens"})
"""Columns of chosen rows that do not say why."""

Row: TypeAlias = dict[str, Any]
Chosen: TypeAlias = tuple[int, int, list[tuple[str, Any]]]


class Document(NamedTuple):
    """The rows as the browser takes them: JSON, compressed (zlib) and in base64; how many they are, and of how many."""

    data: str
    rows: int
    total: int


CHOSEN: Final = (
    "some of each reason, edit and source, chosen by a hash of their content; kept rows are the first of each source "
    "in the data files"
)


def document(build: BuildFolder, shown: Sequence[ShownRow], total: int, budget: int) -> Document:
    """Return the document of some rows of a build, of `total` that have a text, in at most `budget` bytes."""
    steps = [{"label": step["label"], "kind": step["kind"]} for step in build.manifest["steps"]]
    about = {"sources": build.sources, "steps": steps, "total": total}
    about |= {"are": "whose text is in the build folder", "every": ", kept and dropped", "chosen": CHOSEN}
    return packed(shown, about, budget)


def packed(shown: Sequence[ShownRow], about: Row, budget: int) -> Document:
    """Return the document of rows, of at most `budget` bytes; those that matter most come first.

    Args:
        shown: The rows.
        about: `sources` and `steps` in their order, `total` rows that there are; `are` says which, `every` adds what
            is true where all are shown, and `chosen` how they were chosen where they are not.
        budget: Bytes.
    """
    limit = 0
    while True:
        fitting = [row for row in shown if row.texts]
        raw = _together([(row.place, row.within(LIMITS[limit])) for row in fitting], about)
        if len(raw) > 8 * budget and limit + 1 < len(LIMITS):
            limit += 1
            continue
        data = b64encode(zlib.compress(raw, COMPRESSION)).decode()
        if len(data) <= budget or not fitting:
            return Document(data, len(fitting), about["total"])
        if limit + 1 < len(LIMITS):
            limit += 1
        else:
            shown = fitting[: int(len(fitting) * 0.95 * budget / len(data))]


def _together(rows: list[tuple[tuple[Any, ...], str]], about: Row) -> bytes:
    said = json.dumps(about | {"unseen": UNSEEN.pattern, "names": _names()}, ensure_ascii=False)
    ordered = ",".join(text for _, text in sorted(rows, key=itemgetter(0)))
    return f'{said[:-1]},"rows":[{ordered}]}}'.encode()


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the names of the characters that are shown by their code, those of control characters left out."""
    ranges = (range(0x300), range(0x600, 0x700), range(0x1800, 0x1900), range(0x2000, 0x2070), range(0xFDD0, 0x10000))
    every = map(chr, chain(*ranges, range(0xE0000, 0xE0080)))
    named = {one: name_of(one).upper() for one in every if UNSEEN.fullmatch(one)}
    return {one: name for one, name in named.items() if name != "CONTROL CHARACTER"}


class ShownRow(NamedTuple):
    """A row as JSON: `texts` are cut to one limit after the other, the longest first; none where a name is too long."""

    place: tuple[Any, ...]
    texts: tuple[str, ...]

    def within(self, limit: int) -> str:
        """Return the largest text of at most `limit` bytes, or the smallest there is."""
        return next((text for text in self.texts if len(text.encode()) <= limit), self.texts[-1])


class SeenRows(NamedTuple):
    """Rows that the last page showed of builds of the same rows and steps, so that the next need not read and cut them.

    `texts` are those in the folders of the builds. `dropped` are lines of dropped rows, of each kind by their names.
    `shown` are rows by their kind and name, each with what was said of it, which may be another thing in another build.
    """

    texts: SeenTexts
    dropped: dict[str, dict[Name, Row]]
    shown: dict[tuple[str, Name], tuple[tuple[Row, list[Row]], ShownRow]]

    @classmethod
    def none(cls) -> SeenRows:
        """Return an empty one."""
        return cls({}, {}, {})


def shown_rows(build: BuildFolder, keys: pl.DataFrame, seen: SeenRows | None = None) -> list[ShownRow]:
    """Read rows and their lines, and cut them, in the order of `keys`; memory holds few whole rows at a time.

    Args:
        build: The build.
        keys: What a sample has of its rows (`Sample.rows`).
        seen: What the last page of builds of the same rows and steps showed; what this one shows takes its place.
    """
    seen = seen or SeenRows.none()
    found: dict[Name, ShownRow] = {}
    facts_of = LedgerFacts.of(build, keys)
    last = seen.shown.copy()
    seen.shown.clear()
    for kind in build.kinds:
        own = keys.filter(pl.col("kind") == kind).select(ROW)
        lines = _lines(build, kind, own, seen.dropped.get(kind, {}))
        seen.dropped[kind] = {name: line for name, line in lines.items() if line["fate"] == "dropped"}
        survivors = surviving(build, seen.dropped[kind].values(), kind, whole=SURVIVOR)
        for row in each_text(build, own, kind):
            name = row["source"], row["id"]
            line = lines[name]
            late, hits = fitting_hits(build, line)
            facts = facts_of.row(line) | {"stale": late}
            facts["survivor"] = _survivor(survivors.get(line["match"] or ""))
            said, shown = last.get((kind, name), (None, None))
            if shown is None or said != (facts, hits):
                shown = shown_row(facts_of.place(line), kind, facts, {"parts": Body(row, hits)})
            seen.shown[kind, name] = (facts, hits), shown
            found[name] = shown
    return [found[key] for key in keys.select(ROW).rows() if key in found]


def _lines(build: BuildFolder, kind: Kind, keys: pl.DataFrame, dropped: dict[Name, Row]) -> dict[Name, Row]:
    """Return the lines of rows; those of `dropped` ones are known."""
    names = keys.rows()
    read = named_rows(build.readable_of(kind), keys.filter([name not in dropped for name in names]))
    return {name: dropped[name] for name in names if name in dropped} | read


def _survivor(row: SurvivingDuplicate | None) -> Row | None:
    return row and {"name": row.name, "fate": row.fate, "parts": [_part(turn, {}) for turn in row.turns]}


class Body(NamedTuple):
    """A row as it is in the files of a build, and its hits, as evidence has them."""

    row: Row
    hits: list[Row]


def shown_row(place: tuple[Any, ...], kind: str, facts: Row, bodies: Mapping[str, Body]) -> ShownRow:
    """Return a row as JSON.

    Args:
        place: Its place among those shown.
        kind: The kind of row.
        facts: What is said of it; what is empty is left out.
        bodies: Its turns by the name that they have in the document: `parts`, and `before` for another version of it.
    """
    facts = facts | {"kind": kind, "fields": fields_of(bodies["parts"].row)} | _sizes(kind, bodies["parts"].row)
    facts = {name: value for name, value in facts.items() if value not in (None, [], {}, (), "")}
    return ShownRow(place, tuple(_texts(kind, facts, bodies)))


def _texts(kind: str, facts: Row, bodies: Mapping[str, Body]) -> Iterator[str]:
    """Give the JSON of a row cut to each of the limits that make a difference."""
    last = ""
    sizes = iter([*((whole, most, True) for whole, most in LEVELS), (*LEVELS[-1], False)])
    for limit in LIMITS:
        while not last or len(last.encode()) > limit:
            size = next(sizes, None)
            if size is None:
                return
            whole, most, marked = size
            parts = {
                name: [
                    _part(turn, body.row)
                    for turn in all_turns(kind, body.row, body.hits if marked else (), whole=whole, most=most)
                ]
                for name, body in bodies.items()
            }
            last = json.dumps(facts | parts, **COMPACT)
        yield last


class LedgerFacts(NamedTuple):
    """What the ledger says of rows: `items` has the matched words by step and by (source, id, item).

    `chosen` says of rows that a selection took which place they have, of how many, and why.
    """

    build: BuildFolder
    items: dict[str, dict[tuple[str, str, str], str]]
    chosen: dict[tuple[str, str], Chosen]

    @classmethod
    def of(cls, build: BuildFolder, keys: pl.DataFrame) -> LedgerFacts:
        """Read what is needed of the tables of a build; `keys` has the `source` and `id` of the rows shown."""
        searched = build.steps_with("contamination")
        words = {label: _words(table(build.path, label, "hits")) for label in searched}
        return cls(build, words, _chosen(build, keys.select(ROW)))

    def place(self, line: Row) -> tuple[Any, ...]:
        """Return the place of a row among those shown: by step and reason, then kept ones."""
        steps = [*self.build.steps, None]
        return steps.index(line["step"]), line["reason"] or "", self.build.sources.index(line["source"]), line["id"]

    def row(self, line: Row) -> Row:
        """Return what the ledger says of a row."""
        names = ("source", "id", "fate", "step", "reason", "file", "line", "split", "tokens", "edited")
        facts = {name: line[name] for name in names} | {name: _number(line[name]) for name in ("score", "bound")}
        facts["copies"] = line["copies"] if (line["copies"] or 0) > 1 else None
        scores = {name: value for name, value in line.items() if name not in IN_LEDGER and value is not None}
        facts["language"] = next((value for name, value in scores.items() if name.endswith(".language")), None)
        numbers = {name: _number(value) for name, value in scores.items() if not isinstance(value, str)}
        facts["scores"] = {name: value for name, value in numbers.items() if value is not None}
        facts["items"] = self._items(line)
        facts["chosen"] = self.chosen.get((line["source"], line["id"])) if line["fate"] == "kept" else None
        if line["step"] not in self.build.steps_with("duplicates") and not facts["items"]:
            facts["match"] = line["match"]
        return facts

    def _items(self, line: Row) -> list[tuple[str, str]]:
        """Return the eval items in a row, with the words of each that it has."""
        there = {hit["step"] for hit in line["evidence"] or ()} | {line["step"]}
        found: dict[str, str] = {}
        for label in self.items.keys() & there:
            own = line if line["step"] == label else line | {"step": label, "match": None}
            key = line["source"], line["id"]
            found |= {name: self.items[label].get((*key, name), "") for name in matched_items(own) if name}
        return sorted(found.items())


def _chosen(build: BuildFolder, keys: pl.DataFrame) -> dict[tuple[str, str], Chosen]:
    """Say of rows which place the selection of their source gave them, of how many, and why."""
    found: dict[tuple[str, str], Chosen] = {}
    for source in build.sources:
        path = build.path / table_path(choice_label(source), CHOICE_TABLE)
        if path.is_file():
            every = pl.read_parquet(path)
            for row in every.join(keys, on=ROW, how="semi").to_dicts():
                why = [(name.replace("_", " "), _said(row[name])) for name in every.columns if name not in SAID]
                found[row["source"], row["id"]] = row["place"], every.height, [one for one in why if one[1] is not None]
    return found


def _said(value: Any) -> Any:  # noqa: ANN401
    """Return a value of a chosen row as it is shown: "new" for what no row before it has."""
    if isinstance(value, bool):
        return "new" if value else None
    return _number(value)


def _words(hits: pl.DataFrame) -> dict[tuple[str, str, str], str]:
    """Say which words of an eval item each row has."""
    named = hits.unique(["source", "id", "eval", "item"], keep="first", maintain_order=True)
    words = pl.format("words {} to {}", pl.col("item_start") + 1, "item_end").fill_null("")
    found = named.select("source", "id", pl.format("{}/{}", "eval", "item"), words.alias("words"))
    return {(source, row, item): text for source, row, item, text in found.rows()}


def _number(value: float | None) -> float | None:
    """Return a number with six digits; None for what JSON has no number for."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _sizes(kind: str, row: Row) -> Row:
    """Count the turns of a row (of its longest side) and its characters."""
    every = every_turn(kind, row)
    counts = {
        side: 1 + max(number for own, number, *_ in every if own == side) for side, *_ in every if "." not in side
    }
    prompt = counts.pop("prompt", 0)
    longest = 1 if "completion" in counts and kind == "rated" else max(counts.values(), default=0)
    return {"turns": prompt + longest, "characters": sum(len(text) for *_, text in every)}


def fields_of(row: Row) -> list[list[Any]]:
    """Return what a row carries beside its turns, by name."""
    fields: list[list[Any]] = [[name, value] for name in NUMBERS if (value := _number(row.get(name))) is not None]
    fields += [[one["name"], spans_of(cut(one["value"], whole=FIELD))] for one in row.get("rewards") or ()]
    more = (name for name in ("chat_template_kwargs", "meta") if row.get(name))
    return [*fields, *([name, spans_of(cut(row[name], whole=FIELD))] for name in more)]


def _part(turn: Turn, row: Row) -> Row:
    """Return a turn as the browser takes it."""
    part: Row = {"side": turn.side, "role": turn.role, "text": spans_of(turn.text), "flags": turn.flags}
    part |= {"folded": turn.folded, "left_out": turn.left_out}
    if turn.side == "completion" and row.get("completions"):
        scores = row["completions"][turn.number].get("scores") or ()
        part["scores"] = [[one["name"], value] for one in scores if (value := _number(one["value"])) is not None]
    return {name: value for name, value in part.items() if value}


def spans_of(spans: Sequence[Span]) -> list[Any]:
    """Return spans as the browser takes them: text, text and its titles, or what is left out."""
    return [
        {"gap": span.gap} if span.left_out else [span.text, *span.titles] if span.titles else span.text
        for span in spans
    ]
