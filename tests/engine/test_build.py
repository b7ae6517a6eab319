"""A build accounts for every row, keeps to its plan, and can be read back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from curate.errors import BuildFolderError, CallError, LargeDropError, MixtureError, QuarantineError
from curate.io.inputs import files
from curate.io.tables import frame
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import (
    Row,
    built,
    built_empty,
    chat,
    chats,
    fates,
    hashes,
    of_rows,
    said,
    source,
    texts,
    write_lines,
)

REFUSAL = "Well, as an AI language model, I cannot."


def mixed(folder: Path) -> tuple[Path, int]:
    """Write 47 lines: 30 good, 4 refusals, 3 empty answers, 5 repeated prompts, 3 that cannot be read, 2 blank."""
    bad = ['{"messages": [', '{"messages": []}', '{"messages": [{"role": "bot", "content": "x"}]}']
    rows: list[Row | str] = [
        *chats(10),
        *bad[:1],
        *(chat(f"Will you {i}?", REFUSAL) for i in range(4)),
        "",
        *chats(20, 10),
        *bad[1:],
        *(chat(f"Hm {i}?", " ") for i in range(3)),
        *(chat(f"ask  {i}?", "Another answer") for i in range(5)),
        "",
    ]
    return write_lines(folder / "mixed.jsonl", rows), 45


STEPS = (refusals(), shape(), exact_dedup("prompt"))


def test_every_row_has_one_fate(tmp_path: Path) -> None:
    path, read = mixed(tmp_path)
    done = built(
        tmp_path / "out",
        source("mixed", files(path, "messages"), take=Rows(12)),
        source("b", chats(7, 100)),
        steps=STEPS,
    )
    assert fates(done) == {
        "mixed": {"kept": 12, "unsampled": 18, "dropped": 12, "quarantined": 3},
        "b": {"kept": 7},
    }
    funnel = {line["source"]: line for line in done.funnel.to_dicts()}
    assert funnel["mixed"] == {
        "source": "mixed",
        "read": read,
        "quarantined": 3,
        "refusals": 4,
        "shape": 3,
        "exact_dedup": 5,
        "unsampled": 18,
        "kept": 12,
        "rows": 12,
    }
    for line in funnel.values():
        assert line["read"] == sum(line[name] for name in ("quarantined", *done.steps, "unsampled", "kept"))
    assert funnel["total"]["read"] == read + 7


def test_what_was_kept_dropped_and_refused_reads_back(tmp_path: Path) -> None:
    path, _ = mixed(tmp_path)
    done = built(tmp_path / "out", source("mixed", files(path, "messages")), steps=STEPS)
    kept = texts(done.kept())
    assert len(kept) == 30
    assert texts(done.dropped(step="refusals")) == sorted((f"Will you {i}?", REFUSAL) for i in range(4))
    assert done.dropped(step="refusals")["line"].to_list() == [*range(12, 16)]
    assert done.dropped(reason="empty_turn")["line"].to_list() == [*range(39, 42)]
    pairs = {(f"Ask {i}?", f"ask  {i}?") for i in range(5)}
    asked = {row[0] for row in texts(done.dropped(step="exact_dedup"))}
    assert all(len(asked & {one, other}) == 1 for one, other in pairs)
    hit = done.dropped(reason="self_reference").row(0, named=True)["evidence"][0]
    assert REFUSAL[hit["start"] : hit["end"]].casefold() == "as an ai language model"
    assert (hit["side"], hit["turn"], hit["step"]) == ("dialogue", 1, "refusals")
    bad = done.quarantined()
    assert bad["line"].to_list() == [11, 37, 38]
    assert bad["column"].to_list() == ["", "messages", "messages[0].role"]
    assert bad["excerpt"][0] == '{"messages": ['


def test_a_duplicate_names_the_row_that_stays(tmp_path: Path) -> None:
    done = built(
        tmp_path / "out",
        source("first", [chat("A?", "1", id="one")]),
        source("second", [chat("a?", "2", id="two"), chat("B?", "3", id="three")]),
        steps=[exact_dedup("prompt")],
    )
    dropped = done.dropped().row(0, named=True)
    assert (dropped["source"], dropped["id"], dropped["match"]) == ("second", "two", "first/one")
    assert (dropped["reason"], dropped["score"], dropped["bound"]) == ("duplicate", 1.0, 1.0)


def test_steps_decide_in_their_order(tmp_path: Path) -> None:
    rows = [chat("A?", "yes"), chat("A?", REFUSAL)]
    before = built(tmp_path / "a", source("s", rows), steps=[refusals(), exact_dedup("prompt", keep="longest")])
    after = built_empty(tmp_path / "b", source("s", rows), steps=[exact_dedup("prompt", keep="longest"), refusals()])
    assert texts(before.kept()) == [("A?", "yes")]
    assert before.dropped()["step"].to_list() == ["refusals"]
    assert sorted(after.dropped()["step"].to_list()) == ["exact_dedup", "refusals"]
    both = built(tmp_path / "c", source("s", [chat("A?", REFUSAL, "B?", ""), chat("A?", "x")]), steps=STEPS)
    assert both.dropped()["step"].to_list() == ["refusals"]


def test_protected_rows_are_never_dropped(tmp_path: Path) -> None:
    rows = [chat("Who?", REFUSAL), chat("Who?", REFUSAL), chat("Hm?", "")]
    done = built(tmp_path / "out", source("other", [chat("who?", "x")]), source("own", rows, protect=True), steps=STEPS)
    assert fates(done) == {"other": {"dropped": 1}, "own": {"kept": 3}}
    assert done.dropped()["match"][0].startswith("own/")
    assert done.scores("refusals").filter(source="own")["self_reference"].to_list() == [1, 1, 0]


def test_copies_are_in_the_data_and_in_the_ledger(tmp_path: Path) -> None:
    rows = chats(6)
    done = built(tmp_path / "out", source("three", rows, take=Repeat(3)), source("once", chats(4, 50)))
    assert texts(done.kept()) == sorted(said(rows) * 3 + said(chats(4, 50)))
    copies = done.ledger.group_by("source").agg(pl.col("copies").sum()).sort("source").collect()
    assert copies.rows() == [("once", 4), ("three", 18)]
    kept = done.kept().collect()
    assert kept.filter(source="three").group_by("id").len()["len"].to_list() == [3] * 6
    neighbours = (kept["id"] == kept["id"].shift()).sum()
    assert neighbours < 6, "copies are spread over the data, not side by side"


def test_rows_with_one_own_id_and_one_content_are_numbered(tmp_path: Path) -> None:
    rows = [chat("A?", "1", id="x"), chat("B?", "2", id="y"), chat("A?", "1", id="x"), chat("A?", "1", id="x")]
    done = built(tmp_path / "out", source("s", rows))
    assert sorted(done.kept().collect()["id"].to_list()) == ["x", "x-2", "x-3", "y"]


def test_an_id_that_two_different_rows_have_is_quarantined(tmp_path: Path) -> None:
    rows = [chat("A?", "1", id="x"), chat("B?", "2", id="x"), chat("C?", "3", id="y")]
    one, two = (
        built(tmp_path / name, source("s", order), steps=STEPS) for name, order in (("a", rows), ("b", rows[::-1]))
    )
    assert fates(one) == {"s": {"kept": 2, "quarantined": 1}}
    bad = one.quarantined().row(0, named=True)
    assert (bad["id"], bad["column"], bad["excerpt"]) == ("x", "id", "x")
    assert bad["expected"] == "an id that no other row of the source has"
    assert texts(one.kept()) == texts(two.kept())


def test_too_many_rows_with_one_id_stop_the_build(tmp_path: Path) -> None:
    rows = [chat(f"A{i}?", "1", id="x") for i in range(12)]
    with pytest.raises(QuarantineError, match=r"source 's': 11 of 12 rows have the id of another row.*id=None"):
        built(tmp_path / "out", source("s", rows))
    assert not list(tmp_path.iterdir())
    without = frame(pl.DataFrame(rows), "messages", id=None)
    assert fates(built(tmp_path / "out", source("s", without))) == {"s": {"kept": 12}}


def test_rows_that_say_the_same_are_numbered(tmp_path: Path) -> None:
    done = built(
        tmp_path / "out", source("s", [chat("A?", "1")] * 3 + [chat("B?", "1")]), source("t", [chat("A?", "1")])
    )
    ids = done.kept().collect().sort("source", "id")["id"].to_list()
    name = next(each for each in ids if f"{each}-2" in ids)
    assert ids.count(name) == 2, "once in each source"
    assert {name, f"{name}-2", f"{name}-3"} < set(ids)


def test_too_many_bad_rows_stop_the_build(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [*chats(20), *(f"line {i}" for i in range(11))])
    with pytest.raises(
        QuarantineError, match=r"(?s)11 of 31 rows \(35\.5%\).*bad.jsonl:21.*'line 4'.*max_quarantine=0.36"
    ):
        built(tmp_path / "out", source("s", files(path, "messages")))
    assert [each.name for each in tmp_path.iterdir()] == ["bad.jsonl"]
    done = built(tmp_path / "out", source("s", files(path, "messages"), max_quarantine=0.36))
    assert fates(done) == {"s": {"kept": 20, "quarantined": 11}}


@pytest.mark.parametrize("size", [Rows(15), Fraction(0.2)])
def test_a_test_split_keeps_a_prompt_on_one_side(tmp_path: Path, size: Rows | Fraction) -> None:
    rows = [chat(f"Ask {i % 20}?", f"Answer {i}") for i in range(80)]
    done = built(tmp_path / "out", source("s", rows), test=size)
    sides = [{ask for ask, _ in texts(done.kept(side))} for side in ("train", "test")]
    assert not sides[0] & sides[1]
    held = done.kept("test").collect().height
    assert 8 < held <= (15 if isinstance(size, Rows) else 16)
    assert done.manifest["splits"]["test"]["rows"] == held
    lines = done.ledger.group_by("split").len().collect()
    assert dict(lines.iter_rows()) == {"train": 80 - held, "test": held}


def test_two_steps_of_one_name_and_steps_of_a_source(tmp_path: Path) -> None:
    done = built(
        tmp_path / "out",
        source(
            "a", [chat("A?", "one two"), chat("B?", "one two three four")], steps=[shape(on="response", max_words=3)]
        ),
        source("b", [chat("C?", "one two three four"), chat("D?", "x")]),
        steps=[shape(), shape(on="response", min_words=2)],
    )
    assert done.steps == ["a:shape", "shape", "shape-2"]
    dropped = done.dropped().select("source", "step", "reason", "score", "bound").rows()
    assert dropped == [("a", "a:shape", "too_many_words", 4.0, 3.0), ("b", "shape-2", "too_few_words", 1.0, 2.0)]
    assert done.scores("a:shape")["source"].to_list() == ["a", "a"]
    assert done.dropped(step="shape").height == 0
    assert done.dropped(step="shape").columns == done.dropped().columns
    with pytest.raises(CallError, match=r"no step 'shap'; did you mean 'shape'\?"):
        done.dropped(step="shap")


def test_an_edit_is_reported_and_its_rows_stay(tmp_path: Path) -> None:
    rows = [chat("A?", "1", "B?", REFUSAL), chat("A?", "2"), chat("A?", REFUSAL)]
    done = built(tmp_path / "out", source("s", rows), steps=[cut_refusals(), refusals()])
    assert texts(done.kept()) == [("A?", "1"), ("A?", "2")]
    assert done.ledger.collect()["edited"].to_list() == [["cut_refusals"], [], []]
    assert "cut_refusals" not in done.funnel.columns


def test_a_dropped_row_is_as_it_was_when_it_was_dropped(tmp_path: Path) -> None:
    asks = ("A?", "1", "B?", REFUSAL), ("A?", "1", "B?", "2"), ("ChatGPT, one two three?", "1", "B?", REFUSAL)
    steps = [shape(max_words=12), refusals(), cut_refusals(), refusals("tulu2")]
    done = built(tmp_path / "out", source("s", [chat(*ask) for ask in asks]), steps=steps)
    assert texts(done.dropped()) == sorted(asks[::2])
    assert texts(done.kept()) == [asks[1]]
    for row in done.dropped().iter_rows(named=True):
        assert [hit["step"] for hit in row["evidence"]] == ["refusals"], "a hit after the cut has no place here"
        (hit,) = row["evidence"]
        assert "language model" in row["messages"][hit["turn"]]["content"][hit["start"] : hit["end"]]
    assert done.ledger.collect()["edited"].to_list() == [[], [], []], "a row dropped before an edit was not edited"
    assert done.scores("refusals-2")["provider"].to_list() == [0, 0, 1], (
        "but it is scored as if it had not been dropped"
    )


def test_a_large_drop_needs_a_word(tmp_path: Path) -> None:
    rows = [*(chat(f"A{i}?", REFUSAL) for i in range(11)), *chats(10)]
    with pytest.raises(LargeDropError, match=r"step 'refusals' drops 11 of the 21 rows of source 's' \(52%\)"):
        built(tmp_path / "out", source("s", rows), steps=[refusals()])
    assert not list(tmp_path.iterdir())
    done = built(tmp_path / "out", source("s", rows), steps=[refusals(allow_large_drop=True)])
    assert fates(done) == {"s": {"kept": 10, "dropped": 11}}
    few = built(tmp_path / "few", source("s", rows[2:11] + rows[11:13]), steps=[refusals()])
    assert fates(few) == {"s": {"kept": 2, "dropped": 9}}


def test_a_build_holds_one_kind_of_rows(tmp_path: Path) -> None:
    pairs = frame(pl.DataFrame({"prompt": ["A?"], "chosen": ["1"], "rejected": ["2"]}))
    with pytest.raises(
        MixtureError, match="a holds conversation rows, b holds preference rows; make a mixture of each"
    ):
        built(tmp_path / "out", source("a", chats(1)), source("b", pairs))
    done = built(tmp_path / "out", source("b", pairs), steps=STEPS)
    assert done.kind == "preference"
    assert done.kept().collect()["chosen"].to_list() == [[{"role": "assistant", "content": "1"}]]


def test_a_split_without_rows_does_not_keep_the_other_from_loading(tmp_path: Path) -> None:
    import datasets

    done = built(tmp_path / "out", source("s", [chat("A?", str(i)) for i in range(9)]), test=Rows(2))
    assert {name: split["rows"] for name, split in done.manifest["splits"].items()} == {"train": 9, "test": 0}
    assert done.kept("test").collect().height == 0
    assert len(datasets.load_dataset(str(tmp_path / "out"))["train"]) == 9


def test_a_build_loads_as_a_dataset(tmp_path: Path) -> None:
    import datasets

    rows = chats(30)
    built(tmp_path / "out", source("s", rows), test=Rows(5))
    loaded = datasets.load_dataset(str(tmp_path / "out"))
    assert said([*loaded["train"], *loaded["test"]]) == said(rows)
    assert loaded["train"].column_names == ["source", "id", "messages", "meta"]


def test_the_whole_folder_is_a_function_of_the_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("one", "two/deeper"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        mixed(folder)
        monkeypatch.chdir(folder)
        built(
            Path("out"), source("mixed", files("mixed.jsonl"), take=Rows(9), licence="MIT"), steps=STEPS, test=Rows(2)
        )
        found.append(folder / "out")
    assert hashes(found[0]) == hashes(found[1])
    assert {path.name for path in found[0].iterdir()} >= {"data", "ledger", "dropped", "manifest.json"}
    assert str(tmp_path) not in (found[0] / "manifest.json").read_text("utf-8")


def test_the_manifest_says_what_is_in_the_folder(tmp_path: Path) -> None:
    path, read = mixed(tmp_path)
    done = built(
        tmp_path / "out", source("s", files(path), take=Rows(9), licence="MIT"), steps=STEPS, test=Rows(2), seed=5
    )
    manifest = done.manifest
    assert (manifest["name"], manifest["kind"], manifest["seed"], manifest["tokens"]) == (
        "mix",
        "conversation",
        5,
        "estimated",
    )
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            data = (done.path / shard["file"]).read_bytes()
            assert shard["sha256"] == hashlib.sha256(data).hexdigest()
            assert shard["rows"] == pl.read_parquet(data).height
    (about,) = manifest["sources"]
    assert (about["read"], about["licence"], about["protect"]) == (read, "MIT", False)
    assert about["fates"] == {"kept": 9, "dropped": 12, "unsampled": 21, "quarantined": 3}
    assert about["plan"] == {"take": "Rows(n=9)", "unit": "rows", "asked": 9, "delivered": 9, "available": 30}
    assert [step["kind"] for step in manifest["steps"]] == ["filter", "filter", "group"]
    assert json.loads((done.path / "manifest.json").read_text("utf-8")) == manifest


def test_a_bound_can_be_moved_later(tmp_path: Path) -> None:
    rows = chats(40)
    loose = built(tmp_path / "loose", source("s", rows), steps=[shape(max_words=100)])
    strict = built(tmp_path / "strict", source("s", rows), steps=[shape(max_words=7)])
    moved = loose.scores("shape").filter(pl.col("words") <= 7)
    assert 0 < moved.height < 40
    assert sorted(moved["id"]) == sorted(strict.kept().collect()["id"])


def test_rows_dropped_by_an_earlier_step_keep_their_scores(tmp_path: Path) -> None:
    done = built(tmp_path / "out", source("s", [chat("A?", REFUSAL), chat("B?", "x")]), steps=[refusals(), shape()])
    assert done.scores("shape").height == 2
    with pytest.raises(CallError, match="keeps no scores"):
        built(tmp_path / "dedup", source("s", chats(2)), steps=[exact_dedup()]).scores("exact_dedup")


def test_a_folder_in_the_way_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = built(out, source("s", chats(3)))
    with pytest.raises(BuildFolderError, match="exists; choose another folder, or say --overwrite"):
        built(out, source("s", chats(4)))
    assert first.kept().collect().height == 3
    assert built(out, source("s", chats(4)), overwrite=True).kept().collect().height == 4
    with pytest.raises(QuarantineError, match="the id of another row"):
        built(out, source("s", [chat(f"{i}?", "x", id="x") for i in range(12)]), overwrite=True)
    assert Build(out).kept().collect().height == 4, "a build that fails leaves the old one"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    (tmp_path / "link").symlink_to(out)
    built(tmp_path / "link", source("s", chats(5)), overwrite=True)
    assert (tmp_path / "link").readlink() == out
    assert Build(out).kept().collect().height == 5
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(BuildFolderError, match="is no build of curate"):
        built(tmp_path / "mine", source("s", chats(4)), overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_folder_without_a_build_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildFolderError, match=r"no build at .*: it has no manifest\.json"):
        Build(tmp_path)


def test_rows_go_by_what_they_say_not_by_where_they_lie(tmp_path: Path) -> None:
    rows = chats(50)
    one = built(tmp_path / "one", source("s", rows, take=Rows(20)))
    two = built(tmp_path / "two", source("s", rows[::-1], take=Rows(20)), source("t", of_rows(chats(9, 70))))
    assert texts(one.kept()) == texts(two.kept().filter(source="s"))
