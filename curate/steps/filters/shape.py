"""Filter by form: how many turns, characters and words a row has, and whether turns and calls make a dialogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import check_whole
from curate.rows.schema import ASSISTANT, ROLES, SYSTEM, TOOL, UNKNOWN_ROLE, USER, kind_of
from curate.rows.segments import CONTENT, On, Part, Segments, TextPart, check_on, select
from curate.steps._evidence import part_hits, sort_and_trim
from curate.steps._settings import check_order
from curate.steps.base import Bound, Evidence, Filter, Scores
from curate.steps.filters._calls import CallFault, call_faults, fault_counts, fault_evidence
from curate.text.normal import blank
from curate.text.reasoning_marks import open_reasoning
from curate.text.words import measure

START: Final = UNKNOWN_ROLE + 1
"""The role before the first turn."""

FOLLOWS: Final = {
    START: (SYSTEM, USER),
    SYSTEM: (USER,),
    USER: (ASSISTANT,),
    ASSISTANT: (USER, TOOL),
    TOOL: (TOOL, ASSISTANT),
}
"""The roles that may follow a role. Several tools may answer one assistant turn."""

SIZES: Final = ("turns", "characters", "words")
LIMITS: Final = frozenset(f"{end}_{size}" for end in ("min", "max") for size in SIZES)
FORM: Final = frozenset(
    {"empty_turns", "unanswered", "role_order", "unknown_tools", "bad_arguments", "unmatched_calls", "open_reasoning"}
)
NAMES: Final = (*ROLES, "unknown role", "the start")
MATCHES: Final = pa.array([*NAMES, *(f"{name} after {before}" for before in NAMES for name in NAMES)])
"""What a hit matched: the role of an empty turn, or a turn out of order and the one before it."""


@dataclass(frozen=True, kw_only=True)
class Shape(Filter):
    """See `shape`. It reads whole rows, for their form, and measures the size of what `on` selects."""

    version: ClassVar[int] = 4
    name: ClassVar[str] = "shape"
    bound_fields: ClassVar[frozenset[str]] = LIMITS | FORM
    min_turns: int | None = None
    max_turns: int | None = None
    min_characters: int | None = None
    max_characters: int | None = None
    min_words: int | None = None
    max_words: int | None = None
    empty_turns: bool = False
    unanswered: bool = False
    role_order: bool = True
    unknown_tools: bool = False
    bad_arguments: bool = False
    unmatched_calls: bool = False
    open_reasoning: bool = False

    @property
    def reads(self) -> On:
        """Whole rows."""
        return "all"

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """Contents, and calls: a turn that makes one is not empty."""
        return frozenset({"content", "call"})

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits: form first, then sizes."""
        form = (
            ("empty_turn", "empty_turns", not self.empty_turns),
            ("role_order", "role_order", self.role_order),
            ("unanswered", "unanswered", not self.unanswered),
            ("unknown_tool", "unknown_tools", not self.unknown_tools),
            ("bad_arguments", "bad_arguments", not self.bad_arguments),
            ("unmatched_call", "unmatched_calls", not self.unmatched_calls),
            ("open_reasoning", "open_reasoning", not self.open_reasoning),
        )
        bounds = [Bound(reason, score, at_most=0) for reason, score, held in form if held]
        for size in SIZES:
            low, high = getattr(self, f"min_{size}"), getattr(self, f"max_{size}")
            bounds += [Bound(f"too_few_{size}", size, at_least=low), Bound(f"too_many_{size}", size, at_most=high)]
        return tuple(bound for bound in bounds if bound[2:] != (None, None))

    def score(self, segments: Segments) -> Scores:
        """Measure turns, characters and words of the measured segments, and the form of whole rows."""
        rows = segments.rows
        measured = select(segments, self.on, CONTENT).parts
        sizes = [measure(part.text, part.index) for part in measured]
        calls, segments = segments, select(segments, "all", CONTENT)
        empty = [blank(part.text, part.index) & ~_with_calls(part, calls) for part in segments.parts]
        order = _misplaced(segments)
        open_ended = [_open_reasoning(part) for part in segments.parts]
        faults = call_faults(segments)
        unknown, bad, unmatched = fault_counts(faults, rows)
        columns: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {
            "turns": _turns(measured, rows),
            "characters": _sum(measured, [characters for _, characters in sizes], rows),
            "words": _sum(measured, [words for words, _ in sizes], rows),
            "empty_turns": _sum(segments.parts, empty, rows),
            "unanswered": _unanswered(segments).astype(np.int32),
            "role_order": _sum(segments.parts, [previous >= 0 for previous in order], rows),
            "unknown_tools": unknown,
            "bad_arguments": bad,
            "unmatched_calls": unmatched,
            "open_reasoning": _sum(segments.parts, open_ended, rows),
        }
        return Scores(columns, self._evidence(segments.parts, empty, order, open_ended, faults))

    def _evidence(
        self,
        parts: tuple[Part, ...],
        empty: list[NDArray[np.bool_]],
        order: list[NDArray[np.int8]],
        open_ended: list[NDArray[np.bool_]],
        faults: list[CallFault],
    ) -> Evidence:
        """Return a hit for each turn that is empty, open or out of order ("user after user"), and each fault."""
        reasons = [bound.reason for bound in self.bounds()]
        hits = [fault_evidence(faults, reasons)]
        for part, is_empty, previous, is_open in zip(parts, empty, order, open_ended, strict=True):
            first = np.full_like(previous, -1)  # a place in MATCHES counts the role before, if one was wrong
            for reason, marked, before in (
                ("empty_turn", is_empty, first),
                ("role_order", previous >= 0, previous),
                ("open_reasoning", is_open, first),
            ):
                if reason in reasons:
                    place = np.flatnonzero(marked)
                    nowhere = np.zeros(len(place), np.int32)
                    word = len(NAMES) * (1 + before[place].astype(np.int32)) + part.role[place]
                    hits.append(part_hits(part, place, reasons.index(reason), nowhere, nowhere, MATCHES.take(word)))
        return sort_and_trim(hits, shown=None)


def shape(
    *,
    on: str | frozenset[str] | set[str] = "all",
    min_turns: int | None = None,
    max_turns: int | None = None,
    min_characters: int | None = None,
    max_characters: int | None = None,
    min_words: int | None = None,
    max_words: int | None = None,
    empty_turns: bool = False,
    unanswered: bool = False,
    role_order: bool = True,
    unknown_tools: bool = False,
    bad_arguments: bool = False,
    unmatched_calls: bool = False,
    open_reasoning: bool = False,
    allow_large_drop: bool = False,
) -> Shape:
    """Drop rows whose turns do not make a dialogue, with wrong calls of tools, and rows outside the given sizes.

    All ten scores are always measured, so a limit can be set or moved later. `turns` are those of the row's longest
    dialogue: a preference row's prompt and the longer answer, a rated row's prompt and one answer, an unpaired row's
    prompt and completion. A row without turns has size 0 and is unanswered.

    Args:
        on: The segments whose size is measured. Form is judged on whole rows.
        min_turns: Fewer turns are `too_few_turns`. Default, as of all sizes: no limit.
        max_turns: More turns are `too_many_turns`.
        min_characters: Fewer Unicode code points, summed over the row, are `too_few_characters`.
        max_characters: More are `too_many_characters`.
        min_words: Fewer words (`curate.text.words`), summed over the row, are `too_few_words`.
        max_words: More are `too_many_words`.
        empty_turns: Allow turns of nothing but white space and invisible characters; otherwise `empty_turn`. A turn
            with a call is not empty.
        unanswered: Allow a last turn that is not the assistant's, a rated or unpaired row without a completion, and a
            preference row with an answer that does not end with the assistant; otherwise `unanswered`. Rows of kind
            prompt await an answer.
        role_order: Drop rows with a turn out of order (`role_order`). A system turn comes first or nowhere; user and
            assistant alternate, the user first; tool turns come between two assistant turns.
        unknown_tools: Allow calls of tools that are not in `tools`, if the row has any; otherwise `unknown_tool`.
        bad_arguments: Allow arguments that are not JSON text or do not fit the schema of their tool; otherwise
            `bad_arguments`. Schemas that are none, need the network, or have patterns with look-around do not count. In
            rows with tools or calls, `<tool_call>` in an answer's text that marks no call, or has text behind it, does.
        unmatched_calls: Allow calls without a result before the next turn and results without a call, by their ids or
            else their order; otherwise `unmatched_call`. A row may end with calls, and without any it has no unmatched
            result. One result may be that of all calls of a turn without ids.
        open_reasoning: Allow answers that begin with `<think>` and have no `</think>`, or have that one alone, outside
            quotation marks and backticks; otherwise `open_reasoning`.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter.

    Raises:
        MixtureError: An unknown `on`, a negative limit, or a lower limit above its upper one.

    Example:
        >>> [bound.reason for bound in shape(min_words=3).bounds() if bound.score == "words"]
        ['too_few_words']
    """
    limits = dict(min_turns=min_turns, max_turns=max_turns, min_characters=min_characters)  # noqa: C408
    limits |= dict(max_characters=max_characters, min_words=min_words, max_words=max_words)  # noqa: C408
    for name, limit in limits.items():
        if limit is not None:
            check_whole(f"shape({name}={limit!r})", limit, hint=", or None for no limit")
    for size in SIZES:
        check_order("shape", **{name: limits[name] for name in (f"min_{size}", f"max_{size}")})
    return Shape(
        on=check_on(on),
        **limits,
        empty_turns=empty_turns,
        unanswered=unanswered,
        role_order=role_order,
        unknown_tools=unknown_tools,
        bad_arguments=bad_arguments,
        unmatched_calls=unmatched_calls,
        open_reasoning=open_reasoning,
        allow_large_drop=allow_large_drop,
    )


def _sum(
    parts: tuple[Part, ...], counts: list[NDArray[np.int32]] | list[NDArray[np.bool_]], rows: int
) -> NDArray[np.int32]:
    """Add up per row what was counted per segment. Floats are exact here: an Arrow batch holds under 2^31 bytes."""
    total = np.zeros(rows)
    for part, count in zip(parts, counts, strict=True):
        total += np.bincount(part.row, weights=count, minlength=rows)
    return total.astype(np.int32)


def _open_reasoning(part: Part) -> NDArray[np.bool_]:
    """Mark the assistant's segments with reasoning that has one of its two marks."""
    found = part.role == ASSISTANT
    found[found] = open_reasoning(part.text, part.index[found])
    return found


def _with_calls(part: Part, segments: Segments) -> NDArray[np.bool_]:
    """Mark the segments of `part` whose turn makes a call."""
    calls = [each for each in segments.parts if each.side == part.side and each.of == "call"]
    if not calls:
        return np.zeros(len(part.row), np.bool_)
    making = np.concatenate([each.row.astype(np.int64) << 32 | each.turn for each in calls])
    return np.isin(part.row.astype(np.int64) << 32 | part.turn, making)


def _turns(parts: tuple[Part, ...], rows: int) -> NDArray[np.int32]:
    """Return the turns of each row's longest dialogue."""
    before = np.zeros(rows, np.int64)
    answer = np.zeros(rows, np.int64)
    for part in parts:
        count = np.bincount(part.row, minlength=rows)
        if part.side in {"dialogue", "prompt"}:
            before += count
        else:
            answer = np.maximum(answer, np.minimum(count, 1) if part.path[:1] == ("completions",) else count)
    return (before + answer).astype(np.int32)


def _ends(part: Part) -> NDArray[np.bool_]:
    """Mark the last segment of each row."""
    return np.append(part.row[1:] != part.row[:-1], np.ones(min(1, len(part.row)), np.bool_))


def _unanswered(segments: Segments) -> NDArray[np.bool_]:
    """Mark the rows with a dialogue that the assistant does not end; prompts await an answer."""
    if segments.body is not None and kind_of(segments.body.schema) == "prompt":
        return np.zeros(segments.rows, np.bool_)
    answered = {}
    for part in segments.parts:
        last = _ends(part) & (part.role == ASSISTANT)
        answered[part.side] = np.zeros(segments.rows, np.bool_)
        answered[part.side][part.row[last]] = True
    none = np.zeros(segments.rows, np.bool_)
    for side in ("dialogue", "completion"):
        if side in answered:
            return ~answered[side]
    return ~(answered.get("chosen", none) & answered.get("rejected", none))


def _misplaced(segments: Segments) -> list[NDArray[np.int8]]:
    """Return for each segment, part by part, the role that it should not follow; -1 if it is in order."""
    allowed = np.zeros((START + 1, UNKNOWN_ROLE + 1), np.bool_)
    for before, roles in FOLLOWS.items():
        allowed[before, list(roles)] = True
    opening = np.full(segments.rows, START, np.int8)
    found = []
    for part in segments.parts:
        ends = _ends(part)
        begins = np.ones(len(part.row), np.bool_)
        begins[1:] = ends[:-1]
        if part.path[:1] == ("completions",):
            begins[:] = True
        previous = np.empty(len(part.row), np.int8)
        previous[1:] = part.role[:-1]
        previous[begins] = opening[part.row[begins]]
        found.append(np.where(allowed[previous, part.role], np.int8(-1), previous))
        if part.side == "prompt":
            opening[part.row[ends]] = part.role[ends]
    return found
