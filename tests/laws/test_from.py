"""The law of `from_`: a build from an earlier one is the same, byte for byte, as one from nothing."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl
import pytest

import curate as c
from curate.errors import EmptyBuildError
from curate.mix.takes.selection import Take
from curate.rows.segments import Segments
from curate.steps.base import Filter, Group, GroupKeys, Step
from curate.steps.decontaminate.decontaminate import Decontaminate
from curate.steps.dedup.exact_dedup import ExactDedup
from tests.laws.test_recut import KIND, near, sources, with_bounds
from tests.laws.test_steps import EVALS, FOLDER, of_kind, step_of
from tests.support.build_data import Row, chat, hashes, write_lines
from tests.support.scored_rows import rows_shape_sees

REFUSAL: Final = (
    "As an AI language model, I cannot do that. i am sorry. Write to ann@pellow.org or call +44 20 7946 0958."
)
Given = Sequence[c.Source]


def made(out: Path, given: Given, steps: Sequence[Step], from_: Path | None = None, **more: Any) -> Path:  # noqa: ANN401
    loose = [replace(step, allow_large_drop=True) for step in steps]
    mixture = c.Mixture("m", given, loose, **{"test": c.Fraction(0.3)} | more)
    with suppress(EmptyBuildError):
        mixture.build(out, quiet=True, threads=1, from_=from_)
    return out


def same(tmp_path: Path, before: Path, given: Given, steps: Sequence[Step], **more: Any) -> Path:  # noqa: ANN401
    """Hold a build from the one in `before` against one from nothing, and return its folder."""
    name = f"n{len(list(tmp_path.iterdir()))}"
    nothing = made(tmp_path / name, given, steps, **more)
    again = made(tmp_path / f"{name}-again", given, steps, before, **more)
    assert hashes(again) == hashes(nothing)
    return nothing


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return rows_shape_sees(monkeypatch)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("name", of_kind(Filter))
def test_a_moved_bound(name: str, tmp_path: Path) -> None:
    step, given = step_of(name), sources(KIND.get(name, "conversation"), 60)
    assert isinstance(step, Filter)
    first = made(tmp_path / "first", given, [step])
    scores = c.Build(first).scores(step.name)
    bounds = list(step.bounds())
    for place, bound in enumerate(bounds):
        low, high = (scores[bound.score].cast(pl.Float64).fill_nan(None).quantile(share) for share in (0.3, 0.8))
        above = bound.at_most is not None or (bound.at_least is None and place % 2 == 0)
        limit = (None, high) if above else (low, None)
        bounds[place] = bound._replace(at_least=limit[0], at_most=limit[1])
    same(tmp_path, same(tmp_path, first, given, [with_bounds(step, tuple(bounds))]), given, [step])


TURNS: Final = "tests.support.judges:turns"
JUDGED: Final = Path(FOLDER.name) / "judged"
MOVED: Final[dict[str, tuple[Step, Step]]] = {
    "language": (c.language("en"), c.language("en", at_least=0.9)),
    "repetition": (c.repetition(), c.repetition(top_2gram=0.05, duplicate_lines=None)),
    "repetition times": (c.repetition("olmo3", sentence_times=2), c.repetition("olmo3", sentence_times=1)),
    "shape": (c.shape(), c.shape(min_words=3, empty_turns=True, unanswered=True)),
    "character_share": (c.character_share(chinese=0.3, on="all"), c.character_share(chinese=0.01, on="all")),
    "any character": (c.character_share(chinese=0.3, on="all"), c.character_share(chinese="any", on="all")),
    "secrets_and_pii": (c.secrets_and_pii(), c.secrets_and_pii("drop")),
    "score": (c.score("meta.a", at_least=0.5), c.score("meta.a", at_least=0.9, at_most=3)),
    "judge": (c.judge(TURNS, at_least=2, cache=JUDGED), c.judge(TURNS, at_least=3, at_most=4, cache=JUDGED)),
    "where": (c.where(pl.col("characters"), at_most=40), c.where(pl.col("characters"), at_most=12, reason="long")),
    "keep_if": (
        c.keep_if(lambda rows: rows["turns"] * 1.0, takes="rows", at_most=3),
        c.keep_if(lambda rows: rows["turns"] * 1.0, takes="rows", at_most=2),
    ),
    "lint_pairs": (c.lint_pairs("all"), c.lint_pairs(("empty_side",), max_difference=1)),
}


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("name", MOVED)
def test_a_moved_setting(name: str, tmp_path: Path) -> None:
    """A limit set by its own argument, up and down; the evidence of rows outside of it is as from nothing."""
    one, other = MOVED[name]
    given = sources("preference" if name == "lint_pairs" else "conversation", 60)
    first = made(tmp_path / "first", given, [one])
    second = same(tmp_path, first, given, [other])
    same(tmp_path, second, given, [one])


def rows_of(seed: int, count: int) -> list[Row]:
    """Return rows with own ids and without, with duplicates, refusals, and texts that every edit changes."""
    chance = random.Random(seed)
    found = []
    for i in range(count):
        ask = chance.choice([f"Ask {i % 9}? how is it? i do not know.", "Why do onions make us cry?", ""])
        say = chance.choice([REFUSAL, f"answer {i}. it is so. " + "word " * chance.randrange(9), "Yes. Yes. Yes."])
        found.append(chat(ask, say, *chance.choice([(), (ask, say)]), **({"id": f"own-{i}"} if i % 3 == 0 else {})))
    return [
        *found,
        *[dict(chance.choice(found)) for _ in range(count // 8)],
        chat("A?", "1", id="x"),
        chat("B?", "2", id="x"),
    ]


def lay(folder: Path, seed: int = 1) -> Given:
    """Return two sources of files: one with a line that is no row, and one packed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "main.jsonl", [*rows_of(seed, 60), "no row"])
    lines = "".join(f"{json.dumps(row)}\n" for row in rows_of(2, 30))
    (folder / "side.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    return [
        c.Source("main", c.files(folder / "main.jsonl", "messages"), take=c.Fraction(0.8), max_quarantine=0.5),
        c.Source(
            "side",
            c.files(folder / "side.jsonl.gz", "messages"),
            steps=[c.shape(max_turns=2, allow_large_drop=True)],
            max_quarantine=0.5,
        ),
    ]


def exclaims(texts: pl.Series) -> pl.Series:
    return texts.str.contains("!")


POOL: Final[tuple[Step, ...]] = (
    c.language("en"),
    c.refusals(),
    c.refusals(max_share=0.5),
    c.cut_refusals(),
    c.truecase(),
    c.secrets_and_pii(),
    c.secrets_and_pii("mask"),
    c.shape(empty_turns=True),
    c.shape(min_words=9),
    c.shape(min_words=14, max_turns=3),
    c.repetition(),
    c.repetition(top_2gram=0.1),
    c.where(pl.col("characters"), at_least=30),
    c.where(pl.col("words") > 11),
    c.keep_if(exclaims),
    c.change(lambda texts: texts.str.replace_all("word", "term")),
    c.exact_dedup(),
    c.exact_dedup("prompt", keep="longest"),
    c.dedup(threshold=0.5, ngram=2),
    c.dedup(threshold=0.8, ngram=2),
    c.decontaminate(EVALS, ngram=3),
)


def mutated(chance: random.Random, steps: list[Step]) -> list[Step]:
    """Return steps with one put in, taken out, exchanged or moved elsewhere."""
    found = list(steps)
    place = chance.randrange(len(found))
    match chance.randrange(4):
        case 0:
            found.insert(place, chance.choice(POOL))
        case 1:
            found.append(chance.choice(POOL))
        case 2:
            del found[place]
        case _:
            found[place] = chance.choice(POOL)
    return found or [POOL[0]]


@pytest.mark.parametrize("seed", range(12))
def test_any_change_of_steps_and_sources(seed: int, tmp_path: Path) -> None:
    """Steps put in, taken out and exchanged anywhere, with edits before and after, and sources that change."""
    chance = random.Random(seed)
    steps = chance.sample(POOL, 5)
    given = lay(tmp_path / "data")
    before = made(tmp_path / "before", given, steps, on_shortage="shrink")
    for _ in range(2):
        steps = mutated(chance, steps)
        more: dict[str, Any] = {"seed": chance.choice([0, 0, 7]), "on_shortage": "shrink"}
        given = [
            replace(one, protect=chance.random() < 0.2) for one in lay(tmp_path / "data", chance.choice([1, 1, 3]))
        ]
        takes: list[Take] = [c.Fraction(0.8), c.Rows(20), c.Tokens(300), c.Repeat(2)]
        given[0] = replace(given[0], take=chance.choice(takes))
        given = chance.choice([given, given, given[::-1], given[:1]])
        before = same(tmp_path, before, given, steps, **more)


def test_only_rows_that_a_moved_bound_concerns_are_scored_again(tmp_path: Path, seen: list[int]) -> None:
    given = [c.Source("main", c.frame(pl.DataFrame(near(90)))), c.Source("side", c.frame(pl.DataFrame(rows_of(1, 9))))]
    limit = c.shape(min_words=21, unanswered=True)
    first = made(tmp_path / "first", given[:1], [c.truecase(), limit])
    words = c.Build(first).scores("shape")["words"]
    assert (seen, 0 < (words < 22).sum() < 90) == ([90], True)
    seen.clear()
    made(tmp_path / "second", given, [c.truecase(), replace(limit, min_words=22)], first)
    assert seen == [(words < 22).sum(), len(rows_of(1, 9))]
    seen.clear()
    made(tmp_path / "third", given[:1], [c.refusals(), c.truecase(), limit, c.dedup()], first)
    made(tmp_path / "fourth", given[:1], [limit], first)
    assert seen == [90]  # without the edit before it


def counted(monkeypatch: pytest.MonkeyPatch, kind: type[Group]) -> list[int]:
    """Return the rows of each call in which a group signs rows, as they come."""
    found: list[int] = []
    sign = kind.sign

    def counting(self: Group, segments: Segments) -> GroupKeys:
        found.append(segments.rows)
        return sign(self, segments)

    monkeypatch.setattr(kind, "sign", counting)
    return found


SHAPE: Final = c.shape(min_words=17, unanswered=True)
EARLY: Final = (c.truecase(), SHAPE, c.exact_dedup("prompt"), c.decontaminate(EVALS, ngram=3))


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("later", "signed"),
    [
        ((*EARLY, c.refusals(max_share=0.1)), 0),
        ((*EARLY, replace(SHAPE, min_words=22), c.cut_refusals()), 0),
        (EARLY, 0),
        ((EARLY[0], replace(SHAPE, min_words=22), *EARLY[2:]), 2),
        ((*EARLY[:2], c.dedup(threshold=0.5, ngram=2), *EARLY[2:]), 2),
        ((*EARLY[:2], c.exact_dedup("prompt", keep="longest"), EARLY[3]), 2),
        (EARLY[:3], 0),
        ((*EARLY[:2], EARLY[3]), 0),
        (EARLY[1:], 2),
    ],
)
def test_groups_decide_again_where_other_rows_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: tuple[Step, ...], signed: int
) -> None:
    rows = pl.DataFrame([*near(90), *near(20)])
    given = [c.Source("main", c.frame(rows)), c.Source("side", c.frame(rows.head(30)), protect=True, take=c.Rows(20))]
    first = made(tmp_path / "first", given, EARLY)
    assert (c.Build(first).ledger.collect()["step"] == "exact_dedup").sum() > 5
    calls = counted(monkeypatch, ExactDedup)
    again = made(tmp_path / "again", given, later, first)
    assert len(calls) == signed
    assert hashes(again) == hashes(made(tmp_path / "nothing", given, later))


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("change", ["order", "row", "source", "seed", "protect", "tables"])
def test_groups_decide_again_on_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    rows, path = [*near(60), *near(20)], tmp_path / "rows.jsonl"
    write_lines(path, rows)
    given = [c.Source("main", c.files(path)), c.Source("side", c.frame(pl.DataFrame(near(30))))]
    first, seed = made(tmp_path / "first", given, EARLY), 0
    match change:
        case "order":
            write_lines(path, rows[::-1])
        case "row":
            write_lines(path, rows[:-1])
        case "source":
            given.reverse()
        case "seed":
            seed = 9
        case "protect":
            given[1] = replace(given[1], protect=True)
        case "tables":
            (first / "steps" / "decontaminate" / "hits.parquet").write_bytes(b"")
    calls = counted(monkeypatch, Decontaminate)
    again = made(tmp_path / "again", given, EARLY, first, seed=seed)
    assert sum(calls) >= len(rows)
    assert hashes(again) == hashes(made(tmp_path / "nothing", given, EARLY, seed=seed))


def test_a_filter_that_reads_scores_runs_again_where_these_change(tmp_path: Path) -> None:
    given, long = sources("conversation", 60), c.where(pl.col("shape.words") > pl.col("shape.turns"))
    first = made(tmp_path / "first", given, [c.shape(on="response"), long])
    second = same(tmp_path, first, given, [c.shape(on="all"), long])
    same(tmp_path, second, given, [c.shape(on="all", min_words=2), long])


@dataclass(frozen=True, kw_only=True)
class Own(Filter):
    """A step whose code nothing identifies."""

    name = "own"
    answer: ClassVar[float] = 1.0

    def bounds(self) -> tuple[c.Bound, ...]:
        return (c.Bound("own", "rows", at_most=0.5),)

    def score(self, segments: Segments) -> c.Scores:
        return c.Scores({"rows": np.full(segments.rows, Own.answer)})


def test_a_step_of_a_users_own_class_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sources("conversation", 20)
    first = made(tmp_path / "first", given, [Own()])
    monkeypatch.setattr(Own, "answer", 0.0)
    same(tmp_path, first, given, [Own()])


def test_a_row_with_the_id_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    """Two rows that exchange their contents: their ids, and the hash of all contents, are as before."""
    asked = [chat("Why?", "Because.", id="a"), chat("How?", REFUSAL, id="b"), *rows_of(5, 20)]
    path, step = tmp_path / "rows.jsonl", c.refusals()
    given = [c.Source("main", c.files(path, "messages"), max_quarantine=0.5)]
    write_lines(path, asked)
    first = made(tmp_path / "first", given, [step])
    asked[0]["id"], asked[1]["id"] = asked[1]["id"], asked[0]["id"]
    write_lines(path, asked)
    same(tmp_path, first, given, [step])


@pytest.mark.parametrize("more", [{"before": c.Rows(20)}, {"before": c.Fraction(0.5)}, {"early_stop": True}])
def test_rows_chosen_ahead_of_the_steps(tmp_path: Path, more: dict[str, Any]) -> None:
    lay(tmp_path / "data")
    one = c.Source("main", c.files(tmp_path / "data" / "main.jsonl", "messages"), take=c.Rows(9), max_quarantine=0.5)
    for number, (before, now) in enumerate([({}, more), (more, {}), (more, more)]):
        first = made(tmp_path / f"first{number}", [replace(one, **before)], [c.truecase(), c.shape(min_words=5)])
        same(tmp_path, first, [replace(one, **now)], [c.truecase(), c.shape(min_words=8), c.refusals()])


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "frame", "part"])
def test_every_container(tmp_path: Path, kind: str) -> None:
    found = [
        {"instruction": f"Ask {i % 7}?", "output": REFUSAL if i % 5 == 0 else f"It is {i}.", "d": i % 2}
        for i in range(40)
    ]
    table, path = pl.DataFrame(found), tmp_path / f"rows.{kind}"
    match kind:
        case "csv":
            table.write_csv(path)
        case "parquet":
            table.write_parquet(path, row_group_size=16)
        case "json":
            path.write_text(json.dumps(found))
        case "part":
            table.write_ndjson(path)
    given = c.frame(table, "alpaca") if kind == "frame" else c.files(path, "alpaca")
    part: dict[str, int] = {"d": 1} if kind == "part" else {}
    one = [c.Source("main", given, where=part)]
    first = made(tmp_path / "first", one, [c.refusals(), c.shape(min_words=4), c.dedup()])
    same(tmp_path, first, one, [c.refusals(), c.shape(min_words=5), c.dedup()])
