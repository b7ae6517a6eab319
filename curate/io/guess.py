"""Which mapping may fit rows that no format reads: by the names of their fields, and by what is in them.

A guess is offered only if it then reads the rows, so that an error never names a call that fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from curate.errors import MixtureError
from curate.io.formats.base import Format
from curate.io.formats.columns import TIE, canonical, columns
from curate.io.formats.dialogues import messages, sharegpt
from curate.io.formats.messages_common import MESSAGES_ROLES, SHAREGPT_ROLES
from curate.io.formats.rated import score_of, scored
from curate.io.labels import WINNERS

Columns: TypeAlias = dict[str, list[Any]]
"""The values of each field, also of those one level down, by their path."""

MOST: Final = 0.9
"""Share of the rows that a field must be in."""

PAIR: Final = 2
"""Answers of a list that may be the chosen and the rejected one."""

_ROLE: Final = ("role", "from", "speaker", "author", "sender", "participant", "actor")
_TEXT: Final = ("content", "value", "utterance", "text", "message", "body")
_OTHER_ROLES: Final = {
    "developer": "system", "environment": "tool", "ipython": "tool", "bot": "assistant", "ai": "assistant",
    "agent": "assistant", "customer": "user", "student": "user", "client": "user", "tutor": "assistant",
}  # fmt: skip
_WORDS: Final = 8
"""Unknown words for a role, at most: more are names."""

_PROMPT: Final = re.compile(r"prompt|instruction|question|query|problem|input|context")
_ANSWER: Final = re.compile(r"response|completion|output|answer|reply|solution|target")
_ID: Final = re.compile(r"(^|_)(id|idx|hash)$")
_SYSTEM: Final = re.compile(r"system(_prompt)?")
_SCORE: Final = re.compile(
    r"help|correct|coheren|complex|verbos|honest|truth|harmless|safety|quality|score|rating|reward|overall|fluen|relevan"
)
_OPPOSITES: Final = (
    ("chosen", "rejected"), ("accepted", "rejected"), ("good", "bad"), ("better", "worse"), ("best", "worst"),
    ("preferred", "dispreferred"), ("preferred", "rejected"), ("positive", "negative"), ("winning", "losing"),
    ("right", "hallucinated"), ("correct", "incorrect"),
)  # fmt: skip
_SIDES: Final = (("1", "2"), ("_a", "_b"), ("_0", "_1"))


def guesses(rows: Sequence[dict[str, Any]]) -> Iterator[Format]:
    """Yield formats that may fit decoded rows, the likeliest first."""
    found = _columns(rows)
    for guess in (_turns, _pairs, _judged, _scores, _answers):
        try:
            yield from guess(found, len(rows))
        except MixtureError:  # such as one column for the prompt and the answer
            continue


def texts_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of the fields that are texts, without what is within lists."""
    return [name for name in _texts(_columns(rows), len(rows)) if name and "[" not in name]


def _columns(rows: Sequence[dict[str, Any]]) -> Columns:
    """Return the values of all fields, those one level down behind the others."""
    above: Columns = {}
    below: Columns = {}
    for row in rows:
        for name, value in row.items():
            above.setdefault(name, []).append(value)
            inner = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {}
            for place, item in enumerate(value[:2]) if isinstance(value, list) else ():
                inner |= {f"{name}[{place}].{key}": one for key, one in item.items()} if isinstance(item, dict) else {}
                inner[f"{name}[{place}]"] = item
            for path, one in inner.items():
                below.setdefault(path, []).append(one)
    return above | below


def _texts(found: Columns, rows: int) -> list[str]:
    """Return the names of the fields that are texts, without ids."""
    texts = (name for name, values in found.items() if sum(isinstance(v, str) for v in values) >= MOST * rows)
    return [name for name in texts if not _ID.search(name.lower())]


def _named(names: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    """Return the names of which the last part matches: fields first, then those that are the word itself."""
    order = pattern.pattern.split("|")
    hits = [(name, hit[0]) for name in names if (hit := pattern.search(_last(name)))]
    return [name for name, _ in sorted(hits, key=lambda h: (h[0].count("."), _last(h[0]) != h[1], order.index(h[1])))]


def _last(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _prompt(texts: Sequence[str], besides: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what may be the prompt: `instruction` with its `input` as one."""
    names = [name for name in _named(texts, _PROMPT) if name not in besides and "[" not in name]
    if "instruction" in names and "input" in names:
        return [("instruction", "input")]
    return [(name,) for name in names[:1]]


def _system(texts: Sequence[str]) -> str | None:
    return next((name for name in texts if _SYSTEM.fullmatch(name.lower())), None)


def _turns(found: Columns, rows: int) -> Iterator[Format]:
    """Yield formats for lists of messages with other names, or with words for roles that no table knows."""
    for name, values in found.items():
        lists = [value for value in values if isinstance(value, list) and value]
        turns = [turn for value in lists for turn in value if isinstance(turn, dict)]
        if len(lists) < MOST * rows or not turns:
            continue
        role = next((key for key in _ROLE if all(isinstance(turn.get(key), str) for turn in turns)), None)
        text = next((key for key in _TEXT if any(isinstance(turn.get(key), str) for turn in turns)), None)
        if role is None or text is None:
            continue
        words = list(dict.fromkeys(turn[role] for turn in turns))
        if (role, text) == ("from", "value"):
            yield sharegpt(name, roles=_roles(words, SHAREGPT_ROLES))
        else:
            yield messages(name, role=role, content=text, roles=_roles(words, MESSAGES_ROLES))


def _roles(words: Sequence[str], known: dict[str, str]) -> dict[str, str]:
    """Return the roles of words that a format does not know; raises `MixtureError` for too many.

    Of unknown speakers, the first is the user. Without an assistant, "system" is the system that the user talks to.
    """
    clear = {word: SHAREGPT_ROLES.get(word.lower(), _OTHER_ROLES.get(word.lower())) for word in words}
    unknown = [word for word, role in clear.items() if role is None]
    if len(unknown) > _WORDS:
        raise MixtureError("these are names")
    alone = "assistant" not in clear.values() and not unknown
    made: dict[str, str] = {}
    for word, role in clear.items():
        if role == "system" and alone:
            made[word] = "assistant"
        elif role is None:
            has_user = "user" in clear.values() or "user" in made.values()
            made[word] = "assistant" if has_user else "user"
        elif word.lower() not in known:
            made[word] = role
    return made


def _pairs(found: Columns, rows: int) -> Iterator[Format]:
    """Yield `columns` for two answers whose names are opposites, and for a list of a chosen and a rejected one."""
    texts = _texts(found, rows)
    for better, worse in _OPPOSITES:
        for chosen in texts:
            rejected = chosen.replace(better, worse)
            if rejected != chosen and rejected in texts:
                for prompt in _prompt(texts, (chosen, rejected)):
                    yield columns(prompt, chosen=chosen, rejected=rejected, system=_system(texts))
    two = [name for name, values in found.items() if all(isinstance(v, list) and len(v) == PAIR for v in values)]
    for name in _named([name for name in two if {f"{name}[0]", f"{name}[1]"} <= set(texts)], _ANSWER):
        for prompt in _prompt(texts, ()):
            yield columns(prompt, chosen=f"{name}[0]", rejected=f"{name}[1]", system=_system(texts))


def _judged(found: Columns, rows: int) -> Iterator[Format]:
    """Yield `columns` for two numbered answers with a field that says which of them won."""
    texts = _texts(found, rows)
    for one, two in _SIDES:
        for first in _named([name for name in texts if name.lower().endswith(one)], _ANSWER):
            second = first[: -len(one)] + (two if first.endswith(one) else two.upper())
            if second not in texts:
                continue
            for winner in sorted(found, key=lambda name: name.lower() not in WINNERS):
                values = _verdicts(found[winner], first, second)
                for prompt in _prompt(texts, (first, second)) if values else ():
                    yield columns(prompt, chosen=first, rejected=second, winner=winner, values=values)


def _verdicts(said: Sequence[Any], first: str, second: str) -> dict[Any, str] | None:
    """Return which answer each value of a field means; None if the values do not say it."""
    plain = {canonical(value) for value in said if isinstance(value, str | int | float)}
    for one, two in (("1", "2"), ("a", "b"), ("model_a", "model_b"), (first.lower(), second.lower())):
        ties = {value for value in plain if value == "0" or "tie" in value or value in {"both", "draw", "equal"}}
        if plain & {one, two} and {"2", "b", "model_b", second.lower()} & plain and plain <= {one, two} | ties:
            return {one: first, two: second, **dict.fromkeys(sorted(ties | {"0" if one == "1" else "tie"}), TIE)}
    return None


def _scores(found: Columns, rows: int) -> Iterator[Format]:
    """Yield `scored` for a prompt and an answer with numbers that are named like scores."""
    texts = _texts(found, rows)
    names = [
        name
        for name, values in found.items()
        if _SCORE.search(name.lower()) and sum(score_of(value) is not None for value in values) >= rows / 2
    ]
    for answer in _named(texts, _ANSWER)[:1] if names else ():
        for prompt in _prompt(texts, (answer, *names)):
            yield scored(prompt[0], answer, names)


def _answers(found: Columns, rows: int) -> Iterator[Format]:
    """Yield `columns` for a prompt and an answer of other names."""
    texts = _texts(found, rows)
    numbered = tuple(side for pair in _SIDES for side in pair)
    for answer in [name for name in _named(texts, _ANSWER) if not name.lower().endswith(numbered)][:1]:
        for prompt in _prompt(texts, (answer,)):
            yield columns(prompt, answer, system=_system(texts))
