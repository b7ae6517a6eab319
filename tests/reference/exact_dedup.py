"""Which rows fall to which, the slow way: one dictionary of normalised turns."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.reference.normal import normal

ROLES_OF = {
    "all": {"system", "user", "assistant", "tool"},
    "response": {"assistant"},
    "user": {"user"},
}


class Entry(NamedTuple):
    """One row that reached the step."""

    row: int
    source: int
    rank: int
    protect: bool
    messages: list[dict[str, Any]]


def survivors(entries: list[Entry], on: str, keep: str) -> dict[int, int]:
    """Return the row that each falling row falls to."""
    groups: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for entry in entries:
        turns = [(turn["role"], normal(turn["content"])) for turn in entry.messages if turn["role"] in ROLES_OF[on]]
        if any(text for _, text in turns):
            groups.setdefault(tuple(turns), []).append(entry)
    sign = {"first": 0, "longest": -1, "shortest": 1}[keep]
    dropped: dict[int, int] = {}
    for group in groups.values():
        size = {entry.row: sign * sum(len(turn["content"]) for turn in entry.messages) for entry in group}
        first = min(group, key=lambda entry: (not entry.protect, entry.source, size[entry.row], entry.rank, entry.row))
        dropped |= {entry.row: first.row for entry in group if not entry.protect and entry is not first}
    return dropped
