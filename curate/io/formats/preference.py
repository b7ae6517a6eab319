"""Formats that make preference rows: `preference`, `hh` and `helpsteer3`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Raw, Struct

from curate.io.formats.base import Conversation, Fields, Format, Preference, fields_of
from curate.io.formats.dialogues import system_turn, text_or_turns
from curate.io.formats.messages_common import AnyMessage, Message, take_turn, take_turns
from curate.io.formats.rated import rating, score_of
from curate.io.formats.stored import unpacked
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text, check_turns, refuse


class _PreferenceRow(Struct, gc=False):
    chosen: str | list[AnyMessage] | AnyMessage
    rejected: str | list[AnyMessage] | AnyMessage
    prompt: str | list[Message] | None = None
    question: str | None = None
    system: str | None = None
    conversations: list[AnyMessage] | None = None
    messages: list[AnyMessage] | None = None
    chosen_score: float | str | None = None
    score_chosen: float | str | None = None
    rejected_score: float | str | None = None
    score_rejected: float | str | None = None


class _Scores(Struct, gc=False):
    chosen_score: Any = None
    score_chosen: Any = None
    rejected_score: Any = None
    score_rejected: Any = None


_SCORES: Final = msgspec.json.Decoder(_Scores)

SCORES: Final = (("chosen_score", "score_chosen"), ("rejected_score", "score_rejected"))
"""The spellings of both scores."""


@dataclass(frozen=True)
class Preferences(Format):
    """See `preference`."""

    name: ClassVar[str] = "preference"
    kind: ClassVar[Kind] = "preference"
    layout: ClassVar[type[Struct]] = _PreferenceRow

    def prepare(self, fields: Fields) -> Fields:
        """Read lists of messages that are stored as JSON text, or as an object of lists."""
        return unpacked(fields, ("chosen", "rejected"), ("prompt",), ("conversations",), ("messages",))

    def rows(self, row: _PreferenceRow, fields: Fields) -> Iterator[Preference]:
        """Make one preference row."""
        chosen = _answer(fields, "chosen", row.chosen)
        rejected = _answer(fields, "rejected", row.rejected)
        if chosen[0][0] == "assistant" and rejected[0][0] == "assistant":
            prompt = _prompt(fields, row)
        else:
            prompt, chosen, rejected = _explicit(fields, row, chosen, rejected)
        chosen_score, rejected_score = _scores(fields, row)
        if prompt[0][0] != "system":
            prompt = [*system_turn(fields, row.system), *prompt]
        yield Preference(prompt, chosen, rejected, chosen_score, rejected_score, fields)


def preference() -> Preferences:
    """Rows with `chosen` and `rejected`, each a text, a message or a list of messages, and their `prompt`.

    `prompt` is a text or a list of messages (or `question`, or a list in `conversations` or `messages`, in either
    spelling); a `system` text comes before it. If the answers are lists that
    include the prompt, the prompt is what both begin with; a `prompt` that differs from it is kept in `meta`.
    Scores come from `chosen_score` or `score_chosen`, and the same for rejected, or else from the same names within
    `metadata`: numbers, also as text; null and "N/A" are no score. Lists may be stored as in `messages`; answers are
    read from JSON text only if both are such lists.

    Returns:
        A format that makes preference rows.

    Example:
        >>> preference().kind
        'preference'
    """
    return Preferences()


def _answer(fields: Fields, column: str, value: str | list[AnyMessage] | AnyMessage) -> list[Turn]:
    if isinstance(value, str):
        del fields[column]
        return [("assistant", check_text(value, column))]
    if isinstance(value, AnyMessage):
        return [take_turn(fields, column, value, fields_of(fields[column], column))]
    check_turns(value, column)
    return take_turns(fields, column, value)


def _prompt(fields: Fields, row: _PreferenceRow) -> list[Turn]:
    if row.prompt is not None:
        return text_or_turns(fields, "prompt", row.prompt, "user")
    fields.pop("prompt", None)
    if row.question is not None:
        return text_or_turns(fields, "question", row.question, "user")
    column, turns = ("messages", row.messages) if row.conversations is None else ("conversations", row.conversations)
    if turns is None:
        refuse(
            "prompt", "a prompt in prompt, question, conversations or messages, or at the start of chosen and rejected"
        )
    check_turns(turns, column)
    prompt = take_turns(fields, column, turns)
    if column == "messages" and prompt[-1][0] == "assistant":
        refuse(column, "a prompt, which does not end with an answer")
    return prompt


def _explicit(
    fields: Fields, row: _PreferenceRow, chosen: list[Turn], rejected: list[Turn]
) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Split the prompt off answers that include it, and drop a `prompt` that says the same."""
    parts = split_prompt(chosen, rejected)
    if isinstance(row.prompt, str):
        if [turn[1] for turn in parts[0] if turn[0] == "user"][-1:] == [row.prompt]:
            del fields["prompt"]
    elif row.prompt is not None:
        left: Fields = {"prompt": fields["prompt"]}
        if take_turns(left, "prompt", row.prompt) == parts[0]:
            del fields["prompt"]
            fields.update(left)
    return parts


def split_prompt(chosen: list[Turn], rejected: list[Turn]) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Split off the turns that two dialogues both begin with, leaving each at least its last turn.

    Raises `Fault` when they begin differently.

    >>> split_prompt([("user", "Hi"), ("assistant", "a")], [("user", "Hi"), ("assistant", "b")])
    ([('user', 'Hi')], [('assistant', 'a')], [('assistant', 'b')])
    """
    limit = min(len(chosen), len(rejected)) - 1
    same = next((i for i in range(limit) if chosen[i] != rejected[i]), limit)
    if same == 0:
        refuse("rejected", "the prompt that chosen begins with")
    return chosen[:same], chosen[same:], rejected[same:]


def _scores(fields: Fields, row: _PreferenceRow) -> list[float | None]:
    """Take both scores out of the first of their fields that is given, or read them in `metadata`, which stays."""
    within = _within(fields["metadata"]) if "metadata" in fields else None
    return [_score(fields, row, spellings, within) for spellings in SCORES]


def _score(fields: Fields, row: _PreferenceRow, spellings: tuple[str, str], within: _Scores | None) -> float | None:
    for name in spellings:
        value = getattr(row, name)
        if value is not None:
            del fields[name]
            return rating(value, name)
    if within is None:
        return None
    return next((score for name in spellings if (score := score_of(getattr(within, name))) is not None), None)


def _within(metadata: Any) -> _Scores:  # noqa: ANN401
    """Return what a row's metadata calls scores; nothing if it is no object."""
    try:
        if isinstance(metadata, Raw):
            return _SCORES.decode(metadata)
        return msgspec.convert(metadata, _Scores)
    except msgspec.ValidationError:
        return _Scores()


class _PairRow(Struct, gc=False):
    chosen: str
    rejected: str


class _TextRow(Struct, gc=False):
    text: str


_MARK: Final = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


@dataclass(frozen=True)
class HH(Format):
    """See `hh`."""

    name: ClassVar[str] = "hh"
    decisive: ClassVar[bool] = True
    text: bool = False

    @property
    def kind(self) -> Kind:
        """Preference rows; with `text`, conversations."""
        return "conversation" if self.text else "preference"

    @property
    def layout(self) -> type[Struct]:
        """The fields `chosen` and `rejected`, or `text`."""
        return _TextRow if self.text else _PairRow

    def rows(self, row: _PairRow | _TextRow, fields: Fields) -> Iterator[Preference | Conversation]:
        """Make one preference row or one conversation."""
        if isinstance(row, _TextRow):
            del fields["text"]
            yield Conversation(hh_turns(row.text, "text"), fields)
            return
        del fields["chosen"], fields["rejected"]
        parts = split_prompt(hh_turns(row.chosen, "chosen"), hh_turns(row.rejected, "rejected"))
        yield Preference(*parts, None, None, fields)


def hh(*, text: bool = False) -> HH:
    r"""Rows whose `chosen` and `rejected` are dialogues in one string: "\n\nHuman: ...\n\nAssistant: ...".

    The prompt is what both begin with.

    Args:
        text: Read single dialogues from `text` instead, as conversations.

    Returns:
        A format that makes preference rows, or conversations.

    References:
        Anthropic's HH-RLHF: https://github.com/anthropics/hh-rlhf

    Example:
        >>> hh().kind, hh(text=True).kind
        ('preference', 'conversation')
    """
    return HH(text)


def hh_turns(text: str, column: str) -> list[Turn]:
    r"""Split a dialogue in one string into turns; one space after the colon is dropped. Raises `Fault`.

    >>> hh_turns("\n\nHuman: Hi\n\nAssistant: Hello.\n", "text")
    [('user', 'Hi'), ('assistant', 'Hello.\n')]
    """
    check_text(text, column)
    before, *turns = _MARK.split(text)
    if before or not turns:
        refuse(column, 'a dialogue that begins with "\\n\\nHuman:"')
    roles = {"Human": "user", "Assistant": "assistant"}
    return [(roles[mark], words.removeprefix(" ")) for mark, words in zip(turns[::2], turns[1::2], strict=True)]


class _HelpSteer3Row(Struct, gc=False):
    context: list[Message]
    response1: str
    response2: str
    overall_preference: int | str


@dataclass(frozen=True)
class HelpSteer3(Format):
    """See `helpsteer3`."""

    name: ClassVar[str] = "helpsteer3"
    kind: ClassVar[Kind] = "preference"
    layout: ClassVar[type[Struct]] = _HelpSteer3Row

    def prepare(self, fields: Fields) -> Fields:
        """Read a list of messages that is stored as JSON text, or as an object of lists."""
        return unpacked(fields, ("context",))

    def rows(self, row: _HelpSteer3Row, fields: Fields) -> Iterator[Preference]:
        """Make one preference row."""
        check_turns(row.context, "context")
        answers = [
            ("assistant", check_text(text, column))
            for column, text in (("response1", row.response1), ("response2", row.response2))
        ]
        better = rating(row.overall_preference, "overall_preference")
        if better is None or not better.is_integer() or not -3 <= better <= 3:
            refuse("overall_preference", f"a whole number from -3 to 3, not {row.overall_preference}")
        if better == 0:
            refuse("overall_preference", "a preference for one response, not 0 (a tie)")
        prompt = take_turns(fields, "context", row.context)
        del fields["response1"], fields["response2"]
        chosen, rejected = answers if better < 0 else reversed(answers)
        yield Preference(prompt, [chosen], [rejected], None, None, fields)


def helpsteer3() -> HelpSteer3:
    """Rows of HelpSteer3-Preference: `context` (a list of messages), `response1`, `response2`, `overall_preference`.

    The preference is a whole number from -3 (`response1` is much better) to 3 (`response2` is much better). A tie (0)
    makes no pair: its row is quarantined. The preference, `domain`, `language` and `individual_preference` are kept in
    `meta`.

    Returns:
        A format that makes preference rows.

    References:
        Wang et al. 2025, HelpSteer3-Preference, arXiv 2505.11475; https://huggingface.co/datasets/nvidia/HelpSteer3

    Example:
        >>> helpsteer3().kind
        'preference'
    """
    return HelpSteer3()


class _OpenAIRow(Struct, gc=False):
    input: list[Message]
    preferred_output: list[Message]
    non_preferred_output: list[Message]


@dataclass(frozen=True)
class OpenAIPairs(Format):
    """See `openai_pairs`."""

    name: ClassVar[str] = "openai_pairs"
    kind: ClassVar[Kind] = "preference"
    layout: ClassVar[type[Struct]] = _OpenAIRow

    def prepare(self, fields: Fields) -> Fields:
        """Read the messages within `input`, and give the row what is beside them."""
        found = unpacked(fields, ("input",), ("preferred_output", "non_preferred_output"))
        return {name.removeprefix("input."): value for name, value in found.items()}

    def rows(self, row: _OpenAIRow, fields: Fields) -> Iterator[Preference]:
        """Make one preference row."""
        sides = []
        for column in ("input", "preferred_output", "non_preferred_output"):
            turns = getattr(row, column)
            check_turns(turns, column)
            sides.append(take_turns(fields, column, turns))
        yield Preference(sides[0], sides[1], sides[2], None, None, fields)


def openai_pairs() -> OpenAIPairs:
    """Rows as OpenAI takes pairs: `preferred_output`, `non_preferred_output`, and `input` with `messages` and `tools`.

    Returns:
        A format that makes preference rows.

    References:
        https://platform.openai.com/docs/guides/direct-preference-optimization

    Example:
        >>> openai_pairs().kind
        'preference'
    """
    return OpenAIPairs()


CANDIDATES: Final = (helpsteer3(), hh(), hh(text=True), openai_pairs(), preference())
