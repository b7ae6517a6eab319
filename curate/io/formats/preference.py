"""Formats that make preference rows: `preference` and `hh`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec import Struct

from curate.io.formats.base import Conversation, Fields, Format, Preference, fields_of
from curate.io.formats.dialogues import text_or_turns
from curate.io.formats.messages_common import AnyMessage, Message, take_turn, take_turns
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text, check_turns, refuse


class PreferenceRow(Struct, gc=False):
    """What `preference` reads."""

    chosen: str | list[AnyMessage] | AnyMessage
    rejected: str | list[AnyMessage] | AnyMessage
    prompt: str | list[Message] | None = None
    conversations: list[AnyMessage] | None = None
    chosen_score: float | None = None
    score_chosen: float | None = None
    rejected_score: float | None = None
    score_rejected: float | None = None


@dataclass(frozen=True)
class Preferences(Format):
    """See `preference`."""

    name: ClassVar[str] = "preference"
    kind: ClassVar[Kind] = "preference"
    layout: ClassVar[type[Struct]] = PreferenceRow

    def rows(self, row: PreferenceRow, fields: Fields) -> Iterator[Preference]:
        """Make one preference row."""
        chosen = _answer(fields, "chosen", row.chosen)
        rejected = _answer(fields, "rejected", row.rejected)
        if chosen[0][0] == "assistant" and rejected[0][0] == "assistant":
            prompt = _prompt(fields, row)
        else:
            prompt, chosen, rejected = _explicit(fields, row, chosen, rejected)
        scores = _score(fields, "chosen_score", row), _score(fields, "rejected_score", row)
        yield Preference(prompt, chosen, rejected, *scores, fields)


def preference() -> Preferences:
    """Rows with `chosen` and `rejected`, each a text, a message or a list of messages, and their `prompt`.

    `prompt` is a text or a list of messages (or `conversations`, in ShareGPT's spelling). If the answers are lists that
    include the prompt, the prompt is what both begin with; a `prompt` that differs from it is kept in `meta`.
    Scores come from `chosen_score` or `score_chosen`, and the same for rejected.

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


def _prompt(fields: Fields, row: PreferenceRow) -> list[Turn]:
    if row.prompt is not None:
        return text_or_turns(fields, "prompt", row.prompt, "user")
    fields.pop("prompt", None)
    if row.conversations is None:
        refuse("prompt", "a prompt in prompt or conversations, or at the start of chosen and rejected")
    check_turns(row.conversations, "conversations")
    return take_turns(fields, "conversations", row.conversations)


def _explicit(
    fields: Fields, row: PreferenceRow, chosen: list[Turn], rejected: list[Turn]
) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Split the prompt off answers that include it, and drop a `prompt` that says the same."""
    parts = split_prompt(chosen, rejected)
    if isinstance(row.prompt, str):
        if [text for role, text in parts[0] if role == "user"][-1:] == [row.prompt]:
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


def _score(fields: Fields, name: str, row: PreferenceRow) -> float | None:
    for spelling in (name, "_".join(reversed(name.split("_")))):
        value: float | None = getattr(row, spelling)
        if value is not None:
            del fields[spelling]
            return value
    return None


class PairRow(Struct, gc=False):
    """What `hh` reads of pairs."""

    chosen: str
    rejected: str


class TextRow(Struct, gc=False):
    """What `hh` reads of single dialogues."""

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
        return TextRow if self.text else PairRow

    def rows(self, row: PairRow | TextRow, fields: Fields) -> Iterator[Preference | Conversation]:
        """Make one preference row or one conversation."""
        if isinstance(row, TextRow):
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


CANDIDATES: Final = (hh(), hh(text=True), preference())
