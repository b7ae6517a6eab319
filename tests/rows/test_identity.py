"""A row is known by its own id, or by all that it says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.rows.identity import content_hashes, identities, names
from curate.rows.schema import BODIES, Kind

ROWS: Final[dict[Kind, dict[str, Any]]] = {
    "conversation": {
        "messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}],
        "meta": "{}",
    },
    "rated": {
        "messages": [{"role": "user", "content": "ab"}],
        "completions": [
            {"content": "c", "model": "m", "scores": [{"name": "s", "value": 1.0}, {"name": "t", "value": 2.0}]},
            {"content": "d", "model": None, "scores": []},
        ],
        "meta": "{}",
    },
    "preference": {
        "prompt": [{"role": "user", "content": "ab"}],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": [{"role": "assistant", "content": "d"}],
        "chosen_score": 1.0,
        "rejected_score": None,
        "meta": "{}",
    },
}


def batch(kind: Kind, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, BODIES[kind])


def hashed(body: pa.RecordBatch) -> list[tuple[int, int]]:
    hashes = content_hashes(body)
    return list(zip(hashes.high.tolist(), hashes.low.tolist(), strict=True))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Return the path of every leaf and every list of a row."""
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in leaves(item, (*path, name))]
    if isinstance(value, list):
        return [path, *(found for i, item in enumerate(value) for found in leaves(item, (*path, i)))]
    return [path]


def others(old: Any) -> list[Any]:  # noqa: ANN401
    """Return values that differ from `old`."""
    match old:
        case list():
            return [old[:-1], old[1:], [*old, *old[:1]], old[::-1]] if old else []
        case str():
            return [old + " ", old[:-1], "", old.upper() + "x"]
        case _:
            return [0.0, 3.5] if old is None else [None, old + 1, -old]


@pytest.mark.parametrize("kind", ROWS)
def test_every_part_of_a_row_counts(kind: Kind) -> None:
    row = ROWS[kind]
    variants = [row]
    for path in leaves(row):
        *above, last = path
        old: Any = row
        for name in path:
            old = old[name]
        for new in others(old) if path != ("model",) else ["", "n"]:
            variant: Any = copy.deepcopy(row)
            at = variant
            for name in above:
                at = at[name]
            is_text = BODIES[kind].field(path[0]).type == pa.string() or last in {"role", "content", "model", "name"}
            at[last] = "" if new == 0.0 and is_text else new
            if not (is_text and isinstance(at[last], float)) and variant not in variants:
                variants.append(variant)
    found = hashed(batch(kind, variants))
    assert len(variants) > 15
    assert len(set(found)) == len(variants)
    assert len({high for high, _ in found}) == len({low for _, low in found}) == len(variants)


def test_where_one_text_ends_and_the_next_begins_counts() -> None:
    def chat(*turns: tuple[str, str], meta: str = "{}") -> dict[str, Any]:
        return {"messages": [{"role": role, "content": text} for role, text in turns], "meta": meta}

    rows = [
        chat(("user", "ab"), ("user", "c")),
        chat(("user", "a"), ("user", "bc")),
        chat(("user", "abc"), ("user", "")),
        chat(("user", ""), ("user", "abc")),
        chat(("user", "abc")),
        chat(("userabc", "")),
        chat(("", "userabc")),
        chat(),
        chat(("", "")),
        chat(("user", "ab"), ("user", "c"), meta=""),
        chat(meta=""),
    ]
    assert len(set(hashed(batch("conversation", rows)))) == len(rows)


def test_null_is_neither_empty_nor_zero() -> None:
    rated = ROWS["rated"]
    models = [{**rated, "completions": [{"content": "c", "model": model, "scores": []}]} for model in (None, "", "x")]
    assert len(set(hashed(batch("rated", models)))) == 3
    scores = [{**ROWS["preference"], "chosen_score": score} for score in (None, 0.0, 1.0)]
    assert len(set(hashed(batch("preference", scores)))) == 3


BODY = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=20)}),
            max_size=4,
        ),
        "completions": st.lists(
            st.fixed_dictionaries(
                {
                    "content": st.text(max_size=5),
                    "model": st.none() | st.text(max_size=3),
                    "scores": st.lists(
                        st.fixed_dictionaries({"name": st.text(max_size=2), "value": st.none() | st.floats()}),
                        max_size=3,
                    ),
                }
            ),
            max_size=3,
        ),
        "meta": st.text(max_size=5),
    }
)


@given(st.lists(BODY, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_neighbours_and_slices_count_for_nothing(rows: list[dict[str, Any]], start: int, length: int) -> None:
    body = batch("rated", rows)
    whole = hashed(body)
    assert hashed(body.slice(start, length)) == whole[start : start + length]
    assert [hashed(batch("rated", [row]))[0] for row in rows] == whole
    assert hashed(batch("rated", rows[::-1])) == whole[::-1]


def test_an_own_id_is_the_key_and_content_the_content() -> None:
    row, other = ROWS["conversation"], {**ROWS["conversation"], "meta": "x"}
    found = identities(batch("conversation", [row, row, other, other]), pa.array(["a", None, "a", ""]))
    keys = list(zip(found.key.high.tolist(), found.key.low.tolist(), strict=True))
    contents = list(zip(found.content.high.tolist(), found.content.low.tolist(), strict=True))
    assert found.own.tolist() == [True, False, True, True]
    assert keys[0] == keys[2] != keys[1]
    assert keys[1] == contents[1] == contents[0] != contents[2]
    assert len(set(keys)) == 3


def test_an_id_never_passes_for_a_content_hash() -> None:
    body = batch("conversation", [ROWS["conversation"]] * 2)
    name = names(content_hashes(body))[0].as_py()
    found = identities(body, pa.array([None, name]))
    assert found.key.low[0] != found.key.low[1]


def test_names_are_hexadecimal_and_in_the_order_of_the_hashes() -> None:
    hashes = content_hashes(batch("conversation", [{**ROWS["conversation"], "meta": str(i)} for i in range(50)]))
    spelled = names(hashes).to_pylist()
    assert spelled == [
        f"{high:016x}{low:016x}" for high, low in zip(hashes.high.tolist(), hashes.low.tolist(), strict=True)
    ]
    assert names(content_hashes(batch("conversation", []))).to_pylist() == []


@pytest.mark.parametrize("kind", ROWS)
def test_no_rows_have_no_hashes(kind: Kind) -> None:
    empty = batch(kind, [])
    assert hashed(empty) == hashed(batch(kind, [ROWS[kind]]).slice(1)) == []
    assert identities(empty, pa.array([], pa.string())).own.tolist() == []


def test_texts_at_the_edge_have_hashes_of_their_own(edge_texts: dict[str, str]) -> None:
    rows = [{"messages": [{"role": "user", "content": text}], "meta": "{}"} for text in edge_texts.values()]
    assert len(set(hashed(batch("conversation", rows)))) == len(edge_texts)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="no hash is defined for int64"):
        content_hashes(pa.RecordBatch.from_pydict({"x": [1]}))


def test_hashes_do_not_change_between_versions() -> None:
    # Ids of finished builds, and which rows a seed picks, rest on these.
    found = [names(content_hashes(batch(kind, [row])))[0].as_py() for kind, row in ROWS.items()]
    assert found == [GOLDEN[kind] for kind in ROWS]


GOLDEN: Final[dict[Kind, str]] = {
    "conversation": "6f9f13a3c7abf1654ca5aa791015c1cf",
    "rated": "8bd7b5b9fa54ae2ee7b6cebeefb58b1e",
    "preference": "1a4e7491961b2b3642a9ff59dcec93da",
}


def test_a_nested_slice_is_hashed_from_where_it_starts(copies: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
    body = batch("rated", [ROWS["rated"], {**ROWS["rated"], "meta": "2"}, {**ROWS["rated"], "messages": []}])
    part = body.slice(1)
    assert hashed(part) == hashed(copies(part))
    assert np.asarray(part["messages"].offsets)[0] > 0, "the test holds a slice that does not start at 0"


@pytest.fixture
def copies() -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return a batch made again from Python values."""
    return lambda body: pa.RecordBatch.from_pylist(body.to_pylist(), body.schema)
