"""Formats of Open Assistant: `oasst` trees, their `oasst_ranked` replies, and `oasst_messages` in a flat list."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple

from msgspec import Struct

from curate.errors import MixtureError
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
from curate.rows.validate import Fault, Turn, check_text, refuse


class Reply(Struct, gc=False):
    """A message of a tree, with the replies to it."""

    text: str
    role: str
    rank: int | None = None
    deleted: bool | None = None
    replies: list[Reply] | None = None


class TreeRow(Struct, gc=False):
    """What `oasst` reads: a tree under `prompt`, or a message with its replies as the row itself."""

    prompt: Reply | None = None
    text: str | None = None
    role: str | None = None
    deleted: bool | None = None
    replies: list[Reply] | None = None


@dataclass(frozen=True)
class Trees(DialogueFormat):
    """See `oasst`."""

    name: ClassVar[str] = "oasst"
    layout: ClassVar[type[Struct]] = TreeRow
    replies: int = 1

    def rows(self, row: TreeRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of each path."""
        root, column, raw = _root(row, fields)
        for path in _paths(root, column, raw, self.replies):
            yield Conversation([step.turn for step in path], _meta(fields, column, path))


def oasst(replies: Literal["best"] | int = "best") -> Trees:
    """Rows with a tree of messages each (`prompt` with nested `replies`); prompter is the user.

    Rank 0 is best; unranked replies come last, in the order of the file; deleted ones are left out with all replies
    below them. What the messages of a path hold besides (ids, ranks, labels) is kept in `meta`.

    Args:
        replies: "best" follows the best-ranked reply at every message: one conversation per tree. A number k follows
            the k best: one conversation per path, all with the tree's id.

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `replies` is neither "best" nor a positive number.

    References:
        https://huggingface.co/datasets/OpenAssistant/oasst2

    Example:
        >>> oasst(replies=2)
        Trees(replies=2)
    """
    return Trees(_count(replies))


def _count(replies: Literal["best"] | int) -> int:
    if replies == "best":
        return 1
    if not isinstance(replies, int) or isinstance(replies, bool) or replies < 1:
        message = f'replies={replies!r} is not a number of replies; give "best" or 1, 2, 3, ...'
        raise MixtureError(message)
    return replies


def _root(row: TreeRow, fields: Fields) -> tuple[Reply, str, Fields]:
    """Take a tree out of a row's fields: its first message, the column that holds it ("": the row), and its fields."""
    if row.prompt is not None:
        root, column = row.prompt, "prompt"
        raw = _own(fields_of(fields.pop("prompt"), column))
    elif row.text is not None and row.role is not None and row.replies is not None:
        root, column = Reply(row.text, row.role, deleted=row.deleted, replies=row.replies), ""
        raw = {"replies": fields.pop("replies")}
        for name in ("text", "role"):
            del fields[name]
    else:
        refuse("prompt", "a tree of messages in prompt, or text, role and replies")
    if root.deleted:
        refuse(column, "a prompt that was not deleted")
    return root, column, raw


class Stop(NamedTuple):
    """A message of a path: its turn, and its other fields."""

    turn: Turn
    rest: Fields


def _meta(fields: Fields, column: str, path: list[Stop]) -> Fields:
    """Return a row's fields, and what the messages of a path hold beyond their turns."""
    rest = [step.rest for step in path]
    return fields | ({column or "replies": rest if column else rest[1:]} if any(rest) else {})


def _own(raw: Fields) -> Fields:
    """Return a message's fields without text and role."""
    return {name: value for name, value in raw.items() if name not in {"text", "role"}}


def _turn(text: str, role: str, column: str) -> Turn:
    roles = {"prompter": "user", "assistant": "assistant", "user": "user", "system": "system"}
    if role not in roles:
        refuse(f"{column}.role".lstrip("."), f"a role: {', '.join(roles)}")
    return roles[role], check_text(text, f"{column}.text".lstrip("."))


def _best(replies: Sequence[tuple[int, int | None, bool | None]], k: int) -> list[int]:
    """Return the places of the k best replies, given (place, rank, deleted) each."""
    alive = [(rank is None, rank or 0, place) for place, rank, deleted in replies if not deleted]
    return [place for _, _, place in sorted(alive)[:k]]


def _paths(root: Reply, column: str, raw: Fields, k: int) -> Iterator[list[Stop]]:
    """Walk the tree, k best replies at each message; without recursion: a tree may be deeper than Python's stack."""
    stack: list[tuple[Reply, str, Fields, list[Stop]]] = [(root, column, raw, [])]
    while stack:
        reply, place, held, before = stack.pop()
        below = held.pop("replies", None)
        path = [*before, Stop(_turn(reply.text, reply.role, place), held)]
        children = reply.replies or []
        best = _best([(i, child.rank, child.deleted) for i, child in enumerate(children)], k)
        if not best:
            yield path
            continue
        name = f"{place}.replies".lstrip(".")
        fields = objects(below, name)
        stack += [(children[i], f"{name}[{i}]", _own(fields[i]), path) for i in reversed(best)]


@dataclass(frozen=True)
class RankedTrees(Format):
    """See `oasst_ranked`."""

    name: ClassVar[str] = "oasst_ranked"
    kind: ClassVar[Kind] = "rated"
    layout: ClassVar[type[Struct]] = TreeRow

    def rows(self, row: TreeRow, fields: Fields) -> Iterator[RatedAnswers]:
        """Make a rated row of each user message with replies."""
        root, column, raw = _root(row, fields)
        made = list(_replied(root, column, raw))
        if not made:
            refuse(f"{column}.replies".lstrip("."), "a reply of the assistant to a message of the user")
        for path, replies in made:
            meta = _meta(fields, column, path)
            if any(step.rest for _, step in replies):
                meta["completions"] = [step.rest for _, step in replies]
            answers = [
                Completion(step.turn[1], None, {} if rank is None else {"overall": float(-rank)})
                for rank, step in replies
            ]
            yield RatedAnswers([step.turn for step in path], answers, meta)


def oasst_ranked() -> RankedTrees:
    """Trees of messages (`prompt` with nested `replies`) as rated rows: one for each user message with replies.

    The prompt is the path down to the message, the completions are the assistant's replies to it, in the order of the
    file; deleted messages are left out with all replies below them. The score `overall` is the negative rank: 0 is
    best, then -1; an unranked reply has none. All rows of a tree have its id. Other fields of the messages are kept in
    `meta`. A tree without a reply of the assistant is quarantined.
    """
    return RankedTrees()


def _replied(root: Reply, column: str, raw: Fields) -> Iterator[tuple[list[Stop], list[tuple[int | None, Stop]]]]:
    """Yield each path to a user message with replies of the assistant, and these replies, each with its rank."""
    stack: list[tuple[Reply, str, Fields, list[Stop]]] = [(root, column, raw, [])]
    while stack:
        message, place, held, before = stack.pop()
        below = held.pop("replies", None)
        path = [*before, Stop(_turn(message.text, message.role, place), held)]
        children = message.replies or []
        if not children:
            continue
        name = f"{place}.replies".lstrip(".")
        fields = [_own(each) for each in objects(below, name)]
        alive = [i for i, child in enumerate(children) if not child.deleted]
        answers = [(i, _turn(children[i].text, children[i].role, f"{name}[{i}]")) for i in alive]
        replies = [
            (children[i].rank, Stop(turn, {key: value for key, value in fields[i].items() if key != "replies"}))
            for i, turn in answers
            if turn[0] == "assistant"
        ]
        if path[-1].turn[0] == "user" and replies:
            yield path, replies
        stack += [(children[i], f"{name}[{i}]", fields[i], path) for i in reversed(alive)]


class MessageRow(Struct, gc=False):
    """What `oasst_messages` reads."""

    message_id: str
    text: str
    role: str
    parent_id: str | None = None
    rank: int | None = None
    deleted: bool | None = None


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

    @property
    def layout(self) -> type[Struct]:
        """One message, its columns under their names in the data."""
        own = {"message_id": self.message_id, "parent_id": self.parent_id, "text": self.text, "role": self.role}
        return renamed(MessageRow, **own)

    def recognises(self, rows: int, fields: Container[str], faults: Sequence[str]) -> int:
        """Return how many rows it reads: a reply may have its parent further on, and a tree is not a flat message."""
        return 0 if "replies" in fields else rows - sum(column != self.parent_id for column in faults)

    def rows(self, row: MessageRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of one message that has no parent and no reply."""
        yield from (made for _, made in self.file_rows([FileRow(1, row, fields)], _raise))

    def file_rows(self, rows: list[FileRow], bad: Callable[[int, Fault], None]) -> Iterator[tuple[int, Conversation]]:
        """Make the conversations of a file's messages, each with the number of its first message.

        A message belongs to no conversation if its id is repeated, its parent is not in the file, or its prompt was
        deleted.
        """
        known: dict[str, FileRow] = {}
        for node in rows:
            if node.row.message_id in known:
                bad(node.number, Fault(self.message_id, "a message's id once, not twice"))
            else:
                known[node.row.message_id] = node
        children: dict[str, list[FileRow]] = {}
        roots: list[FileRow] = []
        for node in known.values():
            if node.row.parent_id is None:
                roots.append(node)
            else:
                children.setdefault(node.row.parent_id, []).append(node)
        reached = {root.row.message_id for root in roots}
        for root in roots:
            yield from self._tree(root, children, reached, bad)
        for node in known.values():
            if node.row.message_id not in reached:
                bad(node.number, Fault(self.parent_id, "a message whose parents are all in the file"))

    def _tree(
        self, root: FileRow, children: dict[str, list[FileRow]], reached: set[str], bad: Callable[[int, Fault], None]
    ) -> Iterator[tuple[int, Conversation]]:
        self._reach(root, children, reached)
        try:
            if root.row.deleted:
                refuse("", "a prompt that was not deleted")
            made = [(root.number, path) for path in self._walk(root, children)]
        except Fault as fault:
            bad(root.number, fault)
            return
        yield from made

    def _reach(self, root: FileRow, children: dict[str, list[FileRow]], reached: set[str]) -> None:
        stack = [root]
        while stack:
            below = children.get(stack.pop().row.message_id, [])
            reached.update(node.row.message_id for node in below)
            stack += below

    def _walk(self, root: FileRow, children: dict[str, list[FileRow]]) -> Iterator[Conversation]:
        taken = {self.text, self.role}
        stack: list[tuple[FileRow, list[Stop]]] = [(root, [])]
        while stack:
            node, before = stack.pop()
            rest = {name: value for name, value in node.fields.items() if name not in taken}
            path = [*before, Stop(_turn(node.row.text, node.row.role, ""), rest)]
            below = children.get(node.row.message_id, [])
            best = _best([(i, reply.row.rank, reply.row.deleted) for i, reply in enumerate(below)], self.replies)
            if not best:
                yield Conversation([stop.turn for stop in path], {"messages": [stop.rest for stop in path]})
            stack += [(below[i], path) for i in reversed(best)]


def _raise(_number: int, fault: Fault) -> None:
    raise fault


def oasst_messages(
    replies: Literal["best"] | int = "best",
    *,
    message_id: str = "message_id",
    parent_id: str = "parent_id",
    text: str = "text",
    role: str = "role",
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

    Returns:
        A format that makes conversations.

    Raises:
        MixtureError: `replies` is neither "best" nor a positive number.

    Example:
        >>> oasst_messages(text="body").text
        'body'
    """
    return FlatMessages(_count(replies), message_id, parent_id, text, role)


CANDIDATES: Final = (oasst(), oasst_messages())
