"""Bounds moved in a finished build: what changes, what cannot be decided, and what a call that is wrong says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate as c
from curate.errors import CallError, ShortageError
from curate.result.recut import NEAREST, Recut
from tests.support.build_data import Row, built, chat, chats, source
from tests.support.rated_data import asks, of_rated

SAYS = ["source", "id", "fate", "step", "reason", "score", "bound", "copies", "split"]


def named(rows: list[Row]) -> list[Row]:
    return [{"id": f"r{number:03}", **row} for number, row in enumerate(rows)]


def words(count: int, least: int = 1) -> list[Row]:
    """Return rows of `least` words and more, up to `count`."""
    return named([chat(f"Ask {i}?", " ".join(["word"] * i)) for i in range(least, count + 1)])


def agrees(found: Recut, fresh: c.Build, *, but: frozenset[str] = frozenset()) -> None:
    """Hold what was computed against the ledger of a fresh build, but for rows of these ids."""
    said = found.rows.filter(~pl.col("id").is_in(but)).sort("source", "id").select(SAYS)
    lines = fresh.lines_of(fresh.kind).filter(~pl.col("id").is_in(but)).sort("source", "id").select(SAYS).collect()
    assert said.equals(lines)


def test_a_bound_moves_and_every_change_has_its_cause(tmp_path: Path) -> None:
    made = built(tmp_path / "b", source("a", words(60)), steps=[c.shape(on="response", min_words=30)])
    found = made.recut(shape={"too_few_words": 32})
    assert repr(found) == f"Recut({str(made.path)!r}: left 2; unknown 0)"
    (first, _) = found.changes.sort("id").to_dicts()
    assert (first["change"], first["id"], first["fate"], first["fate_after"]) == ("left", "r029", "kept", "dropped")
    assert (first["step_after"], first["reason_after"]) == ("shape", "too_few_words")
    assert (first["score"], first["score_after"], first["bound_after"]) == (None, 30.0, 32.0)
    assert found.counts.to_dicts() == [
        {"change": "left", "source": "a", "before": "kept train", "after": "dropped shape too_few_words", "rows": 2}
    ]
    assert found.funnel.columns == made.funnel.columns
    assert found.funnel["shape"].to_list() == [31, 31]
    assert found.settings.to_dicts() == [
        {
            "step": "shape",
            "bound": "too_few_words at_least",
            "before": "30",
            "after": "32",
            "setting": "shape(min_words=32)",
        }
    ]
    near = {side: rows["score"].to_list() for (side,), rows in found.nearest.group_by("side")}
    assert near == {"kept": list(range(32, 32 + NEAREST)), "dropped": list(range(31, 31 - NEAREST, -1))}
    back = made.recut(shape=None)
    assert back.changes["change"].to_list() == ["entered"] * 29
    assert back.settings["setting"].to_list() == ["leave out shape()"]
    agrees(back, built(tmp_path / "f", source("a", words(60))))


def test_the_sample_and_its_order_of_ranks_follow_the_rows_that_are_left(tmp_path: Path) -> None:
    rows, same = words(80), named(chats(3) * 2)
    given: dict[str, Any] = {"test": c.Fraction(0.2), "weights": {"a": 2, "b": 1}, "total": c.Rows(30)}

    def make(out: str, least: int) -> c.Build:
        step = c.shape(on="response", min_words=least, allow_large_drop=True)
        other = source("b", [{name: row[name] for name in ("messages",)} for row in same], max_share=0.5)
        return built(tmp_path / out, source("a", rows, steps=[step]), other, on_shortage="repeat", **given)

    made = make("b", 30)
    for least in (5, 55, 70):
        found = made.recut({"a:shape": {"too_few_words": least}})
        fresh = make(f"f{least}", least)
        agrees(found, fresh)
        assert found.funnel.equals(fresh.funnel)
        assert "changed" in found.changes["change"].to_list()


def test_two_bounds_and_a_step_left_out_at_once(tmp_path: Path) -> None:
    rows = [*words(50), *({**chat("Why?", "As an AI language model, I cannot."), "id": f"x{i}"} for i in range(4))]

    def make(out: str, *steps: c.Step) -> c.Build:
        return built(tmp_path / out, source("a", rows), steps=steps)

    made = make("b", c.refusals(), c.shape(on="response", min_words=3), c.repetition(allow_large_drop=True))
    found = made.recut(refusals=None, shape={"too_few_words": 8}, repetition=None)
    agrees(found, make("f", c.shape(on="response", min_words=8)))
    assert {(one["before"], one["after"]) for one in found.counts.to_dicts()} >= {
        ("dropped refusals self_reference", "dropped shape too_few_words")
    }


def test_rows_that_a_later_group_would_have_to_decide_on_are_named(tmp_path: Path) -> None:
    rows = [*words(30, 4), *({**row, "id": f"copy-{row['id']}"} for row in words(30, 4))]

    def make(out: str, least: int, take: c.Rows | c.All = c.All()) -> c.Build:  # noqa: B008
        steps = [c.shape(on="response", min_words=least, allow_large_drop=True), c.exact_dedup()]
        return built(tmp_path / out, source("a", rows, take=take), steps=steps)

    made = make("b", 20)
    quick = made.recut(shape={"too_few_words": 10}, compute=False)
    assert quick.unknown.height == 20
    assert set(quick.unknown["why"]) == {"exact_dedup would have to decide on it"}
    assert not quick.changes.height
    assert not made.recut(shape={"too_few_words": 25}, compute=False).unknown.height, "copies leave with their rows"
    full = made.recut(shape={"too_few_words": 10})
    assert not full.unknown.height
    agrees(full, make("f", 10))
    sampled = make("s", 20, c.Rows(5))
    found = sampled.recut(shape={"too_few_words": 10})
    assert set(found.unknown["why"]) == {"exact_dedup decides by its text, which is not in the build folder"}
    unsampled = sampled.ledger.filter(pl.col("fate") == "unsampled").collect()
    assert found.unknown["id"].sort().equals(unsampled["id"].sort())


def test_rows_that_come_back_get_their_edits_before_a_group_decides(tmp_path: Path) -> None:
    rows = [*words(30), *({**row, "id": f"copy-{row['id']}"} for row in words(30))]
    rows = [*rows, *({**row, "id": f"term-{row['id']}"} for row in named([chat("Ask 9?", "term " * 12)]))]
    edit = c.change(lambda texts: texts.str.replace_all("word", "term").str.strip_chars())

    def make(out: str, least: int) -> c.Build:
        step = c.shape(on="response", min_words=least, allow_large_drop=True)
        return built(tmp_path / out, source("a", rows, steps=[step, edit]), steps=[c.exact_dedup("response")])

    made, fresh = make("b", 20), make("f", 10)
    found = made.recut({"a:shape": {"too_few_words": 10}})
    assert not found.unknown.height
    agrees(found, fresh)
    assert (fresh.ledger.collect()["step"] == "exact_dedup").sum() == 22


def test_edits_that_a_dropped_row_did_not_get_are_named(tmp_path: Path) -> None:
    rows = [*words(30), *({**row, "id": f"copy-{row['id']}"} for row in words(30))]

    def make(out: str, least: int) -> c.Build:
        step = c.shape(on="response", min_words=least, allow_large_drop=True)
        edit = c.change(lambda texts: texts.str.replace_all("word", "term"))
        given = source("a", rows, take=c.Tokens(200), steps=[step, edit])
        return built(tmp_path / out, given, steps=[c.exact_dedup()])

    made = make("b", 20)
    found = c.Build(made.path).recut({"a:shape": {"too_few_words": 10}})
    short = made.ledger.filter(pl.col("step") == "a:shape", pl.col("a:shape.words") >= 10).collect()["id"]
    assert len(short) == 20
    assert set(short) <= set(found.unknown["id"])
    assert set(found.unknown["why"]) == {"exact_dedup decides by its text, which is not in the build folder"}
    plain = make("b2", 20).recut({"a:shape": {"too_few_words": 10}, "exact_dedup": None})
    assert set(plain.unknown["why"]) >= {
        "it did not get the edits of a:change, which its tokens or its prompt depend on"
    }


def test_steps_behind_a_pairing_move_and_those_before_it_do_not(tmp_path: Path) -> None:
    def make(out: str, most: int) -> c.Build:
        steps = [c.shape(), c.binarize(), c.lint_pairs("all", max_difference=most, allow_large_drop=True)]
        return built(tmp_path / out, source("a", of_rated(asks(60))), steps=steps)

    made = make("b", 50)
    found = made.recut(lint_pairs={"length_difference": 1})
    agrees(found, make("f", 1))
    assert found.funnel["pairs"].equals(made.funnel["pairs"])
    with pytest.raises(CallError, match=r"^step 'shape' decides before the Pairing"):
        made.recut(shape=None)


def test_rows_that_no_step_saw_stay_unsampled(tmp_path: Path) -> None:
    def make(out: str, least: int, **ahead: Any) -> c.Build:  # noqa: ANN401
        step = c.shape(on="response", min_words=least, allow_large_drop=True)
        return built(tmp_path / out, source("a", words(80), take=c.Rows(10), **ahead), steps=[step])

    agrees(make("b", 20, before=c.Rows(40)).recut(shape={"too_few_words": 30}), make("f", 30, before=c.Rows(40)))
    early = make("e", 20, early_stop=True)
    found = early.recut(shape={"too_few_words": 10})
    assert any("early_stop=True" in note for note in found.notes)
    kept = make("e10", 10, early_stop=True).kept().select("id").collect()["id"]
    assert found.rows.filter(fate="kept")["id"].sort().equals(kept.sort())
    with pytest.raises(CallError, match=r"source 'a' has early_stop=True: the rows that its steps saw leave"):
        early.recut(shape={"too_few_words": 79})


def test_a_build_that_would_stop_says_so(tmp_path: Path) -> None:
    made = built(tmp_path / "b", source("a", words(60), take=c.Rows(20)), steps=[c.shape(on="response", min_words=5)])
    (note,) = made.recut(shape={"too_few_words": 40}).notes
    assert note.startswith("step 'shape' would drop 39 of the 60 rows of source 'a'")
    with pytest.raises(ShortageError, match="a has 11 rows after the steps, asked: 20"):
        made.recut(shape={"too_few_words": 50})


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        ({}, "moves nothing: name a step of the build: refusals, shape, change, dedup"),
        ({"shap": 1}, "no step 'shap'; did you mean 'shape'"),
        ({"shape": 1.0}, r"step 'shape' has \d+ bounds: name one"),
        ({"shape": "x"}, r"shape='x': a number, \{'empty_turn'"),
        ({"shape": {"too_few_wrds": 1}}, "drops no row as 'too_few_wrds'; did you mean 'too_few_words'"),
        ({"shape": {"too_few_words": "x"}}, r"shape=\{'too_few_words': 'x'\}: a finite number"),
        ({"refusals": {"cannot_help": (None, "y")}}, "a finite number"),
        ({"change": None}, "step 'change' changes texts and has no bound"),
        ({"dedup": 1.5}, "dedup=1.5: a number above 0, at most 1"),
        ({"dedup": {"ngrm": 3}}, "step 'dedup' has no setting 'ngrm'; did you mean 'ngram'"),
    ],
)
def test_a_wrong_call_says_what_to_write(moved: dict[str, Any], message: str, tmp_path: Path) -> None:
    edit = c.change(lambda texts: texts.str.strip_chars())
    made = built(tmp_path / "b", source("a", words(9)), steps=[c.refusals(), c.shape(min_words=1), edit, c.dedup()])
    with pytest.raises(CallError, match=message):
        made.recut(moved)


def test_another_mixture_and_an_older_build_are_refused(tmp_path: Path) -> None:
    made = built(tmp_path / "b", source("a", words(9)), steps=[c.shape()])
    with pytest.raises(CallError, match=r"^mixture= is not the one that .* was built from"):
        made.recut(shape=None, mixture=c.Mixture("mix", [source("a", words(8))]))
    manifest = json.loads((made.path / "manifest.json").read_text("utf-8"))
    manifest["steps"][0].pop("bounds")
    (made.path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(CallError, match="does not say by which bounds 'shape' decides; build it again"):
        c.Build(made.path).recut(shape={"too_few_words": 3})
