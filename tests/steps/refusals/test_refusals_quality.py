"""How well `refusals` does against people's labels; `pytest -s` prints the figures.

XSTest: three models answered 450 prompts each, and people marked full refusals, partial ones and compliance (Röttger
et al., arXiv:2308.01263). `cannot_help` and `moralising` are held to these labels. The other families look for
something else (an answer that says "As an AI, ..." may well comply), so their figures are printed and not judged.

Cross-validation: points and limit of moralising are fitted on two files and tried on the third. Phrases are chosen in
two ways: all of cannot_help.txt, whose lines were written over time with all three files at hand; or only its lines
that matched in refusals of the two files or of HaluEval. The lines of moralising were written before Mistral's answers
were read. Most of what is missed is Mistral's: 35 of its 49 refusals, of which two in three contradict the premise of
a question, and only the question tells such an answer from information.

The model that comes with the package is in test_shipped_model_quality.py; the figures here are without it, but for
those of HaluEval and LIMA, which it has not read and which are by default settings.

With a model of one's own (`refusals(model=...)`), which replaces moralising, how long it trains, the characters it
reads and the limit of 0.75 were chosen with all files at hand; with the limit chosen on two files, the third gives
0.973 and 0.963. All files have the same prompts, so it knows the topics of the third: the other figure is of prompts
that it never read.

HaluEval: 4,999 answers of ChatGPT. Its labels are for hallucination, so they say nothing about refusals; the share of
hits under each is printed. `halueval_refusals.json` has the ids of the answers in which the assistant declines or
speaks of itself as a machine, as found for this test: 664 begin "As an AI language model, I ..." or nearly so and were
taken by that pattern; the 53 other hits were read one by one, and so were the 28 answers without a hit that have
"sorry", "I cannot", "language model" or the like. A rap in an AI's voice (370) is out, "It is impossible for an AI
language model like me" (2435) is in. Answers with none of these words were not read, so recall is an upper bound.
`halueval_read.json` has 200 random hits of this version, each read with the text around it, and which were wrong.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.classify.train_classifier import train_classifier
from curate.io.tables import frame
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.refusals._classifier import SURE
from curate.steps.refusals.phrase_files import Where
from curate.steps.refusals.phrase_hits import point_table
from curate.steps.refusals.refusals import Refusals, refusals
from tests.support.refusal_folds import accepted, counts, fit, line_hits, made_up

Marks = NDArray[np.bool_]
FAMILIES = refusals().families
MODELS = ("gpt4", "llama2new", "mistralinstruct")
XSTEST = {
    "any": (453, 30),
    "any, opening": (439, 28),
    "cannot_help": (424, 8),
    "moralising": (122, 3),
    "declines": (443, 11),
    "gpt4, declines": (204, 1),
    "gpt4, any": (211, 17),
    "llama2new, declines": (224, 5),
    "mistralinstruct, declines": (15, 5),
}
"""Refusals hit and compliant answers hit, as measured; the test allows two fewer and one more."""

HALUEVAL = Path(__file__).with_name("halueval_refusals.json")
FALSE_HITS = {370, 734}
"""The answers of HaluEval with a hit that neither decline nor speak as a machine: a rap, advice against prejudice."""

LIMA = Path(__file__).with_name("lima_read.json")
"""LIMA's answers with a hit, by number: what each does, as read."""

READ = Path(__file__).with_name("halueval_read.json")


class Figures(NamedTuple):
    precision: float
    recall: float
    right: int
    wrong: int
    missed: int

    def __str__(self) -> str:
        shares = f"precision {self.precision:.3f}  recall {self.recall:.3f}"
        return f"{shares}  right {self.right:3d}  wrong {self.wrong:2d}  missed {self.missed:3d}"


def measure(hit: Marks, refused: Marks, complied: Marks) -> Figures:
    right, wrong, missed = int((hit & refused).sum()), int((hit & complied).sum()), int((~hit & refused).sum())
    return Figures(right / max(right + wrong, 1), right / max(right + missed, 1), right, wrong, missed)


def scored(
    texts: Sequence[str | None], where: Where = "anywhere", asked: Sequence[str] | None = None
) -> dict[str, Marks]:
    """Which answers each family hits, and `any` of them: by default if their requests are given, or by phrases."""
    turns = [[{"role": "assistant", "content": text}] for text in texts]
    for turn, request in zip(turns, asked or (), strict=False):
        turn.insert(0, {"role": "user", "content": request})
    rows = [{"messages": turn, "meta": "{}"} for turn in turns]
    step = refusals(where=where) if asked else refusals(where=where, model=None)
    columns = step.score(segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), step.reads)).columns
    limits = {bound.score: bound.at_most or 0 for bound in step.bounds()}
    marks = {family: column > limits[family] for family, column in columns.items()}
    return {"any": np.any(list(marks.values()), axis=0), **marks}


@pytest.fixture(scope="module")
def xstest(real_file: Callable[[str], Path]) -> pl.DataFrame:
    names = {model: f"preference/xstest_completions/xstest_v2_completions_{model}.csv" for model in MODELS}
    return pl.concat(pl.read_csv(real_file(name)).with_columns(model=pl.lit(model)) for model, name in names.items())


def labels(xstest: pl.DataFrame) -> tuple[Marks, Marks, Marks]:
    """Which answers refuse, refuse in part, and comply."""
    label = xstest["final_label"].to_numpy()
    refused, partial, complied = (
        label == name for name in ("2_full_refusal", "3_partial_refusal", "1_full_compliance")
    )
    assert (refused.sum(), partial.sum(), complied.sum()) == (490, 80, 780)
    return refused, partial, complied


def test_xstest(xstest: pl.DataFrame) -> None:
    refused, partial, complied = labels(xstest)
    marks = scored(xstest["completion"].to_list())
    marks["any, opening"] = scored(xstest["completion"].to_list(), "opening")["any"]
    marks["declines"] = marks["cannot_help"] | marks["moralising"]
    figures = {name: measure(hit, refused, complied) for name, hit in marks.items()}
    lines = [f"  {name:16s} {figures[name]}  partial {(hit & partial).sum():2d} of 80" for name, hit in marks.items()]
    for name, kind in itertools.product(MODELS, ("declines", "any")):
        one = xstest["model"].to_numpy() == name
        figures[f"{name}, {kind}"] = measure(marks[kind][one], refused[one], complied[one])
        lines.append(f"  {name}, {kind:9s} {figures[f'{name}, {kind}']}")
    print("\nXSTest, full refusal against full compliance:", *lines, sep="\n")  # noqa: T201

    for name, (right, wrong) in XSTEST.items():
        assert figures[name].right >= right - 2, name
        assert figures[name].wrong <= wrong + 1, name


@pytest.fixture(scope="module")
def halueval(real_file: Callable[[str], Path]) -> tuple[list[str], Marks]:
    """Its answers, and which of them decline or speak as a machine."""
    rows = halueval_rows(real_file)
    read = set(json.loads(HALUEVAL.read_text("utf-8")))
    return [row["chatgpt_response"] for row in rows], np.array([int(row["ID"]) in read for row in rows])


def halueval_rows(real_file: Callable[[str], Path]) -> list[dict[str, Any]]:
    lines = real_file("sft/halueval_general.json").read_text("utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["ID"] != "ID"]


@pytest.fixture(scope="module")
def others(halueval: tuple[list[str], Marks], real_file: Callable[[str], Path]) -> list[str]:
    """Answers of other files that refuse nothing."""
    rows = json.loads(real_file("sft/lima.json").read_bytes())
    rows += json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())[:2500]
    plain = [text for text, machine in zip(*halueval, strict=True) if not machine][:2500]
    return [row["output"] for row in rows] + plain


@pytest.mark.parametrize(("chosen", "precision", "recall"), [("all", 0.97, 0.90), ("accepted", 0.97, 0.88)])
def test_across_files(
    xstest: pl.DataFrame,
    halueval: tuple[list[str], Marks],
    others: list[str],
    chosen: str,
    precision: float,
    recall: float,
) -> None:
    refused, partial, complied = labels(xstest)
    model = xstest["model"].to_numpy()
    moralising, of_others = counts(xstest["completion"].to_list()), counts(others)
    plain, elsewhere = (line_hits(texts, "cannot_help").hit for texts in (xstest["completion"].to_list(), halueval[0]))
    fiction = made_up(xstest["completion"].to_list())
    hit, lines = np.zeros(len(model), np.bool_), []
    for name in MODELS:
        tuning = ~partial & (model != name)
        usable = accepted(np.concatenate([plain[tuning], elsewhere]), np.concatenate([refused[tuning], halueval[1]]))
        declines = plain[:, usable | (chosen == "all")].any(axis=1)
        open_ = tuning & (fiction | ~declines)
        fitted = fit(moralising[open_], refused[open_], of_others)
        here = (declines | (moralising @ fitted.points >= fitted.limit)) & (model == name)
        hit |= here
        figure = measure(here[model == name], refused[model == name], complied[model == name])
        lines.append(
            f"  {name:16s} {figure}  partial {(here & partial).sum():2d}  {fitted.points.tolist()} from {fitted.limit}"
        )
    figure = measure(hit, refused, complied)
    lines.append(f"  {'together':16s} {figure}  partial {(hit & partial).sum():2d} of 80")
    print(f"\nXSTest, tuned on two files and tried on the third, phrases: {chosen}", *lines, sep="\n")  # noqa: T201
    assert figure.precision >= precision
    assert figure.recall >= recall


@pytest.mark.parametrize(("apart", "precision", "recall"), [(False, 0.97, 0.95), (True, 0.95, 0.92)])
def test_across_files_with_a_model(
    xstest: pl.DataFrame,
    others: list[str],
    real_file: Callable[[str], Path],
    tmp_path: Path,
    apart: bool,  # noqa: FBT001
    precision: float,
    recall: float,
) -> None:
    """Points, limit and model learn from two files; `apart`, the model from every other prompt, asked of the rest."""
    pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")
    refused, partial, complied = labels(xstest)
    plain, model = plain_answers(real_file), xstest["model"].to_numpy()
    moralising, of_others = counts(xstest["completion"].to_list()), counts(others)
    declines: Marks = np.any(line_hits(xstest["completion"].to_list(), "cannot_help").hit, axis=1)
    odd = np.arange(len(model)) % 2 == 1  # a file has 450
    asked, learnt = (odd, ~odd) if apart else (odd | ~odd, odd | ~odd)
    hit, before, lines = np.zeros(len(model), np.bool_), np.zeros(len(model), np.bool_), []
    for name in MODELS:
        tuning, here = ~partial & (model != name), asked & (model == name)
        fitted = fit(moralising[tuning & ~declines], refused[tuning & ~declines], of_others)
        good, bad = (xstest.filter(learnt & (model != name) & which) for which in (complied, refused))
        path = trained(tmp_path, bad, good, plain)
        points = (moralising[here] @ fitted.points).astype(np.int32)
        judged = scores(refusals(model=path), xstest.filter(here).select("prompt", "completion").rows())
        before[here] = declines[here] | (points >= fitted.limit)
        hit[here] = declines[here] | (judged["model"] >= SURE)
        figure = measure(hit[here], refused[here], complied[here])
        lines.append(f"  {name:16s} {figure}  partial {(hit & partial & here).sum():2d}")
    for what, marks in (("together", hit), ("without a model", before)):
        figure = measure(marks[asked], refused[asked], complied[asked])
        lines.append(f"  {what:16s} {figure}  partial {(marks & partial).sum():2d} of {(partial & asked).sum()}")
    print(f"\nXSTest with a model of two files, tried on the third, other prompts: {apart}", *lines, sep="\n")  # noqa: T201
    figure = measure(hit[asked], refused[asked], complied[asked])
    assert figure.precision >= precision
    assert figure.recall >= recall


def plain_answers(real_file: Callable[[str], Path]) -> pl.DataFrame:
    """Return 2,500 requests of Alpaca with their answers."""
    rows = json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())[:2500]
    asked = [f"{row['instruction']} {row.get('input', '')}" for row in rows]
    return pl.DataFrame({"prompt": asked, "completion": [row["output"] for row in rows]})


def trained(folder: Path, positive: pl.DataFrame, negative: pl.DataFrame, more: pl.DataFrame, on: str = "all") -> Path:
    """Return a model of rows with `prompt` and `completion`, trained as the docstring of `refusals` says."""
    good = pl.concat([negative.select("prompt", "completion"), more])
    inputs = frame(positive.select("prompt", "completion")), frame(good)
    how: dict[str, Any] = {"opening": 400, "refit": True, "lr": 1.0, "epochs": 25}
    return train_classifier(*inputs, folder / "m.bin", on=on, overwrite=True, **how).path


def scores(step: Refusals, asked: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """Return the scores of dialogues of one exchange."""
    turns = [[{"role": "user", "content": ask}, {"role": "assistant", "content": say}] for ask, say in asked]
    body = pa.RecordBatch.from_pylist([{"messages": each, "meta": "{}"} for each in turns], BODIES["conversation"])
    return dict(step.score(segments(body, step.reads)).columns)


def test_a_model_leaves_answers_by_people_alone(
    xstest: pl.DataFrame, real_file: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")
    refused, _, complied = labels(xstest)
    path = trained(tmp_path, xstest.filter(refused), xstest.filter(complied), plain_answers(real_file))
    dropped = {}
    for name in ("lima.json", "alpaca_random_9k.json"):
        rows = json.loads(real_file(f"sft/{name}").read_bytes())[-4000:]
        found = scores(refusals(model=path), [(f"{row['instruction']} {row['input']}", row["output"]) for row in rows])
        dropped[name] = int((found["model"] >= SURE).sum()), len(rows)
    print("\nAnswers that a model trained on XSTest and Alpaca's first 2,500 drops:", dropped)  # noqa: T201
    # Read one by one, LIMA's five: a refusal (552), moralising (456), an AI on itself twice (566, 1009), a poem (933).
    assert all(count <= 0.005 * rows for count, rows in dropped.values())


def test_the_points_shipped_are_those_of_all_files(xstest: pl.DataFrame, others: list[str]) -> None:
    """Answers that also say that something is made up stay in the fit, for the points of the group `fiction`."""
    refused, partial, _ = labels(xstest)
    texts = xstest["completion"].to_list()
    open_ = ~partial & (made_up(texts) | ~line_hits(texts, "cannot_help").hit.any(axis=1))
    fitted = fit(counts(texts)[open_], refused[open_], counts(others))
    assert np.abs(fitted.points - point_table().points).max() <= 1


@pytest.mark.parametrize(("how", "least", "most"), [("phrases", 0.38, 0.13), ("model", 0.6, 0.65)])
def test_refusals_of_unsafe_prompts_stay(
    xstest: pl.DataFrame, real_file: Callable[[str], Path], tmp_path: Path, how: str, least: float, most: float
) -> None:
    refused, _, _ = labels(xstest)
    unsafe = xstest["type"].str.starts_with("contrast").to_numpy()
    held = np.arange(len(xstest)) % 2 == 1  # prompts of even number were read for the phrases; a file has 450
    harmful: bool | Path = True
    if how == "model":
        pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")
        sides = xstest.filter(~held & unsafe), xstest.filter(~held & ~unsafe)
        harmful = trained(tmp_path, *sides, plain_answers(real_file), "prompt")
    kept = scores(refusals(keep_safety=harmful), xstest.select("prompt", "completion").rows())["kept_safety"] > 0
    found = scored(xstest["completion"].to_list())["any"] & refused
    lines, shares = [], {}
    for name, half in (("read", ~held), ("held out", held)):
        for kind, which in (("unsafe", unsafe), ("safe", ~unsafe)):
            one = found & half & which
            shares[name, kind] = (kept & one).sum() / one.sum()
            lines.append(f"  prompts {name:9s} {kind:6s} {(kept & one).sum():3d} of {one.sum():3d} refusals kept")
    print(f"\nXSTest, refusals kept by keep_safety, {how}:", *lines, sep="\n")  # noqa: T201
    assert shares["held out", "unsafe"] >= least
    assert shares["held out", "safe"] <= most


def test_halueval(real_file: Callable[[str], Path]) -> None:
    rows = halueval_rows(real_file)
    read = set(json.loads(HALUEVAL.read_text("utf-8")))
    refused = np.array([int(row["ID"]) in read for row in rows])
    hallucinated = np.array([row["hallucination_label"] == "yes" for row in rows])
    assert (len(rows), refused.sum()) == (4999, len(read))
    marks = scored([row["chatgpt_response"] for row in rows], asked=[row["user_query"] for row in rows])
    figures = {name: measure(hit, refused, ~refused) for name, hit in marks.items()}
    shares = {name: (hit[hallucinated].mean(), hit[~hallucinated].mean()) for name, hit in marks.items()}
    shown = [
        f"  {name:16s} {figure}  of hallucinated {shares[name][0]:.3f}, of others {shares[name][1]:.3f}"
        for name, figure in figures.items()
    ]
    print("\nHaluEval, answers that decline or speak as a machine:", *shown, sep="\n")  # noqa: T201

    assert figures["any"].precision >= 0.99
    assert figures["any"].recall >= 0.99


def test_answers_by_people_are_left_alone(real_file: Callable[[str], Path]) -> None:
    rows = json.loads(real_file("sft/lima.json").read_bytes())
    marks = scored([row["output"] for row in rows], asked=[f"{row['instruction']} {row['input']}" for row in rows])
    print("\nLIMA, hits in 1,029 answers:", {name: int(hit.sum()) for name, hit in marks.items()})  # noqa: T201
    read = {int(number): what for number, what in json.loads(LIMA.read_text("utf-8")).items()}
    assert np.flatnonzero(marks["any"]).tolist() == list(read)
    declines = np.flatnonzero(marks["cannot_help"] | marks["moralising"]).tolist()
    assert declines == [number for number, what in read.items() if what in {"declines", "moralises"}]
    assert len(declines) <= 6


def test_every_hit_was_read_by_hand(halueval: tuple[list[str], Marks], real_file: Callable[[str], Path]) -> None:
    """A hit that is neither a known refusal nor a known mistake is new: read it, and add it to one of the lists."""
    read, rows = json.loads(READ.read_text("utf-8")), halueval_rows(real_file)
    ids = np.array([int(row["ID"]) for row in rows])
    hits = set(ids[scored(halueval[0], asked=[row["user_query"] for row in rows])["any"]].tolist())
    assert hits - set(ids[halueval[1]].tolist()) == FALSE_HITS
    assert len(read["read"]) == len(set(read["read"])) == 200
    assert set(read["read"]) <= hits
    assert set(read["wrong"]) <= FALSE_HITS
    assert len(read["wrong"]) <= 0.03 * len(read["read"])
