"""The fingerprint covers what was declared: every decision, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.engine.manifest import canonical, fingerprint
from curate.errors import MixtureError
from curate.io.inputs import files
from curate.io.tables import frame
from curate.mix.amounts import All, Fraction, Repeat, Rows, Tokens
from curate.mix.spec import MixtureSpec, Source
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.refusals import refusals

BASE = MixtureSpec("mix", (Source("a", files("a.jsonl", "messages")), Source("b", files("b.jsonl"))), (refusals(),))


def with_source(**fields: Any) -> MixtureSpec:  # noqa: ANN401
    return replace(BASE, sources=(replace(BASE.sources[0], **fields), BASE.sources[1]))


OTHERS = {
    "name": replace(BASE, name="other"),
    "seed": replace(BASE, seed=1),
    "order of sources": replace(BASE, sources=tuple(BASE.sources)[::-1]),
    "no steps": replace(BASE, steps=()),
    "more steps": replace(BASE, steps=(refusals(), shape())),
    "order of steps": replace(BASE, steps=(shape(), refusals())),
    "another preset": replace(BASE, steps=(refusals("tulu2"),)),
    "another step": replace(BASE, steps=(exact_dedup(),)),
    "a set of roles": replace(BASE, steps=(exact_dedup({"user", "tool"}),)),
    "large drops": replace(BASE, steps=(refusals(allow_large_drop=True),)),
    "steps of a source": with_source(steps=(shape(),)),
    "weights": replace(BASE, weights={"a": 1, "b": 2}, total=Rows(9)),
    "total": replace(BASE, weights={"a": 1, "b": 2}, total=Tokens(9)),
    "weights by size": replace(BASE, weights="size", total=Rows(9)),
    "temperature": replace(BASE, weights="size", total=Rows(9), temperature=2.0),
    "shortage": replace(BASE, on_shortage="shrink"),
    "repeats": replace(BASE, max_repeat=3),
    "test": replace(BASE, test=Rows(5)),
    "test share": replace(BASE, test=Fraction(0.5)),
    "take": with_source(take=Rows(5)),
    "copies": with_source(take=Repeat(5)),
    "protect": with_source(protect=True),
    "quarantine": with_source(max_quarantine=0.5),
    "licence": with_source(licence="MIT"),
    "format": with_source(input=files("a.jsonl", "sharegpt")),
    "id": with_source(input=files("a.jsonl", "messages", id=None)),
    "columns": with_source(input=files("a.jsonl", "messages", columns=("x",))),
    "unescape": with_source(input=files("a.jsonl", "messages", unescape=True)),
    "a frame": with_source(input=frame(pl.DataFrame({"messages": []}), "messages")),
}


def test_every_decision_counts() -> None:
    found = {name: fingerprint(mixture) for name, mixture in {"base": BASE, **OTHERS}.items()}
    assert len(set(found.values())) == len(found)
    assert all(len(digits) == 64 for digits in found.values())


def test_where_files_lie_and_how_it_was_written_do_not_count(tmp_path: Path) -> None:
    moved = with_source(input=files(tmp_path / "elsewhere.jsonl", "messages"))
    listed = MixtureSpec("mix", list(BASE.sources), [refusals()], seed=0)
    spelled = with_source(take=All(), steps=[])
    assert {fingerprint(mixture) for mixture in (BASE, moved, listed, spelled)} == {fingerprint(BASE)}
    one, two = (replace(BASE, weights=weights, total=Rows(9)) for weights in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert fingerprint(one) == fingerprint(two)


def test_a_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(BASE)
    monkeypatch.setattr(type(BASE.steps[0]), "version", 99)
    assert fingerprint(BASE) != before


@dataclass(frozen=True)
class Holder:
    value: Any


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Holder(len), r"mixture\.value is builtin_function_or_method, which has no stable identity"),
        (Holder([Path("/x")]), r"mixture\.value\[0\] is PosixPath, which has no stable identity"),
        (Holder({"a": object()}), r"mixture\.value\.a is object"),
        (Holder(math.nan), r"mixture\.value is nan, which has no place"),
        (Holder(Holder), r"mixture\.value is type"),
    ],
)
def test_what_has_no_identity_is_refused(value: Holder, message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        canonical(value)


def test_sets_have_an_order_of_their_own() -> None:
    assert canonical(frozenset({"b", "a", "c"})) == ["a", "b", "c"]
