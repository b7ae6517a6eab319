"""N-grams that are mostly a phrase to ignore, or mostly symbols, match nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st

from curate.steps.decontaminate.decontaminate import decontaminate
from tests.reference.contamination import share, split
from tests.support.eval_search import found, given, searched
from tests.support.group_resolve import asks

WORDS = st.lists(st.sampled_from(["x", "y", "é", "1", "東", "of", "the", "cats", "dogs"]), max_size=14).map(" ".join)


@property_of(
    st.lists(WORDS, max_size=4),
    st.lists(WORDS, max_size=6),
    st.lists(st.sampled_from(["of the", "The cats", "cats of the x", "東", "x y"]), max_size=2),
    st.integers(2, 5),
    st.booleans(),
)
def test_generic_n_grams_match_nothing(
    questions: list[str],
    rows: list[str],
    ignored: list[str],
    n: int,
    symbols: bool,  # noqa: FBT001
) -> None:
    expected: dict[tuple[int, str], Any] = {}
    for number, row in enumerate(rows):
        for place, item in enumerate(map(split, questions)):
            if len(item) >= n:
                held = share(item, [split(row)], n, list(map(split, ignored)), symbols=symbols)
                if held > 0.5:
                    expected[number, f"quiz/i{place}"] = ("overlap", pytest.approx(held))
    rules: dict[str, Any] = {"numbers": False, "content": 0, "ignore": {"quiz": ignored}, "symbols": symbols}
    resolved = found(searched(decontaminate(given(*questions), ngram=n, **rules), [asks(rows)]))
    assert {key: hit for key, hit in resolved.items() if hit[0] == "overlap"} == expected


def test_phrases_are_ignored_in_their_eval_set_alone() -> None:
    stock = "which of the following statements about the structure of a cell is true"
    text = f"{stock} if cats sing"
    for name, matched in (("quiz", False), ("other", True)):
        step = decontaminate(given(text), given("?", name="other"), content=0, ignore={name: [stock]})
        assert bool(searched(step, [asks([f"{stock} of dogs"])]).hits.height) == matched
    sums = "x + y = z so a + b = c and p + q = r"
    assert searched(decontaminate(given(sums), content=0), [asks([f"See {sums}"])]).hits.height
    assert not searched(decontaminate(given(sums), content=0, symbols=False), [asks([f"See {sums}"])]).hits.height
