"""The YAML at the top of a data set card: what the Hub, its viewer and `datasets` read of a build.

The fields are those of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md, the names of licences those
of https://huggingface.co/docs/hub/repositories-licenses, both as of August 2026.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.result.build import Build
from curate.rows.schema import Kind
from curate.text.unseen import UNSEEN

LICENCES: Final = frozenset(
    {
        "afl-3.0", "agpl-3.0", "apache-2.0", "apple-amlr", "apple-ascl", "artistic-2.0", "bigcode-openrail-m",
        "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause",
        "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
        "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
        "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "creativeml-openrail-m",
        "deepfloyd-if-license", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2",
        "fair-noncommercial-research-license", "gemma", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "grok2-community",
        "h-research", "intel-research", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "llama2", "llama3",
        "llama3.1", "llama3.2", "llama3.3", "llama4", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by",
        "ofl-1.1", "openmdw-1.0", "openmdw-1.1", "openrail", "openrail++", "osl-3.0", "pddl", "postgresql", "unknown",
        "unlicense", "wtfpl", "zlib",
    }
)  # fmt: skip
"""The Hub's names of licences; any other is `other`, with its name."""

SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
"""The limits of the Hub's size categories: 1,000 rows, and ten times as many each."""

TAGS: Final[dict[Kind, tuple[str, ...]]] = {
    "conversation": ("sft",),
    "rated": ("preference",),
    "preference": ("preference", "dpo"),
    "unpaired": ("preference", "kto"),
    "prompt": ("rlvr",),
}
"""What rows of each kind are searched by, beside `curate`."""

LEAST_SHARE: Final = 0.01
"""The share of kept rows that a language has at least: the detector takes some short texts for a rare language."""

DTYPES: Final = {"double": "float64", "float": "float32", "halffloat": "float16"}
"""Names of `datasets` for types that Arrow names otherwise."""


def front_matter(build: Build) -> str:
    """Return the metadata of a build, between its lines of dashes.

    Values are written as JSON, which is YAML, so no text of the data can leave its place.
    """
    rows = sum(split["rows"] for split in build.manifest["splits"].values())
    splits = written_splits(build)
    repositories = [source.get("origin", {}).get("repository") for source in build.manifest["sources"]]
    fields = {
        "pretty_name": build.name,
        "language": _languages(build),
        **_licences(build),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "tags": ["curate", *TAGS[build.kind]],
        "source_datasets": list(dict.fromkeys(name for name in repositories if name)),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits],
            }
        ],
        "dataset_info": _dataset_info(build, splits),
    }
    return "\n".join(["---", *(line for name, value in fields.items() if value for line in _lines(name, value)), "---"])


def size_category(rows: int) -> str:
    """Return the Hub's name for a number of rows.

    >>> size_category(999), size_category(1_000), size_category(20_000_000)
    ('n<1K', '1K<n<10K', '10M<n<100M')
    """
    above = max(len(str(rows)) - 3, 0)
    if above == 0:
        return f"n<{SIZES[0]}"
    return f"{SIZES[above - 1]}<n<{SIZES[above]}" if above < len(SIZES) else f"n>{SIZES[-1]}"


def written_splits(build: Build) -> list[str]:
    """Return the splits that have files; with an empty split, `datasets` loads nothing."""
    return [name for name, split in build.manifest["splits"].items() if split["shards"]]


def quoted(value: object) -> str:
    r"""Write a value as YAML: its JSON, with unseen characters by their codes.

    >>> print(quoted({"name": "a" + chr(0x202E)}))
    {"name": "a\U0000202E"}
    """
    return UNSEEN.sub(lambda found: f"\\U{ord(found[0]):08X}", json.dumps(value, ensure_ascii=False))


def _lines(name: str, value: object) -> list[str]:
    """Write a field; the items of a list, and the fields of an object, have a line each."""
    if isinstance(value, list):
        return [f"{name}:", *(f"- {quoted(item)}" for item in value)]
    if isinstance(value, dict):
        return [f"{name}:", *(f"  {line}" for key, item in value.items() for line in _lines(key, item))]
    return [f"{name}: {quoted(value)}"]


def _languages(build: Build) -> list[str]:
    """Return the languages of kept rows that are not rare, the most frequent first; none if no step detects them."""
    if not build.tells_languages:
        return []
    code = pl.col("language").str.split("_").list.first()
    counts = (
        build.languages.group_by(code)
        .agg(rows=pl.col("kept").sum())
        .sort(["rows", "language"], descending=[True, False])
    )
    share = pl.col("rows") / pl.col("rows").sum()
    return counts.filter(share >= LEAST_SHARE, pl.col("language") != "und")["language"].to_list()


def _licences(build: Build) -> dict[str, Any]:
    """Return the licences of the rows in the data files: one, a list of several, or nothing where none is stated.

    Rows without a licence among others with one are `unknown`. A licence that the Hub has no name for is `other`; its
    name is given in the form that the Hub asks for.
    """
    stated = build.licences.filter(pl.col("rows") > 0)["licence"].unique(maintain_order=True).to_list()
    names = list(dict.fromkeys(name.strip() for text in stated for name in (text or "unknown").split(", ")))
    if names in ([], ["unknown"]):
        return {}
    others = list(dict.fromkeys(_slug(name) for name in names if name.lower() not in LICENCES))
    known = dict.fromkeys(name.lower() if name.lower() in LICENCES else "other" for name in names)
    licence = list(known)
    links = {source.get("origin", {}).get("licence_link") for source in build.manifest["sources"]} - {None}
    link = next(iter(links)) if len(links) == len(others) == 1 else ""
    return {
        "license": licence[0] if len(licence) == 1 else licence,
        "license_name": "-and-".join(others),
        "license_link": link if link.startswith("https://") else "",
    }


def _slug(name: str) -> str:
    """Return the name of a licence as the Hub's `license_name` wants it.

    >>> _slug("AI2 ImpACT Licence, Low Risk")
    'ai2-impact-licence-low-risk'
    """
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "unnamed"


def _dataset_info(build: Build, splits: list[str]) -> dict[str, Any]:
    """Return columns and sizes as `datasets` keeps them; bytes are those of the values, before compression."""
    infos, download = [], 0
    for split in splits:
        shards = [build.path / shard["file"] for shard in build.manifest["splits"][split]["shards"]]
        footers = [pq.read_metadata(path) for path in shards]
        size = sum(footer.row_group(i).total_byte_size for footer in footers for i in range(footer.num_row_groups))
        infos.append({"name": split, "num_bytes": size, "num_examples": build.manifest["splits"][split]["rows"]})
        download += sum(path.stat().st_size for path in shards)
    schema = pq.read_schema(next(iter(sorted((build.path / "data").glob("*.parquet")))))
    return {
        "features": [{"name": field.name, **_feature(field.type)} for field in schema],
        "splits": infos,
        "download_size": download,
        "dataset_size": sum(info["num_bytes"] for info in infos),
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """Return a type of Arrow as the metadata of `datasets` writes it.

    >>> _feature(pa.list_(pa.struct([("role", pa.string()), ("scores", pa.list_(pa.float64()))])))
    {'list': [{'name': 'role', 'dtype': 'string'}, {'name': 'scores', 'list': 'float64'}]}
    """
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": next(iter(inner.values())) if len(inner) == 1 and "list" not in inner else inner}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind]}
    return {"dtype": DTYPES.get(str(kind), str(kind))}
