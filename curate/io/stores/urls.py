"""URLs in place of paths: which texts are some, and what of one may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final, NamedTuple

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_MERGED: Final = re.compile(r"^(?!file:|local:)([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
_HERE: Final = ("file://", "local://")

_PASSWORD: Final = re.compile(r"([^/@:]*:(?!\d+(?:/|$))[^@]*)@")
"""A user and a password, which may hold a slash, before what a URL names."""

_USER: Final = re.compile(r"([^/@]+)@")
_QUERY: Final = re.compile(r"\?([^/?]*=.*)$", re.DOTALL)


class RemoteFile(NamedTuple):
    """A file of a store: its URL, its bytes (None: not said), and what the store says that changes with its content."""

    url: str
    size: int | None
    stamp: str


class Url(str):
    """A URL, whose `repr` is what is shown of it, so that a notebook keeps no secret.

    >>> Url("ftp://ann:secret@host/a.jsonl")
    'ftp://host/a.jsonl'
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(shown(self))


def is_url(path: str) -> bool:
    """Return whether a text is a URL of a store; those of this machine's files are paths.

    >>> is_url("s3://bucket/chats.jsonl"), is_url("file:///data/chats.jsonl"), is_url("data/chats.jsonl")
    (True, False, False)
    """
    return _URL.match(path) is not None and not path.startswith(_HERE)


def text_of(place: str | os.PathLike[str]) -> str:
    """Return a path or URL as text; a URL that was made a `Path`, which knows one slash, is the URL.

    >>> text_of(PurePath("s3://bucket/in") / "a.jsonl"), text_of(PurePath("in/a.jsonl"))
    ('s3://bucket/in/a.jsonl', 'in/a.jsonl')
    """
    text = os.fspath(place)
    text = _MERGED.sub(r"\1://", text, count=1) if isinstance(place, PurePath) else text
    return Url(text) if is_url(text) else text


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in lower case.

    >>> scheme_of("S3://bucket/a")
    's3'
    """
    found = _URL.match(url)
    return found[1].lower() if found else ""


def path_of(path: str) -> str:
    """Return the path of a file of this machine, which may be a URL such as `file:///data`.

    >>> path_of("file:///data/a.jsonl"), path_of("a.jsonl")
    ('/data/a.jsonl', 'a.jsonl')
    """
    return next((path.removeprefix(start) for start in _HERE if path.startswith(start)), path)


def below(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder.

    >>> below("s3://bucket/out/", "data/a.parquet"), below("out", "data/a.parquet")
    ('s3://bucket/out/data/a.parquet', 'out/data/a.parquet')
    """
    return f"{folder.rstrip('/')}/{name}"


def shown(url: str) -> str:
    """Return a URL as messages and notes name it: without user, password and query, which may be secrets.

    >>> shown("https://ann:secret@example.org/a.jsonl?X-Amz-Signature=f00"), shown("s3://bucket/part-?.jsonl")
    ('https://example.org/a.jsonl', 's3://bucket/part-?.jsonl')
    """
    found = _URL.match(url)
    if found is None:
        return url
    rest = _QUERY.sub("", url[found.end() :])
    return f"{found[0]}{rest[len(_user(rest)) :].removeprefix('@')}"


def _user(rest: str) -> str:
    found = _PASSWORD.match(rest) or _USER.match(rest)
    return found[1] if found else ""


def without_secrets(text: str, url: str) -> str:
    """Return a text without what of a URL is not shown.

    >>> without_secrets("ann:secret@example.org does not answer secret", "https://ann:secret@example.org/a")
    '***@example.org does not answer ***'
    """
    secrets = sorted(set(_secrets(url)), key=lambda one: (-len(one), one))
    return re.sub("|".join(map(re.escape, secrets)), "***", text) if secrets else text


def _secrets(url: str) -> Iterator[str]:
    """Give what of a URL is not shown: user with password, the password, the query and its values."""
    found = _URL.match(url)
    if found is None:
        return
    rest = url[found.end() :]
    user, query = _user(rest), _QUERY.search(rest)
    password = user.partition(":")[2]
    values = [pair.partition("=")[2] for pair in query[1].split("&")] if query else []
    yield from (one for one in (user, password, query[1] if query else "", *values) if len(one) > 1)
