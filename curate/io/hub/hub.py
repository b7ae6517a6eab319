"""Rows from a data set on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow.parquet as pq

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.arrow_rows import WHOLE, ParquetPart
from curate.io.blocks import ReadOptions
from curate.io.detect import FormatName, named
from curate.io.formats.base import Format
from curate.io.formats.marked_calls import Calls
from curate.io.formats.marked_reasoning import Reasoning
from curate.io.hub.card import Origin, read_card
from curate.io.hub.configs import Chosen, by_name, choose, choose_converted, is_converted, readable
from curate.io.hub.partial import check_columns, fetch_parts
from curate.io.hub.repository import Snapshot, cached, card_text, download, resolved_once, snapshot
from curate.io.inputs import Files, Input, Opened
from curate.io.paths import File, suffix_of

__all__ = ["hub"]

CONVERTED = "refs/convert/parquet"
"""The revision where the Hub keeps, as Parquet, what a loading script makes."""


@dataclass(frozen=True, kw_only=True)
class HubFiles(Files):
    """See `hub`."""

    repository: str
    config: str | None
    split: tuple[str, ...] | None
    revision: str | None
    files: tuple[str, ...] | None
    columns: tuple[str, ...] | None

    def open(self, root: str | None = None) -> Opened:
        """See `Input.open`; what is opened knows where it is from."""
        with resolved_once():
            return replace(super().open(root), origin=self._look()[2])

    def parts(self, root: str | None) -> tuple[File, ...]:  # noqa: ARG002
        """Fetch the files, or parts of them, that are not on this machine yet; they are named as in the repository."""
        found, chosen, _ = self._look()
        other = next((path for path in chosen.paths if not _is_parquet(path)), None)
        if self.columns is not None and other is not None:
            raise SourceNotFoundError(
                f"{self.repository}: columns= reads columns of Parquet, and {other} is not Parquet; leave columns= out"
            )
        narrow = [path for path in chosen.paths if self._is_narrow(path) and cached(found, path) is None]
        whole = [path for path in chosen.paths if path not in narrow]
        places = dict(zip(whole, download(found, whole), strict=True))
        places |= {path: fetch_parts(found, path, self.part()) for path in narrow}
        for path in chosen.paths if self.columns is not None else ():
            check_columns(pq.read_schema(places[path]).names, self.columns or (), f"{self.repository}: {path}")
        stats = {path: places[path].stat() for path in chosen.paths}
        return tuple(File(path, places[path], one.st_size, one.st_mtime_ns) for path, one in stats.items())

    def part(self) -> ParquetPart:
        """Return what is read of Parquet files: the columns asked for, and those of `where`."""
        columns = None if self.columns is None else tuple(dict.fromkeys((*self.columns, *self.where)))
        return super().part()._replace(columns=columns)

    def label(self, parts: tuple[File, ...]) -> str:
        """Return the repository and the first file's name."""
        return f"{self.repository} on the Hub, {parts[0].name}"

    def _is_narrow(self, path: str) -> bool:
        return _is_parquet(path) and self.part() != WHOLE

    def _look(self) -> tuple[Snapshot, Chosen, Origin]:
        """Return the commit, the files that are asked for, and what is known of them."""
        found = snapshot(self.repository, self.revision)
        card, said = read_card(card_text(found))
        paths = sorted(found.sizes)
        if self.files is not None:
            chosen = by_name(paths, self.files, self.repository)
        elif is_converted(paths):
            chosen = choose_converted(self.repository, paths, self.config, self.split)
        elif readable(paths):
            chosen = choose(self.repository, paths, said, self.config, self.split)
        else:
            found = self._converted(found)
            chosen = choose_converted(self.repository, sorted(found.sizes), self.config, self.split)
        note = f"{self.repository} has more rows than the Hub converted to Parquet" if chosen.partial else None
        origin = Origin(
            self.repository, found.commit, self.revision, chosen.config, chosen.splits, card, note, found.cached
        )
        return found, chosen, origin

    def _converted(self, found: Snapshot) -> Snapshot:
        """Return the Parquet that the Hub made of a set without data files that curate reads."""
        script = f"{self.repository.rpartition('/')[2]}.py"
        what = "is a loading script, and no code of a data set is run" if script in found.sizes else "has no data files"
        if self.revision not in {None, "main"}:
            raise SourceNotFoundError(
                f"{self.repository} at {self.revision} {what}; the Hub has Parquet of it only for main: leave "
                f"revision= out, or give a commit of {CONVERTED}"
            )
        try:
            return snapshot(self.repository, CONVERTED)
        except SourceNotFoundError as error:
            if "has no revision" not in str(error):
                raise
            raise SourceNotFoundError(
                f"{self.repository} {what}; the Hub has no Parquet of it ({CONVERTED}) either. Fetch its rows another "
                "way, and give them to files()"
            ) from error


def _is_parquet(path: str) -> bool:
    return suffix_of(path) == ".parquet" and path.lower().endswith(".parquet")


def hub(
    repository: str,
    format: FormatName | Format = "auto",  # noqa: A002
    *,
    config: str | None = None,
    split: str | Sequence[str] | None = None,
    revision: str | None = None,
    files: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = "id",  # noqa: A002
    reasoning: Reasoning = "text",
    calls: Calls = "text",
) -> Input:
    """Rows of a data set on the Hub, as `files` reads them; needs `curate[datasets]`.

    Files come into the Hub's cache when the input is opened, each once and checked by its hash; after that no network
    is needed (`HF_HUB_OFFLINE=1`). Configs and splits are those that the Hub shows: by the card, else by file names. Of
    a set that is a loading script, the Hub's own Parquet is read: no code of a data set runs. A gated or private set
    needs a token in `HF_TOKEN`. The commit that was read, licence and citation go into the manifest.

    Args:
        repository: `owner/name`.
        format: As in `files`.
        config: The config. None is the only one, or the default one where the card names it.
        split: The split, or several. None is the only one.
        revision: A commit, tag or branch. None is `main` as it is when the build begins; the manifest names the commit,
            which as `revision` reads the same again.
        files: A file, folder or pattern within the repository (`data/*.parquet`), or several, in place of config and
            split.
        columns: The columns of Parquet files that are read, and fetched: the others stay on the Hub. None is all.
        id: As in `files`.
        reasoning: As in `files`.
        calls: As in `files`.

    Returns:
        An input. Opening it raises `MixtureError` if the extra is not installed, and `SourceNotFoundError` if the set,
        the revision, the config, the split, a file or a column is not there, if the set is gated or private, and if
        the Hub cannot be reached and the files are not in its cache.

    Raises:
        MixtureError: `split`, `files` or `columns` is empty, `files` is given with `config` or `split`, or the format
            is unknown.

    Example:
        >>> hub("HuggingFaceH4/ultrachat_200k", split="train_sft", columns=["prompt_id", "messages"]).split
        ('train_sft',)
    """
    if files is not None and not (config is None and split is None):
        raise MixtureError(f"hub({repository!r}): files= names the files, so leave config= and split= out")
    given = {"split": split, "files": files, "columns": columns}
    several = {name: _several(value) for name, value in given.items()}
    for name, value in several.items():
        if value is not None and not all(value):
            raise MixtureError(f"hub({repository!r}, {name}={given[name]!r}) names none; leave {name}= out for all")
    return HubFiles(
        format=named(format),
        id=id,
        reasoning=reasoning,
        calls=calls,
        paths=(),
        how=ReadOptions(),
        repository=repository,
        config=config,
        revision=revision,
        split=several["split"],
        files=several["files"],
        columns=several["columns"],
    )


def _several(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return one or several as a tuple; none of several as one that is empty, for the caller to refuse."""
    return None if given is None else (given,) if isinstance(given, str) else tuple(given) or ("",)
