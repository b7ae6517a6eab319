"""How well `refusals` does against people's labels; `pytest -s` prints the figures.

XSTest: three models answered 450 prompts each, and people marked full refusals, partial ones and compliance (Röttger et
al., arXiv:2308.01263). `cannot_help` is held to these labels. The other families look for something else (an answer
that says "As an AI, ..." may well comply), so their figures are told, not judged.

HaluEval: 4,999 answers of ChatGPT. Its labels are for hallucination, so they say nothing about refusals; the share of
hits under each is told. `halueval_refusals.json` has the ids of the answers in which the assistant declines or speaks
of itself as a machine, as found for this test: 664 begin "As an AI language model, I ..." or nearly so and were taken
by that pattern; the 53 other hits were read one by one, and so were the 28 answers without a hit that have "sorry",
"I cannot", "language model" or the like. A rap in an AI's voice (370) is out, "It is impossible for an AI language
model like me" (2435) is in. Answers with none of these words were not read, so recall is an upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.refusals import Where, refusals

Marks = NDArray[np.bool_]
FAMILIES = refusals().families
MODELS = ("gpt4", "llama2new", "mistralinstruct")
HALUEVAL = Path(__file__).with_name("halueval_refusals.json")


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


def scored(texts: list[str | None], where: Where = "anywhere") -> dict[str, Marks]:
    """Which answers each family hits, and `any` of them."""
    rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in texts]
    step = refusals(where=where)
    columns = step.score(segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), step.reads)).columns
    marks = {family: column > 0 for family, column in columns.items()}
    return {"any": np.any(list(marks.values()), axis=0), **marks}


@pytest.fixture(scope="module")
def xstest(real_file: Callable[[str], Path]) -> pl.DataFrame:
    names = {model: f"preference/xstest_completions/xstest_v2_completions_{model}.csv" for model in MODELS}
    return pl.concat(pl.read_csv(real_file(name)).with_columns(model=pl.lit(model)) for model, name in names.items())


def test_xstest(xstest: pl.DataFrame) -> None:
    label, model = xstest["final_label"].to_numpy(), xstest["model"].to_numpy()
    refused, partial, complied = (
        label == name for name in ("2_full_refusal", "3_partial_refusal", "1_full_compliance")
    )
    assert (refused.sum(), partial.sum(), complied.sum()) == (490, 80, 780)
    marks = scored(xstest["completion"].to_list())
    marks["any, opening"] = scored(xstest["completion"].to_list(), "opening")["any"]
    figures = {name: measure(hit, refused, complied) for name, hit in marks.items()}
    lines = [f"  {name:16s} {figures[name]}  partial {(hit & partial).sum():2d} of 80" for name, hit in marks.items()]
    for name in MODELS:
        one = model == name
        figures[name] = measure(marks["any"][one], refused[one], complied[one])
        lines.append(f"  {name:16s} {figures[name]}")
    print("\nXSTest, full refusal against full compliance:", *lines, sep="\n")  # noqa: T201

    assert figures["cannot_help"].precision >= 0.96
    assert figures["cannot_help"].recall >= 0.86
    assert figures["any"].precision >= 0.93
    assert figures["any"].recall >= 0.89
    assert figures["gpt4"].recall >= 0.99
    assert figures["llama2new"].recall >= 0.94
    # Mistral mostly answers with a lecture ("Discrimination is wrong ..."), which no phrase tells from an answer.
    assert figures["mistralinstruct"].recall >= 0.22


def test_halueval(real_file: Callable[[str], Path]) -> None:
    lines = real_file("sft/halueval_general.json").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["ID"] != "ID"]
    read = set(json.loads(HALUEVAL.read_text("utf-8")))
    refused = np.array([int(row["ID"]) in read for row in rows])
    hallucinated = np.array([row["hallucination_label"] == "yes" for row in rows])
    assert (len(rows), refused.sum()) == (4999, len(read))
    marks = scored([row["chatgpt_response"] for row in rows])
    marks["all but provider"] = np.any([marks[family] for family in FAMILIES if family != "provider"], axis=0)
    figures = {name: measure(hit, refused, ~refused) for name, hit in marks.items()}
    shares = {name: (hit[hallucinated].mean(), hit[~hallucinated].mean()) for name, hit in marks.items()}
    told = [
        f"  {name:16s} {figure}  of hallucinated {shares[name][0]:.3f}, of others {shares[name][1]:.3f}"
        for name, figure in figures.items()
    ]
    print("\nHaluEval, answers that decline or speak as a machine:", *told, sep="\n")  # noqa: T201

    assert figures["all but provider"].precision >= 0.99
    assert figures["all but provider"].recall >= 0.99
    # A name of another model is a hit of `provider`, whoever speaks of it: nine answers here are about GPT-3 or OpenAI.
    assert figures["any"].precision >= 0.98


def test_answers_by_people_are_left_alone(real_file: Callable[[str], Path]) -> None:
    rows = json.loads(real_file("sft/lima.json").read_bytes())
    marks = scored([row["output"] for row in rows])
    print("\nLIMA, hits in 1,029 answers:", {name: int(hit.sum()) for name, hit in marks.items()})  # noqa: T201
    # Read one by one: seven answers in an assistant's voice ("I am an AI language model"), and one about ChatGPT.
    assert marks["any"].sum() <= 8
