"""Long conversations are split between exchanges, as open-instruct's script does where it is asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from curate.io.formats.dialogues import messages, sharegpt
from curate.io.formats.exchanges import LongSplit, split_parsed
from curate.io.parse import parse_lines
from curate.io.row_collector import Parsed
from curate.rows.schema import FULL
from curate.rows.tokens import Tokenizer
from tests.support.build_data import chat, turns

Row = dict[str, Any]
REAL: Final = ("dummy_conversation", "vicuna_dummy_data", "alpaca_1k_longest", "toolbench_weather_demo",
               "glaive_toolcall_en_demo")  # fmt: skip
"""ShareGPT's layout in the real data."""


def split(rows: Iterable[Row], how: LongSplit, form: Any = None) -> Parsed:  # noqa: ANN401
    form = form or messages()
    raw = [json.dumps(row).encode() for row in rows]
    return split_parsed(parse_lines(raw, range(1, len(raw) + 1), form, "id"), how, form.list_column)


def contents(parsed: Parsed) -> list[list[str]]:
    return [[turn["content"] for turn in row] for row in parsed.body["messages"].to_pylist()]


def faults(parsed: Parsed) -> list[tuple[int, str, str]]:
    return [(bad["line"], bad["column"], bad["expected"]) for bad in parsed.bad.to_pylist()]


def script(sample: Row, count: Callable[[str], int], limit: int) -> list[tuple[str, list[str]]]:
    """Split one row of ShareGPT as open-instruct e6c3044 does: split_one_sample, then filter_invalid_roles."""
    talk = sample["conversations"]
    lengths = [count(said["value"]) + 6 for said in talk[: len(talk) // 2 * 2]]
    if len(lengths) < 2:
        return []
    spans, start, filled = [], 0, 0
    for i in range(0, len(lengths), 2):
        more = lengths[i] + lengths[i + 1]
        if filled + more > limit:
            spans.append((start, i))
            start = i + 2 if more > limit else i
            filled = 0
        elif i == len(lengths) - 2:
            spans.append((start, i + 2))
        filled += more
    found = []
    for first, end in spans:
        roles = [said["from"] for said in talk[first:end]]
        if roles and all(role == ("human", "gpt")[k % 2] for k, role in enumerate(roles)):
            found.append((f"{sample['id']}_{first}", [said["value"] for said in talk[first:end]]))
    return found


def longer(rows: list[Row]) -> list[Row]:
    """Return real rows, and longer ones made of several: some begin with an answer, end with a question, or repeat."""
    chance = random.Random(3)
    made = [row["conversations"] for row in rows]
    for _ in range(300):
        talk = [said for row in chance.choices(rows, k=chance.randrange(1, 12)) for said in row["conversations"]]
        del talk[: chance.randrange(5) == 0], talk[len(talk) - (chance.randrange(4) == 0) :]
        if chance.randrange(6) == 0 and talk:
            talk.insert(chance.randrange(len(talk)), talk[chance.randrange(len(talk))])
        made.append(talk)
    return [{"id": f"r{i}", "conversations": talk} for i, talk in enumerate(made) if talk]


def test_real_rows_are_split_as_by_the_script(real_file: Callable[[str], Path], words_tokenizer: Path) -> None:
    import tokenizers

    model = tokenizers.Tokenizer.from_file(str(words_tokenizer / "tokenizer.json"))
    count = cache(lambda text: len(model.encode(text).ids))
    rows = longer([row for name in REAL for row in json.loads(real_file(f"sft/{name}.json").read_bytes())])
    plain = {row["id"] for row in rows if {said["from"] for said in row["conversations"]} <= {"human", "gpt"}}
    for limit in (20, 60, 200, 700, 2_048):
        made = split(rows, LongSplit(limit, Tokenizer(str(words_tokenizer), per_turn=6), "tulu2"), sharegpt())
        found = list(zip(made.ids.to_pylist(), contents(made), strict=True))
        wanted = [part for row in rows if row["id"] in plain for part in script(row, count, limit)]
        assert [part for part in found if part[0].split("_")[0] in plain] == wanted
        assert len(wanted) > (400 if limit > 100 else 20)


TOOLS: Final = '[{"name": "f"}]'


def random_rows(seed: int) -> list[Row]:
    chance = random.Random(seed)
    rows = []
    for i in range(60):
        roles = ["system"] * (chance.randrange(3) == 0)
        roles += chance.choices(["user", "assistant", "tool"], [5, 5, 1], k=chance.randrange(1, 14))
        said = [{"role": role, "content": f"{i}.{k} " + "word " * chance.randrange(30)} for k, role in enumerate(roles)]
        rows.append(
            {"id": str(i), "messages": said, "tools": TOOLS} if i % 5 == 0 else {"id": str(i), "messages": said}
        )
    return rows


def count(texts: Iterable[str]) -> int:
    return sum(-(-len(text.encode()) // 4) + 4 for text in texts)


@pytest.mark.parametrize("limit", [1, 30, 60, 150, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_every_message_is_in_one_part_or_quarantined(seed: int, limit: int) -> None:
    rows = random_rows(seed)
    made = split(rows, LongSplit(limit))
    parts: dict[str, list[tuple[int, list[str]]]] = {}
    for name, texts in zip(made.ids.to_pylist(), contents(made), strict=True):
        own, _, first = name.partition("_")
        parts.setdefault(own, []).append((int(first), texts))
    bad = {(line - 1, int(column[9:-1])) for line, column, _ in faults(made)}
    for i, row in enumerate(rows):
        said = [turn["content"] for turn in row["messages"]]
        head = 1 if row["messages"][0]["role"] == "system" and len(said) > 1 else 0
        around = count(said[:head]) + count([TOOLS] if "tools" in row else [])
        users = [k for k in range(head + 1, len(said))
                 if row["messages"][k]["role"] == "user" != row["messages"][k - 1]["role"]]  # fmt: skip
        wanted: list[tuple[int, int]] = []
        held: tuple[int, int] | None = None
        for start, end in zip([head, *users], [*users, len(said)], strict=True):  # greedy, an exchange at a time
            if around + count(said[start:end]) > limit:
                assert (i, start) in bad
                held = None
            elif held and around + count(said[held[0] : end]) <= limit:
                wanted[-1] = held = (held[0], end)
            else:
                held = (start, end)
                wanted.append(held)
        assert parts.pop(str(i), []) == [(first - head, said[:head] + said[first:end]) for first, end in wanted]
    assert not parts
    assert made.line.tolist() == sorted(made.line)
    assert made.bad["line"].to_pylist() == sorted(made.bad["line"].to_pylist())


def test_an_exchange_that_alone_is_too_long_is_quarantined_with_its_place() -> None:
    row = chat("Hi?", "Yes.", "Long? " + "x" * 400, "No.", "And?", "So.", id="a")
    made = split([row, chat("b", "c", id="b")], LongSplit(40))
    assert made.ids.to_pylist() == ["a_0", "a_4", "b_0"]
    assert contents(made) == [["Hi?", "Yes."], ["And?", "So."], ["b", "c"]]
    assert faults(made) == [(1, "messages[2]", "an exchange of at most 40 tokens, not 111")]
    assert made.bad["excerpt"].to_pylist()[0].startswith("Long? xxx")
    alone = split([chat("x" * 400, id="c")], LongSplit(40))
    assert (alone.body.num_rows, alone.bad.num_rows) == (0, 1)


def test_parts_keep_the_system_turn_tools_and_meta() -> None:
    said = [{"role": "system", "content": "Be."}, *turns("one", "1", "two", "2")]
    row = {"messages": said, "tools": '[{"name": "f"}]', "source": {"a": 1.50}}
    made = split([row], LongSplit(30))
    assert contents(made) == [["Be.", "one", "1"], ["Be.", "two", "2"]]
    assert made.ids.null_count == 2, "without an own id, a part has a hash of its content"
    assert made.body["tools"].to_pylist() == ['[{"name": "f"}]'] * 2
    assert made.body["meta"].to_pylist() == ['{"source":{"a": 1.5}}'] * 2
    found = split([row], LongSplit(22))
    assert faults(found)[0][2] == "an exchange, with the system turn and tools, of at most 22 tokens, not 23"


def test_an_exchange_keeps_its_calls_and_results_together() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "1"},
        {"role": "assistant", "content": "so", "reasoning_content": "hm"},
        *turns("two", "2"),
    ]
    made = split([{"messages": said}], LongSplit(44))
    assert made.body.schema.equals(FULL["conversation"])
    assert [[turn["role"] for turn in row] for row in made.body["messages"].to_pylist()] == [
        ["user", "assistant", "tool", "assistant"],
        ["user", "assistant"],
    ]
    assert made.body["messages"][0][1]["tool_calls"][0]["name"].as_py() == "f"
    assert [split([{"messages": said}], LongSplit(limit)).body.num_rows for limit in (45, 35)] == [1, 2]
    assert split([{"messages": said}], LongSplit(34)).bad.num_rows == 1, "calls and reasoning count"


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_what_messages_hold_besides_goes_with_them(system: str | None) -> None:
    said = [{"from": who, "value": text, "n": i} for i, (who, text) in enumerate([("human", "a"), ("gpt", "b")] * 2)]
    del said[0]["n"], said[1]["n"]
    row = {"conversations": said, "x": [1, 2, 3, 4]} | ({"system": system} if system else {})
    made = split([row, {"conversations": said}], LongSplit(18), sharegpt())
    assert made.body["meta"].to_pylist()[:2] == [
        '{"x":[1, 2, 3, 4]}',
        '{"x":[1, 2, 3, 4],"conversations":[{"n":2},{"n":3}]}',
    ]
    odd = split([{"messages": [{"role": "system", "content": "s", "k": 0}, *turns("a", "b", "c", "d")]}], LongSplit(18))
    assert odd.body["meta"].to_pylist() == ['{"messages":[{"k":0},{},{}]}'] * 2


@pytest.mark.parametrize(
    ("row", "parts", "bad"),
    [
        (chat("a"), 0, ["the last of an odd number"]),
        (chat("a", "b", "c"), 1, ["the last of an odd number"]),
        (chat("a", "b", "c", "d", "e", "f"), 1, ["a last one by itself"]),
        (chat("a", "b", "c", "d"), 1, []),
        ({"messages": turns("a", "b")[::-1]}, 0, ["take turns"]),
        ({"messages": [{"role": "system", "content": "s"}, *turns("a", "b")]}, 0, ["take turns", "odd number"]),
        (chat("x" * 90, "b"), 0, ["not 32"]),
        (chat("a", "b", "x" * 90, "d"), 1, ["not 32"]),
        (chat("x" * 90, "b", "c", "d"), 0, ["not 32", "by itself"]),
    ],
)
def test_what_the_script_leaves_out_is_quarantined(row: Row, parts: int, bad: list[str]) -> None:
    made = split([row], LongSplit(20, None, "tulu2"))
    assert made.body.num_rows == parts
    assert [part in found[2] for part, found in zip(bad, faults(made), strict=True)] == [True] * len(bad)


@pytest.mark.parametrize("like", [None, "tulu2"])
def test_no_rows_and_only_short_ones(like: Any) -> None:  # noqa: ANN401
    how = LongSplit(1_000, None, like)
    assert split([], how).body.num_rows == 0
    short = split([chat("a", "b", id="x"), chat("", "", id="y")], how)
    assert (short.ids.to_pylist(), short.bad.num_rows) == (["x_0", "y_0"], 0)


@pytest.mark.parametrize("like", [None, "tulu2"])
def test_edge_texts_are_carried(like: Any, edge_text: str) -> None:  # noqa: ANN401
    rows = [chat(edge_text, "b", "c", edge_text, "d", "e"), chat("a", edge_text)]
    for limit in (12, 40, 10**9):
        made = split(rows, LongSplit(limit, None, like))
        assert {text for row in contents(made) for text in row} <= {edge_text, "a", "b", "c", "d", "e"}
        assert made.body.num_rows + made.bad.num_rows >= 2


def test_a_slice_of_a_batch_is_split_as_its_rows() -> None:
    rows = [chat(f"a{i}", "b", "c", "d", id=str(i)) for i in range(5)]
    form = messages()
    whole = parse_lines([json.dumps(row).encode() for row in rows], range(1, 6), form, "id")
    some = whole._replace(body=whole.body.slice(2, 2), ids=whole.ids.slice(2, 2), line=whole.line[2:4])
    made = split_parsed(some, LongSplit(12), None)
    assert (made.ids.to_pylist(), made.line.tolist()) == (["2_0", "2_2", "3_0", "3_2"], [3, 3, 4, 4])
    assert contents(made)[2] == ["a3", "b"]
