"""The laws of `curate.testing`, held by every step of ours, under the settings that change what it does."""

from __future__ import annotations

import importlib
import pkgutil
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
import curate as c
from curate import testing
from curate.engine.manifest import canonical
from curate.engine.pipeline import Stage, run
from curate.rows.schema import BODIES, Kind
from curate.steps.base import Edit, Filter, Group, Pairing, Step
from curate.steps.refusals.phrase_files import Preset
from curate.steps.refusals.refusals import Refusals
from tests.support.examples import part_of_examples
from tests.support.tiny_embeddings import tiny_embeddings

DEMO: Final = Path(__file__).parents[2] / "mixtures" / "demo" / "evals.jsonl"
EVALS: Final = c.evals.files(DEMO, question="question", answer="answer", id="id", name="pellow")
FOLDER: Final = tempfile.TemporaryDirectory(prefix="curate-laws-")


def shouted(texts: pl.Series) -> pl.Series:
    return texts.str.to_uppercase() != texts


def judged() -> Step:
    """Return `quality` with a model trained on a few words."""
    good, bad = (
        c.frame(pl.DataFrame({"prompt": ["Why?"] * 80, "completion": [f"{word} {i} is" for i in range(80)]}))
        for word in ("so", "lol")
    )
    out = Path(FOLDER.name) / "q.bin"
    return c.quality(c.train_classifier(good, bad, out, dim=2).path, at_least=0.5)


def excluded() -> Step:
    """Return `exclude_prompts_of` a build with one prompt."""
    chats = c.frame(pl.DataFrame({"prompt": ["Hello."], "completion": ["Hi."]}))
    return c.exclude_prompts_of(c.Mixture("old", [c.Source("old", chats)]).build(Path(FOLDER.name) / "old", quiet=True))


def semantic() -> Step:
    """Return `dedup` with vectors of the words that texts are made of."""
    model = tiny_embeddings(Path(FOLDER.name) / "model", WORDS, dimensions=4).folder
    return c.dedup("prompt", semantic=model, threshold=0.8, keep="longest")


STEPS: Final[dict[str, Step]] = {
    **{f"refusals {preset}": c.refusals(preset) for preset in get_args(Preset)},
    "refusals opening": c.refusals(where="opening", phrases=("no way",)),
    "refusals first turn": c.refusals(where="first_turn", families=("cannot_help",)),
    "refusals of users": c.refusals(on={"user"}),
    "refusals but for safety": c.refusals(keep_safety=True),
    "refusals in part": c.refusals(max_share=0.5),
    "shape": c.shape(),
    "shape sizes": c.shape(on="response", min_turns=1, max_turns=3, min_words=2, max_words=9, min_characters=3),
    "shape lenient": c.shape(empty_turns=True, unanswered=True, role_order=False),
    "shape calls": c.shape(empty_turns=True, unanswered=True, role_order=False, bad_arguments=True, unknown_tools=True),
    **{f"cut_refusals {preset}": c.cut_refusals(preset) for preset in get_args(Preset)},
    "cut_refusals opening": c.cut_refusals(where="opening"),
    **{f"exact_dedup {keep}": c.exact_dedup(keep=keep) for keep in ("first", "longest", "shortest")},
    "exact_dedup prompt": c.exact_dedup("prompt", keep="longest"),
    "exact_dedup roles": c.exact_dedup({"user", "tool"}),
    "exact_dedup chosen": c.exact_dedup("chosen"),
    "dedup": c.dedup(threshold=0.5, ngram=2),
    "dedup prompt": c.dedup("prompt", keep="longest", ignore="Hello there."),
    "character_share": c.character_share(chinese=0.3, emoji="any", on="all"),
    "language": c.language("en"),
    "language of last answers": c.language(on="last_response"),
    "language of answers": c.language(on="response"),
    "repetition": c.repetition(),
    "repetition gopher": c.repetition("gopher", on="all"),
    "repetition times": c.repetition(sentence_times=1, paragraph_times=1, phrase_times=1, on="all"),
    "score": c.score("meta.a", at_least=0.5),
    "score completions": c.score("completions.s", of="worst", at_most=1.0),
    "judge": c.judge("tests.support.judges:turns", at_least=2, batch=3, workers=2, cache=Path(FOLDER.name) / "judged"),
    "judge class": c.judge("tests.support.judges:Longer", at_most=3, meta=True, cache=Path(FOLDER.name) / "judged"),
    "secrets_and_pii": c.secrets_and_pii(),
    "secrets_and_pii drop": c.secrets_and_pii("drop", kinds=("phone",), on="response"),
    "secrets_and_pii mask": c.secrets_and_pii("mask"),
    "secrets_and_pii mask calls": c.secrets_and_pii("mask", parts=("call", "tools")),
    "truecase": c.truecase(),
    "truecase full": c.truecase("full", on={"assistant"}),
    "lint_pairs": c.lint_pairs(),
    "lint_pairs all": c.lint_pairs("all", cut=5, unit="words", max_difference=3),
    "contradictions": c.contradictions(),
    "contradictions flag": c.contradictions(mode="flag"),
    "balance_length": c.balance_length(),
    "balance_length by source": c.balance_length(0.4, by="source", first="least_margin", unit="words"),
    "decontaminate": c.decontaminate(EVALS, fuzzy=0.8),
    "decontaminate all": c.decontaminate(EVALS, ngram=3, on="all", informative=0),
    "decontaminate generic": c.decontaminate(EVALS, ngram=3, ignore={"pellow": ["how are you"]}, symbols=False),
    "decontaminate parts": c.decontaminate(EVALS, ngram=3, parts="all"),
    **{f"binarize {how}": c.binarize(rejected=how) for how in ("worst", "random_lower")},
    "binarize margin": c.binarize(margin=0.5),
    "where": c.where(pl.col("characters") < 40),
    "where number": c.where(pl.col("meta.a").cast(pl.Float64), at_least=0.5),
    "keep_if": c.keep_if(shouted),
    "keep_if rows": c.keep_if(lambda rows: rows["turns"] * 1.0, takes="rows", at_most=3),
    "change parts": c.change(lambda texts: texts.str.replace_all("palm", "tree"), parts=("reasoning", "call")),
    "change": c.change(lambda texts: texts.str.strip_chars().str.replace_all("palm", "tree")),
}
MADE: Final[dict[str, tuple[Callable[[], Step], type[Step]]]] = {
    "quality": (judged, Filter),
    "exclude_prompts_of": (excluded, Group),
    "dedup semantic": (semantic, Group),
}
"""Steps that need a model or a build, made when they are first asked for, and their kinds."""
NAMES: Final = (*STEPS, *MADE)


@cache
def step_of(name: str) -> Step:
    return STEPS[name] if name in STEPS else MADE[name][0]()


def kind_of_step(name: str) -> type[Step]:
    return type(step_of(name)) if name in STEPS else MADE[name][1]


def of_kind(kind: type[Step]) -> list[str]:
    return [name for name in NAMES if issubclass(kind_of_step(name), kind)]


KINDS: Final[tuple[Kind, ...]] = ("conversation", "rated", "preference")

WORDS: Final = (
    "",
    " \t\n",
    "Hello.",
    "HELLO.",
    "As an AI language model, I don’t have opinions",
    "I'm sorry, but I can't assist with that.",
    "no way",
    "OpenAI made me; my knowledge cutoff is 2021",
    "It was trained by the team of OpenAI. Last update in May 2023",
    "palm tree",
    "how do i build a bomb to kill people?",
    "yes. it is so, i think. ask at e.g. ann@pellow.org.",
    "CALL +44 1632 960983 NOW. MY NAME IS JOHN SMITH.",
    "你好世界。",
    "مرحبا",
    "👩‍👩‍👧 e\u0301",
    "x" * 50,
    "Why do onions make us cry?",
    "what happens to Bread dough when you leave the sugar out",
    "\nHow are you today?",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
TURN = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "user", "assistant", "tool"]),
    TEXTS,
)
TURNS = st.lists(TURN, max_size=6)
COMPLETION = st.builds(
    lambda content, model, score: {"content": content, "model": model, "scores": [{"name": "s", "value": score}]},
    TEXTS,
    st.sampled_from([None, "m"]),
    st.sampled_from([0.0, 1.5]),
)
META = st.sampled_from(["{}", '{"a":1}'])
BODY: Final[dict[Kind, st.SearchStrategy[dict[str, Any]]]] = {
    "conversation": st.fixed_dictionaries({"messages": TURNS, "meta": META}),
    "rated": st.fixed_dictionaries({"messages": TURNS, "completions": st.lists(COMPLETION, max_size=3), "meta": META}),
    "preference": st.fixed_dictionaries(
        {
            "prompt": TURNS,
            "chosen": TURNS,
            "rejected": TURNS,
            "chosen_score": st.sampled_from([None, 0.5]),
            "rejected_score": st.none(),
            "meta": META,
        }
    ),
}
BATCHES = st.sampled_from(KINDS).flatmap(
    lambda kind: st.lists(BODY[kind], max_size=7).map(lambda rows: pa.RecordBatch.from_pylist(rows, BODIES[kind]))
)


def of(kind: type[Step], name: str) -> Any:  # noqa: ANN401  whatever law asks for
    step = step_of(name)
    assert isinstance(step, kind)
    return step


@pytest.mark.parametrize("name", NAMES)
@part_of_examples(0.4)  # of up to 7 rows each
@given(body=BATCHES, size=st.integers(1, 4), chance=st.randoms(use_true_random=False))
def test_a_row_is_judged_by_itself(name: str, body: pa.RecordBatch, size: int, chance: random.Random) -> None:
    step, body = step_of(name), rated(name, body)
    order = chance.sample(range(body.num_rows), body.num_rows)
    testing.judged_by_itself(step, body, testing.split(body, size), order)


def rated(name: str, body: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch, or an empty one of rated rows where a Pairing cannot take its kind."""
    if not issubclass(kind_of_step(name), Pairing) or "completions" in body.schema.names:
        return body
    return pa.RecordBatch.from_pylist([], BODIES["rated"])


@pytest.mark.parametrize("name", of_kind(Group))
@part_of_examples(0.4)  # of up to 7 rows each
@given(body=BATCHES, size=st.integers(1, 4), chance=st.randoms(use_true_random=False))
def test_a_group_decides_over_rows_not_over_batches(
    name: str, body: pa.RecordBatch, size: int, chance: random.Random
) -> None:
    parts = testing.split(body, size)
    testing.decided_over_rows(of(Group, name), body, parts, chance.sample(parts, len(parts)))


@pytest.mark.parametrize("name", NAMES)
@part_of_examples(0.4)  # of up to 7 rows each
@given(body=BATCHES)
def test_filters_never_edit_and_edits_never_drop(name: str, body: pa.RecordBatch) -> None:
    testing.edits_or_drops(step_of(name), rated(name, body))


@pytest.mark.parametrize("name", of_kind(Edit))
@part_of_examples(0.4)  # of up to 7 rows each
@given(body=BATCHES)
def test_an_edit_finds_nothing_left_to_do(name: str, body: pa.RecordBatch) -> None:
    testing.nothing_left_to_edit(of(Edit, name), body)


@pytest.mark.parametrize("name", of_kind(Filter))
@part_of_examples(0.4)  # of up to 7 rows each
@given(body=BATCHES)
def test_evidence_is_where_it_says_and_counts_for_its_row(name: str, body: pa.RecordBatch) -> None:
    step = of(Filter, name)
    testing.evidence_is_where_it_says(step, body)
    reasons = [bound.reason for bound in step.bounds()]
    for row in testing.answers(step, body) if isinstance(step, Refusals) else ():
        assert row["dropped"] or reasons[row["bound"]] in {hit["reason"] for hit in row["evidence"]}


def concrete(kind: type[Step]) -> Iterator[type[Step]]:
    for each in kind.__subclasses__():
        if not getattr(each, "__abstractmethods__", None) and each.__module__.startswith("curate."):
            yield each
        yield from concrete(each)


def test_every_step_is_held_to_the_laws() -> None:
    for module in pkgutil.walk_packages(curate.__path__, "curate."):
        if module.name.startswith("curate.steps."):
            importlib.import_module(module.name)
    held = {type(step_of(name)) for name in NAMES}
    missing = [each.__name__ for each in concrete(Step) if not any(issubclass(one, each) for one in held)]
    assert not missing, f"name settings of {missing} in STEPS"


def of_text(kind: Kind, text: str) -> pa.RecordBatch:
    ask, say = {"role": "user", "content": text}, {"role": "assistant", "content": text}
    rows: dict[Kind, dict[str, Any]] = {
        "conversation": {"messages": [ask, say]},
        "rated": {"messages": [ask], "completions": [{"content": text, "model": None, "scores": []}]},
        "preference": {"prompt": [ask], "chosen": [say], "rejected": [say]},
    }
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | rows[kind]], BODIES[kind])


@pytest.mark.parametrize(
    "kind", [each if each == "conversation" else pytest.param(each, marks=pytest.mark.thorough) for each in KINDS]
)
def test_texts_at_the_edge_are_judged_and_carried(kind: Kind, edge_texts: dict[str, str]) -> None:
    parts = {name: of_text(kind, text) for name, text in edge_texts.items()}
    body = pa.concat_batches(list(parts.values()))
    judging = tuple(
        Stage(name, i, step) for i, (name, step) in enumerate(STEPS.items()) if not isinstance(step, Edit | Pairing)
    )
    found = run(judging, body, protect=False)
    assert found.body.equals(body)
    for name in ("curly_quotes", "zalgo", "huge_word", "arabic"):
        alone = run(judging, parts[name], protect=False)
        row = list(parts).index(name)
        assert int(alone.dropped_by[0]) == int(found.dropped_by[row])
        assert {label: testing.plain(column)[0] for label, column in alone.scores.items()} == {
            label: testing.plain(column)[row] for label, column in found.scores.items()
        }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", of_kind(Edit))
def test_texts_at_the_edge_are_edited_alike_alone(name: str, kind: Kind, edge_texts: dict[str, str]) -> None:
    stage = (Stage(name, 0, step_of(name)),)
    parts = [of_text(kind, text) for text in edge_texts.values()]
    whole = run(stage, pa.concat_batches(parts), protect=False).body
    assert whole.equals(pa.concat_batches([run(stage, part, protect=False).body for part in parts]))
    assert run(stage, whole, protect=False).body.equals(whole)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_one_row(name: str) -> None:
    for kind in ("rated",) if issubclass(kind_of_step(name), Pairing) else KINDS:
        testing.no_rows_and_one_row(step_of(name), of_text(kind, "Hello."))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_known_by_its_fields(name: str) -> None:
    testing.known_by_its_fields(step_of(name))
    others = [canonical(other) for label, other in STEPS.items() if label != name]
    assert canonical(step_of(name)) not in others
