"""Drop rows that contain an eval item: a question of a benchmark, or its solution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.evalsets.items import Evals, EvalSet, flat
from curate.rows.segments import CONTENT, On, Part, Segments, TextPart, check_on, check_parts, place_names, select
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Finding, GroupKeys, KeyLists, Resolved
from curate.steps.decontaminate._arguments import Mode, check, ignored
from curate.steps.decontaminate._fuzzy import rephrased, sought
from curate.steps.decontaminate._generic import Ignored
from curate.steps.decontaminate._index import Index, compiled
from curate.steps.decontaminate._search import (
    GENERIC,
    HIT,
    REASONS,
    SENTENCE,
    WHOLE,
    batch_of,
    hit_lists,
    informative_words,
    overlaps,
    required,
    short_runs,
    strongest,
)
from curate.steps.row_by_row import RowByRow

USERS: Final[On] = frozenset({"user"})

MOST: Final = 64
"""Hits kept per row, the strongest ones."""

HITS: Final = pl.Schema(
    {
        "row": pl.Int64,
        "eval": pl.String,
        "item": pl.String,
        "reason": pl.String,
        "score": pl.Float64,
        "side": pl.String,
        "turn": pl.Int32,
        "start": pl.Int32,
        "end": pl.Int32,
        "item_start": pl.Int32,
        "item_end": pl.Int32,
        "dropped": pl.Boolean,
    }
)
"""The table `hits`: `start` and `end` count characters of the turn, `item_start` and `item_end` words of the item."""

ITEMS: Final = pl.Schema(
    {
        "eval": pl.String,
        "item": pl.String,
        "kind": pl.String,
        "words": pl.Int32,
        "informative": pl.Int32,
        "rows": pl.Int64,
        "within": pl.Int64,
        "why": pl.String,
    }
)
"""The table `items`: `kind` is long, short, generic or unmatchable, and `rows` counts the rows with a hit. Short items
have their number of informative words, and `within`, the rows that contain them only within longer text (but as a
sentence of its own where a generic one counts so)."""


@dataclass(frozen=True, kw_only=True)
class Decontaminate(RowByRow):
    """See `decontaminate`. With `answers`, every turn of completions, chosen and rejected is searched beside `on`."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 5
    findings: ClassVar[tuple[Finding, ...]] = (Finding("contamination", "Contamination", table="items"),)
    evals: tuple[EvalSet, ...]
    on: On = USERS
    answers: bool = True
    parts: frozenset[TextPart] = CONTENT
    ngram: int = 8
    threshold: float = 0.5
    numbers: bool = True
    content: float = 0.85
    fuzzy: float | None = None
    informative: int = 3
    ignore: Ignored = ()
    symbols: bool = True
    mode: Mode = "drop"

    @property
    def reads(self) -> On:
        """Whole rows if the answers of rated and preference rows are searched too."""
        return "all" if self.answers else self.on

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """The parts asked for."""
        return self.parts

    @property
    def eval_sets(self) -> tuple[EvalSet, ...]:
        """The eval sets that are searched for."""
        return self.evals

    @property
    def bound(self) -> float:
        """An item is matched if more than this share of its words is."""
        return self.threshold

    def data_hashes(self) -> Mapping[str, str]:
        """Return the eval sets, each with a hash of its items."""
        index = self._index()
        return dict(zip(index.items.names, index.digests, strict=True))

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the number of texts that each row contains, and the positions of the strongest.

        Totals are the rows read, the rows with each word of the short questions (`df`), the rows with each short
        question (`held`), and those with it only `within` longer text, or at best as a `sentence` there.
        """
        index = self._index()
        batch = batch_of(segments.rows, self._searched(segments))
        short, totals = short_runs(batch, index, self.informative)
        found = [overlaps(batch, index), short]
        if self.fuzzy is not None:
            near = sought(self.evals, self.ngram, self.threshold, self.fuzzy, self.content, numbers=self.numbers)
            found.append(rephrased(batch, near, pl.concat(found), self.fuzzy))
        hits = strongest(pl.concat(found), index)
        counts = np.bincount(hits["row"].to_numpy(), minlength=segments.rows).astype(np.int32)
        kept = hits.filter(pl.int_range(pl.len()).over("row") < MOST)
        totals["rows"] = np.array([segments.rows], np.int64)
        return GroupKeys({"hits": counts}, {"hits": hit_lists(kept, batch)}, totals)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        """Decide which short questions are generic, and drop the rows that contain an item."""
        index = self._index()
        shorts = dict.fromkeys(("held", "within", "sentence"), len(index.short))
        sizes = {"rows": 1, "df": len(index.vocabulary.share)} | shorts
        rows, df, held, within, sentence = (totals.get(name, np.zeros(size, np.int64)) for name, size in sizes.items())
        informative, telling = informative_words(index, df, held, int(rows[0]))
        generic = np.zeros(len(index.sizes), np.bool_)
        generic[index.short] = informative < self.informative
        least = np.zeros(len(index.sizes), np.int8)
        least[index.short] = required(informative, telling, index, self.informative)
        within = within + np.where(least[index.short] == SENTENCE, 0, sentence)
        hits = _by_item(_with_generic(_read(keys, lists), generic, least), index)
        drops = pl.DataFrame(schema=DROP_COLUMNS)
        if self.mode == "drop":
            drops = hits.filter(~pl.col("protect")).unique("row", keep="first", maintain_order=True)
            drops = drops.select("row", "reason", "score", pl.lit(-1, pl.Int64).alias("kept"), "match").sort("row")
        hits = hits.with_columns(dropped=~pl.col("protect") if self.mode == "drop" else pl.lit(value=False))
        tables = {
            "hits": hits.select(HITS.names()).cast(HITS),
            "items": _items(index, generic, least, informative, hits, within),
        }
        if totals:
            tables["totals"] = pl.concat(
                pl.DataFrame({"count": count}).select(pl.lit(name).alias("name"), "count")
                for name, count in totals.items()
            )
        return Resolved(drops.cast(DROP_COLUMNS), hits.select(HIT_COLUMNS.names()).cast(HIT_COLUMNS), tables)

    def joined(self, parts: Sequence[Resolved]) -> Resolved:
        """Return the decisions on all rows; an item has the hits of all parts."""
        hits = pl.concat(part.tables["hits"] for part in parts).sort("row", maintain_order=True)
        items = parts[-1].tables["items"]
        found = hits.group_by("eval", "item").len("found")
        counted = items.join(found, on=["eval", "item"], how="left", maintain_order="left")
        rows = pl.col("found").fill_null(0).cast(ITEMS["rows"]).alias("rows")
        return Resolved(
            pl.concat(part.drops for part in parts).sort("row"),
            pl.concat(part.hits for part in parts).sort("row", maintain_order=True),
            {**parts[-1].tables, "hits": hits, "items": counted.with_columns(rows).select(ITEMS.names())},
        )

    def _index(self) -> Index:
        return compiled(
            self.evals,
            self.ngram,
            self.threshold,
            numbers=self.numbers,
            content=self.content,
            ignore=self.ignore,
            symbols=self.symbols,
        )

    def _searched(self, segments: Segments) -> tuple[Part, ...]:
        if not self.answers:
            return segments.parts
        asked = {part.side: part for part in select(segments, self.on, CONTENT).parts}
        parts = (
            asked.get(part.side) if part.of == "content" and part.side in {"dialogue", "prompt"} else part
            for part in segments.parts
        )
        return tuple(part for part in parts if part is not None)


def _read(keys: pl.DataFrame, lists: KeyLists) -> pl.DataFrame:
    """Return all hits, with `row` and `protect`."""
    lines = np.flatnonzero(keys["hits"].to_numpy())
    read = lists.read("hits", lines) if len(lines) else pa.array([], pa.list_(HIT))
    counts = read.value_lengths().to_numpy(zero_copy_only=False)
    line = np.repeat(lines, counts)
    return pl.DataFrame(
        {
            "row": keys["row"].gather(line).cast(pl.Int64),
            "protect": keys["protect"].gather(line),
            "hit": pl.Series(read.flatten()),
        }
    ).unnest("hit")


def _with_generic(hits: pl.DataFrame, generic: NDArray[np.bool_], least: NDArray[np.int8]) -> pl.DataFrame:
    """Leave out short questions below the `least` position that counts; give generic ones their reason."""
    whole = pl.col("reason") == WHOLE
    hits = hits.filter(~whole | (pl.col("position") >= pl.Series(least[hits["text"].to_numpy()])))
    plain = whole & pl.Series(generic[hits["text"].to_numpy()])
    return hits.with_columns(reason=pl.when(plain).then(pl.lit(GENERIC, pl.Int8)).otherwise("reason"))


def _by_item(hits: pl.DataFrame, index: Index) -> pl.DataFrame:
    """Return one hit per row and item, in order of rows, strength and items."""
    items = index.items
    number = np.arange(len(items.eval), dtype=np.int32)
    texts = (pl.DataFrame({"text": text, "number": number}) for text in (items.question, items.answer))
    of = pl.concat(texts).filter(pl.col("text") >= 0)
    names = pl.Series(items.names, dtype=pl.String)
    found = (
        hits.join(of, on="text", how="inner")
        .sort(["row", "reason", "score", "number"], descending=[False, False, True, False])
        .unique(["row", "number"], keep="first", maintain_order=True)
    )
    evals = names.gather(pl.Series(items.eval).gather(found["number"]))
    ids = pl.Series(items.ids).gather(found["number"])
    return found.with_columns(
        eval=evals,
        item=ids,
        match=evals + "/" + ids,
        reason=pl.Series(REASONS, dtype=pl.String).gather(found["reason"]),
        side=pl.Series(place_names(found["side"].to_numpy())),
    )


def _items(
    index: Index,
    generic: NDArray[np.bool_],
    least: NDArray[np.int8],
    informative: NDArray[np.int32],
    hits: pl.DataFrame,
    within: NDArray[np.int64],
) -> pl.DataFrame:
    """Return the table of items."""
    items, sizes = index.items, index.sizes
    count, texts = len(items.eval), len(sizes)
    place = np.full(texts + 1, -1, np.int64)
    place[index.short] = np.arange(len(index.short))
    held = items.question >= 0
    short = place[items.question]  # the last entry, of text -1, is no short text
    kinds = np.array(["unmatchable", "long", "short", "generic"])
    kind = held.astype(np.int8) + (short >= 0) + (held & np.append(generic, False)[items.question])
    words = np.where(held, np.append(sizes, 0)[items.question], 0)
    frame = pl.DataFrame(
        {
            "eval": pl.Series(items.names, dtype=pl.String).gather(pl.Series(items.eval)),
            "item": pl.Series(items.ids),
            "kind": pl.Series(kinds[kind]),
            "words": words,
            "informative": np.append(informative, 0)[short],
            "rows": np.bincount(hits["number"].to_numpy(), minlength=count),
            "within": np.append(within, 0)[short],
        }
    )
    short_only = [pl.when(pl.Series(short >= 0)).then(pl.col(name)).alias(name) for name in ("informative", "within")]
    sentence = pl.Series(np.append(least, 0)[items.question] == SENTENCE)
    places = pl.when(sentence).then(pl.lit("turn, line or sentence")).otherwise(pl.lit("turn or line"))
    why = (
        pl.when(pl.col("kind") == "unmatchable")
        .then(pl.lit("the question contains no words"))
        .when(pl.col("kind") == "generic")
        .then(pl.format("{} informative words: it counts where it is a {} of its own", "informative", places))
        .when(pl.Series(np.append(index.unfinished, False)[short]))
        .then(pl.lit("no whole sentence: it counts where it is a turn or line of its own"))
        .otherwise(None)
        .alias("why")
    )
    return frame.with_columns(*short_only, why).cast(ITEMS).select(ITEMS.names())


def decontaminate(
    *evals: Evals,
    ngram: int = 8,
    threshold: float = 0.5,
    numbers: bool = True,
    content: float = 0.85,
    on: str | Iterable[str] | None = None,
    parts: str | Iterable[str] = "content",
    fuzzy: float | None = None,
    mode: Mode = "drop",
    informative: int = 3,
    ignore: Mapping[str, Sequence[str]] = MappingProxyType({}),
    symbols: bool = True,
    allow_large_drop: bool = False,
) -> Decontaminate:
    """Drop rows that contain an item of an eval set.

    Texts are compared as words in normal form (`curate.text.words`, `curate.text.normal`): letter case, white space,
    punctuation and what is invisible do not count, and a Chinese character is a word. The reasons, strongest first:

    - `overlap`: a question of `ngram` words or more. A word is matched if it is in an n-gram that one of the row's
      turns has too; more than `threshold` of the words must be matched (Tulu 3's rule), see `content` and `numbers`.
    - `whole`: a shorter question whose words are in one turn, in sequence; if it is no whole sentence ("The Federal
      Reserve", "Sound travels in"), they are a whole turn or line.
    - `solution`: an answer of `ngram` words or more, in turns of the assistant, by the rule of `overlap`.
    - `fuzzy`: a question of 10 words or more that is similar to part of a turn.
    - `generic`: a question of fewer than `informative` distinct informative words (in at most 1 % of the rows without
      the question) that is a turn, a line apart from a label ("Q:", "12."), between marks of a chat ("### Human"), or a
      sentence: it ends in "?", begins a line or follows ".", "!", "?" or ":", and has `informative` - 1 such words,
      at least one, that at most 1 % of the other questions have. Elsewhere it is only counted, in the table `items`.

    Passages and choices are not searched for. The score is the share of the item's words that are matched, or the
    similarity. The ledger names the item ("gsm8k/17"). The 64 strongest hits of a row are kept, those of protected rows
    only listed. The table `hits` has a line per row and item, `items` one per item.

    Args:
        *evals: Eval sets, or sequences of them such as `evals("tulu3")`.
        ngram: Words per n-gram, 2 or more; 8 is Tulu 3's.
        threshold: The share of an item's words that must be exceeded, above 0 and up to 1 (all words); 0.5 is Tulu 3's.
        numbers: Whether more than `threshold` of an item's numbers must be matched too. False is Tulu 3's rule.
        content: The share of what an item's words say that must be in the row, from 0 to 1 (0 is Tulu 3's rule); a word
            says 1 + ln(N / n) if n of N items have it. N-grams that say as much as 25 rare words always count.
        on: The turns to search. None: user turns, and all completions, chosen and rejected; "all" finds solutions too.
        parts: "all", or some of "content" and, of every turn unless `on` is given, "reasoning", "call" and "tools".
        fuzzy: The similarity, 0.6 to 1, of changed copies (None: none): 1 minus the share of words, or of characters,
            changed, inserted or deleted. (1 - `fuzzy`) * (2.7 - 2 * `fuzzy`) of what they say may lack (15 % at 0.85).
        mode: "drop", or "flag" to keep every row and only report the hits.
        informative: Informative words that a short question needs to count within longer text.
        ignore: Phrases by eval set, `{"mmlu": ["which of the following"]}`: n-grams mostly within one match nothing.
        symbols: Whether n-grams match of which most words are one letter or digit, as in formulas. Olmo 3: False.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: There is no eval set, two different ones have the same name, or an argument is out of range.

    Example:
        >>> from curate.evalsets.evals import evals
        >>> step = decontaminate(evals("truthful_qa", "gsm8k"), fuzzy=0.85)
        >>> [one.name for one in step.eval_sets], step.ngram, step.mode
        (['truthful_qa', 'gsm8k'], 8, 'drop')

    References:
        Tulu 3 (arXiv:2411.15124, 3.2; open-instruct's decontamination/search.py); Olmo 3 (arXiv:2512.13961, 4.2.1).
    """
    sets = flat(evals, "decontaminate")
    rules: dict[str, Any] = {"ngram": ngram, "threshold": threshold, "content": content, "fuzzy": fuzzy}
    rules |= {"mode": mode, "informative": informative}
    check(sets, **rules)
    rules |= {"numbers": numbers, "symbols": symbols, "allow_large_drop": allow_large_drop}
    return Decontaminate(
        evals=sets,
        on=USERS if on is None else check_on(on if isinstance(on, str) else frozenset(on)),
        answers=on is None,
        parts=check_parts(parts, "decontaminate"),
        ignore=ignored(ignore, sets),
        **rules,
    )
