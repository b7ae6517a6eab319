"""Formats of Open Assistant: `oasst` trees, their `oasst_ranked` replies, and `oasst_messages` in a flat list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, cast

from msgspec import Struct

from curate.errors import MixtureError
from curate.io.formats.base import Completion, Conversation, Fields, Format, Rated, fields_of, objects, renamed
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
    replies: int = 1

    @property
    def layout(self) -> type[Struct]:
        """A tree of messages."""
        return TreeRow

    def rows(self, row: TreeRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of each path that is taken."""
        root, column, raw = _root(row, fields)
        for path in _paths(root, column, raw, self.replies):
            meta = dict(fields)
            rest = [step.rest for step in path]
            if any(rest):
                meta[column or "replies"] = rest if column else rest[1:]
            yield Conversation([step.turn for step in path], meta)


def oasst(replies: Literal["best"] | int = "best") -> Trees:
    """Trees of messages (`prompt` with nested `replies`), one a row; prompter is the user.

    `replies="best"` follows the best-ranked reply at every message down to its end: one conversation a tree. A number k
    follows the k best: a conversation for each path, all with the tree's id. Rank 0 is best; unranked replies come
    last, in the file's order; deleted ones, with all below them, are left out. What the messages of the path hold
    besides (ids, ranks, labels) goes along in `meta`.
    """
    return Trees(_count(replies))


def _count(replies: Literal["best"] | int) -> int:
    if replies == "best":
        return 1
    if not isinstance(replies, int) or isinstance(replies, bool) or replies < 1:
        message = f'replies={replies!r} is no number of replies; give "best" or 1, 2, 3, ...'
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
    """A message of a path: its turn, and what else it holds."""

    turn: Turn
    rest: Fields


def _own(raw: Fields) -> Fields:
    """Take out of a message's fields what its turn says."""
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
    """Walk the tree, k best replies at each message; no recursion: a tree may be deeper than Python's stack."""
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

    @property
    def kind(self) -> Kind:
        """Always `rated`."""
        return "rated"

    @property
    def layout(self) -> type[Struct]:
        """A tree of messages."""
        return TreeRow

    def rows(self, row: TreeRow, fields: Fields) -> Iterator[Rated]:
        """Make a rated row of each of the user's messages that was replied to."""
        root, column, raw = _root(row, fields)
        made = list(_replied(root, column, raw))
        if not made:
            refuse(f"{column}.replies".lstrip("."), "a reply of the assistant to a message of the user")
        for path, replies in made:
            meta = dict(fields)
            rest = [step.rest for step in path]
            if any(rest):
                meta[column or "replies"] = rest if column else rest[1:]
            if any(step.rest for _, step in replies):
                meta["completions"] = [step.rest for _, step in replies]
            answers = [
                Completion(step.turn[1], None, {} if rank is None else {"overall": float(-rank)})
                for rank, step in replies
            ]
            yield Rated([step.turn for step in path], answers, meta)


def oasst_ranked() -> RankedTrees:
    """Trees of messages (`prompt` with nested `replies`) as rated rows: one for each user message with replies to it.

    The prompt is the path down to the message, the completions are the assistant's replies to it, in the file's order;
    deleted messages, with all below them, are left out. The score `overall` is the rank with its sign changed, so that
    0 is best and -1 comes next; an unranked reply has none. All rows of a tree have its id. What the messages hold
    besides goes along in `meta`. A tree in which the assistant says nothing is quarantined.
    """
    return RankedTrees()


def _replied(root: Reply, column: str, raw: Fields) -> Iterator[tuple[list[Stop], list[tuple[int | None, Stop]]]]:
    """Give each path to a message of the user that has replies of the assistant, and these, each with its rank."""
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
        said = [(i, _turn(children[i].text, children[i].role, f"{name}[{i}]")) for i in alive]
        replies = [
            (children[i].rank, Stop(turn, {key: value for key, value in fields[i].items() if key != "replies"}))
            for i, turn in said
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


class Node(NamedTuple):
    """A message of a flat file: the line it stood on, what was read, and its fields."""

    number: int
    row: MessageRow
    fields: Fields


@dataclass(frozen=True)
class FlatMessages(DialogueFormat):
    """See `oasst_messages`."""

    name: ClassVar[str] = "oasst_messages"
    whole: ClassVar[bool] = True
    replies: int = 1
    message_id: str = "message_id"
    parent_id: str = "parent_id"
    text: str = "text"
    role: str = "role"

    @property
    def layout(self) -> type[Struct]:
        """One message, its columns under their names in the data."""
        names = ("message_id", "parent_id", "text", "role")
        return renamed(MessageRow, {name: cast("str", getattr(self, name)) for name in names})

    def rows(self, row: MessageRow, fields: Fields) -> Iterator[Conversation]:
        """Make a conversation of one message that has no parent and no reply."""
        yield from (made for _, made in self.threads([Node(1, row, fields)], _raise))

    def threads(self, nodes: list[Node], bad: Callable[[int, Fault], None]) -> Iterator[tuple[int, Conversation]]:
        """Make the conversations of a file's messages, each at the line of its first message.

        `bad` is told of each message that belongs to no conversation: an id that stands twice, a parent that is not in
        the file, a deleted prompt.
        """
        known: dict[str, Node] = {}
        for node in nodes:
            if node.row.message_id in known:
                bad(node.number, Fault(self.message_id, "a message's id once, not twice"))
            else:
                known[node.row.message_id] = node
        children: dict[str, list[Node]] = {}
        roots: list[Node] = []
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
        self, root: Node, children: dict[str, list[Node]], reached: set[str], bad: Callable[[int, Fault], None]
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

    def _reach(self, root: Node, children: dict[str, list[Node]], reached: set[str]) -> None:
        stack = [root]
        while stack:
            below = children.get(stack.pop().row.message_id, [])
            reached.update(node.row.message_id for node in below)
            stack += below

    def _walk(self, root: Node, children: dict[str, list[Node]]) -> Iterator[Conversation]:
        taken = {self.text, self.role}
        stack: list[tuple[Node, list[Stop]]] = [(root, [])]
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
    """Messages in a flat list, one a line, joined into trees by `message_id` and `parent_id`; paths as in `oasst`.

    A file is read whole. A message whose parents are not all in the file is quarantined; replies that no path takes are
    left out, as in `oasst`. The other arguments name the columns. A path's messages go along in `meta`.
    """
    return FlatMessages(_count(replies), message_id, parent_id, text, role)
