"""Everything of an export that goes value by value: JSON and Python text is written, or looked into, one at a time."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from curate.export.flat import Mask, MessageColumn
from curate.io.formats.calls import python_calls
from curate.io.formats.marked_calls import without_forms, written
from curate.rows.schema import TOOL
from curate.rows.validate import Call, Fault

_ENCODER: Final = msgspec.json.Encoder()
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_LEFTOVERS: Final = msgspec.json.Decoder(dict[str, Any])

EMPTY: Final = "{}"
"""The `meta` of a row of which nothing was left over."""


def openai_messages(messages: MessageColumn, *, decoded: bool) -> list[dict[str, Any]]:
    """Return messages as OpenAI spells them, reasoning as `reasoning_content`; a part that is not there has no key.

    Arguments are JSON text, or `decoded`: the JSON itself, byte for byte.
    """
    fields = (messages.items.field(name).to_pylist() for name in ("role", "content"))
    made: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in zip(*fields, strict=True)]
    _set(made, "reasoning_content", messages, "reasoning")
    for message, calls in _calls(messages):
        made[message]["tool_calls"] = [_openai(call, decoded=decoded) for call in calls]
    for name in ("tool_call_id", "name"):
        _set(made, name, messages, name)
    return made


def _set(made: list[dict[str, Any]], name: str, messages: MessageColumn, part: str) -> None:
    """Give the messages that have a part its value under a name."""
    values = messages.part(part)
    if values is not None:
        there = np.flatnonzero(messages.has(part))
        for message, value in zip(there.tolist(), values.take(pa.array(there)).to_pylist(), strict=True):
            made[message][name] = value


def _openai(call: Call, *, decoded: bool) -> dict[str, Any]:
    function = {"name": call.name, "arguments": Raw(call.arguments.encode()) if decoded else call.arguments}
    return {**({} if call.id is None else {"id": call.id}), "type": "function", "function": function}


def _calls(messages: MessageColumn) -> Iterator[tuple[int, list[Call]]]:
    """Yield each message that makes calls, with them."""
    columns = (messages.call_part(name)[0].to_pylist() for name in Call._fields)
    calls = map(Call, *columns)
    for message in np.flatnonzero(messages.calls).tolist():
        yield message, [next(calls) for _ in range(messages.calls[message])]


def as_lists(messages: MessageColumn, made: Sequence[Any]) -> list[Sequence[Any]]:
    """Return what was made of the messages in the lists of their rows."""
    return [made[start:end] for start, end in pairwise(messages.ends.tolist())]


def json_lists(messages: MessageColumn) -> pa.ListArray:
    """Return lists of messages, each as JSON with the keys that it has and no null, its arguments decoded."""
    texts = [_ENCODER.encode(made).decode() for made in openai_messages(messages, decoded=True)]
    items = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))
    return pa.ListArray.from_arrays(pa.array(messages.ends), items)


def calls_as_json(messages: MessageColumn) -> pa.Array:
    """Return the calls of each message that makes some as JSON: one as an object, several as a list."""

    def flat(call: Call) -> dict[str, Any]:
        known = {"name": call.name, "arguments": Raw(call.arguments.encode())}
        return known if call.id is None else {**known, "id": call.id}

    made = ([flat(call) for call in calls] for _, calls in _calls(messages))
    return pa.array([_ENCODER.encode(one if len(one) > 1 else one[0]).decode() for one in made], pa.string())


def calls_in_text(messages: MessageColumn, texts: pa.Array) -> pa.Array:
    """Return the text of each message that makes calls, with them as the source had them, or as Hermes and Qwen do."""
    made = [written(texts[at].as_py() or "", calls, messages.forms.get(at, ())) for at, calls in _calls(messages)]
    return pa.array(made, pa.string())


def results_in_text(messages: MessageColumn, texts: pa.Array) -> tuple[pa.Array, Mask]:
    """Return texts, those of results as the source had them, and the messages whose text is in one before them."""
    first, gone = np.zeros((2, len(messages.items)), bool)
    made: list[str] = []
    for at, form in sorted(messages.forms.items()):
        if form[1:2] == ["result"] and messages.role[at] == TOOL:
            count = min(len(form) // 2, int(messages.size[at] - messages.place[at]))
            results = [text or "" for text in texts.slice(at, count).to_pylist()]
            made.append("".join(word for pair in zip(form[::2], results, strict=False) for word in pair) + form[-1])
            first[at] = True
            gone[at + 1 : at + count] = True
    return pc.replace_with_mask(texts, pa.array(first), pa.array(made, pa.string())), gone


def without_marks(meta: pa.Array) -> pa.Array:
    """Return `meta` without the forms of calls and results in text, which it then has."""
    found = pc.match_substring(meta, '"call_marks"')
    return pc.replace_with_mask(meta, found, pa.array(map(without_forms, meta.filter(found).to_pylist()), pa.string()))


def calls_as_python(messages: MessageColumn, originals: Mapping[int, str]) -> pa.Array:
    """Return the calls of each message that makes some as Python, one per line.

    `originals` are texts that the source had, by message; one that says the same calls is used as it is.
    """
    return pa.array([_python(calls, originals.get(message)) for message, calls in _calls(messages)], pa.string())


def _python(calls: Sequence[Call], original: str | None) -> str:
    if original is not None and _same(original, calls):
        return original
    texts = []
    for call in calls:
        words = (f"{name}={value!r}" for name, value in _OBJECT.decode(call.arguments).items())
        texts.append(f"{call.name}({', '.join(words)})")
    return "\n".join(texts)


def _same(text: str, calls: Sequence[Call]) -> bool:
    try:
        said = python_calls(text, "function_calls")
    except Fault:
        return False
    return [(one.name, _OBJECT.decode(one.arguments)) for one in said] == [
        (one.name, _OBJECT.decode(one.arguments)) for one in calls
    ]


def originals(meta: pa.Array, column: str, messages: MessageColumn, field: str) -> dict[int, str]:
    """Return the texts that the source had in a field of its messages beyond what was read, by message."""
    found: dict[int, str] = {}
    for row in np.unique(messages.row[messages.calls > 0]).tolist():
        text = meta[row].as_py()
        left = _LEFTOVERS.decode(text).get(column) if f'"{field}"' in text else None
        for place, one in enumerate(left if isinstance(left, list) else ()):
            said = one.get(field) if isinstance(one, dict) else None
            if isinstance(said, str) and place < messages.ends[row + 1] - messages.ends[row]:
                found[int(messages.ends[row]) + place] = said
    return found


def not_objects(texts: pa.Array) -> Mask:
    """Tell which texts are no JSON object."""
    return np.fromiter((not _decodes(_OBJECT, text) for text in texts.to_pylist()), bool, len(texts))


def not_python(names: pa.Array, arguments: pa.Array) -> Mask:
    """Tell which calls Python cannot spell: a name or the name of an argument is no identifier."""

    def spelt(name: str, text: str) -> bool:
        words = _OBJECT.decode(text) if _decodes(_OBJECT, text) else {"": None}
        every = [*name.split("."), *words]
        return all(word.isidentifier() and not keyword.iskeyword(word) for word in every)

    pairs = zip(names.to_pylist(), arguments.to_pylist(), strict=True)
    return np.fromiter((not spelt(*pair) for pair in pairs), bool, len(names))


def _decodes(decoder: msgspec.json.Decoder[Any], text: str) -> bool:
    try:
        decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def not_lists_of_objects(texts: pa.Array) -> Mask:
    """Tell which texts are no list of JSON objects; null is none of them."""
    known = texts.dictionary_encode()
    odd = [not _decodes(_OBJECTS, text) for text in known.dictionary.to_pylist()]
    return np.array([*odd, False])[np.asarray(known.indices.fill_null(-1))]  # the last is that of null


def meta_fields(meta: pa.Array) -> list[dict[str, Raw]]:
    """Return the fields that each row carries beyond its body, undecoded."""
    return [{} if text == EMPTY else _FIELDS.decode(text) for text in meta.to_pylist()]


def meta_names(meta: Iterable[pa.Array]) -> list[str]:
    """Return the names of all fields that some row carries beyond its body, sorted."""
    return sorted({name for texts in meta for fields in meta_fields(texts) for name in fields})


def meta_columns(meta: pa.Array, names: Sequence[str], taken: Sequence[str]) -> dict[str, pa.Array]:
    """Return a column of JSON for each field that rows carry; those whose name is `taken` are together in `meta`."""
    fields = meta_fields(meta)
    columns = {name: [one.get(name) for one in fields] for name in names if name not in taken}
    if len(columns) < len(names):
        left = ({name: value for name, value in one.items() if name in taken} for one in fields)
        columns["meta"] = [_ENCODER.encode(one) if one else None for one in left]  # type: ignore[misc]
    return {name: as_json([value and bytes(value).decode() for value in found]) for name, found in columns.items()}


def as_json(texts: pa.Array | Sequence[str | None]) -> pa.Array:
    """Return JSON texts as the Arrow type for JSON, which `datasets` decodes and everything else reads as text."""
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def raw(texts: pa.Array | None, count: int) -> list[Raw | None]:
    """Return JSON texts as undecoded JSON; None for null, and for a column that is not there."""
    values = [None] * count if texts is None else texts.to_pylist()
    return [None if text is None else Raw(text.encode()) for text in values]


def wrapped_tools(texts: pa.Array) -> list[list[Any] | None]:
    """Return lists of tools, undecoded; one that is spelled flat becomes the `function` of a tool."""

    def wrapped(tool: Raw) -> Any:  # noqa: ANN401
        return tool if "function" in _FIELDS.decode(tool) else {"type": "function", "function": tool}

    return [None if text is None else [wrapped(tool) for tool in _ITEMS.decode(text)] for text in texts.to_pylist()]


def values(array: pa.Array) -> list[Any]:
    """Return the values of a column."""
    found: list[Any] = array.to_pylist()
    return found


def json_lines(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return rows as JSON lines; a row has no key for a value that is None.

    JSON of the source may be over several lines: between its values, where alone a line can end, it becomes a space.
    """
    names = tuple(columns)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    lines = (_ENCODER.encode({name: value for name, value in row.items() if value is not None}) for row in rows)
    return b"".join(line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for line in lines)
