"""What a format is, what it hands back, and how a field's leftovers are carried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct

from curate.rows.schema import Kind
from curate.rows.validate import Turn, refuse

Fields: TypeAlias = dict[str, Any]
"""A raw row's fields by name: undecoded JSON (`msgspec.Raw`), or Python values where the source is not JSON."""


class Completion(NamedTuple):
    """One answer of a rated row, with its scores by name."""

    content: str
    model: str | None
    scores: dict[str, float]


class Conversation(NamedTuple):
    """The body of a conversation row; `meta` is what the format did not read."""

    messages: list[Turn]
    meta: Fields


class Rated(NamedTuple):
    """The body of a rated row."""

    messages: list[Turn]
    completions: list[Completion]
    meta: Fields


class Preference(NamedTuple):
    """The body of a preference row."""

    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]
    chosen_score: float | None
    rejected_score: float | None
    meta: Fields


Row: TypeAlias = Conversation | Rated | Preference


@dataclass(frozen=True)
class Format(ABC):
    """A layout of raw data. Its fields are its whole configuration; `whole` formats need all rows of a file at once."""

    name: ClassVar[str]
    whole: ClassVar[bool] = False

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """The kind of row that it makes."""

    @property
    @abstractmethod
    def layout(self) -> type[Struct]:
        """The fields it reads, and their types."""

    @abstractmethod
    def rows(self, row: Any, fields: Fields) -> Iterable[Row]:  # noqa: ANN401
        """Make rows of `row` (a `layout`), taking out of `fields` what it reads; raises `Fault`."""

    def reads(self) -> frozenset[str]:
        """Return the names of the fields that it reads where they are there."""
        return frozenset(field.encode_name for field in msgspec.structs.fields(self.layout))


class Key:
    """A key of a JSON object that equals no other, so that a key given twice is not lost on the way into a dict."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _key(_type: type, name: str) -> Key:
    return Key(name)


_OBJECT = msgspec.json.Decoder(dict[Key, Raw], dec_hook=_key)
_OBJECTS = msgspec.json.Decoder(list[dict[Key, Raw]], dec_hook=_key)
_LIST = msgspec.json.Decoder(list[Raw])


def _named(pairs: dict[Key, Raw], column: str) -> Fields:
    fields = {key.name: raw for key, raw in pairs.items()}
    if len(fields) != len(pairs):
        names = [key.name for key in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        refuse(f"{column}.{twice}" if column else twice, "a key once, not twice")
    return fields


def json_fields(text: bytes | Raw, column: str = "") -> Fields:
    """Split a JSON object into its fields, undecoded; raises `Fault` for a key given twice.

    >>> bytes(json_fields(b'{"a": [1,  2]}')["a"])
    b'[1,  2]'
    """
    return _named(_OBJECT.decode(text), column)


def json_items(text: bytes | Raw) -> list[Raw]:
    """Split a JSON array into its values, undecoded."""
    return _LIST.decode(text)


def objects(value: Any, column: str) -> list[Fields]:  # noqa: ANN401
    """Return the fields of each object in a list, undecoded if they were; null fields of Python values go."""
    if isinstance(value, Raw):
        return [_named(pairs, f"{column}[{i}]") for i, pairs in enumerate(_OBJECTS.decode(value))]
    return [present(item) for item in value]


def fields_of(value: Any, column: str) -> Fields:  # noqa: ANN401
    """Return the fields of one object, undecoded if they were."""
    return json_fields(value, column) if isinstance(value, Raw) else present(value)


def present(row: Fields) -> Fields:
    """Drop null fields: where a table holds the rows, null and absent are one."""
    return {name: value for name, value in row.items() if value is not None}


def as_json(value: Any) -> str:  # noqa: ANN401
    """Return `value` as JSON: undecoded JSON byte for byte, Python values encoded (NaN as null, bytes in base64).

    >>> as_json({"a": Raw(b"1.50"), "b": "x"})
    '{"a":1.50,"b":"x"}'
    """
    return msgspec.json.encode(value).decode()


def keep(fields: Fields, column: str, rest: list[Fields]) -> None:
    """Put what is left of a list's objects back under the list's name, an object each; nothing if nothing is left."""
    if any(rest):
        fields[column] = rest


_layouts: dict[tuple[type[Struct], tuple[tuple[str, str], ...]], type[Struct]] = {}


def renamed(layout: type[Struct], names: dict[str, str]) -> type[Struct]:
    """Return `layout` reading its fields under other names: attribute name to name in the data."""
    key = (layout, tuple(sorted(names.items())))
    if key not in _layouts:
        fields = msgspec.structs.fields(layout)
        spec = [(f.name, f.type) if f.required else (f.name, f.type, f.default) for f in fields]
        _layouts[key] = msgspec.defstruct(layout.__name__, spec, rename=names, gc=False)
    return _layouts[key]
