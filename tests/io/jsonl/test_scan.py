"""A line that the scan takes means what a full JSON parser says; a plain line is taken; no line is lost."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.io.jsonl import scan
from curate.io.jsonl.scan import Scanned, scan_lines

SPACES = ("", "", "", " ", "\t", "\r", "  \t ")
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
plain_keys = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=40)
rows = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), min_size=1, max_size=4)},
    optional={"id": texts.filter(bool) | st.integers(-(10**18) + 1, 10**18 - 1)},
)
rows_and_more = st.builds(lambda row, more: more | row, rows, st.dictionaries(plain_keys, values, max_size=4))


class Row(NamedTuple):
    messages: list[tuple[str, str]]
    id: str | None
    meta: str


def refuse(word: str) -> NoReturn:
    raise ValueError(word)


def oracle(line: bytes) -> Row:
    """Read one row with the standard library (objects as lists of pairs), and other members' bytes with msgspec."""
    pairs = json.loads(line.decode(), object_pairs_hook=tuple, parse_constant=refuse)
    row = dict(pairs)
    assert len(row) == len(pairs)
    assert all(sorted(key for key, _ in message) == ["content", "role"] for message in row["messages"])
    messages = [(dict(message)["role"], dict(message)["content"]) for message in row["messages"]]
    assert messages
    assert all(isinstance(text, str) for message in messages for text in message)
    own = row.get("id")
    assert own is None or isinstance(own, str | int)
    raw = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    others = [f'"{key}":{bytes(raw[key]).decode().strip()}' for key in row if key not in {"messages", "id"}]
    return Row(messages, None if own is None else str(own), "{" + ",".join(others) + "}")


def read(block: bytes, **keys: str | None) -> Scanned:
    names: dict[str, Any] = {"list_key": "messages", "role_key": "role", "text_key": "content", "id_key": "id"}
    return scan_lines(block, **(names | keys))


def taken(found: Scanned) -> dict[int, Row]:
    """Return the rows by line, and check on the way that the arrays fit together."""
    for strings in (found.roles, found.contents, found.ids, found.meta):
        strings.validate(full=True)
    messages = list(zip(found.roles.to_pylist(), found.contents.to_pylist(), strict=True))
    ends = found.offsets.tolist()
    assert (ends[0], ends[-1], len(ends)) == (0, len(messages), len(found.line) + 1)
    lists = [messages[start:end] for start, end in pairwise(ends)]
    made = zip(found.line.tolist(), lists, found.ids.to_pylist(), found.meta.to_pylist(), strict=True)
    return {line: Row(*parts) for line, *parts in made}


def check(block: bytes) -> Scanned:
    """Hold what is taken against the oracle, and count every line once."""
    found = read(block)
    lines = block.split(b"\n")
    by_line = taken(found)
    for line, row in by_line.items():
        assert row == oracle(lines[line])
    for start, end, line in found.odd.tolist():
        assert block[start:end] == lines[line]
        assert line not in by_line
    blank = {number for number, line in enumerate(lines) if not line.strip(b" \t\r")}
    assert sorted([*by_line, *found.odd[:, 2].tolist(), *blank]) == list(range(len(lines)))
    assert list(by_line) == sorted(by_line)
    return found


def spell_text(text: str, rng: random.Random) -> str:
    """Write a string as JSON, each character in one of the spellings that it may have."""

    def spell(letter: str) -> str:
        units = letter.encode("utf-16-be")
        ways = ["".join(f"\\u{units[k]:02x}{units[k + 1]:02X}" for k in range(0, len(units), 2))]
        if letter in SHORT:
            ways.append(SHORT[letter])
        if letter >= " " and letter not in '"\\':
            ways += [letter] * 3
        return rng.choice(ways)

    return '"' + "".join(map(spell, text)) + '"'


def spell(value: Any, rng: random.Random, *, is_row: bool = False) -> str:  # noqa: ANN401
    """Write a value as JSON with random white space; the keys of a row stay as they are."""
    gap = rng.choice
    if isinstance(value, str):
        return spell_text(value, rng)
    if isinstance(value, list):
        return "[" + ",".join(gap(SPACES) + spell(item, rng) + gap(SPACES) for item in value) + gap(SPACES) + "]"
    if isinstance(value, dict):
        plain = is_row or value.keys() == {"role", "content"}
        names = {key: f'"{key}"' if plain else spell_text(key, rng) for key in value}
        keys = rng.sample(list(value), len(value))
        members = (gap(SPACES) + names[key] + gap(SPACES) + ":" + gap(SPACES) + spell(value[key], rng) for key in keys)
        return "{" + ",".join(member + gap(SPACES) for member in members) + gap(SPACES) + "}"
    return json.dumps(value)


@given(st.lists(rows_and_more, max_size=4), st.randoms(use_true_random=False), st.sampled_from([b"", b"\n"]))
def test_every_plain_line_is_taken(many: list[dict[str, Any]], rng: random.Random, last: bytes) -> None:
    lines = [rng.choice(SPACES) + spell(row, rng, is_row=True) + rng.choice(SPACES) for row in many]
    found = check("\n".join(lines).encode() + last)
    assert found.odd.tolist() == []
    assert len(found.line) == len(many)
    assert [row.messages for row in taken(found).values()] == [
        [(message["role"], message["content"]) for message in row["messages"]] for row in many
    ]


@given(st.lists(rows_and_more, min_size=1, max_size=3), st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_damaged_line_is_odd_or_means_what_json_says(
    many: list[dict[str, Any]], rng: random.Random, times: int
) -> None:
    block = bytearray("\n".join(spell(row, rng, is_row=True) for row in many).encode())
    for _ in range(times):
        place = rng.randrange(len(block))
        part = rng.choice(
            [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\0", b"0", b"-", b"\xed", b"\x1f", b" ", b"u"]
        )
        block[place : place + rng.randrange(3)] = rng.choice([b"", part, bytes([block[place] ^ 1 << rng.randrange(8)])])
        if not block:
            break
    check(bytes(block))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_without_harm(block: bytes) -> None:
    check(block)


GOOD = '{"messages":[{"role":"user","content":"Hi"}]}'
HEAD, TAIL = '{"messages":[{"role":"user","content":"', '"}]}'


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "null",
        '"messages"',
        "\ufeff" + GOOD,
        GOOD + ",",
        GOOD + GOOD,
        GOOD[:-1],
        GOOD[:-1] + ",}",
        '{"messages":[]}',
        '{"messages":[],"messages":[{"role":"user","content":"Hi"}]}',
        '{"messages":[{"role":"user","content":"Hi"},]}',
        '{"messages":[{"role":"user"}]}',
        '{"messages":[{"role":"user","content":null}]}',
        '{"messages":[{"role":1,"content":"Hi"}]}',
        '{"messages":[{"role":"user","role":"user"}]}',
        '{"messages":[{"role":"user","content":"Hi","content":"Hi"}]}',
        '{"messages":[{"role":"user","content":"Hi","name":"Bo"}]}',
        '{"messages":[{"role":"user","content":["Hi"]}]}',
        '{"messages":{"role":"user","content":"Hi"}}',
        '{"message":[{"role":"user","content":"Hi"}]}',
        '{"mess\\u0061ges":[{"role":"user","content":"Hi"}]}',
        *(
            HEAD + text + TAIL
            for text in ("\t", "\\u0000", "\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud800x", "\\u12g4")
        ),
        *(HEAD + text + TAIL for text in ("\\x", "\\", "\0", "\\U0041", "\\u+123", '"')),
        *(
            f'{GOOD[:-1]},"id":{own}}}'
            for own in ("null", "1.0", "-0", "01", "1e3", "true", '""', "[1]", "9" * 19, "-")
        ),
        *(
            f'{GOOD[:-1]},"n":{value}}}'
            for value in ("01", "1.", ".5", "-", "+1", "1e", "1e+", "NaN", "Infinity", "tru", "nul")
        ),
        *(
            f'{GOOD[:-1]},"n":{value}}}'
            for value in ("[1,]", "[,1]", "[1 2]", "[1", "1]", "[1}", '{"a":1]', "{1:1}", "{,}", '{"a":1,}')
        ),
        *(
            f'{GOOD[:-1]},"n":{value}}}'
            for value in ('{"a"}', '{"a":}', '"\t"', '"\\q"', "truex", "falsey", '["\\ud800"]', "'a'")
        ),
        f'{GOOD[:-1]},"n":{"[" * 65 + "]" * 65}}}',
        f'{GOOD[:-1]},"a":1,"b":2,"a":3}}',
        f'{GOOD[:-1]},"id":"a","id":"a"}}',
        f'{GOOD[:-1]},"a\\n":1}}',
        "{" + ",".join(f'"{k}":{k}' for k in range(64)) + "," + GOOD[1:],
    ],
)
def test_odd_lines_are_named_and_their_neighbours_kept(line: str) -> None:
    block = f"{GOOD}\n{line}\n\n{GOOD}".encode()
    found = check(block)
    assert found.odd[:, 2].tolist() == [1]
    assert found.line.tolist() == [0, 3]
    assert len(check(line.encode()).odd) == 1


@pytest.mark.parametrize(
    ("line", "meta"),
    [
        (GOOD, "{}"),
        (" \t" + GOOD + " \r", "{}"),
        (
            f'{{ "a" : [1, {{"b" : -0.5e+10}}] , {GOOD[1:-1]} , "c" :"x\\u00e9" }}',
            '{"a":[1, {"b" : -0.5e+10}],"c":"x\\u00e9"}',
        ),
        (f'{{"":null,"role":0,"é😀":false,{GOOD[1:]}', '{"":null,"role":0,"é😀":false}'),
        (f'{GOOD[:-1]},"n":{"[" * 64 + "]" * 64}}}', '{"n":' + "[" * 64 + "]" * 64 + "}"),
        (f'{GOOD[:-1]},"n":{{"a":{{}},"a":[]}}}}', '{"n":{"a":{},"a":[]}}'),
    ],
)
def test_other_members_are_carried_in_their_own_bytes(line: str, meta: str) -> None:
    found = check(line.encode())
    assert found.meta.to_pylist() == [meta]


def test_ids_are_text_or_whole_numbers_or_null() -> None:
    lines = [GOOD[:-1] + own + "}" for own in (',"id":"a/\\u00e9"', ',"id":-12', "", ',"id":0', ',"id": "0"')]
    found = check("\n".join(lines).encode())
    assert found.ids.to_pylist() == ["a/é", "-12", None, "0", "0"]


def test_keys_are_the_callers() -> None:
    line = b'{"id": 1, "talk": [{"value": "Hi", "from": "human"}]}'
    found = read(line, list_key="talk", role_key="from", text_key="value", id_key=None)
    assert taken(found) == {0: Row([("human", "Hi")], None, '{"id":1}')}
    assert len(read(line, list_key='ta"lk').odd) == 1
    line = '{"對話": [{"ролью": "a", "": "b"}]}'.encode()
    found = read(line, list_key="對話", role_key="ролью", text_key="")
    assert taken(found) == {0: Row([("a", "b")], None, "{}")}


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe4\xbd",
        b"\x80",
        b"\xf0\x80\x80\x80",
        b"\xe0\x80\x80",
    ],
)
def test_bytes_that_are_not_utf8_cost_only_their_line(bad: bytes) -> None:
    line = '{"messages":[{"role":"user","content":"你好 é 😀 \ud7ff\ue000 %s"}]}'
    good = (line % "x").encode()
    found = check(b"\n".join([good, (line % "@").encode().replace(b"@", bad), good]))
    assert found.odd[:, 2].tolist() == [1]
    assert found.line.tolist() == [0, 2]


def test_nothing_in_gives_nothing_out() -> None:
    for block in (b"", b"\n", b" \r\n\n\t"):
        assert taken(check(block)) == {}


def test_long_and_many() -> None:
    long = json.dumps({"messages": [{"role": "user", "content": 'é"\n' * 3_000_000}]}).encode()
    found = read(b"\n".join([long, b"{", long]))
    assert found.contents.to_pylist() == ['é"\n' * 3_000_000] * 2
    assert found.odd.tolist() == [[len(long) + 1, len(long) + 2, 1]]
    found = read(b"{\n" * 1000)
    assert found.odd.tolist() == [[2 * k, 2 * k + 1, k] for k in range(1000)]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda block: np.frombuffer(block, np.uint8)])
def test_blocks_of_any_type(kind: Any) -> None:  # noqa: ANN401
    found = read(kind((GOOD + "\n").encode()))
    assert taken(found) == {0: Row([("user", "Hi")], None, "{}")}


def test_a_block_beyond_int32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LARGEST", 10)
    with pytest.raises(ValueError, match="a block of 45 bytes is more than int32 offsets can count"):
        read(GOOD.encode())


@pytest.mark.parametrize(
    "name", ["dummy_conversation", "alpaca_1k_longest", "glaive_toolcall_en_demo", "lima", "alpaca_zh_demo"]
)
@pytest.mark.parametrize("dumps", [json.dumps, partial(json.dumps, ensure_ascii=False)])
def test_real_rows_come_back_whole(real_data: Path, name: str, dumps: Callable[[Any], str]) -> None:
    many = json.loads((real_data / "sft" / f"{name}.json").read_bytes())
    talks = [
        [(turn["from"], turn["value"]) for turn in row["conversations"]]
        if "conversations" in row
        else [("user", row["instruction"] + row.get("input", "")), ("assistant", row["output"])]
        for row in many
    ]
    lines = [
        dumps({"messages": [{"role": role, "content": text} for role, text in talk], "n": k})
        for k, talk in enumerate(talks)
    ]
    found = read("\n".join(lines).encode())
    assert found.odd.tolist() == []
    assert taken(found) == {k: Row(talk, None, f'{{"n":{k}}}') for k, talk in enumerate(talks)}
