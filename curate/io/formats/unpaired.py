"""Formats of rows that trainers judge by more than an answer to copy: `unpaired` (KTO) and `prompts` (RLVR, GRPO)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Fields, Format, Prompt, Unpaired, as_json, struct_of
from curate.io.formats.dialogues import system_turn, text_or_turns
from curate.io.formats.messages_common import AnyMessage, Message, take_turns
from curate.io.formats.stored import unpacked
from curate.rows.schema import Kind
from curate.rows.validate import check_text, check_turns, refuse

GOOD: Final = frozenset({"true", "1", "good", "desirable", "chosen", "accepted", "thumbs_up", "up", "like"})
BAD: Final = frozenset({"false", "0", "-1", "bad", "undesirable", "rejected", "thumbs_down", "down", "dislike"})
"""How a label says whether an answer is good, in any case."""

PROMPTS: Final = ("prompt", "question", "instruction")
"""Fields with the prompt of a `completion`."""

OURS: Final = frozenset({"source", "id", "prompt", "meta", "messages", "tools", "chat_template_kwargs"})
"""Columns of a build that no reward column can be called."""


def is_good(value: object, column: str) -> bool:
    """Return whether a label calls an answer good; raises `Fault` for a value that is no such label.

    >>> is_good(True, "label"), is_good("Bad", "label"), is_good(-1, "label")
    (True, False, False)
    """
    word = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).lower()
    if word not in GOOD | BAD:
        refuse(column, f"true or false (or {', '.join(sorted(GOOD - {'true'}))} and their opposites), not {word[:40]}")
    return word in GOOD


@dataclass(frozen=True)
class UnpairedFormat(Format):
    """See `unpaired`."""

    name: ClassVar[str] = "unpaired"
    kind: ClassVar[Kind] = "unpaired"
    label: str = "label"
    column: str | None = None

    @property
    def layout(self) -> type[Struct]:
        """The label, and a list of messages in `column` or else a completion and its prompt."""
        names = (("judged", self.label), *((("messages", self.column),) if self.column else ()))
        own: tuple[Any, ...] = (("judged", Any),)
        if self.column:
            return struct_of("Judged", (*own, ("messages", list[AnyMessage]), ("system", str | None, None)), names)
        answer = str | list[Message]
        rest = (
            ("completion", answer),
            *((name, answer | None, None) for name in PROMPTS),
            ("system", str | None, None),
        )
        return struct_of("Judged", (*own, *rest), names)

    def named(self) -> tuple[str, ...]:
        """Return the label, if it is another than every reader would look for."""
        return (self.label,) if self.label != "label" else ()

    def prepare(self, fields: Fields) -> Fields:
        """Read lists of messages that are stored as JSON text, or as an object of lists."""
        return unpacked(fields, (self.column,)) if self.column else unpacked(fields, ("prompt",), ("completion",))

    def rows(self, row: Any, fields: Fields) -> Iterator[Unpaired]:  # noqa: ANN401
        """Make one unpaired row."""
        label = is_good(row.judged, self.label)
        system = system_turn(fields, row.system)
        if self.column:
            check_turns(row.messages, self.column)
            turns = take_turns(fields, self.column, row.messages)
            cut = len(turns) - 1
            if turns[cut][0] != "assistant" or not cut:
                refuse(self.column, "a prompt and then an answer of the assistant")
            prompt, completion = turns[:cut], turns[cut:]
        else:
            name = next((name for name in PROMPTS if getattr(row, name) is not None), None)
            if name is None:
                refuse("prompt", f"the prompt in {', '.join(PROMPTS)}")
            prompt = text_or_turns(fields, name, getattr(row, name), "user")
            completion = text_or_turns(fields, "completion", row.completion, "assistant")
        del fields[self.label]
        yield Unpaired([*system, *prompt], completion, label, fields)


def unpaired(column: str | None = None, *, label: str = "label") -> UnpairedFormat:
    """Rows with a prompt, one answer, and a label that says whether it is good, as KTO takes them.

    The answer is `completion`, its prompt `prompt`, `question` or `instruction`, each a text or a list of messages.
    With `column`, the row has one list of messages instead (in either spelling), of which the last is the answer. A
    label is a truth value, or a word or number that means one: 1 and 0 or -1, good and bad, desirable and
    undesirable, chosen or accepted and rejected, up and down, like and dislike. Rows with another label are
    quarantined.

    Args:
        column: The field with a list of messages. None: the row has `completion`.
        label: The field with the label: `label`, `kto_tag`, or another.

    Returns:
        A format that makes unpaired rows.

    Raises:
        MixtureError: Both arguments name the same field.

    References:
        TRL's "unpaired preference" (prompt, completion, label); LLaMA-Factory's `kto_tag`.

    Example:
        >>> unpaired("conversations", label="kto_tag").kind
        'unpaired'
    """
    if column == label:
        raise MixtureError(f"unpaired({column!r}, label={label!r}): give the names of two fields")
    return UnpairedFormat(label, column)


@dataclass(frozen=True)
class PromptsFormat(Format):
    """See `prompts`."""

    name: ClassVar[str] = "prompts"
    kind: ClassVar[Kind] = "prompt"
    column: str = "messages"
    rewards: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def layout(self) -> type[Struct]:
        """The prompt, and the fields that some reward function is known to need."""
        own: tuple[Any, ...] = (("prompt", str | list[Message]), ("system", str | None, None))
        needed = tuple((f"r{i}", Any) for i in range(len(self.needs)))
        names = (("prompt", self.column), *((f"r{i}", name) for i, name in enumerate(self.needs)))
        return struct_of("Prompts", (own[0], *needed, own[1]), names)

    def named(self) -> tuple[str, ...]:
        """Return the reward columns that the user named."""
        return self.rewards

    def prepare(self, fields: Fields) -> Fields:
        """Read a list of messages that is stored as JSON text, or as an object of lists."""
        return unpacked(fields, (self.column,))

    def rows(self, row: Any, fields: Fields) -> Iterator[Prompt]:  # noqa: ANN401
        """Make one prompt."""
        system = system_turn(fields, row.system)
        turns = text_or_turns(fields, self.column, row.prompt, "user")
        if turns[-1][0] not in {"user", "tool"}:
            refuse(self.column, "a prompt that ends with a user turn")
        wanted = self.rewards or tuple(name for name in fields if name not in OURS and name != self.column)
        rewards = {name: fields.pop(name) for name in wanted if name in fields}
        for name, value in rewards.items():
            check_text(name, "the name of a reward column")
            check_text(as_json(value), name)
        yield Prompt([*system, *turns], rewards, fields)


def prompts(column: str = "messages", *, rewards: str | Sequence[str] | None = None) -> PromptsFormat:
    """Rows with a prompt and what reward functions hold answers against, as RLVR and GRPO take them.

    The prompt is a text or a list of messages that ends with the user. The other fields (`ground_truth`, `dataset`,
    `solution`, ...) become columns of the build under their names: text, numbers, truth values and lists of texts as
    they are, others, and columns of several types, as JSON text. `tools` and `chat_template_kwargs` are parts of the
    row as in `messages`, and its id is its id.

    Args:
        column: The field with the prompt: `messages`, `prompt`, or another.
        rewards: The fields that become columns; others are kept in `meta`. None: all of them.

    Returns:
        A format that makes prompts.

    Raises:
        MixtureError: A reward column has the name of a column that every build has.

    References:
        open-instruct's RLVR rows (`messages`, `ground_truth`, `dataset`); TRL's GRPOTrainer, which hands every other
        column to the reward functions.

    Example:
        >>> prompts("prompt", rewards="solution").kind
        'prompt'
    """
    several = (rewards,) if isinstance(rewards, str) else tuple(rewards or ())
    taken = sorted(OURS & set(several))
    if taken or column in several:
        raise MixtureError(f"prompts(rewards={several!r}): {(taken or [column])[0]!r} is a column of its own")
    return PromptsFormat(column, several)


CANDIDATES: Final = (
    unpaired(),
    *(unpaired(column, label=label) for column in ("messages", "conversations") for label in ("label", "kto_tag")),
    PromptsFormat("messages", needs=("ground_truth",)),
    PromptsFormat("prompt", needs=("ground_truth",)),
    PromptsFormat("prompt", needs=("solution",)),
)
