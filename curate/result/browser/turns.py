"""The turns of a row, its parts and tools, with their hits highlighted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from curate.result.browser.highlights import WHOLE, Hit, Span, cut
from curate.rows.segments import OF_CALL, SIDES

TURNS: Final = 12
"""Turns shown of one row; turns with a hit are always shown."""

NAME, ARGUMENTS = OF_CALL[:2]
"""How the place of a hit ends that is in the name of a call, or in its arguments."""


class Turn(NamedTuple):
    """One message or completion: its role, its text, and the hits on the whole turn (no text, a role out of order).

    `side` is empty for a conversation. A run of turns that are not shown is one `Turn` with `left_out` set. Reasoning,
    calls and tools are `folded` on a page, unless they have a hit.
    """

    side: str
    role: str
    text: tuple[Span, ...] = ()
    flags: tuple[str, ...] = ()
    left_out: int = 0
    folded: bool = False
    number: int = 0


def turns_of(
    kind: str, row: dict[str, Any], hits: Sequence[dict[str, Any]] = (), whole: int = WHOLE
) -> tuple[Turn, ...]:
    """Return the turns of a row (an Arrow struct as Python values), with the hits of its evidence."""
    every = [_turn(side, number, role, text, hits, whole) for side, number, role, text in every_turn(kind, row)]
    return _shorten(every, TURNS, len(every))


def all_turns(
    kind: str, row: dict[str, Any], hits: Sequence[dict[str, Any]], *, whole: int, most: int
) -> tuple[Turn, ...]:
    """Return at most about `most` turns of a row, those with hits first, each shown whole up to `whole` characters."""
    places = every_turn(kind, row)
    hit_at = {(_of_turn(hit["side"]), hit["turn"]) for hit in hits}
    keep = _kept_turns([(side, number) in hit_at for side, number, *_ in places], most, most)
    shown = (
        _turn(*turn, hits, whole) if number in keep else Turn("", "", left_out=1) for number, turn in enumerate(places)
    )
    return _joined(shown)


ShownTurn: TypeAlias = tuple[str, int, str, str]
"""Side, number, role and text of a turn, or of a part of one."""


def every_turn(kind: str, row: dict[str, Any]) -> list[ShownTurn]:
    """Return side, number, role and text of each turn of a row, its parts and tools, named as evidence names them."""
    tools = _tools("dialogue" if kind == "conversation" else "prompt", row)
    if kind == "conversation":
        return [*tools, *_messages("dialogue", row["messages"])]
    if kind != "rated":
        sides = [side for side in SIDES if side in row]
        return [*tools, *(turn for side in sides for turn in _messages(side, row[side]))]
    answers = [
        (
            "completion",
            number,
            f"assistant, {answer['model']}" if answer["model"] else "assistant",
            answer["content"] or "",
        )
        for number, answer in enumerate(row["completions"] or [])
    ]
    return [*tools, *_messages("prompt", row["messages"]), *answers]


def _tools(side: str, row: dict[str, Any]) -> list[ShownTurn]:
    return [(f"{side}.tools", 0, "tools", row["tools"])] if row.get("tools") else []


def _messages(side: str, messages: list[dict[str, Any]] | None) -> list[ShownTurn]:
    """Return the turns of messages: reasoning before content, calls after it."""
    shown: list[ShownTurn] = []
    for number, message in enumerate(messages or []):
        role, calls = message["role"] or "", message.get("tool_calls") or []
        if message.get("reasoning") is not None:
            shown.append((f"{side}.reasoning", number, f"{role}, reasoning", message["reasoning"]))
        if message["content"] or not calls:
            name = f"{role}, {message['name']}" if message.get("name") else role
            shown.append((side, number, name, message["content"] or ""))
        several = len(calls) > 1
        for place, call in enumerate(calls, 1):
            what = f"{role}, call {place}, of {call['name']}" if several else f"{role}, call of {call['name']}"
            shown.append((f"{side}.call{place}", number, what, call["arguments"]))
    return shown


def _turn(side: str, number: int, role: str, text: str, hits: Sequence[dict[str, Any]], whole: int) -> Turn:
    """Return a turn with its hits: in its text, or, those of no length or in the name of a call, on the turn itself."""
    own = [hit for hit in hits if (_of_turn(hit["side"]), hit["turn"]) == (side, number)]
    inside = [hit for hit in own if hit["start"] < hit["end"] <= len(text) and not hit["side"].endswith(NAME)]
    spans = [Hit(hit["start"], hit["end"], _title(hit)) for hit in inside]
    flags = tuple(dict.fromkeys(_title(hit) for hit in own if hit["start"] >= hit["end"] or hit["side"].endswith(NAME)))
    whose, _, part = side.partition(".")
    shown = tuple(cut(text, spans, whole=whole))
    return Turn("" if whose == "dialogue" else whose, role, shown, flags, folded=bool(part) and not own, number=number)


def _of_turn(place: str) -> str:
    """Return the place of a hit without what of a call it is."""
    return place.removesuffix(NAME).removesuffix(ARGUMENTS)


def _title(hit: dict[str, Any]) -> str:
    what = f"{hit['reason']}: {hit['match']}" if hit["match"] else str(hit["reason"])
    return f"{what} (in the name)" if hit["side"].endswith(NAME) else what


def _shorten(turns: list[Turn], most: int, hits: int) -> tuple[Turn, ...]:
    """Leave out turns of a long dialogue, with their count: see `_kept_turns`."""
    keep = _kept_turns([bool(turn.flags) or any(span.titles for span in turn.text) for turn in turns], most, hits)
    return _joined(turn if number in keep else Turn("", "", left_out=1) for number, turn in enumerate(turns))


def _kept_turns(is_hit: Sequence[bool], most: int, hits: int) -> set[int]:
    """Return the turns that are shown: all if they are at most `most`, else first and last and `hits` with a hit."""
    if len(is_hit) <= most:
        return set(range(len(is_hit)))
    return {0, 1, len(is_hit) - 1} | set([number for number, hit in enumerate(is_hit) if hit][:hits])


def _joined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Count neighbouring turns that are left out as one."""
    shown: list[Turn] = []
    for turn in turns:
        if turn.left_out and shown and shown[-1].left_out:
            shown[-1] = shown[-1]._replace(left_out=shown[-1].left_out + turn.left_out)
        else:
            shown.append(turn)
    return tuple(shown)
