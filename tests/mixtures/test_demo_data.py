"""The demo's files hold exactly the flaws that `mixtures/demo/README.md` says they hold.

Read with `json` and `gzip` alone, so that a reader, a step or a build can be held against figures it had no part in.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DEMO = Path(__file__).parents[2] / "mixtures" / "demo"
SOURCES = ("assistant", "instructions", "forum", "identity")
KINDS = {"human": "user", "gpt": "assistant"}
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")

REFUSALS = {
    "self_reference": r"as an ai\b",
    "no_feelings": r"i (do not|don't) have (emotions|feelings|opinions|personal experiences)",
    "knowledge_cutoff": r"my knowledge cutoff|my training data|as of my last update",
    "cannot_help": r"i can(no|')t help with|i am unable to provide",
    "provider": r"openai|anthropic",
}
LOOK_ALIKES = re.compile(r"said the robot|palm tree|cannot recommend it highly enough|claude monet")
LANGUAGES = {
    "German": r"\b(und|der|ich|wie|das|die)\b",
    "French": r"\b(les?|la|des|une?|est|il|en|son)\b",
    "Japanese": r"[\u3040-\u30ff]",
    "Chinese": r"[\u4e00-\u9fff]",
}
LEAKS = (
    "word for word",
    "word for word, in a later turn",
    "in other letter case",
    "inside a longer turn",
    "in the answer",
    "one word changed",
)
PERSONAL = re.compile(r"\S+@pellow-harbour\.\w+|\b01632 9601\d\d\b|\b192\.0\.2\.\d+\b")
LOWER_START = re.compile(r"[a-z]{2}[.!?] [a-z]")


class Turn(NamedTuple):
    role: str
    text: str


Row = list[Turn]


def plain(text: str) -> str:
    return " ".join(text.replace("’", "'").casefold().split())


def prompt(row: Row) -> str:
    first = next((n for n, turn in enumerate(row) if turn.role == "assistant"), len(row))
    return plain("\n".join(turn.text for turn in row[:first]))


def answers(row: Row) -> str:
    return "\n".join(turn.text for turn in row if turn.role == "assistant")


def lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


def turns(raw: dict[str, Any]) -> Row:
    """Return a raw row's turns; raises `LookupError` or `TypeError` where it has none to give."""
    if "instruction" in raw:
        asked = f"{raw['instruction']}\n{raw['input']}" if raw["input"] else raw["instruction"]
        row = [Turn("user", asked), Turn("assistant", raw["output"])]
    elif "conversations" in raw:
        row = [Turn(KINDS.get(turn["from"], turn["from"]), turn["value"]) for turn in raw["conversations"]]
    else:
        row = [Turn(turn["role"], turn["content"]) for turn in raw["messages"]]
    if not all(isinstance(turn.text, str) for turn in row):
        raise TypeError
    return row


def read(source: str) -> tuple[list[Row], list[int]]:
    """Return the readable rows of a conversation source, and the numbers (from 1) of those that are not."""
    path = next(DEMO.glob(f"{source}.json*"))
    raws = [json.dumps(raw) for raw in json.loads(path.read_text("utf-8"))] if path.suffix == ".json" else lines(path)
    rows: list[Row] = []
    bad: list[int] = []
    for number, raw in enumerate(raws, 1):
        try:
            rows.append(turns(json.loads(raw)))
        except (json.JSONDecodeError, LookupError, TypeError):
            bad.append(number)
    return rows, bad


READ = {source: read(source) for source in SOURCES}
ROWS = {source: rows for source, (rows, _) in READ.items()}
QUESTIONS = [json.loads(line)["question"] for line in lines(DEMO / "evals.jsonl")]
PAIRS = [json.loads(line) for line in lines(DEMO / "pairs.jsonl")]
RATINGS = [json.loads(line) for line in lines(DEMO / "ratings.jsonl")]


# --- what a row of a conversation source can be guilty of ---------------------------------------------------------


def refusal(family: str) -> Callable[[Row], bool]:
    """Return a test for rows whose answers first match this family, in the order of `REFUSALS`."""

    def found(row: Row) -> bool:
        text = plain(answers(row))
        return not looks_alike(row) and next((f for f, p in REFUSALS.items() if re.search(p, text)), None) == family

    return found


def looks_alike(row: Row) -> bool:
    return LOOK_ALIKES.search(plain(answers(row))) is not None


def has_empty_turn(row: Row) -> bool:
    return any(not turn.text.strip() for turn in row)


def is_unanswered(row: Row) -> bool:
    return row[-1].role == "user"


def has_wrong_order(row: Row) -> bool:
    roles = [turn.role for turn in row if turn.role != "system"]
    return roles[0] == "assistant" or any(first == second for first, second in pairwise(roles))


def has_lower_starts(row: Row) -> bool:
    return len(LOWER_START.findall(answers(row))) > 1


def has_personal_data(row: Row) -> bool:
    return any(PERSONAL.search(turn.text) for turn in row)


def written_in(language: str) -> Callable[[Row], bool]:
    """Return a test for rows in this language: three words of it in one turn, or a character of its script."""

    def found(row: Row) -> bool:
        if language == "Chinese" and written_in("Japanese")(row):
            return False
        needed = 3 if language in {"German", "French"} else 1
        return any(len(re.findall(LANGUAGES[language], turn.text.lower())) >= needed for turn in row)

    return found


def holds_question(kind: str) -> Callable[[Row], bool]:
    """Return a test for rows that hold a question of the eval set in this way."""

    def found(row: Row) -> bool:
        return any(kind == kind_of_leak(row, place, question) for place in range(len(row)) for question in QUESTIONS)

    return found


def kind_of_leak(row: Row, place: int, question: str) -> str | None:
    role, text = row[place]
    if plain(question) not in plain(text):
        return "one word changed" if one_word_apart(question, text) else None
    if role == "assistant":
        return "in the answer"
    if plain(question) != plain(text):
        return "inside a longer turn"
    if question != text:
        return "in other letter case"
    return "word for word" if place == 0 else "word for word, in a later turn"


def one_word_apart(question: str, text: str) -> bool:
    """Return whether one run of up to two words differs, in a question of at least twelve words."""
    ours, theirs = plain(question).split(), plain(text).split()
    shared = [a == b for a, b in zip(ours, theirs, strict=False)]
    front = shared.index(False) if False in shared else len(shared)
    shared = [a == b for a, b in zip(reversed(ours), reversed(theirs), strict=False)]
    back = shared.index(False) if False in shared else len(shared)
    return min(len(ours), len(theirs)) >= 12 and max(len(ours), len(theirs)) - front - back <= 2


def duplicates(source: str, *, within: bool) -> int:
    """Count the rows whose prompt stood in this source already, or else in an earlier one; no prompt equals none."""
    earlier = {prompt(row) for name in SOURCES[: SOURCES.index(source)] for row in ROWS[name]}
    here: set[str] = set()
    count = 0
    for row in ROWS[source]:
        key = prompt(row)
        count += bool(key) and (key in here if within else key in earlier - here)
        here.add(key)
    return count


def near_duplicates(source: str) -> int:
    """Count the rows whose prompt shares at least 0.8 of its word 5-grams with an earlier one without being equal."""
    seen = [prompt(row) for name in SOURCES[: SOURCES.index(source)] for row in ROWS[name]]
    count = 0
    for row in ROWS[source]:
        key = prompt(row)
        count += key not in seen and any(jaccard(key, other) >= 0.8 for other in seen)
        seen.append(key)
    return count


def jaccard(one: str, other: str) -> float:
    a, b = ({tuple(words[n : n + 5]) for n in range(len(words) - 4)} for words in (one.split(), other.split()))
    return len(a & b) / max(1, len(a | b))


ROW_FLAWS: dict[str, Callable[[Row], bool]] = {
    **{f"refusal: {family}": refusal(family) for family in REFUSALS},
    "looks like a refusal and is none": looks_alike,
    "empty turn": has_empty_turn,
    "last turn unanswered": is_unanswered,
    "roles in the wrong order": has_wrong_order,
    "sentences that start in lower case": has_lower_starts,
    "made-up mail, telephone or IP address": has_personal_data,
    **{f"in {language}": written_in(language) for language in LANGUAGES},
    **{f"eval question {kind}": holds_question(kind) for kind in LEAKS},
}


SOURCE_FLAWS: dict[str, Callable[[str], int]] = {
    "rows": lambda source: len(ROWS[source]) + len(READ[source][1]),
    "unreadable": lambda source: len(READ[source][1]),
    "prompt as before in this source": lambda source: duplicates(source, within=True),
    "prompt as before in an earlier source": lambda source: duplicates(source, within=False),
    "prompt nearly as before": near_duplicates,
}


# --- pairs and ratings --------------------------------------------------------------------------------------------


def refuses(text: str) -> bool:
    return any(re.search(pattern, plain(text)) for pattern in REFUSALS.values())


def contradicts(pair: dict[str, str]) -> bool:
    turned = {"prompt": pair["prompt"], "chosen": pair["rejected"], "rejected": pair["chosen"]}
    return turned != pair and turned in PAIRS


def leaks(text: str) -> bool:
    return any(plain(question) in plain(text) for question in QUESTIONS)


PAIR_FLAWS: dict[str, Callable[[dict[str, str]], bool]] = {
    "rows": lambda _: True,
    "chosen is longer than rejected": lambda pair: len(pair["chosen"]) > len(pair["rejected"]),
    "chosen equals rejected": lambda pair: pair["chosen"] == pair["rejected"],
    "chosen equals rejected but for letter case and white space": lambda pair: (
        pair["chosen"] != pair["rejected"] and plain(pair["chosen"]) == plain(pair["rejected"])
    ),
    "one side empty": lambda pair: not (pair["chosen"].strip() and pair["rejected"].strip()),
    "chosen refuses, rejected answers": lambda pair: refuses(pair["chosen"]) and not refuses(pair["rejected"]),
    "rejected names another assistant": lambda pair: "ChatGPT" in pair["rejected"],
    "answer repeats the prompt": lambda pair: pair["prompt"] in pair["chosen"] + pair["rejected"],
    "answers in another language than the prompt": lambda pair: (
        written_in("German")([Turn("assistant", pair["chosen"])]) and "German" not in pair["prompt"]
    ),
    "same prompt with the labels swapped": contradicts,
    "eval question in the prompt": lambda pair: leaks(pair["prompt"]),
}


def overalls(rated: dict[str, Any]) -> list[float]:
    return [c["overall_score"] for c in rated["completions"] if c["overall_score"] is not None]


def aspects(completion: dict[str, Any]) -> list[str]:
    return [completion["annotations"][aspect]["Rating"] for aspect in ASPECTS]


def one_became_ten(completion: dict[str, Any]) -> bool:
    return completion["overall_score"] == 10 and sum(map(int, aspects(completion))) <= 2 * len(ASPECTS)


RATING_FLAWS: dict[str, Callable[[dict[str, Any]], int]] = {
    "rows": lambda _: 1,
    "completions": lambda rated: len(rated["completions"]),
    "one completion only": lambda rated: len(rated["completions"]) == 1,
    "all completions tied": lambda rated: len(overalls(rated)) > 1 and len(set(overalls(rated))) == 1,
    "two completions tied at the top": lambda rated: overalls(rated).count(max(overalls(rated))) == 2,
    "completions whose 1 became a 10": lambda rated: sum(map(one_became_ten, rated["completions"])),
    "completions with an N/A rating": lambda rated: sum("N/A" in aspects(c) for c in rated["completions"]),
    "completions without an overall score": lambda rated: len(rated["completions"]) - len(overalls(rated)),
    "completions that refuse": lambda rated: sum(refuses(c["response"]) for c in rated["completions"]),
    "eval question in the prompt": lambda rated: leaks(rated["instruction"]),
}


# --- the README's tables against the files ------------------------------------------------------------------------


def tables() -> dict[str, dict[str, list[int]]]:
    """Return the README's tables of figures by their first heading: flaw to its figures."""
    found: dict[str, dict[str, list[int]]] = {}
    heading = ""
    for line in (DEMO / "README.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and all(re.fullmatch(r"\d+|", cell) for cell in cells[1:]):
            found.setdefault(heading, {})[cells[0]] = [int(cell or 0) for cell in cells[1:]]
        elif line.startswith("|") and not set(line) <= set("|-: "):
            heading = cells[0]
    return found


TABLES = tables()


@pytest.mark.parametrize("flaw", SOURCE_FLAWS)
def test_conversation_sources_hold_the_stated_flaws(flaw: str) -> None:
    assert list(map(SOURCE_FLAWS[flaw], SOURCES)) == TABLES["conversations"][flaw]


@pytest.mark.parametrize("flaw", ROW_FLAWS)
def test_conversations_hold_the_stated_flaws(flaw: str) -> None:
    assert [sum(map(ROW_FLAWS[flaw], ROWS[source])) for source in SOURCES] == TABLES["conversations"][flaw]


@pytest.mark.parametrize("flaw", PAIR_FLAWS)
def test_pairs_hold_the_stated_flaws(flaw: str) -> None:
    assert [sum(map(PAIR_FLAWS[flaw], PAIRS))] == TABLES["pairs"][flaw]


@pytest.mark.parametrize("flaw", RATING_FLAWS)
def test_ratings_hold_the_stated_flaws(flaw: str) -> None:
    assert [sum(map(RATING_FLAWS[flaw], RATINGS))] == TABLES["ratings"][flaw]


def test_the_readme_states_no_flaw_that_is_not_counted() -> None:
    stated = {heading: set(table) for heading, table in TABLES.items()}
    assert stated == {
        "conversations": {*SOURCE_FLAWS, *ROW_FLAWS},
        "pairs": {*PAIR_FLAWS},
        "ratings": {*RATING_FLAWS},
    }


def test_unreadable_rows_lie_where_the_readme_says() -> None:
    assert {source: bad for source, (_, bad) in READ.items() if bad} == {
        "assistant": [26, 64, 97],
        "instructions": [17, 58],
    }


def test_eval_items_are_whole_and_distinct() -> None:
    items = [json.loads(line) for line in lines(DEMO / "evals.jsonl")]
    assert len({item["id"] for item in items}) == len({plain(item["question"]) for item in items}) == len(items) == 25
    assert all(item["question"].strip() and item["answer"].strip() for item in items)


def test_the_demo_stays_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 600_000
