"""Values stored another way than the layouts spell them: lists of messages as JSON text, fields within fields."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from curate.io.formats.base import Fields, fields_of, json_items, objects
from curate.rows.validate import refuse

ROLE_KEYS: Final = frozenset({"role", "from"})
"""Fields of which a message has one."""

WRAPPERS: Final = ("messages", "conversations")
"""Fields of an object that holds a list of messages and nothing else of interest."""

_MAYBE: Final = frozenset(b"[{ \\")
"""The first byte within a JSON string that may hold a list or an object, perhaps behind white space."""

QUOTE, OBJECT = b'"{'

_PATH: Final = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")


def unpacked(fields: Fields, *groups: tuple[str, ...], keys: frozenset[str] = ROLE_KEYS) -> Fields:
    """Return `fields` with plain lists of messages; the same object where no list is stored otherwise.

    A list may be JSON text, a list of JSON texts (one per message: the type `Json` of `datasets`), within an object
    (`{"messages": [...]}`), or an object of lists (`{"role": [...], "content": [...]}`). The fields of a group are read
    so only if all of them can be: one answer of two that happens to be JSON is text.
    """
    found: Fields = {}
    for group in groups:
        for column in group:
            if column not in fields or _is_plain(fields[column]):
                break
        else:
            lists = [_messages(fields[column], column, keys) for column in group]
            for each in lists if all(lists) else ():
                found |= each
    return fields | found if found else fields


def _messages(value: Any, column: str, keys: frozenset[str]) -> Fields:  # noqa: ANN401
    """Return the list of messages that a value holds, and what an object holds around it; nothing for other values."""
    text = text_of(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = f"[{','.join(value)}]"
    if text is not None:
        inner = json_in(text)
        if inner is None:
            return {}
        held = {column: inner} if _is_messages(inner, keys) else _messages(inner, column, keys)
        return held if isinstance(value, Raw) else _decoded(held, column)
    if not is_object(value):
        return {}
    within = fields_of(value, column)
    for name in WRAPPERS:
        if _is_messages(within.get(name), keys):
            rest = {f"{column}.{other}": one for other, one in within.items() if other != name}
            return {column: within[name], **rest}
    lists = {name: one for name, one in ((name, items_of(one)) for name, one in within.items()) if one is not None}
    if len(lists) < len(within) or not keys & lists.keys():
        return {}
    if len({len(one) for one in lists.values()}) > 1:
        sizes = ", ".join(f"{name} has {len(one)}" for name, one in lists.items())
        refuse(column, f"lists of the same length; {sizes}")
    made = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return {column: Raw(msgspec.json.encode(made)) if isinstance(value, Raw) else made}


def _decoded(held: Fields, column: str) -> Fields:
    """Decode a list of messages but for their calls: of Python values, null fields count as absent."""
    found = {name: msgspec.json.decode(one) for name, one in held.items()}
    for message, raw in zip(found.get(column, ()), objects(held.get(column, Raw(b"[]")), column), strict=True):
        if message.get("tool_calls"):
            message["tool_calls"] = raw["tool_calls"]
    return found


def _start(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def _is_plain(value: Any) -> bool:  # noqa: ANN401
    """Tell at a glance whether a value is a list or a text that holds none: nearly every value is."""
    if not isinstance(value, Raw):
        return isinstance(value, list) and not (value and isinstance(value[0], str))
    view = memoryview(value)
    return view[0] != OBJECT and (view[0] != QUOTE or view[1] not in _MAYBE)


def text_of(value: Any) -> str | None:  # noqa: ANN401
    """Return a text; None for another value."""
    if isinstance(value, Raw) and _start(value) == b'"':
        return msgspec.json.decode(value, type=str)
    return str(value) if isinstance(value, str) else None


def json_in(text: str) -> Raw | None:
    """Return a text as undecoded JSON, if it is a list or an object."""
    if text.lstrip()[:1] not in {"[", "{"}:
        return None
    try:
        return Raw(bytes(msgspec.json.decode(text, type=Raw)).strip())
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None


def is_object(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a value, undecoded or not, is an object."""
    return _start(value) == b"{" if isinstance(value, Raw) else isinstance(value, dict)


def items_of(value: Any) -> list[Any] | None:  # noqa: ANN401
    """Return the items of a list, undecoded if it was; None for another value."""
    if isinstance(value, Raw):
        return json_items(value) if _start(value) == b"[" else None
    return value if isinstance(value, list) else None


def _is_messages(value: Any, keys: frozenset[str]) -> bool:  # noqa: ANN401
    """Tell whether a value is a list of objects, each with the field of a message's role."""
    items = items_of(value)
    return bool(items) and all(is_object(one) and keys & fields_of(one, "").keys() for one in items or ())


def inside(fields: Fields, path: str) -> Any:  # noqa: ANN401
    """Return the value within a field, by its path; None if there is none.

    >>> inside({"output": ["a", "b"]}, "output[1]"), inside({"meta": {"score": 7}}, "meta.score"), inside({}, "a.b")
    ('b', 7, None)
    """
    first = re.match(r"[^.\[\]]+", path)
    steps = [] if first is None else list(_PATH.finditer(path, first.end()))
    if first is None or not steps or first.end() + sum(len(step[0]) for step in steps) != len(path):
        return None
    value = fields.get(first[0])
    for name, place in (step.groups() for step in steps):
        if place is not None:
            items = items_of(value) or []
            value = items[int(place)] if int(place) < len(items) else None
        else:
            value = fields_of(value, path).get(name) if is_object(value) else None
    return None if isinstance(value, Raw) and _start(value) == b"n" else value


def lifted(fields: Fields, names: Iterable[str]) -> Fields:
    """Return `fields` with those that `names` gives by a path (`metadata.score`, `output[0]`); the same without any.

    A field with the whole name comes first.
    """
    found = {name: value for name in names if name not in fields and (value := inside(fields, name)) is not None}
    return fields | found if found else fields
