"""What a format is, what it returns, and how fields that it does not read are carried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import call
from typing import Any, ClassVar, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw, Struct

from curate.rows.schema import Kind
from curate.rows.validate import Fault, Turn, refuse

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


class RatedAnswers(NamedTuple):
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


class Unpaired(NamedTuple):
    """The body of an unpaired row; `label` says whether the completion is good."""

    prompt: list[Turn]
    completion: list[Turn]
    label: bool
    meta: Fields


class Prompt(NamedTuple):
    """The body of a prompt row; `rewards` is what reward functions read, by name."""

    prompt: list[Turn]
    rewards: Fields
    meta: Fields


Row: TypeAlias = Conversation | RatedAnswers | Preference | Unpaired | Prompt


class FastPath(NamedTuple):
    """How the JSON Lines scanner can read a format: the keys of its plain rows, and the role of each plain spelling.

    A row with another spelling, or with a field of `unless`, goes to the full parser.
    """

    list_key: str
    role_key: str
    text_key: str
    roles: Mapping[str, str]
    unless: tuple[str, ...] = ()


class FileRow(NamedTuple):
    """A row of a format that needs the whole file: its number there, its typed fields, and all of its fields."""

    number: int
    row: Any
    fields: Fields


@dataclass(frozen=True)
class Format(ABC):
    """A layout of raw data; its dataclass fields are its whole configuration.

    `whole_file` formats need all rows of a file at once: `file_rows` makes them. A `decisive` format is one whose rows
    can be in no other, so that "auto" prefers it.
    """

    name: ClassVar[str]
    whole_file: ClassVar[bool] = False
    decisive: ClassVar[bool] = False

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

    def file_rows(self, rows: list[FileRow], bad: Callable[[int, Fault], None]) -> Iterator[tuple[int, Row]]:
        """Make the rows of a whole file, each with its number; `bad` takes the number and fault of each other row."""
        raise NotImplementedError

    @property
    def fast_path(self) -> FastPath | None:
        """How the JSON Lines scanner can read it; None if it cannot."""
        return None

    @property
    def id_column(self) -> str | None:
        """The field with the source's own ids, if the format itself names one."""
        return None

    def named(self) -> tuple[str, ...]:
        """Return the fields that the user named and of which some row must have each."""
        return ()

    @property
    def list_column(self) -> str | None:
        """The field that a row which is a bare list of messages counts as; None if such a row is invalid."""
        return None

    def prepare(self, fields: Fields) -> Fields:
        """Return a raw row's fields as `layout` spells them: another object only where one is stored otherwise."""
        return fields

    def reads(self) -> frozenset[str]:
        """Return the names of the fields that it reads, if present."""
        return frozenset(field.encode_name for field in msgspec.structs.fields(self.layout))

    def recognises(self, rows: int, fields: Container[str], faults: Sequence[str]) -> int:  # noqa: ARG002
        """Return how many of the first `rows` rows it reads, from their fields and the columns of those that fail."""
        return rows - len(faults)


class Key:
    """A JSON key that equals no other, so that a repeated key is not lost on the way into a dict."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_OBJECT = msgspec.json.Decoder(dict[Key, Raw], dec_hook=call)
_OBJECTS = msgspec.json.Decoder(list[dict[Key, Raw]], dec_hook=call)
_LIST = msgspec.json.Decoder(list[Raw])


def at(column: str, place: int | None) -> str:
    """Return the column of one value of a list; of the only value without a place."""
    return column if place is None else f"{column}[{place}]"


def _named(pairs: dict[Key, Raw], column: str, place: int | None = None) -> Fields:
    fields = {key.name: raw for key, raw in pairs.items()}
    if len(fields) != len(pairs):
        names = [key.name for key in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        refuse(f"{at(column, place)}.{twice}" if column else twice, "a key once, not twice")
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
    """Return the fields of each object in a list, undecoded if they were; null fields of Python values are dropped."""
    if isinstance(value, Raw):
        return [_named(pairs, column, i) for i, pairs in enumerate(_OBJECTS.decode(value))]
    return [present(item) for item in value]


def fields_of(value: Any, column: str) -> Fields:  # noqa: ANN401
    """Return the fields of one object, undecoded if they were."""
    return json_fields(value, column) if isinstance(value, Raw) else present(value)


def present(row: Fields) -> Fields:
    """Drop null fields, and those that are NaN: in a table, both are the same as absent."""
    return {name: value for name, value in row.items() if value is not None and value == value}  # noqa: PLR0124


class JsonText(str):
    """A value of a table whose type says that it is JSON, undecoded."""

    __slots__ = ()


def as_json(value: Any) -> str:  # noqa: ANN401
    """Return `value` as JSON: undecoded JSON byte for byte, Python values encoded (NaN as null, bytes in base64).

    >>> as_json({"a": Raw(b"1.50"), "b": "x", "c": JsonText("[2.0]")})
    '{"a":1.50,"b":"x","c":[2.0]}'
    """
    return msgspec.json.encode(value, enc_hook=_undecoded).decode()


def _undecoded(value: Any) -> Raw:  # noqa: ANN401
    if isinstance(value, JsonText):
        return Raw(value.encode())
    raise NotImplementedError


def keep(fields: Fields, column: str, rest: list[Fields]) -> None:
    """Put what is left of each object of a list back under the list's name; nothing if nothing is left."""
    if any(rest):
        fields[column] = rest


@lru_cache(maxsize=256)
def struct_of(
    name: str, fields: tuple[tuple[str, Any] | tuple[str, Any, Any], ...], names: tuple[tuple[str, str], ...]
) -> type[Struct]:
    """Return a struct of these fields (name, type and perhaps default), each read under its name in the data."""
    return msgspec.defstruct(name, fields, rename=dict(names), gc=False)


def renamed(layout: type[Struct], **names: str) -> type[Struct]:
    """Return `layout` with its fields read under other names: attribute name to name in the data."""
    fields = msgspec.structs.fields(layout)
    spec = tuple((f.name, f.type) if f.required else (f.name, f.type, f.default) for f in fields)
    return struct_of(layout.__name__, spec, tuple(sorted(names.items())))
