"""What a build was made from and came to, as JSON without a clock, a host or a path in it, and its fingerprint.

The fingerprint hashes, as canonical JSON, everything that decides what a build holds. A path, a callable or an object
of unknown kind never enters it: a permissive fallback to `str` would quietly give one recipe two fingerprints. A
dataclass field marked `metadata={"fingerprint": False}` says where to look, not what is meant, and stays out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from curate.engine.pipeline import all_stages, final_labels
from curate.errors import MixtureError
from curate.io.inputs import Opened
from curate.mix.amounts import Rows
from curate.mix.licences import licence_notes
from curate.mix.plan import Share, cap_of, nothing_from
from curate.mix.spec import MixtureSpec, Source
from curate.mix.takes.selection import Selection, choice_label
from curate.rows.schema import Kind
from curate.steps.base import Edit, Filter, Group, Step

FORMAT = 1
"""The number of this layout, which rises when the build folder changes its shape. A manifest has these fields:

- `format`: this number.
- `name`: the name of the mixture.
- `kind`: the kind of the rows in the data files: conversation, preference, rated, unpaired or prompt.
- `fingerprint`: 64 digits that two mixtures share if they declare the same; paths are no part of it.
- `seed`: the seed of sample, order and test split.
- `splits`: by split ("train", "test") its `rows`, and for each of its `shards` the `file`, `rows` and `sha256`.
- `sources`: each source, in the order of the mixture:
    - `name`: its name.
    - `content`: a hash of its rows, the same in whatever files and order they come.
    - `format`: the layout that it was read in, and who chose it.
    - `licence`: the one declared, or that of its card on the Hub; null where neither says one.
    - `licences`: where rows name their own: how many rows of the data files have which.
    - `protect`: whether its rows are exempt from filters and from removal as duplicates.
    - `read`: the rows read.
    - `fates`: how many of these were `kept`, `dropped`, `unsampled`, `quarantined` or `paired`.
    - `pairs`: where a Pairing made pairs: how many were `made`, and their `fates`.
    - `ledger`: the files with the lines of its rows and pairs: the `file`, and its `sha256`.
    - `plan`: what it was to deliver: `take` as declared, `unit` (rows or tokens), what was `asked`, `delivered` and
      `available` (rows that the steps left), what `max_share` took off (`capped`), the rows sampled `before` steps, and
      the file with what a selection has `chosen`, and why, with its `sha256`; `holds` hashes of data that comes with
      the selection, such as models.
    - `origin`: of a data set on the Hub: `repository`, `commit`, `config`, `splits`, and what its card says.
    - `notes`: what a reader should know, in words.
- `steps`: each step, in the order in which they run:
    - `label`: its name in ledger and report.
    - `kind`: filter, edit, group or pairing.
    - `of`: "rated" for a step that worked on rated rows, before a Pairing.
    - `step`: its class, version and settings.
    - `bounds`: the limits of a filter: the `reason` of a drop, the `score`, and `at_least` and `at_most`.
    - `findings`: the tables that it leaves, and how the report shows them.
    - `holds`: hashes of data that comes with the step, such as eval sets and models.
    - `against`: content hashes of the inputs that rows were held against.
    - `tables`: the files that it leaves: the `file`, and its `sha256`.
- `mixture`: the declaration, as plain values; the fingerprint is its hash. A `take` that is held against inputs has
  their content hashes, `against`.
- `tokens`: "exact" by the tokenizer of the mixture, or "estimated".
- `published`: what was published of the mixture, by source.
- `use`: what the rows are for, if the mixture says.
- `versions`: of `curate` and of each package that a byte of the output may depend on.

Of these, `licences`, `origin`, `notes`, `capped`, `before`, `chosen`, `bounds`, `findings`, `holds`, `against`,
`tables`, `published` and `use` are left out where they would be empty.
"""

VERSIONS = {name: version(name) for name in ("curate", "msgspec", "numba", "numpy", "polars", "pyarrow")}
"""Of `curate` and of what a byte of the output may depend on; looked up once, while the process may still read them."""


class SourceCounts(NamedTuple):
    """What one source held, and what became of it: by content hash, fates of its rows, and fates of its pairs.

    `pairs` is None for a source whose rows pass no Pairing; `licences` counts its rows in the data files by the licence
    that they name, where they do. `ledger` has the files with the lines of its rows and pairs, each with its hash.
    """

    content: str
    fates: dict[str, int]
    pairs: dict[str, int] | None
    licences: dict[str, int] | None = None
    ledger: tuple[dict[str, str], ...] = ()


class Held(NamedTuple):
    """Content hashes of the inputs that groups were held against, by label, and selections, by source."""

    groups: Mapping[str, Sequence[str]]
    takes: Mapping[str, Sequence[str]]


FileHashes: TypeAlias = dict[str, list[dict[str, str]]]
"""Files of a build by the label of their step, each with its hash."""


def hashed(out: Path, path: str) -> dict[str, str]:
    """Return the path of a file in a build folder, and its hash."""
    return {"file": path, "sha256": file_hash(out / path)}


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest(
    mixture: MixtureSpec,
    kind: Kind,
    opened: Iterable[Opened],
    counts: Iterable[SourceCounts],
    shares: Iterable[tuple[Share, int]],
    splits: dict[str, Any],
    held: Held,
    tables: FileHashes,
) -> str:
    """Return the manifest's text.

    `shares` has the share of each source and what it delivers of it, and `tables` the files of a group by its label.
    """
    sources = [
        _source(mixture, source, found, counted, share, tables.get(choice_label(source.name), []))
        for source, found, counted, share in zip(mixture.sources, opened, counts, shares, strict=True)
    ]
    found = {
        "format": FORMAT,
        "name": mixture.name,
        "kind": kind,
        "fingerprint": fingerprint(mixture, held.takes),
        "seed": mixture.seed,
        "splits": splits,
        "sources": sources,
        "steps": _steps(mixture, held.groups, tables),
        "mixture": declaration(mixture, held.takes),
        "tokens": "exact" if mixture.tokenizer else "estimated",
        **_optional(published={name: asdict(one) for name, one in mixture.published.items()}, use=mixture.use),
        "versions": VERSIONS,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _source(
    mixture: MixtureSpec,
    source: Source,
    opened: Opened,
    counts: SourceCounts,
    planned: tuple[Share, int],
    chosen: Sequence[dict[str, str]],
) -> dict[str, Any]:
    share, delivered = planned
    read = sum(counts.fates.values())
    nothing = nothing_from(
        mixture, source, read=read, invalid=counts.fates["quarantined"], share=share, delivered=delivered
    )
    pairs = {} if counts.pairs is None else {"pairs": {"made": sum(counts.pairs.values()), "fates": counts.pairs}}
    licence = licence_of(source, opened)
    notes = [f"source {source.name!r}: {note}" for note in opened.notes] + [nothing] * bool(nothing)
    return {
        "name": source.name,
        "content": counts.content,
        "format": opened.describe(),
        "licence": licence,
        **_optional(licences=counts.licences),
        "protect": source.protect,
        "read": read,
        "fates": counts.fates,
        **pairs,
        "ledger": list(counts.ledger),
        "plan": {
            "take": f"{source.take!r}{cap_of(source)}",
            "unit": share.unit,
            "asked": share.asked,
            "delivered": delivered,
            "available": share.stock.rows,
            **_optional(
                capped=share.capped,
                before=source.before.n if isinstance(source.before, Rows) else None,
                chosen=list(chosen),
                holds=dict(source.take.data_hashes()) if isinstance(source.take, Selection) else None,
            ),
        },
        **_optional(
            origin=opened.origin.facts() if opened.origin else None,
            notes=[*notes, *licence_notes(source.name, counts.licences or {licence or "": 0}, mixture.use)],
        ),
    }


def licence_of(source: Source, opened: Opened) -> str | None:
    """Return the licence of a source: the one declared, or that of its card on the Hub."""
    return source.licence or (opened.origin.card.licence if opened.origin else None)


def _steps(mixture: MixtureSpec, held: Mapping[str, Sequence[str]], tables: FileHashes) -> list[dict[str, Any]]:
    """Return each step: its kind, settings, bounds and findings, and the content hashes of data that it decides by.

    In a mixture with a Pairing, `of` marks the steps that worked on rated rows. `holds` hashes data that comes with the
    step, `against` the inputs that it was held against; `tables` are the files that it left.
    """
    kinds = {Filter: "filter", Edit: "edit", Group: "group"}
    final = final_labels(mixture)
    return [
        {
            "label": stage.label,
            "kind": next((name for kind, name in kinds.items() if isinstance(stage.step, kind)), "pairing"),
            **({"of": "rated"} if stage.label not in final else {}),
            "step": canonical(stage.step),
            **_optional(
                bounds=[bound._asdict() for bound in stage.step.bounds()] if isinstance(stage.step, Filter) else (),
                findings=[asdict(finding) for finding in stage.step.findings],
                holds=dict(stage.step.data_hashes()),
                against=list(held.get(stage.label, ())),
                tables=tables.get(stage.label, []),
            ),
        }
        for stage in all_stages(mixture)
    ]


def _optional(**fields: object) -> dict[str, object]:
    """Return the fields that are not empty."""
    return {name: value for name, value in fields.items() if value}


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def fingerprint(mixture: MixtureSpec, against: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
    """Return 64 hexadecimal digits for the declaration; raises `MixtureError` for a field without a stable identity.

    `against` has the content hashes of what selections are held against, by source: other rows choose other rows.
    """
    found = declaration(mixture, against)
    text = json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def declaration(mixture: MixtureSpec, against: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a mixture as plain values, each selection with the content hashes of what it is held against."""
    found: dict[str, Any] = _fields(mixture, "mixture")
    for source in found["sources"]:
        if against.get(source["name"]):
            source["take"]["against"] = list(against[source["name"]])
    return found


def canonical(value: object, where: str = "mixture") -> Json:
    """Return `value` as plain JSON, with the type of each dataclass and the version of each step.

    >>> from curate.mix.amounts import Rows
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
    if isinstance(value, Step | Selection):
        found["version"] = type(value).version
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        if field.metadata.get("fingerprint", True):
            found[field.name] = canonical(getattr(value, field.name), f"{where}.{field.name}")
    return found
