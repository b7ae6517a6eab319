"""Steps of a user's own: what they see, what they do in a build, and what their fingerprint hangs on."""

from __future__ import annotations

import json
import linecache
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.engine.manifest import canonical
from curate.errors import MixtureError
from curate.rows.frame import COLUMNS, row_frame
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import Step

LIMIT: Final = 12
ROWS: Final = [
    {
        "id": "a",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}],
        "r": 1,
    },
    {
        "id": "b",
        "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because  "}],
        "r": 5,
    },
    {"id": "c", "messages": [{"role": "user", "content": "More"}, {"role": "assistant", "content": "Sorry, no."}]},
]


@pytest.fixture
def source(tmp_path: Path) -> c.Source:
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    return c.Source("chats", c.files(path))


def built(source: c.Source, folder: Path, *steps: Step, name: str = "b") -> c.Build:
    return c.Mixture(name="m", seed=1, sources=[source], steps=list(steps)).build(folder / name, quiet=True)


def short(texts: pl.Series) -> pl.Series:
    return texts.str.len_chars() < LIMIT


def test_where_sees_every_column(source: c.Source, tmp_path: Path) -> None:
    conditions = [
        pl.col("source") == "chats",
        pl.col("id") != "a",
        pl.col("kind") == "conversation",
        pl.col("prompt").str.contains("h|H"),
        pl.col("response") != "",
        pl.col("chosen") == "",
        pl.col("turns") == 2,
        pl.col("characters") < 14,
        pl.col("words") > 1,
        pl.col("best_score").is_null(),
        pl.col("meta").str.contains("r"),
        pl.col("meta.r").cast(pl.Float64) > 2,
        pl.col("where.value") == 1,
    ]
    steps = [c.where(each, reason=f"r{i}", allow_large_drop=True) for i, each in enumerate(conditions)]
    ledger = built(source, tmp_path, *steps).ledger.sort("id").collect()
    value = {name: ledger[name].to_list() for name in ledger.columns if name.endswith(".value")}
    expected: list[list[float | None]] = [
        [1, 1, 1],
        [0, 1, 1],
        [1, 1, 1],
        [1, 1, 0],
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 1],
        [0, 1, 0],
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 0],
        [0, 1, None],
        [1, 1, 1],
    ]
    found = [[None if x is None or np.isnan(x) else x for x in each] for each in value.values()]
    assert found == expected
    assert ledger["fate"].to_list() == ["dropped", "kept", "dropped"]
    assert ledger["reason"].to_list() == ["r1", None, "r3"]


def test_a_number_is_held_against_limits(source: c.Source, tmp_path: Path) -> None:
    step = c.where(pl.col("meta.r").cast(pl.Float64), at_least=2, at_most=9, reason="r", allow_large_drop=True)
    build = built(source, tmp_path, step)
    assert build.dropped("where").select("id", "reason", "score", "bound").rows() == [("a", "r", 1.0, 2.0)]
    assert build.kept().collect()["id"].sort().to_list() == ["b", "c"]


def test_functions_over_texts_and_rows(source: c.Source, tmp_path: Path) -> None:
    steps = [
        c.change(lambda texts: texts.str.strip_chars_end()),
        c.keep_if(short, reason="long", allow_large_drop=True),
        c.keep_if(
            lambda rows: rows["meta.r"] if "meta.r" in rows.columns else [1.0] * len(rows), takes="rows", at_least=0
        ),
        c.keep_if(lambda texts: [len(text) for text in texts], on="prompt", at_most=4),
    ]
    build = built(source, tmp_path, *steps)
    assert build.dropped()["id"].to_list() == ["a"]
    ledger = build.ledger.collect()
    assert ledger.filter(pl.col("edited").list.len() > 0)["id"].to_list() == ["b"]
    assert "Because" in [row["messages"][1]["content"] for row in build.kept().collect().to_dicts()]
    again = built(source, tmp_path, *steps, name="again")
    assert again.manifest["fingerprint"] == build.manifest["fingerprint"]


def test_the_frame_has_its_columns() -> None:
    for kind, schema in BODIES.items():
        for rows in (0, 1):
            empty: dict[str, Any] = {name: [] for name in schema.names} | {"meta": '{"a": {"b": 2}}'}
            empty |= {name: None for name in schema.names if name.endswith("_score") or name in {"label", "rewards"}}
            frame = row_frame(segments(pa.RecordBatch.from_pylist([empty] * rows, schema)), [*COLUMNS, "meta.a.b"])
            assert frame.columns == [*COLUMNS, "meta.a.b"]
            assert frame["kind"].to_list() == [kind] * rows
            assert frame["meta.a.b"].to_list() == ["2"] * rows


def in_cell(tmp_path: Path, text: str, **known: object) -> Callable[..., Any]:
    """Return the function `f` of a notebook cell: code whose text only `linecache` has."""
    text = textwrap.dedent(text)
    name = f"<cell {len(linecache.cache)} {tmp_path}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names: dict[str, Any] = {"__name__": "__main__", **known}
    exec(compile(text, name, "exec"), names)  # noqa: S102  a cell
    function: Callable[..., Any] = names["f"]
    return function


CELL: Final = '''
LIMIT = 3
def helper(texts):
    return texts.str.len_chars()
def f(texts):
    """Words."""
    # a comment
    return helper(texts) > LIMIT
'''


@pytest.mark.parametrize("make", [c.keep_if, c.change], ids=["keep_if", "change"])
@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# a comment", "# another comment", True),
        ('"""Words."""', '"""Other words."""', True),
        ("helper(texts) > LIMIT", "(helper(texts)   > LIMIT)", True),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("> LIMIT", "< LIMIT", False),
        ("len_chars", "len_bytes", False),
        ("(texts):\n    return texts", "(texts, more=1):\n    return texts", False),
    ],
)
def test_the_fingerprint_is_that_of_what_the_function_does(
    tmp_path: Path, make: Callable[..., Step], old: str, new: str, *, same: bool
) -> None:
    assert old in CELL
    one, two = make(in_cell(tmp_path, CELL)), make(in_cell(tmp_path, CELL.replace(old, new)))
    assert (canonical(one) == canonical(two)) is same
    assert (one == two) is same


def test_the_fingerprint_of_an_expression() -> None:
    same = [canonical(c.where(pl.col("meta.lang").is_in(["en", *"ab" * 20]))) for _ in range(2)]
    other = canonical(c.where(pl.col("meta.lang").is_in(["de", *"ab" * 20])))
    assert same[0] == same[1] != other
    assert canonical(c.where(pl.col("turns") < 1)) != canonical(c.where(pl.col("turns") < 2))


def test_two_lambdas_in_one_line_are_distinguished() -> None:
    one, two = c.change(lambda texts: texts.str.to_lowercase()), c.change(lambda texts: texts.str.to_uppercase())
    assert one.source == ("lambda texts: texts.str.to_lowercase()",)
    assert two.source == ("lambda texts: texts.str.to_uppercase()",)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (len, "no Python function with a source"),
        (partial(short), "no Python function with a source"),
        (eval("lambda texts: texts"), "has no source to fingerprint"),  # noqa: S307
    ],
)
def test_a_function_without_a_source_is_refused(function: Callable[..., Any], expected: str) -> None:
    with pytest.raises(MixtureError, match=expected):
        c.keep_if(function)


def test_a_value_without_an_identity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MixtureError, match="uses 'model', a object, whose content no fingerprint can hold"):
        c.keep_if(in_cell(tmp_path, "def f(texts):\n    return model(texts)", model=object()))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("turns", "no Polars expression"),
        (pl.col("turn") < 3, "rows have no column 'turn'; did you mean 'turns'"),
        (pl.col("turns") > pl.col("turns").mean(), "each row by itself"),
        (pl.col("turns").rank() > 1, "each row by itself"),
        (pl.col("turns").sum().over("source") > 1, "each row by itself"),
        (pl.col("id").is_duplicated(), "each row by itself"),
        (pl.col("turns").shift(1) > 1, "each row by itself"),
        (pl.col("turns").cum_sum() > 1, "each row by itself"),
        (pl.col("meta.r").cast(pl.Int64).rank() > 1, "each row by itself"),
        (pl.lit(value=True), "each row by itself"),
        (pl.col("turns").map_elements(bool, return_dtype=pl.Boolean), "calls a Python function"),
    ],
)
def test_an_expression_that_cannot_be_a_step_is_refused(expression: object, expected: str) -> None:
    with pytest.raises(MixtureError, match=expected):
        c.where(expression)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (c.where(pl.col("turns")), "must be true or false for each row, not Int64"),
        (c.where(pl.col("turns") > 1, at_least=1), "must be a number for each row"),
        (c.where(pl.col("meta.r") > 1), "fields of meta are text, cast them"),
        (c.where(pl.col("quality.probability") > 0.5), "rows have no column 'quality.probability' here"),
        (c.keep_if(lambda texts: texts), "must be true or false for each row, not String"),
        (c.keep_if(lambda _: [True]), "was given . values and must give one for each; it gave 1"),
        (c.keep_if(lambda _: 3), "gave int, which is no column of values"),
        (c.keep_if(lambda texts: texts.str.len_chars() / 0, at_least=0), "is infinite for . rows"),
        (c.change(lambda texts: texts.str.len_chars()), "must give a text for each text, not UInt32"),
        (c.change(lambda texts: texts.head(1)), "was given . values and must give one for each; it gave 1"),
    ],
)
def test_an_answer_that_is_none_stops_the_build(source: c.Source, tmp_path: Path, step: Step, expected: str) -> None:
    with pytest.raises(MixtureError, match=expected):
        built(source, tmp_path, step)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(2, 1, "keeps no row"), ("1", None, "a finite number, or None for no limit")]
)
def test_limits_that_are_none_are_refused(low: Any, high: Any, expected: str) -> None:  # noqa: ANN401
    with pytest.raises(MixtureError, match=expected):
        c.where(pl.col("turns"), at_least=low, at_most=high)
    with pytest.raises(MixtureError, match=expected):
        c.keep_if(short, at_least=low, at_most=high)
