"""Labels are never ignored in silence: binary feedback is refused, winners are read, misspelt fields are found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import FormatError, MixtureError
from curate.io.formats.base import Format
from curate.io.formats.columns import columns
from curate.io.formats.dialogues import messages
from curate.io.formats.rated import scored
from curate.io.formats.unpaired import unpaired
from curate.io.inputs import Input, files
from curate.io.joined import joined
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check

ASK, SAY = {"role": "user", "content": "q?"}, {"role": "assistant", "content": "a"}
PAIR: dict[str, Any] = {"prompt": "q?", "completion": "a"}
CHAT: dict[str, Any] = {"messages": [ASK, SAY]}


def save(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(source: Input) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    return [row for one in parsed for row in one.body.to_pylist()], [
        row for one in parsed for row in one.bad.to_pylist()
    ]


FEEDBACK: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "TRL": ("prompt_completion", [{**PAIR, "label": True}, {**PAIR, "completion": "b", "label": False}]),
    "TRL, messages": (
        "prompt_completion",
        [{"prompt": [ASK], "completion": [SAY], "label": good} for good in (False, True)],
    ),
    "LLaMA-Factory": (
        "sharegpt",
        [
            {"conversations": [{"from": "human", "value": "q?"}, {"from": "gpt", "value": "a"}], "kto_tag": t}
            for t in (True, False)
        ],
    ),
    "LLaMA-Factory, Alpaca": (
        "alpaca",
        [{"instruction": "q?", "input": "", "output": "a", "kto_tag": t} for t in (True, False)],
    ),
    "messages": ("messages", [{**CHAT, "label": good} for good in (True, False)]),
    "good answers first": ("messages", [{**CHAT, "label": True}] * 3),
    "numbers": ("question_answer", [{"question": "q?", "answer": "a", "label": good} for good in (1, 0)]),
    "numbers as text": ("messages", [{**CHAT, "tag": good} for good in ("1", "0", None)]),
    "words": ("messages", [{**CHAT, "Label": good} for good in ("Good", "bad")]),
    "words for wishes": ("messages", [{**CHAT, "tag": good} for good in ("undesirable", "desirable")]),
    "thumbs": ("messages", [{**CHAT, "thumbs_up": good} for good in (True, False)]),
}


@pytest.mark.parametrize("name", FEEDBACK)
def test_binary_feedback_is_never_read_as_conversations(tmp_path: Path, name: str) -> None:
    form, rows = FEEDBACK[name]
    path = save(tmp_path / "kto.jsonl", rows)
    with pytest.raises(FormatError, match=r"kto\.jsonl: its rows are binary feedback \(KTO\): ") as caught:
        files(path, form).open()
    offered = str(caught.value).rpartition("`data`: ")[2]
    good, bad = read(eval(offered, {"frame": frame, "pl": pl, "data": pl.DataFrame(rows)}))  # noqa: S307  our own call
    names = {"label", "tag", "kto_tag", "thumbs_up"}
    marks = [value for row in rows for key, value in row.items() if key.lower() in names]
    truths = [str(mark).lower() in {"true", "1", "good", "desirable"} for mark in marks]
    assert len(good) == sum(truths)
    assert bad == []
    with pytest.raises(FormatError, match="binary feedback"):
        frame(pl.DataFrame(rows), form).open()
    if form in {"alpaca", "question_answer"}:
        return
    offered = re.search(r"format=(unpaired\(.*?\)), or", str(caught.value))[1]  # type: ignore[index]
    made, bad = read(files(path, eval(offered, {"unpaired": unpaired})))  # noqa: S307  our own call
    assert [row["label"] for row in made] == [
        truth for truth, mark in zip(truths, marks, strict=True) if mark is not None
    ]
    assert all(row["completion"][0]["role"] == "assistant" for row in made)
    assert len(bad) == marks.count(None)


@pytest.mark.parametrize("name", ["TRL", "TRL, messages", "LLaMA-Factory", "messages"])
def test_binary_feedback_is_detected(tmp_path: Path, name: str) -> None:
    _, rows = FEEDBACK[name]
    opened = files(save(tmp_path / "kto.jsonl", rows)).open()
    assert opened.kind == "unpaired"
    assert read(files(tmp_path / "kto.jsonl"))[1] == []


@pytest.mark.parametrize(
    "label",
    [
        ["sport", "politics"],
        [0, 1, 2],
        [4, 5],
        ["true", "unknown"],
        [None, None],
        [0.5, 1.0],
        [["a"], ["b"]],
        ["yes", "no"],
        [""],
    ],
)
def test_other_labels_are_no_feedback(tmp_path: Path, label: list[Any]) -> None:
    path = save(tmp_path / "topics.jsonl", [{**CHAT, "label": one} for one in label])
    good, _ = read(files(path))
    assert len(good) == len(label)


def test_labels_beside_no_answer_or_a_pair_are_no_feedback(tmp_path: Path) -> None:
    prompts = save(tmp_path / "prompts.jsonl", [{"prompt": [ASK], "label": True}])
    assert len(read(files(prompts))[0]) == 1
    pairs = save(tmp_path / "pairs.jsonl", [{"prompt": "q?", "chosen": "a", "rejected": "b", "label": True}])
    assert len(read(files(pairs))[0]) == 1


def test_columns_that_the_user_maps_are_read_with_a_note(tmp_path: Path) -> None:
    path = save(tmp_path / "kto.jsonl", [{**PAIR, "label": good} for good in (True, False)])
    source = files(path, columns("prompt", "completion"))
    assert len(read(source)[0]) == 2
    (note,) = source.open().found.notes
    assert note == "the field 'label' says whether an answer is good, and is not used: bad answers are read alike"


def test_real_sources_are_not_taken_for_feedback(real_data: Path) -> None:
    found = []
    for path in [
        *real_data.glob("sft/*.json*"),
        *real_data.glob("preference/**/*.[jc]*"),
        real_data / "sft/t0_train_50k",
    ]:
        try:
            kind = files(path).open().kind
        except FormatError as error:
            kind = "unpaired" if "binary feedback" in str(error) else ""  # type: ignore[assignment]
        found += [path.name] if kind in {"unpaired", "prompt"} else []
    assert found == ["kto_en_demo.json"]


JUDGED: list[dict[str, Any]] = [
    {"q": "q?", "response 1": "a", "response 2": "b", "winner": who} for who in (1, 2, "2", 1.0, 0, 3, None)
]


def test_the_winner_of_a_pair_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "judged.jsonl", JUDGED)
    values = {1: "response 1", 2: "response 2", 0: "tie"}
    form = columns("q", chosen="response 1", rejected="response 2", winner="winner", values=values)
    good, bad = read(files(path, form))
    sides = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in good]
    assert sides == [("a", "b"), ("b", "a"), ("b", "a"), ("a", "b")]
    assert [json.loads(row["meta"])["winner"] for row in good] == [1, 2, "2", 1.0]
    assert [(row["column"], row["expected"]) for row in bad] == [
        ("winner", "a preference for one answer, not 0 (a tie)"),
        ("winner", "one of 1, 2, 0; not 3"),
        ("winner", "one of 1, 2, 0; not null"),
    ]


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("b", None),
        ("model_B", {"model_a": "a", "model_b": "b", "tie (bothbad)": "tie"}),
        (False, {True: "a", False: "b"}),
        ("second", {"first": "a", "second": "b"}),
        (-1, {1: "a", -1: "b"}),
    ],
)
def test_a_winner_may_be_any_value(tmp_path: Path, value: Any, values: dict[Any, str] | None) -> None:  # noqa: ANN401
    path = save(tmp_path / "judged.jsonl", [{"q": "q?", "a": "A", "b": "B", "judge": {"won": value}}])
    form = columns("q", chosen="a", rejected="b", winner="judge.won", values=values)
    (row,), _ = read(files(path, form))
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("B", "A")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"winner": "w", "values": {1: "a", 2: "c"}}, "not 'c'"),
        ({"winner": "w", "values": {1: "a"}}, "each answer has a value"),
        ({"values": {1: "a", 2: "b"}}, "name it: winner="),
    ],
)
def test_a_winner_that_is_declared_wrongly(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        columns("q", chosen="a", rejected="b", **wrong)
    with pytest.raises(MixtureError, match="takes chosen= and rejected="):
        columns("q", "a", winner="w")


@pytest.mark.parametrize("name", ["winner", "label", "Preference", "overall_preference", "choice"])
def test_an_unused_column_that_looks_like_a_winner_is_noted(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "judged.jsonl", [{"q": "q?", "a": "A", "b": "B", name: 2}] * 3)
    source = files(path, columns("q", chosen="a", rejected="b"))
    note = f"the field {name!r} is not used; if it says which answer won, name it: columns(..., winner={name!r})"
    assert source.open().found.notes == (note,)
    found = check(Mixture(name="m", seed=1, sources=[Source("pairs", source)]))
    assert f"source 'pairs': {note}" in found.warnings
    named = columns("q", chosen="a", rejected="b", winner=name, values={1: "a", 2: "b"})
    assert files(path, named).open().found.notes == ()


MISSPELT: list[tuple[Format, str]] = [
    (scored("prompt", "response", ("helpfulness", "corectness")), "corectness"),
    (scored("prompt", "responses", "helpfulness"), "responses"),
    (scored("prompt", "response", "ratings.honesti"), "ratings.honesti"),
    (columns("prompt", "answer"), "answer"),
    (columns("prompt", chosen="response", rejected="other", winner="wins"), "wins"),
]


@pytest.mark.parametrize(("form", "name"), MISSPELT)
def test_a_field_that_no_row_has_is_noticed_at_once(tmp_path: Path, form: Format, name: str) -> None:
    row = {
        "prompt": "q?",
        "response": "a",
        "other": "b",
        "helpfulness": 3,
        "correctness": None,
        "ratings": {"honesty": 1},
    }
    path = save(tmp_path / "rows.jsonl", [row] * 3)
    with pytest.raises(
        FormatError, match=rf"{form.name}\(\) names the field '{name}', but none of the first 3 rows has it"
    ):
        files(path, form).open()
    table = pl.DataFrame([row])
    with pytest.raises(FormatError, match=f"names the field '{name}'"):
        frame(table, form).open()
    assert frame(table, scored("prompt", "response", ("helpfulness", "correctness"))).open().kind == "rated"


def test_a_misspelt_score_of_joined_rows_is_noticed_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "one.jsonl", [{"prompt": "q?", "text": "a", "score": 1}])
    fields: dict[str, Any] = {"on": "prompt", "content": "text"}
    for given in (path, {"m": path}):
        with pytest.raises(FormatError, match=r"names the field 'scores', but none .* did you mean 'score'\?"):
            joined(given, **fields, score="scores").open()
        assert len(read(joined(given, **fields, score="score"))[0]) == 1


def test_integer_ids_join(tmp_path: Path) -> None:
    one, two = (
        save(tmp_path / f"{name}.jsonl", [{"question_id": key, "text": f"{name}{key}", "score": 1} for key in keys])
        for name, keys in (("one", [1, 2]), ("two", ["2", 1]))
    )
    good, bad = read(joined({"m1": one, "m2": two}, on="question_id", content="text", score="score"))
    assert bad == []
    said = {row["messages"][0]["content"]: [each["content"] for each in row["completions"]] for row in good}
    assert said == {"1": ["one1", "two1"], "2": ["one2", "two2"]}


def test_a_named_format_is_held_against_the_rows_and_not_against_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert files(empty, scored("prompt", "response", "score")).open().found.notes == ()
    assert files(empty, messages()).open().kind == "conversation"
