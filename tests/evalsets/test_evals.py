"""The registry is whole, and a wrong name says what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

import curate
from curate.engine.manifest import canonical
from curate.errors import MixtureError
from curate.evalsets.evals import evals
from curate.evalsets.origins import Hub
from curate.evalsets.registry import SETS, SUITES, EvalName, SuiteName

NAMED: Any = evals
"""`evals` as an untyped caller sees it."""


def test_the_registry_is_whole() -> None:
    assert list(SETS) == sorted(SETS) == list(get_args(EvalName))
    assert list(SUITES) == list(get_args(SuiteName))
    assert len(SETS) == 16


@pytest.mark.parametrize("name", list(SETS))
def test_an_entry_says_where_it_is(name: str) -> None:
    one = SETS[name]
    assert one.name == name
    assert isinstance(one.origin, Hub)
    assert one.origin.id.count("/") == 1
    assert one.origin.revision is None or one.origin.revision.startswith("refs/") or len(one.origin.revision) == 40
    assert len(set(one.origin.configs)) == len(one.origin.configs)
    assert canonical(one) == canonical(NAMED(name)[0])
    assert hash(one) == hash(NAMED(name)[0])


def test_bbh_has_its_27_tasks() -> None:
    assert len(SETS["bbh"].origin.configs) == 27  # type: ignore[union-attr]


def test_suites_name_evals() -> None:
    assert all(set(names) <= set(SETS) and len(set(names)) == len(names) for names in SUITES.values())
    assert [one.name for one in evals("zephyr")] == ["mt_bench", "alpaca_eval", "mmlu", "truthful_qa"]


def test_each_set_comes_once_in_the_order_named() -> None:
    names = [one.name for one in evals("truthful_qa", "tulu2", "gsm8k", "tulu3")]
    assert names[:3] == ["truthful_qa", "mmlu", "gsm8k"]
    assert len(set(names)) == len(names)
    assert set(names) == {*SUITES["tulu2"], *SUITES["tulu3"]}


def test_a_wrong_name_says_what_there_is() -> None:
    with pytest.raises(
        MixtureError, match=r"evals\('truthfulqa'\): no such eval or suite; did you mean 'truthful_qa'\?"
    ):
        NAMED("gsm8k", "truthfulqa")
    with pytest.raises(MixtureError, match=r"known: agi_eval, .*, zephyr; for files"):
        NAMED("qqq")
    with pytest.raises(MixtureError, match=r"evals\(\) takes names; known: agi_eval"):
        evals()


def test_files_need_a_name_where_there_is_no_one_file() -> None:
    with pytest.raises(MixtureError, match=r"needs a name: name="):
        evals.files("bbh/*.json", question="input")
    with pytest.raises(MixtureError, match=r"needs a name: name="):
        evals.files(["a.json", "b.json"], question="input")
    with pytest.raises(MixtureError, match=r"needs a name: name="):
        evals.files([], question="input", name="")
    (one,) = evals.files([Path("a.json"), "b.json"], question="input", name="ours")
    assert one.name == "ours"


def test_a_separator_is_one_character() -> None:
    with pytest.raises(MixtureError, match="separator='::' is not a single ASCII character"):
        evals.files("a.csv", question="q", separator="::")


def test_the_facade_has_them() -> None:
    assert curate.evals is evals
    assert isinstance(curate.evals("gsm8k")[0], curate.EvalSet)
