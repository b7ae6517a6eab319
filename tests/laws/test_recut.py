"""The law of `Build.recut`: what it says of every row is what a fresh build with the moved bounds writes in its ledger.

A fresh build has the same filter with other bounds, or a group with another threshold.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.errors import EmptyBuildError
from curate.rows.schema import BODIES, Kind
from curate.steps.base import Bound, Filter, Group, Step
from tests.laws.test_steps import EVALS, WORDS, of, of_kind, step_of

pytestmark = pytest.mark.usefixtures("no_page")

SAYS: Final = ("fate", "step", "reason", "score", "bound", "copies", "split")
ROLES: Final = ("user", "assistant")
KIND: Final[dict[str, Kind]] = {
    "lint_pairs": "preference",
    "lint_pairs all": "preference",
    "score completions": "rated",
}
QUESTIONS: Final = (
    "Why does the ferry from Pellow to the mainland leave an hour later on the second Sunday of each month?",
    "Which of the three lighthouses of the bay was built last, and how many steps does its stair have?",
)


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randrange(4)))


def turns(chance: random.Random) -> list[dict[str, str]]:
    return [{"role": ROLES[i % 2], "content": text(chance)} for i in range(chance.randrange(1, 6))]


def row(kind: Kind, chance: random.Random) -> dict[str, Any]:
    meta = {"meta": chance.choice(["{}", '{"a":1}', '{"a":0.25}'])}
    if kind == "preference":
        sides = {name: [{"role": "assistant", "content": text(chance)}] for name in ("chosen", "rejected")}
        return {"prompt": turns(chance), **sides, "chosen_score": 1.0, "rejected_score": None, **meta}
    if kind == "rated":
        scores = [[{"name": "s", "value": float(chance.randrange(3))}] for _ in range(2)]
        completions = [{"content": text(chance), "model": None, "scores": each} for each in scores]
        return {"messages": turns(chance), "completions": completions, **meta}
    return {"messages": turns(chance), **meta}


def sources(kind: Kind, rows: int, **first: Any) -> list[c.Source]:  # noqa: ANN401
    """Return two sources of rows of a kind, the second protected, some of them more than once."""
    chance = random.Random(3)
    found = [row(kind, chance) for _ in range(rows)]
    found += [dict(chance.choice(found)) for _ in range(rows // 8)]
    body = pl.DataFrame(pa.RecordBatch.from_pylist(found, BODIES[kind]))
    return [
        c.Source("a", c.frame(body.head(-9)), **{"take": c.Fraction(0.7)} | first),
        c.Source("b", c.frame(body.tail(9)), protect=True),
    ]


def near(rows: int) -> list[dict[str, Any]]:
    """Return rows that differ from each other in some of their words."""
    chance = random.Random(5)
    found = []
    for number in range(rows):
        words = QUESTIONS[number % 2].split()
        for place in chance.sample(range(len(words)), chance.choice((0, 1, 1, 2, 4, 8))):
            words[place] = f"w{chance.randrange(9)}"
        answer = {"role": "assistant", "content": text(chance)}
        found.append({"messages": [{"role": "user", "content": " ".join(words)}, answer], "meta": "{}"})
    return found


def built(out: Path, given: list[c.Source], steps: Sequence[Step]) -> c.Build:
    try:
        mixture = c.Mixture("m", given, [replace(step, allow_large_drop=True) for step in steps], test=c.Fraction(0.3))
        return mixture.build(out, quiet=True, threads=1)
    except EmptyBuildError:
        return c.Build(out)


def same(found: c.Build, expected: c.Build, **moved: Any) -> None:  # noqa: ANN401
    recut = found.recut(**moved)
    assert not recut.unknown.height
    kept = expected.lines_of(expected.kind).select("source", "id", *SAYS, "match").sort("source", "id").collect()
    said = recut.rows.sort("source", "id")
    assert said.select(*SAYS).equals(kept.select(*SAYS)), said.filter(said["fate"] != kept["fate"])
    by_group = pl.Series(kept["step"].is_in([step for step in found.steps if "dedup" in step or "decont" in step]))
    assert said.filter(by_group)["match"].to_list() == kept.filter(by_group)["match"].to_list()
    assert recut.funnel.select(expected.funnel.columns).equals(expected.funnel)
    before = found.lines_of(found.kind).filter(pl.col("fate") == "kept").select("source", "id").collect()
    entered = kept.filter(pl.col("fate") == "kept").join(before, on=["source", "id"], how="anti").height
    assert (recut.changes["change"] == "entered").sum() == entered


def with_bounds(step: Filter, bounds: tuple[Bound, ...]) -> Filter:
    kind = type(step)
    moved = type(kind.__name__, (kind,), {"bounds": lambda _: bounds, "__module__": kind.__module__})
    return moved(**{field.name: getattr(step, field.name) for field in fields(step)})


@pytest.mark.parametrize("name", of_kind(Filter))
def test_a_moved_bound_is_that_of_a_fresh_build(name: str, tmp_path: Path) -> None:
    step, given = step_of(name), sources(KIND.get(name, "conversation"), 60)
    assert isinstance(step, Filter)
    made = built(tmp_path / "made", given, [step])
    scores = made.scores(step.name)
    bounds = list(step.bounds())
    moved: dict[str, Any] = {}
    for place, bound in enumerate(bounds):
        low, high = (scores[bound.score].cast(pl.Float64).fill_nan(None).quantile(share) for share in (0.3, 0.8))
        above = bound.at_most is not None or (bound.at_least is None and place % 2 == 0)
        limit = (None, high) if above else (low, None)
        bounds[place] = bound._replace(at_least=limit[0], at_most=limit[1])
        moved[bound.reason] = limit
    same(made, built(tmp_path / "fresh", given, [with_bounds(step, tuple(bounds))]), **{step.name: moved})
    same(made, built(tmp_path / "without", given, []), **{step.name: None})


@pytest.mark.parametrize("threshold", [0.3, 0.45, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("keep", ["first", "longest"])
def test_a_moved_dedup_threshold_is_that_of_a_fresh_build(keep: Any, threshold: float, tmp_path: Path) -> None:  # noqa: ANN401
    step = c.dedup(threshold=0.5, ngram=2, keep=keep)
    given = [*sources("conversation", 40, take=c.All()), c.Source("q", c.frame(pl.DataFrame(near(160))))]
    made = built(tmp_path / "made", given, [c.shape(), step])
    assert (made.ledger.collect()["step"] == "dedup").sum() > 20
    fresh = built(tmp_path / "fresh", given, [c.shape(), replace(step, threshold=threshold)])
    same(made, fresh, dedup=threshold)
    same(c.Build(made.path), fresh, dedup=threshold)
    bounds = with_bounds(of(Filter, "shape"), ())
    both = built(tmp_path / "both", given, [bounds, replace(step, threshold=threshold)])
    loose = {bound.reason: None for bound in c.shape().bounds()}
    recut = made.recut(shape=loose, dedup=threshold)
    assert (
        recut.rows.sort("source", "id")["fate"].to_list()
        == both.ledger.sort("source", "id").collect()["fate"].to_list()
    )


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8, 1.0])
def test_a_moved_threshold_of_decontaminate_is_that_of_a_fresh_build(threshold: float, tmp_path: Path) -> None:
    chance = random.Random(1)
    rows = []
    for number in range(120):
        words = (QUESTIONS[number % 2]).split()
        start, end = sorted(chance.sample(range(len(words) + 1), 2))
        rows.append(
            {"messages": [{"role": "user", "content": f"{number}: " + " ".join(words[start:end])}], "meta": "{}"}
        )
    asked = pl.DataFrame({"question": [*QUESTIONS, "Why do onions make us cry?"]})
    path = tmp_path / "evals.jsonl"
    asked.write_ndjson(path)
    step = c.decontaminate(c.evals.files(path, question="question"), ngram=3, threshold=0.5, content=0.0)
    given = [*sources("conversation", 60, take=c.All()), c.Source("q", c.frame(pl.DataFrame(rows)))]
    made = built(tmp_path / "made", given, [c.shape(unanswered=True), step])
    fresh = built(tmp_path / "fresh", given, [c.shape(unanswered=True), replace(step, threshold=threshold)])
    assert (fresh.ledger.collect()["step"] == "decontaminate").sum() > 5
    same(made, fresh, decontaminate=threshold)
    same(c.Build(made.path), fresh, decontaminate=replace(step, threshold=threshold, allow_large_drop=True))
    with pytest.raises(c.CallError, match=r"does not hold all that 'decontaminate' decides by"):
        c.Build(made.path).recut(decontaminate=threshold)


GROUPS: Final[dict[str, Group]] = {
    "dedup": c.dedup(threshold=0.5, ngram=2),
    "exact_dedup": c.exact_dedup("prompt", keep="longest"),
    "decontaminate": c.decontaminate(EVALS, ngram=3),
    "refusals": c.refusals(max_share=0.5),
}


@pytest.mark.parametrize("name", GROUPS)
def test_groups_decide_again_on_rows_that_come_back_and_without_those_that_leave(name: str, tmp_path: Path) -> None:
    given = [*sources("conversation", 60, take=c.All()), c.Source("q", c.frame(pl.DataFrame(near(90))))]
    shape = c.shape(min_characters=20, unanswered=True)
    made = built(tmp_path / "made", given, [shape, GROUPS[name]])
    for least in (0, 5, 60):
        steps = [replace(shape, min_characters=least), GROUPS[name]]
        same(made, built(tmp_path / f"fresh{least}", given, steps), shape={"too_few_characters": least})
