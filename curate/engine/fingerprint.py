"""One hash for everything that decides what a build holds; what has no stable identity is refused.

The form hashed is canonical JSON. A path, a callable or an object of unknown kind never enters it: a permissive
fallback to `str` would quietly give one recipe two fingerprints. A dataclass field marked
`metadata={"fingerprint": False}` says where to look, not what is meant, and stays out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import TypeAlias

from curate.errors import MixtureError
from curate.mix.spec import MixtureSpec
from curate.steps.base import Step

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def fingerprint(mixture: MixtureSpec) -> str:
    """Return 64 hexadecimal digits that stand for the declaration (not for the data; see the manifest).

    Raises `MixtureError` naming the field that has no stable identity.
    """
    text = json.dumps(canonical(mixture), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: object, where: str = "mixture") -> Json:
    """Return `value` as plain JSON, with the type of each dataclass and the version of each step.

    >>> from curate.mix.takes import Rows
    >>> canonical(Rows(5))
    {'type': 'Rows', 'n': 5}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise MixtureError(f"{where} is {value}, which has no place in a fingerprint")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value, where)
    if isinstance(value, Mapping):
        return {str(name): canonical(item, f"{where}.{name}") for name, item in sorted(value.items())}
    if isinstance(value, set | frozenset):
        return sorted((canonical(item, where) for item in value), key=json.dumps)
    if isinstance(value, tuple | list):
        return [canonical(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise MixtureError(
        f"{where} is {type(value).__name__}, which has no stable identity; use plain values or a frozen dataclass"
    )


def _fields(value: object, where: str) -> dict[str, Json]:
    found: dict[str, Json] = {"type": type(value).__name__}
    if isinstance(value, Step):
        found["version"] = type(value).version
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        if field.metadata.get("fingerprint", True):
            found[field.name] = canonical(getattr(value, field.name), f"{where}.{field.name}")
    return found
