"""Rows from the files of a data set repository on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.blocks import ReadOptions
from curate.io.detect import FormatName, named
from curate.io.formats.base import Format
from curate.io.formats.marked_calls import Calls
from curate.io.inputs import Files, Input
from curate.io.paths import PACKED, SUFFIXES, File, resolve
from curate.io.reasoning import Reasoning

__all__ = ["hub"]

EVERY = tuple(f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", *PACKED))
"""Patterns of all files that can be read."""


@dataclass(frozen=True, kw_only=True)
class HubFiles(Files):
    """See `hub`. `paths` are patterns within the repository."""

    repository: str
    revision: str | None
    within: tuple[str, ...]

    def parts(self, root: str | None) -> tuple[File, ...]:  # noqa: ARG002
        """Fetch the files that are not in the Hub's cache yet, and return them, named as in the repository."""
        folder = self._fetch()
        return tuple(resolve((folder,) if self.within == EVERY else tuple(f"{folder}/{path}" for path in self.within)))

    def label(self, parts: tuple[File, ...]) -> str:
        """Return the repository and the first file's name."""
        return f"{self.repository} on the Hub, {parts[0].name}"

    def _fetch(self) -> str:
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client it is built on
        except ImportError as error:
            raise MixtureError(
                f"{self.repository} is on the Hub: install curate[datasets], or give its files to files()"
            ) from error
        wanted = list(self.within)
        try:
            return snapshot_download(
                self.repository, repo_type="dataset", revision=self.revision, allow_patterns=wanted
            )
        except (OSError, ValueError, RuntimeError, HTTPError) as error:
            raise SourceNotFoundError(
                f"{self.repository} cannot be downloaded from the Hub: {error_text(error)}. Log in and accept its "
                "terms if it is gated; without a network, fetch its files elsewhere and give them to files()"
            ) from error


def error_text(error: BaseException) -> str:
    r"""Return the message of an error on one line, without a full stop; its type if it has none.

    >>> error_text(ValueError("No such\n repository.")), error_text(TimeoutError())
    ('No such repository', 'TimeoutError')
    """
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def hub(
    repository: str,
    format: FormatName | Format = "auto",  # noqa: A002
    *,
    paths: str | Sequence[str] | None = None,
    revision: str | None = None,
    id: str | None = "id",  # noqa: A002
    reasoning: Reasoning = "text",
    calls: Calls = "text",
) -> Input:
    """Rows from the files of a dataset repository on the Hub, as `files` reads them; needs `curate[datasets]`.

    Files are downloaded when the input is opened, into the Hub's cache, each once. No code of the repository is run.

    Args:
        repository: `owner/name`.
        format: As in `files`.
        paths: A pattern within the repository (`data/train-*.parquet`), or several. None is every file that `files`
            reads.
        revision: A commit, tag or branch. Only a commit always names the same data; the manifest has the content hash
            of what was read either way.
        id: As in `files`.
        reasoning: As in `files`.
        calls: As in `files`.

    Returns:
        An input. Opening it raises `MixtureError` if the extra is not installed, and `SourceNotFoundError` if the files
        cannot be downloaded (offline, gated, no such repository or revision) or none matches.

    Raises:
        MixtureError: `paths` is empty, or the format is unknown.

    Example:
        >>> hub("openbmb/UltraFeedback", "ultrafeedback", paths="*.jsonl").repository
        'openbmb/UltraFeedback'
    """
    within = EVERY if paths is None else (paths,) if isinstance(paths, str) else tuple(paths)
    if not within:
        raise MixtureError(f"hub({repository!r}, paths=()) names no file; leave paths out for all of them")
    return HubFiles(
        format=named(format),
        id=id,
        reasoning=reasoning,
        calls=calls,
        paths=(),
        how=ReadOptions(),
        repository=repository,
        revision=revision,
        within=within,
    )
