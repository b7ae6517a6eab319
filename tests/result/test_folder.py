"""What dedup and decontaminate found, read back from a build folder, beside counts made by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.errors import CallError
from curate.evalsets.evals import evals
from curate.io.inputs import Input, files
from curate.mixture import Mixture
from curate.result.build import Build
from curate.rows.segments import segments
from curate.steps.base import GroupKeys
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup, exclude_prompts_of
from curate.steps.pairs.balance_length import balance_length
from curate.steps.refusals.refusals import refusals
from curate.text.minhash import signatures
from tests.support.build_data import Row, built, built_empty, chat, hashes, of_rows, source, write_lines

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
]
LONG = "how many rolls does the baker in the harbour town have left at noon today"
SHORT = "why is the lighthouse crooked"
PLAIN = "what is it"


def talk(number: int, *more: str) -> str:
    """Return a sentence that shares no five words with that of another number."""
    return " ".join(f"{word}{number}" for word in WORDS) + "".join(f" {word}" for word in more)


def rows_of(numbers: range, *more: str) -> list[Row]:
    return [chat(talk(number, *more), f"Answer {number}.") for number in numbers]


@pytest.fixture(scope="module")
def deduped(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Ten rows of `a`; in `b` four of them with a word more, one twice with another, and five others."""
    rows = [
        *rows_of(range(4), "more"),
        *rows_of(range(9, 10), "x"),
        *rows_of(range(9, 10), "y"),
        *rows_of(range(20, 25)),
    ]
    step = dedup("prompt", allow_large_drop=True)
    return built(
        tmp_path_factory.mktemp("d") / "out", source("a", rows_of(range(10))), source("b", rows), steps=(step,)
    )


def test_overlap_and_clusters_name_what_each_row_duplicates(deduped: Build) -> None:
    assert deduped.overlap("dedup").rows() == [("b", "a", 6, 6 / 11)]
    found = deduped.clusters("dedup")
    assert found["size"].to_list() == [3, 3, 2, 2, 2, 2]
    assert found["cluster"].n_unique() == 5
    kept = {
        f"a/{name}": messages[0]["content"]
        for name, messages in deduped.kept().select("id", "messages").collect().rows()
    }
    dropped = dict(deduped.dropped("dedup").select("id", "messages").rows())
    for name, cluster, score in found.select("id", "cluster", "score").rows():
        short, long = kept[cluster].split(), dropped[name][0]["content"].split()
        assert long[:-1] == short
        assert score == pytest.approx((len(short) - 4) / (len(short) - 3))


def test_signatures_are_those_of_the_rows_in_the_data_files(deduped: Build) -> None:
    found = deduped.signatures("dedup")
    kept = deduped.kept().collect()
    assert found.rows.rows() == kept.select("source", "id").rows()
    step = dedup("prompt")
    batch = of_rows([{"messages": messages} for messages in kept["messages"].to_list()]).open()
    [block] = batch.blocks()
    signed: GroupKeys = step.sign(segments(batch.parse(block).body, step.reads))
    assert np.array_equal(found.hashes, signatures(signed.lists["shingles"], 128))
    lean = found.lean()
    assert [one.scheme for one in lean[:1]] == ["affine32"]
    assert lean[0].jaccard(lean[0]) == 1.0
    assert len(lean) == kept.height


def test_a_build_against_another_leaves_out_what_that_has(tmp_path: Path, deduped: Build) -> None:
    step = dedup("prompt", against=deduped.path, allow_large_drop=True)
    done = built(tmp_path / "out", source("new", [*rows_of(range(3), "else"), *rows_of(range(50, 53))]), steps=(step,))
    names = {
        f"against/{path.name}/{name}"
        for path in (deduped.path / "data").iterdir()
        for name in pl.read_parquet(path)["id"]
    }
    dropped = done.dropped("dedup")
    assert dropped.height == 3
    assert set(dropped["match"]) <= names
    assert done.overlap("dedup").rows() == [("new", "against", 3, 0.5)]
    entry = next(each for each in done.manifest["steps"] if each["label"] == "dedup")
    assert [each[: len("rows:f:")] for each in entry["against"]] == ["rows:f:"]  # fifteen rows, in hexadecimal
    assert done.kept().collect().height == 3


def eval_file(folder: Path) -> Path:
    items = [
        {"id": "long", "question": LONG.capitalize() + "?"},
        {"id": "short", "question": "Why is the lighthouse crooked?"},
        {"id": "plain", "question": "What is it?"},
        {"id": "none", "question": "?!"},
        *({"id": f"other{i}", "question": talk(1000 + i)} for i in range(6)),
    ]
    return write_lines(folder / "items.jsonl", items)


@pytest.fixture
def contaminated(tmp_path: Path) -> Build:
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    clean = rows_of(range(300))
    first = [
        chat(f"Please tell me, {LONG.upper()}, if you know.", "No."),
        chat("Hm. WHY IS the lighthouse crooked?", "No."),
    ]
    second = [chat("Hello.", "Hello.", "What is it?", "It."), chat("I ask what is it that you do", "Nothing.")]
    steps = (decontaminate(pellow),)
    return built(tmp_path / "out", source("a", [*first, *clean]), source("b", [*second, *clean[:10]]), steps=steps)


def test_contamination_is_reported_in_both_directions(contaminated: Build) -> None:
    coverage = contaminated.coverage("decontaminate").to_dicts()
    assert coverage == [
        {"eval": "pellow", "items": 10, "matchable": 9, "long": 7, "short": 1, "generic": 1, "unmatchable": 1}
    ]
    found = {each["source"]: each for each in contaminated.contamination("decontaminate").to_dicts()}
    assert (found["a"]["rows"], found["a"]["items"], found["a"]["item_share"]) == (2, 2, 0.2)
    assert found["a"]["row_share"] == 2 / 302
    assert (found["b"]["rows"], found["b"]["items"], found["b"]["generic"]) == (0, 0, 1)
    assert (found["a"]["verdict"], found["b"]["verdict"]) == ("contaminated", "below 2 %")
    dropped = contaminated.dropped("decontaminate")
    matches = set(dropped.select("source", "reason", "match").iter_rows())
    assert matches == {
        ("a", "overlap", "pellow/long"),
        ("a", "whole", "pellow/short"),
        ("b", "generic", "pellow/plain"),
    }
    hits = contaminated.hits("decontaminate")
    texts = dict(dropped.select("id", "messages").rows())
    spans = {
        each["item"]: texts[each["id"]][each["turn"]]["content"][each["start"] : each["end"]]
        for each in hits.to_dicts()
    }
    assert {name: text.lower().strip("?") for name, text in spans.items()} == {
        "long": LONG,
        "short": SHORT,
        "plain": PLAIN,
    }
    evidence = [hit for hits in dropped["evidence"] for hit in hits]
    assert {hit["match"] for hit in evidence} == {"pellow/long", "pellow/short", "pellow/plain"}


def test_a_table_is_counted_once_and_remains_as_it_was(contaminated: Build) -> None:
    again = Build(contaminated.path)
    first = again.contamination()
    expected = first.clone()
    first.insert_column(0, pl.Series("place", range(first.height)))
    assert again.contamination().equals(expected)
    assert set(again.counted) == {("contamination", "decontaminate"), ("reached", "decontaminate")}


def test_lines_are_in_memory_up_to_the_end_of_the_block(tmp_path: Path, contaminated: Build) -> None:
    shutil.copytree(contaminated.path, tmp_path / "build")
    build, before = Build(tmp_path / "build"), pl.Config.state()
    expected = build.ledger.collect()
    with build.lines_in_memory():
        shutil.rmtree(build.path / "ledger")
        assert pl.Config.state()["POLARS_ENGINE_AFFINITY"] == "in-memory"
        assert build.ledger.collect().equals(expected)
    assert pl.Config.state() == before


def test_the_manifest_names_the_content_of_the_evals(tmp_path: Path, contaminated: Build) -> None:
    [step] = contaminated.manifest["steps"]
    [pellow] = evals.files(tmp_path / "items.jsonl", question="question", id="id", name="pellow")
    assert step["holds"] == {"pellow": pellow.load().digest()}
    assert str(tmp_path) not in json.dumps(contaminated.manifest)


def test_flagged_rows_stay_and_show_what_was_matched(tmp_path: Path) -> None:
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    rows = [chat(LONG, "No."), *rows_of(range(5))]
    done = built(tmp_path / "out", source("a", rows), steps=(decontaminate(pellow, mode="flag"),))
    assert done.funnel.filter(source="a")["kept"].item() == 6
    assert done.hits("decontaminate")["dropped"].to_list() == [False]
    evidence = done.ledger.filter(pl.col("evidence").list.len() > 0).collect()["evidence"].to_list()
    assert [[hit["match"] for hit in hits] for hits in evidence] == [["pellow/long"]]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bytes_in_any_order(tmp_path: Path, threads: int) -> None:
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    rows = [*rows_of(range(30)), *rows_of(range(20), "and", "more"), chat(LONG, "No."), chat("What is it?", "It.")]
    found = []
    for number, order in enumerate((rows, rows[::-1])):
        path = write_lines(tmp_path / f"{number}.jsonl", order)
        steps = (dedup("prompt", keep="longest", allow_large_drop=True), decontaminate(pellow))
        out = tmp_path / f"out{number}"
        Mixture("mix", (source("a", files(path, "messages")),), steps).build(out, threads=threads, quiet=True)
        found.append({name: sha for name, sha in hashes(out).items() if name.startswith("data/")})
    assert found[0] == found[1]


def test_a_step_that_is_not_there_is_named(deduped: Build) -> None:
    with pytest.raises(CallError, match="this build has no step 'decontaminate'"):
        deduped.coverage("decontaminate")


def test_the_only_step_with_a_finding_need_not_be_named(contaminated: Build, deduped: Build) -> None:
    assert contaminated.hits().equals(contaminated.hits("decontaminate"))
    assert contaminated.coverage().equals(contaminated.coverage("decontaminate"))
    assert contaminated.contamination().equals(contaminated.contamination("decontaminate"))
    assert deduped.overlap().equals(deduped.overlap("dedup"))
    assert deduped.clusters().equals(deduped.clusters("dedup"))
    assert deduped.signatures().rows.equals(deduped.signatures("dedup").rows)
    with pytest.raises(CallError, match="no step of this build has contamination; its steps: dedup"):
        deduped.coverage()
    with pytest.raises(CallError, match="no step of this build has length cost; its steps: dedup"):
        deduped.length_cost()


def test_of_several_steps_with_a_finding_one_is_named(tmp_path: Path) -> None:
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    steps = (decontaminate(pellow), exact_dedup(), decontaminate(pellow, on="all"), exact_dedup("prompt"))
    done = built(tmp_path / "out", source("a", rows_of(range(30))), steps=steps)
    labels = done.steps_with("contamination")
    asked = f"2 steps of this build have contamination: {', '.join(labels)}; choose one, as in step='{labels[0]}'"
    for read in (done.hits, done.coverage, done.contamination):
        with pytest.raises(CallError, match=asked):
            read()
        assert read(labels[1]).height >= 0
    for find in (done.overlap, done.clusters):
        with pytest.raises(CallError, match=r"have duplicates: exact_dedup, .*choose one, as in step='exact_dedup'"):
            find()


def test_of_several_steps_on_pairs_one_is_named(tmp_path: Path, deduped: Build) -> None:
    pair = [{"prompt": f"Who is {i}?", "chosen": "A long answer.", "rejected": "Short."} for i in range(8)]
    shared, balanced = exclude_prompts_of(deduped, mode="flag"), balance_length(0.5, allow_large_drop=True)
    given = files(write_lines(tmp_path / "pairs.jsonl", pair))
    done = built(tmp_path / "out", source("a", given), steps=(shared, balanced, shared, balanced))
    for read, view in ((done.shared_prompts, "shared prompts"), (done.length_cost, "length cost")):
        first, second = done.steps_with("shared_prompts" if view == "shared prompts" else "length_cost")
        with pytest.raises(CallError, match=f"have {view}: {first}, {second}; choose one, as in step='{first}'"):
            read()
        assert read(second).columns == read(first).columns


def test_a_verdict_is_on_the_rows_that_earlier_steps_left(tmp_path: Path) -> None:
    """Of `a` an earlier step takes both leaks, of `b` one of two, of `c` none; `d` also searches itself."""
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    leaks = [chat(LONG, "As an AI, I do not know."), chat(SHORT, "As an AI, I do not know.")]
    more = [chat(PLAIN, "It is it."), chat("what is it?", "That it is.")]
    sources = (
        source("a", [*leaks, *rows_of(range(9))]),
        source("b", [chat(SHORT, "Wind."), leaks[0], *more, *rows_of(range(20, 25))]),
        source("c", [*more[:1], *rows_of(range(30, 33))]),
        source("d", rows_of(range(40, 44)), steps=(decontaminate(pellow),)),
    )
    done = built(tmp_path / "out", *sources, steps=(refusals(), decontaminate(pellow, mode="flag")))
    assert done.reached("decontaminate").rows() == [("a", 9, 2), ("b", 8, 1), ("c", 4, 0), ("d", 4, 0)]
    assert done.reached("refusals").rows() == [("a", 11, 0), ("b", 9, 0), ("c", 4, 0), ("d", 4, 0)]
    assert done.reached("d:decontaminate").rows() == [("d", 4, 0)]
    found = {line["source"]: line for line in done.contamination("decontaminate").to_dicts()}
    assert "a" not in found
    assert (found["b"]["reached"], found["b"]["row_share"], found["b"]["verdict"]) == (8, 1 / 8, "contaminated")
    assert (found["c"]["reached"], found["c"]["verdict"]) == (4, "below 2 %")
    flagged = built(
        tmp_path / "x",
        source("b", [leaks[0], *more, *rows_of(range(9))]),
        steps=(refusals(), decontaminate(pellow, mode="flag")),
    )
    assert flagged.contamination()["verdict"].to_list() == ["below 2 % in rows left by earlier steps"]
    assert flagged.contamination()["generic"].to_list() == [2]


def test_data_without_a_hit_is_reported_as_clean(tmp_path: Path) -> None:
    [pellow] = evals.files(eval_file(tmp_path), question="question", id="id", name="pellow")
    done = built(tmp_path / "out", source("a", rows_of(range(3))), steps=(decontaminate(pellow, fuzzy=0.9),))
    assert done.hits("decontaminate").height == done.contamination("decontaminate").height == 0
    assert done.coverage("decontaminate")["matchable"].to_list() == [9]
    nothing = source("a", write_rows(tmp_path))
    empty = built_empty(tmp_path / "none", nothing, steps=(dedup("all"), decontaminate(pellow)))
    assert empty.kept().collect().height == 0


def write_rows(folder: Path) -> Input:
    return files(write_lines(folder / "empty.jsonl", []), "messages")
