"""Configs and splits of a data set: by its card, else by the names of its files, as `datasets` finds them.

The rules are those of https://huggingface.co/docs/hub/datasets-manual-configuration and, for names,
https://huggingface.co/docs/hub/datasets-file-names-and-splits (`datasets.data_files` 5.2).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from curate.errors import MixtureError, SourceNotFoundError, did_you_mean
from curate.io.hub.card import CardConfig, CardYaml, SplitFiles
from curate.io.paths import SUFFIXES, suffix_of

DEFAULT: Final = "default"
"""The name of the only config where the card names none."""

SHOWN: Final = 30
"""Names that an error lists."""

_NOT_DATA: Final = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"})
_SAME: Final = {".jsonl": ".json", ".ndjson": ".json", ".tsv": ".csv", ".feather": ".arrow", ".ipc": ".arrow"}
_FAVOURITE: Final = (".parquet", ".arrow", ".json", ".csv")
_SHARD: Final = re.compile(r"data/([^/]+)-[0-9]{5}-of-[0-9]{5}[^/]*\.[^/]*")
_CONVERTED: Final = re.compile(r"([^/]+)/(partial-)?([^/]+)/[0-9]{4}\.parquet")
_KEYWORDS: Final = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
_BETWEEN: Final = "[-._ 0-9]"
_IN_FOLDER: Final = r"(?:.*/)?(?:{words})(?:{between}[^/]*)?/.*|(?:.*/)?[^/]*{between}(?:{words})(?:{between}[^/]*)?/.*"
_IN_NAME: Final = r"(?:.*/)?(?:[^/]*{between})?(?:{words}){between}[^/]*"

Splits = dict[str, tuple[str, ...]]
"""The files of each split."""


class Chosen(NamedTuple):
    """The files of what was asked for, with the config and the splits that they are; none for files by name."""

    paths: tuple[str, ...]
    config: str | None = None
    splits: tuple[str, ...] = ()
    partial: bool = False


def readable(paths: Iterable[str]) -> list[str]:
    """Return the paths of data files that curate reads: no hidden ones, and none that describes the others.

    >>> readable(["README.md", "data/a.jsonl.gz", ".cache/b.json", "dataset_infos.json"])
    ['data/a.jsonl.gz']
    """
    return [
        path
        for path in paths
        if suffix_of(path) in SUFFIXES
        and PurePosixPath(path).name not in _NOT_DATA
        and not any(part.startswith((".", "__")) for part in path.split("/"))
    ]


def by_name(paths: Sequence[str], patterns: Sequence[str], repository: str) -> Chosen:
    """Return the files that patterns, names or folders match; raises `SourceNotFoundError` for one without any."""
    found: dict[str, None] = {}
    for pattern in patterns:
        matched = matching(pattern, paths) or matching(f"{pattern.rstrip('/')}/**", readable(paths))
        if not matched:
            raise SourceNotFoundError(
                f"{repository} has no file {pattern!r}; {did_you_mean(pattern, sorted(readable(paths))[:SHOWN])}"
            )
        found.update(dict.fromkeys(matched))
    return Chosen(tuple(sorted(found)))


def matching(pattern: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a pattern matches: `*` stays within a folder, `**` does not.

    >>> matching("data/*.json", ["data/a.json", "data/old/b.json"]), matching("data/**", ["data/old/b.json"])
    (['data/a.json'], ['data/old/b.json'])
    """
    fits = _translated(pattern.removeprefix("./"))
    return [path for path in paths if fits.match(path)]


@lru_cache
def _translated(pattern: str) -> re.Pattern[str]:
    from fsspec.utils import glob_translate  # type: ignore[import-untyped]  # comes with the client of the Hub

    try:
        return re.compile(glob_translate(pattern))
    except ValueError as error:
        raise MixtureError(f"the pattern {pattern!r}: ** is a whole part of a path, as in data/**/*.json") from error


def choose(
    repository: str, paths: Sequence[str], card: CardYaml, config: str | None, split: Sequence[str] | None
) -> Chosen:
    """Return the files of a config and of splits of it.

    Raises `SourceNotFoundError` that lists what there is, where one is unknown or several are there and none is named.
    """
    if card.fault:
        raise SourceNotFoundError(
            f"the card of {repository} cannot be read, so its configs are not known: {card.fault}. Name the files: "
            f'hub({repository!r}, files="data/*.parquet")'
        )
    found = {one.config_name: one for one in card.configs}
    rows = card.rows()
    if not found:
        found = {next(iter(rows)) if len(rows) == 1 else DEFAULT: CardConfig(DEFAULT)}
    default = [name for name, one in found.items() if len(found) == 1 or one.default or name == DEFAULT]
    sizes = {name: sum(splits.values()) for name, splits in rows.items()}
    name = _one(repository, "config", sizes, list(found), config, default[0] if default else None)
    splits = _splits_of(repository, readable(paths), found[name])
    return _chosen(repository, name, splits, split, rows.get(name, {}))


def choose_converted(repository: str, paths: Sequence[str], config: str | None, split: Sequence[str] | None) -> Chosen:
    """Return the files of a config and of splits of it, in what the Hub converted to Parquet."""
    configs: dict[str, dict[str, list[str]]] = {}
    partial: set[tuple[str, str]] = set()
    for path in sorted(paths):
        if found := _CONVERTED.fullmatch(path):
            configs.setdefault(found[1], {}).setdefault(found[3], []).append(path)
            if found[2]:
                partial.add((found[1], found[3]))
    only = next(iter(configs)) if len(configs) == 1 else DEFAULT if DEFAULT in configs else None
    name = _one(repository, "config", {}, list(configs), config, only)
    chosen = _chosen(repository, name, {one: tuple(files) for one, files in configs[name].items()}, split, {})
    return chosen._replace(partial=any((name, one) in partial for one in chosen.splits))


def is_converted(paths: Sequence[str]) -> bool:
    """Return whether a repository has nothing but what the Hub converted to Parquet."""
    data = readable(paths)
    return bool(data) and "README.md" not in paths and all(_CONVERTED.fullmatch(path) for path in data)


def _one(
    repository: str, what: str, rows: Mapping[str, int], known: Sequence[str], asked: str | None, default: str | None
) -> str:
    """Return the config or split that was asked for, or the default; raises `SourceNotFoundError` that lists them."""
    name = default if asked is None else asked
    if name is not None and name in known:
        return name
    shown = ", ".join(f"{name} ({rows[name]:,} rows)" if name in rows else name for name in known[:SHOWN])
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    if asked is None:
        raise SourceNotFoundError(
            f"{repository} has {len(known)} {what}s; choose one: hub({repository!r}, {what}=...): {shown}{more}"
        )
    near = did_you_mean(asked, known)
    hint = f" ({near})" if near.startswith("did") else ""
    raise SourceNotFoundError(f"{repository} has no {what} {asked!r}{hint}; it has {shown}{more}")


def _chosen(
    repository: str, config: str, splits: Splits, asked: Sequence[str] | None, rows: Mapping[str, int]
) -> Chosen:
    """Return the files of the splits that were asked for, or of the only one."""
    if not splits:
        raise SourceNotFoundError(
            f"{repository}, config {config}: no file that curate reads ({', '.join(SUFFIXES)}); fetch it, and give its "
            "rows to files()"
        )
    only = next(iter(splits)) if len(splits) == 1 else None
    names = tuple(_one(repository, "split", rows, list(splits), one, only) for one in asked or (None,))
    return Chosen(tuple(sorted({path for name in names for path in splits[name]})), config, names)


def _splits_of(repository: str, paths: Sequence[str], config: CardConfig) -> Splits:
    """Return the files of each split of a config: those that the card names, else by the names of its files."""
    base = config.data_dir.strip("/") + "/" if config.data_dir else ""
    inside = [path.removeprefix(base) for path in paths if path.startswith(base)]
    if config.data_files is None:
        splits = _by_file_names(inside)
    else:
        given = [config.data_files] if isinstance(config.data_files, str) else config.data_files
        splits = {}
        for one in given:
            name, patterns = (one.split, one.path) if isinstance(one, SplitFiles) else ("train", one)
            several = [patterns] if isinstance(patterns, str) else patterns
            matched = [path for pattern in several for path in matching(_inside(repository, pattern), inside)]
            splits[name] = (*splits.get(name, ()), *matched)
    return {name: tuple(f"{base}{path}" for path in dict.fromkeys(found)) for name, found in splits.items() if found}


def _inside(repository: str, pattern: str) -> str:
    """Return a pattern of a card; raises `SourceNotFoundError` for one that leads out of the repository."""
    if "://" in pattern:
        raise SourceNotFoundError(
            f"the card of {repository} names files that are elsewhere: {pattern}. Fetch them, and give them to files()"
        )
    return pattern


def _by_file_names(paths: Sequence[str]) -> Splits:
    """Return the files of each split by their names: of those of the most frequent kind, all if no name says a split.

    >>> _by_file_names(["data/train-00000-of-00001.parquet", "data/extra-00000-of-00001.parquet"])
    {'train': ('data/train-00000-of-00001.parquet',), 'extra': ('data/extra-00000-of-00001.parquet',)}
    >>> _by_file_names(["my/dev.jsonl", "my/training.jsonl", "my/notes.csv"])
    {'train': ('my/training.jsonl',), 'validation': ('my/dev.jsonl',)}
    >>> _by_file_names(["a.jsonl", "b.jsonl"])
    {'train': ('a.jsonl', 'b.jsonl')}
    """
    sharded: dict[str, list[str]] = {}
    for path in paths:
        if found := _SHARD.fullmatch(path):
            sharded.setdefault(found[1], []).append(path)
    splits = sharded or _by_words(_IN_FOLDER, paths) or _by_words(_IN_NAME, paths) or {"train": list(paths)}
    kinds = Counter(_kind(path) for found in splits.values() for path in found)
    kind = max(kinds, key=lambda one: (kinds[one], -_FAVOURITE.index(one)), default="")
    kept = {name: tuple(path for path in found if _kind(path) == kind) for name, found in splits.items()}
    order = {name: place for place, name in enumerate(_KEYWORDS)}
    return {name: kept[name] for name in sorted(kept, key=lambda one: (order.get(one, len(order)), one)) if kept[name]}


def _by_words(layout: str, paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of each split whose path has one of its words where the layout says."""
    fits = {name: re.compile(layout.format(words=words, between=_BETWEEN)) for name, words in _KEYWORDS.items()}
    found = {name: [path for path in paths if fit.fullmatch(path)] for name, fit in fits.items()}
    return {name: files for name, files in found.items() if files}


def _kind(path: str) -> str:
    suffix = suffix_of(path)
    return _SAME.get(suffix, suffix)
