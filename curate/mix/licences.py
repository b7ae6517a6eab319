"""What the licences of rows allow, as far as their names say: a help for a person who reads them, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

Use: TypeAlias = Literal["commercial"]
"""A use of rows that licences may forbid."""

Verdict: TypeAlias = Literal["allowed", "not allowed", "not stated"]

ALLOWING: Final = re.compile(
    r"(apache|mit|bsd|cc0|cc-by-(sa-)?\d|odc-by|odbl|pddl|unlicense|gpl|lgpl|agpl|mpl|cdla-(permissive|sharing)|isc|zlib)"
)
"""How names of licences begin that allow commercial use, some of them with duties."""

FORBIDDING: Final = re.compile(r"(^|[^a-z])(nc|non-?commercial|research-only)([^a-z]|$)")

ALIKE: Final = re.compile(r"(^|[^a-z])(sa|gpl|agpl|lgpl|odbl|sharing)([^a-z]|$)")
"""Names of licences that ask for their own terms on what is made of the data."""

DERIVING: Final = re.compile(r"(^|[^a-z])nd([^a-z]|$)")
"""Names of licences that do not allow derivatives."""


def verdict(licence: str | None, use: Use) -> Verdict:  # noqa: ARG001  there is one use so far
    """Return whether a licence allows a use, by its name; of several joined by ", ", the least that one of them says.

    Names are those of the Hub, in any case. A name that is not known, such as a model's own licence, is "not stated".

    >>> verdict("odc-by", "commercial"), verdict("CC-BY-NC-4.0", "commercial"), verdict("llama3.1", "commercial")
    ('allowed', 'not allowed', 'not stated')
    """
    names = [name.strip().lower() for name in (licence or "").split(",")]
    if any(FORBIDDING.search(name) for name in names):
        return "not allowed"
    return "allowed" if all(ALLOWING.match(name) for name in names) else "not stated"


def licence_notes(source: str, licences: Mapping[str, int], use: Use | None) -> Iterator[str]:
    """Say of each licence of a source that it does not allow a use, or does not say so; `licences` has rows by licence.

    >>> list(licence_notes("aya", {"cc-by-nc-4.0": 0}, "commercial"))
    ["source 'aya': its licence, cc-by-nc-4.0, does not allow commercial use"]
    """
    if use is None:
        return
    for name, rows in licences.items():
        said = verdict(name, use)
        what = f"the licence of {rows:,} rows" if rows else "its licence"
        if said == "not allowed":
            yield f"source {source!r}: {what}, {name}, does not allow {use} use"
        elif said == "not stated":
            known = f"{what}, {name}, may or may not allow {use} use: read it" if name else f"{what} is not stated"
            yield f"source {source!r}: {known}"


def roll_up(names: Iterable[str]) -> Iterator[str]:
    """Say what follows for a set whose rows have these licences (empty: none is stated), where they are several.

    >>> list(roll_up(["mit", "cc-by-sa-4.0", "cc-by-nc-4.0"]))[1]
    'cc-by-sa-4.0 asks for its own terms on what is made of the rows, and cc-by-nc-4.0 limits their use'
    """
    several = sorted(set(names))
    if len(several) > 1:
        shown = ", ".join(name or "not stated" for name in several)
        yield f"rows are under {len(several)} licences, all of which whoever uses the set keeps to: {shown}"
    alike = [name for name in several if ALIKE.search(name.lower())]
    limiting = [name for name in several if FORBIDDING.search(name.lower()) and name not in alike]
    if alike and limiting:
        asks = f"{alike[0]} asks for its own terms on what is made of the rows"
        yield f"{asks}, and {limiting[0]} limits their use"
    yield from (
        f"{name} does not allow changed versions to be passed on, and a mixture may be one"
        for name in several
        if DERIVING.search(name.lower())
    )
