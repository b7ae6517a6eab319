"""Formats that make conversations: `messages`, `sharegpt`, `alpaca`, `prompt_completion`, `question_answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, get_args

from msgspec import Struct

from curate.errors import MixtureError, did_you_mean
from curate.io.formats.base import Conversation, FastPath, Fields, Format, renamed, struct_of
from curate.io.formats.messages_common import (
    AnyMessage,
    Media,
    Message,
    RoleWords,
    Spelling,
    role_words,
    spelling,
    take_turns,
)
from curate.io.formats.stored import unpacked
from curate.rows.schema import Kind
from curate.rows.validate import Turn, check_text, check_turns, refuse

UNSEEN: Final = ("tools", "chat_template_kwargs")
"""Fields that the scanner does not read: rows with one go to the full parser."""


@dataclass(frozen=True)
class DialogueFormat(Format):
    """A format whose rows are conversations."""

    kind: ClassVar[Kind] = "conversation"


@dataclass(frozen=True)
class ListFormat(DialogueFormat):
    """A format whose rows hold a list of messages in `column`; `roles` are the words that the user maps."""

    column: str
    roles: RoleWords = ()

    @property
    def list_column(self) -> str:
        """The list's own: a row may be the list itself."""
        return self.column


@dataclass(frozen=True)
class Messages(ListFormat):
    """See `messages`."""

    name: ClassVar[str] = "messages"
    column: str = "messages"
    role: str = "role"
    content: str = "content"
    media: Media = "quarantine"

    @property
    def layout(self) -> type[Struct]:
        """The list of messages, under its column's name."""
        message: Any = Message
        if (self.role, self.content) != ("role", "content"):
            message = renamed(Message, role=self.role, content=self.content)
        return struct_of("MessagesRow", (("messages", list[message]),), (("messages", self.column),))

    @property
    def fast_path(self) -> FastPath:
        """Plain messages."""
        return FastPath(self.column, self.role, self.content, _plain(self._spelling), UNSEEN)

    @property
    def _spelling(self) -> Spelling:
        return spelling("messages", self.roles, self.role, self.content, self.media)

    def prepare(self, fields: Fields) -> Fields:
        """Read a list that is stored as JSON text, or as an object of lists."""
        return unpacked(fields, (self.column,), keys=frozenset({self.role}))

    def rows(self, row: Any, fields: Fields) -> Iterator[Conversation]:  # noqa: ANN401
        """Make one conversation."""
        check_turns(row.messages, self.column)
        yield Conversation(take_turns(fields, self.column, row.messages, self._spelling), fields)


def _plain(spelt: Spelling) -> dict[str, str]:
    """Return the words that say no more than their role, with it."""
    return {word: spelt.roles[word] for word in sorted(spelt.plain & spelt.roles.keys())}


def messages(
    column: Literal["messages", "input", "prompt"] | str = "messages",  # noqa: PYI051
    *,
    role: str = "role",
    content: str = "content",
    roles: Mapping[str, str] | None = None,
    media: Media = "quarantine",
) -> Messages:
    """Rows with a list of `{"role", "content"}` in `column`; roles are system, user, assistant and tool, in any case.

    `developer` is a system turn; `environment`, `ipython`, `observation` and `function` are tool turns. Content is
    text, or a list of text parts `{"type": "text", "text" | "value": ...}`, which are joined unchanged; reasoning and
    calls may be parts too. Rows with another part, an unknown role, or null content without calls or reasoning are
    quarantined.

    Calls of tools are read from `tool_calls` (OpenAI's spelling, or flat), `function_call`, or `function_calls`
    (Python, whose text is kept in `meta`), with their arguments as JSON text; reasoning from `reasoning_content`,
    `reasoning` or `thinking`; `tool_call_id` and the `name` of a tool turn as they are. Of the row, `tools` (or
    `functions` of a message) and `chat_template_kwargs` are parts, too. Other fields of a message are kept in `meta`
    under the column's name, one object per message. The list may be stored as JSON text, or as an object of lists
    (`{"role": [...], "content": [...]}`), and a row may be the list itself.

    Args:
        column: The field that holds the list.
        role: The field of a message with its role.
        content: The field of a message with its text.
        roles: The role of words that are none: `{"narrator": "system"}`. It comes before the words known; a word that
            it maps is kept in `meta`.
        media: What becomes of rows with an image, audio or video part: "quarantine", or "keep", which puts `<image>`,
            `<audio>` or `<video>` in its place in the text and keeps the parts in `meta`.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `roles` maps a word to what is no role, `role` and `content` are the same field, or `media` is
            unknown.

    Example:
        >>> messages("input")
        Messages(column='input', roles=(), role='role', content='content', media='quarantine')
        >>> sgd = messages("turns", role="speaker", content="utterance", roles={"SYSTEM": "assistant"})
        >>> sgd.kind
        'conversation'
    """
    if role == content:
        raise MixtureError(f"messages(role={role!r}, content={content!r}): give the names of two fields")
    if media not in get_args(Media):
        raise MixtureError(f"messages(media={media!r}): {did_you_mean(str(media), get_args(Media))}")
    return Messages(column, role_words(roles, "messages"), role, content, media)


class _ShareGPTRow(Struct, gc=False):
    conversations: list[AnyMessage]
    system: str | None = None


@dataclass(frozen=True)
class ShareGPT(ListFormat):
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
        return FastPath(self.column, "from", "value", _plain(spelling("sharegpt", self.roles)), ("system", *UNSEEN))

    def prepare(self, fields: Fields) -> Fields:
        """Read a list that is stored as JSON text, or as an object of lists."""
        return unpacked(fields, (self.column,))

    def rows(self, row: _ShareGPTRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        check_turns(row.conversations, self.column)
        turns = take_turns(fields, self.column, row.conversations, spelling("sharegpt", self.roles))
        yield Conversation([*system_turn(fields, row.system), *turns], fields)


def sharegpt(column: str = "conversations", *, roles: Mapping[str, str] | None = None) -> ShareGPT:
    """Rows with a list of `{"from", "value"}` or `{"role", "content"}` messages, and perhaps a `system` text.

    human, user and prompter are user turns; gpt, assistant, chatgpt, bing, bard, model and function_call assistant
    turns; tool, function, function_response, observation, environment and ipython tool turns; system and developer
    system turns; all in any case. A `function_call` whose text
    is JSON with a name and arguments, or a list of such, is a call. A spelling that says more than the role
    (`function_call`, `bing`, `observation`, ...) is kept in `meta`, as are other fields of a message. Calls, reasoning
    and tools are read, and lists may be stored, as in `messages`.

    Args:
        column: The field that holds the list.
        roles: The role of other words, as in `messages`.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `roles` maps a word to what is no role.

    Example:
        >>> sharegpt().kind
        'conversation'
    """
    return ShareGPT(column, role_words(roles, "sharegpt"))


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
    prompt: str = "prompt"
    completion: str = "completion"

    @property
    def layout(self) -> type[Struct]:
        """Prompt and completion, under their names, and `system`."""
        return renamed(_PromptRow, prompt=self.prompt, completion=self.completion)

    def prepare(self, fields: Fields) -> Fields:
        """Read lists of messages that are stored as JSON text, or as an object of lists."""
        return unpacked(fields, (self.prompt,), (self.prompt, self.completion))

    def rows(self, row: _PromptRow, fields: Fields) -> Iterator[Conversation]:
        """Make one conversation."""
        prompt = text_or_turns(fields, self.prompt, row.prompt, "user")
        completion = text_or_turns(fields, self.completion, row.completion, "assistant")
        system = [] if prompt[0][0] == "system" else system_turn(fields, row.system)
        yield Conversation([*system, *prompt, *completion], fields)


def text_or_turns(fields: Fields, column: str, value: str | list[Message], role: str) -> list[Turn]:
    """Return the turns of a field that holds either one turn's text or a list of messages."""
    if isinstance(value, list):
        check_turns(value, column)
        return take_turns(fields, column, value)
    del fields[column]
    return [(role, check_text(value, column))]


def prompt_completion(prompt: str = "prompt", completion: str = "completion") -> PromptCompletion:
    """Rows with a prompt and its completion, each a text or a list of messages, and perhaps a `system` text.

    Args:
        prompt: The field with the prompt. Nemotron's post-training data has it in `input`.
        completion: The field with the completion; `output` there.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: Both are the same field.

    Example:
        >>> prompt_completion("input", "output").kind
        'conversation'
    """
    if prompt == completion:
        raise MixtureError(f"prompt_completion({prompt!r}, {completion!r}): give the names of two fields")
    return PromptCompletion(prompt, completion)


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
        question, answer = check_text(row.question, "question"), check_text(row.answer, "answer")
        del fields["question"], fields["answer"]
        yield Conversation([("user", question), ("assistant", answer)], fields)


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
    prompt_completion("input", "output"),
    question_answer(),
)
