"""Formats that make conversations: `messages`, `sharegpt`, `alpaca`, `prompt_completion`, `question_answer`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from msgspec import Struct

from curate.io.formats.base import Conversation, FastPath, Fields, Format, renamed
from curate.io.formats.messages_common import MESSAGES_ROLES, PLAIN, SHAREGPT_ROLES, AnyMessage, Message, take_turns
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text, check_turns, refuse


@dataclass(frozen=True)
class DialogueFormat(Format):
    """A format whose rows are conversations."""

    kind: ClassVar[Kind] = "conversation"


class _MessagesRow(Struct, gc=False):
    messages: list[Message]


@dataclass(frozen=True)
class Messages(DialogueFormat):
    """See `messages`."""

    name: ClassVar[str] = "messages"
    column: str = "messages"

    @property
    def layout(self) -> type[Struct]:
        """The list of messages, under its column's name."""
        return renamed(_MessagesRow, messages=self.column)

    @property
    def fast_path(self) -> FastPath:
        """Plain messages."""
        return FastPath(self.column, "role", "content", MESSAGES_ROLES)

    def rows(self, row: _MessagesRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        check_turns(row.messages, self.column)
        yield Conversation(take_turns(fields, self.column, row.messages), fields)


def messages(column: Literal["messages", "input", "prompt"] | str = "messages") -> Messages:  # noqa: PYI051
    """Rows with a list of `{"role", "content"}` in `column`; roles are system, user, assistant and tool.

    Content is text, or a list of text parts `{"type": "text", "text" | "value": ...}`, which are joined unchanged. Rows
    with another part, null content or an unknown role are quarantined. Other fields of a message (`name`, `tool_calls`)
    are kept in `meta` under the column's name, one object per message.

    Args:
        column: The field that holds the list.

    Returns:
        A format that makes conversations.

    Example:
        >>> messages("input")
        Messages(column='input')
    """
    return Messages(column)


class _ShareGPTRow(Struct, gc=False):
    conversations: list[AnyMessage]
    system: str | None = None


@dataclass(frozen=True)
class ShareGPT(DialogueFormat):
    """See `sharegpt`."""

    name: ClassVar[str] = "sharegpt"
    column: str = "conversations"

    @property
    def layout(self) -> type[Struct]:
        """The list of messages, under its column's name, and `system`."""
        return renamed(_ShareGPTRow, conversations=self.column)

    @property
    def fast_path(self) -> FastPath:
        """Plain `from` and `value`; a row with `system` begins with another turn."""
        return FastPath(self.column, "from", "value", {word: SHAREGPT_ROLES[word] for word in sorted(PLAIN)}, "system")

    def rows(self, row: _ShareGPTRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        check_turns(row.conversations, self.column)
        turns = take_turns(fields, self.column, row.conversations)
        yield Conversation([*system_turn(fields, row.system), *turns], fields)


def sharegpt(column: str = "conversations") -> ShareGPT:
    """Rows with a list of `{"from", "value"}` or `{"role", "content"}` messages, and perhaps a `system` text.

    human, user and prompter are user turns; gpt, assistant, chatgpt, bing, bard, model and function_call assistant
    turns; tool, function, function_response and observation tool turns. A spelling that says more than the role
    (`function_call`, `bing`, `observation`, ...) is kept in `meta`, as are other fields of a message.

    Args:
        column: The field that holds the list.

    Returns:
        A format that makes conversations.

    Example:
        >>> sharegpt().kind
        'conversation'
    """
    return ShareGPT(column)


def system_turn(fields: Fields, system: str | None) -> list[Turn]:
    """Return a system turn for a `system` field; none if it is absent, null or empty."""
    fields.pop("system", None)
    return [("system", check_text(system, "system"))] if system else []


class _AlpacaRow(Struct, gc=False):
    instruction: str
    input: str | None = None
    output: str | None = None
    response: str | None = None
    completion: str | None = None
    history: list[tuple[str, str]] | None = None
    system: str | None = None


@dataclass(frozen=True)
class Alpaca(DialogueFormat):
    """See `alpaca`."""

    name: ClassVar[str] = "alpaca"
    layout: ClassVar[type[Struct]] = _AlpacaRow

    def rows(self, row: _AlpacaRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        turns = system_turn(fields, row.system)
        for i, (question, answer) in enumerate(row.history or ()):
            turns.append(("user", check_text(question, f"history[{i}][0]")))
            turns.append(("assistant", check_text(answer, f"history[{i}][1]")))
        prompt = check_text(row.instruction, "instruction")
        if row.input:
            prompt = f"{prompt}\n\n{check_text(row.input, 'input')}"
        name = next((name for name in ("output", "response", "completion") if getattr(row, name) is not None), None)
        if name is None:
            refuse("output", "text in output, response or completion")
        turns += [("user", prompt), ("assistant", check_text(getattr(row, name), name))]
        for taken in ("instruction", "input", "history", name):
            fields.pop(taken, None)
        yield Conversation(turns, fields)


def alpaca() -> Alpaca:
    """Rows with `instruction`, `input`, and the answer in `output`, `response` or `completion` (the first present).

    The user turn is the instruction, followed by an empty line and `input` if that is not empty. `history`, a list of
    pairs of question and answer, comes before it; a `system` text that is not empty comes first.

    Returns:
        A format that makes conversations.

    References:
        https://github.com/tatsu-lab/stanford_alpaca

    Example:
        >>> alpaca().kind
        'conversation'
    """
    return Alpaca()


class _PromptRow(Struct, gc=False):
    prompt: str | list[Message]
    completion: str | list[Message]
    system: str | None = None


@dataclass(frozen=True)
class PromptCompletion(DialogueFormat):
    """See `prompt_completion`."""

    name: ClassVar[str] = "prompt_completion"
    layout: ClassVar[type[Struct]] = _PromptRow

    def rows(self, row: _PromptRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        prompt = text_or_turns(fields, "prompt", row.prompt, "user")
        completion = text_or_turns(fields, "completion", row.completion, "assistant")
        yield Conversation([*system_turn(fields, row.system), *prompt, *completion], fields)


def text_or_turns(fields: Fields, column: str, value: str | list[Message], role: str) -> list[Turn]:
    """Return the turns of a field that holds either one turn's text or a list of messages."""
    if isinstance(value, list):
        check_turns(value, column)
        return take_turns(fields, column, value)
    del fields[column]
    return [(role, check_text(value, column))]


def prompt_completion() -> PromptCompletion:
    """Rows with `prompt` and `completion`, each a text or a list of messages, and perhaps a `system` text.

    Returns:
        A format that makes conversations.

    Example:
        >>> prompt_completion().kind
        'conversation'
    """
    return PromptCompletion()


class _QuestionRow(Struct, gc=False):
    question: str
    answer: str


@dataclass(frozen=True)
class QuestionAnswer(DialogueFormat):
    """See `question_answer`."""

    name: ClassVar[str] = "question_answer"
    layout: ClassVar[type[Struct]] = _QuestionRow

    def rows(self, row: _QuestionRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        turns = [("user", check_text(row.question, "question")), ("assistant", check_text(row.answer, "answer"))]
        del fields["question"], fields["answer"]
        yield Conversation(turns, fields)


def question_answer() -> QuestionAnswer:
    """Rows with the texts `question` and `answer`.

    Returns:
        A format that makes conversations.

    Example:
        >>> question_answer().kind
        'conversation'
    """
    return QuestionAnswer()


CANDIDATES: Final = (
    messages(),
    messages("input"),
    messages("prompt"),
    sharegpt(),
    alpaca(),
    prompt_completion(),
    question_answer(),
)
