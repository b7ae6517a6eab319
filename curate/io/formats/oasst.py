"""Formats of Open Assistant: `oasst` trees, their `oasst_ranked` replies, and `oasst_messages` in a flat list."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, get_args

from msgspec import Struct

from curate.errors import MixtureError, did_you_mean, is_number
from curate.io.formats.base import (
    Completion,
    Conversation,
    Fields,
    FileRow,
    Format,
    RatedAnswers,
    fields_of,
    objects,
    renamed,
)
from curate.io.formats.dialogues import DialogueFormat
from curate.rows.schema import Kind
from curate.rows.validate import Fault, Turn, check_text, refuse, role_of

By: TypeAlias = Literal["rank", "quality"]

_ROLES: Final = {"prompter": "user", "assistant": "assistant", "user": "user", "system": "system"}


class Reply(Struct, gc=False):
    """A message of a tree, with the replies to it."""

    text: str
    role: str
    rank: int | None = None
    deleted: bool | None = None
    replies: list[Reply] | None = None
    labels: Any = None


class _TreeRow(Struct, gc=False):  # a tree under `prompt`, or a message with its replies as the row itself
    prompt: Reply | None = None
    text: str | None = None
    role: str | None = None
    deleted: bool | None = None
    replies: list[Reply] | None = None


class _MessageRow(Struct, gc=False):
    message_id: str
    text: str
    role: str
    parent_id: str | None = None
    rank: int | None = None
    deleted: bool | None = None
    labels: Any = None


class Node(NamedTuple):
    """A message of a tree: as it was read, the place of it ("": the row), and its fields but text and role."""

    message: Any
    column: str
    fields: Fields

    def turn(self) -> tuple[str, str]:
        """Return its turn; raises `Fault` for an unknown role."""
        role = role_of(self.message.role, _ROLES, f"{self.column}.role".lstrip("."))
        return role, check_text(self.message.text, f"{self.column}.text".lstrip("."))


class Stop(NamedTuple):
    """A message of a path: its turn, and its other fields."""

    turn: Turn
    rest: Fields


def _walk(root: Node, below: Callable[[Node], list[Node]]) -> Iterator[tuple[list[Stop], list[Node]]]:
    """Yield the path to each message and the replies `below` it; without recursion: a tree may be very deep."""
    stack: list[tuple[Node, list[Stop]]] = [(root, [])]
    while stack:
        node, before = stack.pop()
        path = [*before, Stop(node.turn(), node.fields)]
        replies = below(node)
        yield path, replies
        stack += [(reply, path) for reply in reversed(replies)]


def _alive(replies: Sequence[Any], k: int | None, by: By = "rank") -> list[int]:
    """Return the places of replies that were not deleted; given `k`, of the k best, those without a rank last."""
    places = [i for i, reply in enumerate(replies) if not reply.deleted]
    if k is None:
        return places
    if by == "quality":
        return sorted(places, key=lambda i: -_quality(replies[i].labels))[:k]
    return sorted(places, key=lambda i: (replies[i].rank is None, replies[i].rank or 0))[:k]


def _quality(labels: object) -> float:
    """Return the label `quality`, of an object by name or of lists of names and values; 0 if there is none."""
    if not isinstance(labels, dict):
        return 0.0
    names, values = labels.get("name"), labels.get("value")
    if isinstance(names, list) and isinstance(values, list):
        labels = {name: {"value": value} for name, value in zip(names, values, strict=False)}
    quality = labels.get("quality")
    value = quality.get("value") if isinstance(quality, dict) else None
    return value if is_number(value) else 0.0


def _replies(node: Node, k: int | None = None, by: By = "rank") -> list[Node]:
    """Take the replies out of a message's fields, and return those of `_alive`."""
    raw, children = node.fields.pop("replies", None), node.message.replies or ()
    alive = _alive(children, k, by)
    if not alive:
        return []
    column = f"{node.column}.replies".lstrip(".")
    fields = objects(raw, column)
    return [Node(children[i], f"{column}[{i}]", _own(fields[i])) for i in alive]


def _root(row: _TreeRow, fields: Fields) -> Node:
    """Take the first message of a tree out of a row's fields."""
    if row.prompt is not None:
        root = Node(row.prompt, "prompt", _own(fields_of(fields.pop("prompt"), "prompt")))
    elif row.text is not None and row.role is not None and row.replies is not None:
        root = Node(row, "", {"replies": fields.pop("replies")})
        del fields["text"], fields["role"]
    else:
        refuse("prompt", "a tree of messages in prompt, or text, role and replies")
    if root.message.deleted:
        refuse(root.column, "a prompt that was not deleted")
    return root


def _own(raw: Fields) -> Fields:
    """Return a message's fields without text and role."""
    return {name: value for name, value in raw.items() if name not in {"text", "role"}}


def _meta(fields: Fields, column: str, path: list[Stop]) -> Fields:
    """Return a row's fields, and what the messages of a path hold beyond their turns."""
    rest = [step.rest for step in path]
    return fields | ({column or "replies": rest if column else rest[1:]} if any(rest) else {})


@dataclass(frozen=True)
class Trees(DialogueFormat):
    """See `oasst`."""

    name: ClassVar[str] = "oasst"
    layout: ClassVar[type[Struct]] = _TreeRow
    replies: int = 1
    by: By = "rank"

    def rows(self, row: _TreeRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of each path."""
        root = _root(row, fields)
        for path, replies in _walk(root, partial(_replies, k=self.replies, by=self.by)):
            if not replies:
                yield Conversation([step.turn for step in path], _meta(fields, root.column, path))


def oasst(replies: Literal["best"] | int = "best", *, by: By = "rank") -> Trees:
    """Rows with a tree of messages each (`prompt` with nested `replies`); prompter is the user.

    Rank 0 is best; unranked replies come last, in the order of the file; deleted ones are left out with all replies
    below them. What the messages of a path hold besides (ids, ranks, labels) is kept in `meta`.

    Args:
        replies: "best" follows the best-ranked reply at every message: one conversation per tree. A number k follows
            the k best: one conversation per path, all with the tree's id.
        by: "rank", or "quality" for the replies with the highest label of this name, as Tulu 2 and 3 choose them; of
            equals the first, and a reply without has 0.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `replies` is neither "best" nor a positive number, or `by` is unknown.

    References:
        https://huggingface.co/datasets/OpenAssistant/oasst2; open-instruct e6c3044, scripts/data/sft/open_assistant.py.

    Example:
        >>> oasst(replies=2)
        Trees(replies=2, by='rank')
    """
    return Trees(_count(replies), _check_by(by))


def _check_by(by: By) -> By:
    if by not in get_args(By):
        raise MixtureError(f"by={by!r}: {did_you_mean(str(by), get_args(By))}")
    return by


def _count(replies: Literal["best"] | int) -> int:
    if replies == "best":
        return 1
    if not isinstance(replies, int) or isinstance(replies, bool) or replies < 1:
        raise MixtureError(f'replies={replies!r} is not a number of replies; give "best" or 1, 2, 3, ...')
    return replies


@dataclass(frozen=True)
class RankedTrees(Format):
    """See `oasst_ranked`."""

    name: ClassVar[str] = "oasst_ranked"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = _TreeRow

    def rows(self, row: _TreeRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make a rated row of each user message with replies."""
        root, made = _root(row, fields), []
        for path, replies in _walk(root, _replies):
            turns = [(node, node.turn()) for node in replies]
            answers = [(node, turn[1]) for node, turn in turns if turn[0] == "assistant"]
            if answers and path[-1].turn[0] == "user":
                made.append((path, answers))
        if not made:
            refuse(f"{root.column}.replies".lstrip("."), "a reply of the assistant to a message of the user")
        for path, answers in made:
            meta = _meta(fields, root.column, path)
            if any(node.fields for node, _ in answers):
                meta["completions"] = [node.fields for node, _ in answers]
            ranks = [node.message.rank for node, _ in answers]
            scores = [{} if rank is None else {"overall": float(-rank)} for rank in ranks]
            completions = [Completion(text, None, score) for (_, text), score in zip(answers, scores, strict=True)]
            yield RatedAnswers([step.turn for step in path], completions, meta)


def oasst_ranked() -> RankedTrees:
    """Trees of messages (`prompt` with nested `replies`) as rated rows: one for each user message with replies.

    The prompt is the path down to the message, the completions are the assistant's replies to it, in the order of the
    file; deleted messages are left out with all replies below them. The score `overall` is the negative rank: 0 is
    best, then -1; an unranked reply has none. All rows of a tree have its id. Other fields of the messages are kept in
    `meta`. A tree without a reply of the assistant is quarantined.
    """
    return RankedTrees()


@dataclass(frozen=True)
class FlatMessages(DialogueFormat):
    """See `oasst_messages`."""

    name: ClassVar[str] = "oasst_messages"
    whole_file: ClassVar[bool] = True
    replies: int = 1
    message_id: str = "message_id"
    parent_id: str = "parent_id"
    text: str = "text"
    role: str = "role"
    by: By = "rank"

    @property
    def layout(self) -> type[Struct]:
        """One message, its columns under their names in the data."""
        own = {"message_id": self.message_id, "parent_id": self.parent_id, "text": self.text, "role": self.role}
        return renamed(_MessageRow, **own)

    def recognises(self, rows: int, fields: Container[str], faults: Sequence[str]) -> int:
        """Return how many rows it reads: a reply may have its parent further on, and a tree is not a flat message."""
        return 0 if "replies" in fields else rows - sum(column != self.parent_id for column in faults)

    def rows(self, row: _MessageRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of one message that has no parent and no reply."""
        yield from (made for _, made in self.file_rows([FileRow(1, row, fields)], _raise))

    def file_rows(self, rows: list[FileRow], bad: Callable[[int, Fault], None]) -> Iterator[tuple[int, Conversation]]:
        """Make the conversations of a file's messages, each with the number of its first message.

        A message belongs to no conversation if its id is repeated, its parent is not in the file, or its prompt was
        deleted.
        """
        known: dict[str, FileRow] = {}
        children: dict[str | None, list[FileRow]] = {}
        for node in rows:
            if known.setdefault(node.row.message_id, node) is node:
                children.setdefault(node.row.parent_id, []).append(node)
            else:
                bad(node.number, Fault(self.message_id, "a message's id once, not twice"))
        roots = children.get(None, [])
        for root in roots:
            try:
                made = self._tree(root, children)
            except Fault as fault:
                bad(root.number, fault)
            else:
                yield from ((root.number, one) for one in made)
        stack = list(roots)
        while stack:
            found = known.pop(stack.pop().row.message_id)
            stack += children.get(found.row.message_id, [])
        for node in known.values():
            bad(node.number, Fault(self.parent_id, "a message whose parents are all in the file"))

    def _tree(self, root: FileRow, children: dict[str | None, list[FileRow]]) -> list[Conversation]:
        def node(of: FileRow) -> Node:
            taken = {self.text, self.role}
            return Node(of.row, "", {name: value for name, value in of.fields.items() if name not in taken})

        def below(parent: Node) -> list[Node]:
            replies = children.get(parent.message.message_id, [])
            return [node(replies[i]) for i in _alive([reply.row for reply in replies], self.replies, self.by)]

        if root.row.deleted:
            refuse("", "a prompt that was not deleted")
        paths = [path for path, replies in _walk(node(root), below) if not replies]
        return [Conversation([s.turn for s in path], {"messages": [s.rest for s in path]}) for path in paths]


def _raise(_number: int, fault: Fault) -> None:
    raise fault


def oasst_messages(
    replies: Literal["best"] | int = "best",
    *,
    message_id: str = "message_id",
    parent_id: str = "parent_id",
    text: str = "text",
    role: str = "role",
    by: By = "rank",
) -> FlatMessages:
    """Rows with one message each, joined into trees by `message_id` and `parent_id`; paths as in `oasst`.

    A file is read whole. A message whose parents are not all in the file is quarantined; replies that are on no path
    are left out. The fields of a path's messages are kept in `meta`.

    Args:
        replies: "best" or the number of replies to follow at every message, as in `oasst`.
        message_id: The column with a message's id.
        parent_id: The column with the id of the message it replies to; null for a prompt.
        text: The column with the text.
        role: The column with the role: prompter, user, assistant or system.
        by: "rank" or "quality", as in `oasst`.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `replies` is neither "best" nor a positive number.

    Example:
        >>> oasst_messages(text="body").text
        'body'
    """
    return FlatMessages(_count(replies), message_id, parent_id, text, role, _check_by(by))


CANDIDATES: Final = (oasst(), oasst_messages())
