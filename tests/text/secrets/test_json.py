"""JSON text is searched string by string: masks leave it JSON text, with every other byte as it was."""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.json_text import DEEPEST
from curate.text.secrets.find import FEW, KINDS, MASKS, find_secrets, mask_secrets
from tests.support.planted_secrets import planted

SHORT: Final = {'"': r"\"", "\\": r"\\", "/": r"\/", "\n": r"\n", "\t": r"\t", "\r": r"\r", "\b": r"\b", "\f": r"\f"}
TOKENS: Final = re.compile(r'("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*)', re.DOTALL)

SECRETS = st.sampled_from(KINDS).flatmap(lambda kind: st.sampled_from(planted(kind, 30)))
FILLING = st.sampled_from(
    ["", " ", "\n", "\t", "é", "京", "\u200b", "\U000e0041", "😀", "\\", '"', "/", "n", "u0040", "@"]
)
STRINGS = st.lists(SECRETS | FILLING, max_size=5).map("".join)
HIDDEN = st.tuples(SECRETS, st.integers(0, 9), st.sampled_from(["\u200b", "\u00ad", "\U000e0041"])).map(
    lambda said: said[0][: said[1]] + said[2] + said[0][said[1] :]
)
CARDS = st.sampled_from([int(re.sub(r"\D", "", card)) for card in planted("card", 30)])
VALUES = st.recursive(
    STRINGS | HIDDEN | CARDS | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3) | inner.map(lambda v: json.dumps([v]))
    ),
    max_leaves=6,
)


def spelled(text: str, chance: random.Random) -> str:
    """Spell JSON text with escapes in other places: within strings, some characters as they are, some escaped."""

    def one(sign: str) -> str:
        units = sign.encode("utf-16-be")
        escape = "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2))
        raw = sign not in '"\\' and sign >= " "
        return chance.choice([escape, SHORT.get(sign, escape), *([sign] * 4 if raw else [])])

    parts = TOKENS.split(text)
    for i, part in enumerate(parts):
        if part.startswith('"'):
            parts[i] = '"' + "".join(map(one, json.loads(part))) + '"'
    return "".join(parts)


DOCUMENTS = st.tuples(VALUES, st.randoms(use_true_random=False), st.sampled_from([None, 1])).map(
    lambda drawn: spelled(json.dumps(drawn[0], indent=drawn[2]), drawn[1])
)


def masked(text: str, *, values: bool = True) -> str:
    many = FEW + 1  # so that they are tested before they are read
    places, texts = mask_secrets(view(pa.array([text] * many)), np.arange(many, dtype=np.int32), values=values)
    assert len(places) in {0, many}
    return str(texts[0]) if len(places) else text


class Number(str):
    """A number as JSON text spells it."""

    __slots__ = ()


def loaded(text: str) -> Any:  # noqa: ANN401  any JSON value
    return json.loads(text, object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=Number)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def walked(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Mask each string of a decoded value as a text of its own."""
    if isinstance(value, str):
        found = masked(value, values=False)
        return next((mask for mask in MASKS if mask in found), value) if isinstance(value, Number) else found
    if isinstance(value, list | tuple):
        return type(value)(walked(each) for each in value)
    return value


@given(DOCUMENTS)
def test_a_masked_document_says_what_its_strings_say_masked(text: str) -> None:
    after = masked(text)
    assert loaded(after) == walked(loaded(text))
    assert masked(after) == after
    before, now = TOKENS.split(text), TOKENS.split(after)
    assert before[::2] == now[::2], "what is between strings and numbers stays"
    assert all(one == two or loaded(one) != loaded(two) for one, two in zip(before[1::2], now[1::2], strict=True))


@given(DOCUMENTS, st.integers(0, 200), st.sampled_from(["", '"', "\\", "{", "]", ",", "\n", "1"]), st.booleans())
def test_a_document_with_a_fault_keeps_it(text: str, place: int, fault: str, values: bool) -> None:  # noqa: FBT001
    broken = text[:place] + fault + text[place + 1 :]
    after = masked(broken, values=values)
    assert is_json(after) == is_json(broken) or not values or "\n" in broken
    assert masked(after, values=values) == after


@given(DOCUMENTS)
def test_hits_are_where_the_masks_go(text: str) -> None:
    raw, hits = text.encode(), find_secrets(view(pa.array([text])), np.zeros(1, np.int32), values=True)
    assume(sum(masked(text).count(mask) for mask in MASKS) == len(hits.kind))  # a mask may show a further hit
    ends = [0, *hits.stop.tolist()]
    rest = [raw[i:j] for i, j in zip(ends, [*hits.start.tolist(), len(raw)], strict=True)]
    assert re.fullmatch(b".*".join(map(re.escape, rest)), masked(text).encode(), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (r'{"a": "\nann@pellow.org"}', r'{"a": "\n[EMAIL]"}'),
        (r'{"a": "\u00e9ann\u0040pellow.org\/b"}', r'{"a": "\u00e9[EMAIL]\/b"}'),
        (r'{"a": "a\u200bnn\u0040pel\udb40\udc41low.org"}', r'{"a": "[EMAIL]"}'),
        ('{"ann@pellow.org": 1}', '{"[EMAIL]": 1}'),
        ('{"a": 4539578763621486}', '{"a": "[CARD]"}'),
        ("[-1, 4539578763621486,\n4539578763621486.5]", '[-1, "[CARD]",\n4539578763621486.5]'),
        (r'{"a": "{\"b\": \"\\nann\\u0040pellow.org\", \"c\": 4539578763621486}"}',
         r'{"a": "{\"b\": \"\\n[EMAIL]\", \"c\": \"[CARD]\"}"}'),
        (r'{"a": "\ud800ann@pellow.org"}', r'{"a": "\ud800[EMAIL]"}'),
        ('{"a": ann@pellow.org}', '{"a": [EMAIL]}'),
        ("Ask ann@pellow.org", "Ask [EMAIL]"),
        ("4539578763621486", '"[CARD]"'),
        ('"4539578763621486"', '"[CARD]"'),
    ],
)  # fmt: skip
def test_masks_in_json_text(text: str, after: str) -> None:
    assert masked(text) == after


def test_a_number_alone_is_text_unless_any_value_is_json() -> None:
    assert masked("4539578763621486", values=False) == "[CARD]"


def test_deep_and_damaged_text_takes_little_time() -> None:
    start = time.perf_counter()
    for text in ('\\"' * 300_000, '{"' + '\\"' * 300_000, "[" * 300_000, '{"a":' * 100_000, '["' * 200_000):
        assert masked(f"{text} ann@pellow.org") == f"{text} [EMAIL]"
    for depth in (DEEPEST, DEEPEST + 1):
        text = "[" * depth + r'"\n' + 'ann@pellow.org"' + "]" * depth
        assert masked(text) == text.replace("ann@pellow.org" if depth == DEEPEST else "nann@pellow.org", "[EMAIL]")
    assert time.perf_counter() - start < 20
