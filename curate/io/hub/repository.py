"""A commit of a repository on the Hub: which one, what is in it, and its files, fetched once and checked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from curate.errors import FormatError, MixtureError
from curate.io.atomic import write_text
from curate.io.hub.refusals import explained

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

WAITS: Final = (1, 2, 4, 8)
"""Seconds before each further try of what the client itself tries once: a file that the Hub answers with 5xx."""

CARD: Final = "README.md"

_SEEN: ContextVar[dict[tuple[str, str | None], Snapshot] | None] = ContextVar("_SEEN", default=None)


@dataclass(frozen=True)
class Snapshot:
    """A commit of a repository, with the bytes of each file; `cached`: the Hub was not reached."""

    repository: str
    commit: str
    sizes: dict[str, int]
    cached: bool = False


@contextmanager
def resolved_once() -> Iterator[None]:
    """Within it, a revision of a repository is resolved once, so that all sources read the same commit."""
    if _SEEN.get() is not None:
        yield
        return
    token = _SEEN.set({})
    try:
        yield
    finally:
        _SEEN.reset(token)


def snapshot(repository: str, revision: str | None) -> Snapshot:
    """Return the commit of a revision (None: main), and what is in it; from the Hub's cache where it is not reached.

    Raises `MixtureError` if the extra is not installed, and `SourceNotFoundError` for what the Hub does not hand out.
    """
    seen = _SEEN.get()
    if seen is not None and (repository, revision) in seen:
        return seen[repository, revision]
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise MixtureError(
            f"{repository} is on the Hub: install curate[datasets], or give its files to files()"
        ) from error
    with explained(repository, revision):
        commit, cached = _commit(repository, revision)
        found = Snapshot(repository, commit, _sizes(repository, commit), cached)
    if seen is not None:
        seen[repository, revision] = found
    return found


def _commit(repository: str, revision: str | None) -> tuple[str, bool]:
    """Return the commit of a revision, and whether it is only what the cache last knew."""
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionResolutionError
    from huggingface_hub.file_download import REGEX_COMMIT_HASH, repo_folder_name

    if revision is not None and REGEX_COMMIT_HASH.fullmatch(revision):
        return revision, False
    asked = revision or constants.DEFAULT_REVISION
    try:
        url = f"{constants.ENDPOINT}/api/datasets/{repository}/revision/{quote(asked, safe='')}"
        commit: str = get(url).json()["sha"]  # `HfApi.dataset_info` would try once
    except (OfflineModeIsEnabled, httpx2.TransportError, HfHubHTTPError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise
        try:
            known = HfApi().resolve_revision(repository, repo_type="dataset", revision=asked, local_files_only=True)
        except RevisionResolutionError:
            raise error from None
        return known.resolved, True
    note = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="dataset"), "refs", asked)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, commit)
    return commit, False


def get(url: str, **headers: str) -> httpx2.Response:
    """Ask the Hub; the client asks again, after a wait, where it fails, has a limit, or a connection is cut.

    Raises the errors of the client; that there is no network without a wait, since the cache may do.
    """
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, and not in its list of names
        build_hf_headers,
        hf_raise_for_status,
        http_backoff,
    )

    response: httpx2.Response = http_backoff(
        "GET",
        url,
        headers=build_hf_headers() | headers,
        follow_redirects=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        retry_on_exceptions=(httpx2.TimeoutException, httpx2.ReadError, httpx2.RemoteProtocolError),
    )
    hf_raise_for_status(response)
    return response


def _sizes(repository: str, commit: str) -> dict[str, int]:
    """Return the bytes of each file; the client keeps the list, and the card, in its cache."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    known: dict[str, Any] = {"repo_type": "dataset", "revision": commit}
    try:
        listed = get_cached_repo_tree(repository, **known)
    except CachedRepoTreeNotFoundError:
        tried(lambda: snapshot_download(repository, **known, allow_patterns=[CARD]))
        listed = get_cached_repo_tree(repository, **known)
    return {one.path: one.size for one in listed}


def card_text(found: Snapshot) -> str:
    """Return the card; an empty text where there is none."""
    if CARD not in found.sizes:
        return ""
    (path,) = download(found, [CARD])
    return path.read_text("utf-8", errors="replace")


def download(found: Snapshot, paths: Sequence[str]) -> list[Path]:
    """Return where files are in the Hub's cache, after fetching those that are not there yet.

    What is fetched is held against the hash that the Hub names it by, and fetched again where it differs. Raises
    `SourceNotFoundError` for what the Hub does not hand out, `FormatError` for a file that comes damaged twice.
    """
    damaged: list[str] = []
    for _ in range(2):
        missing = [path for path in paths if cached(found, path) is None]
        if missing:
            with explained(found.repository, found.commit):
                tried(partial(_fetch, found, missing))
        damaged = [path for path in missing if not _is_whole(_cached(found, path))]
        if not damaged:
            return [_cached(found, path) for path in paths]
    raise FormatError(
        f"{found.repository}: {damaged[0]} differs twice from what the Hub says of it. Something between it and this "
        "machine damages files: try another network"
    )


def _fetch(found: Snapshot, paths: Sequence[str]) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        found.repository, repo_type="dataset", revision=found.commit, allow_patterns=[escape(path) for path in paths]
    )


def cached(found: Snapshot, path: str) -> Path | None:
    """Return where a file is in the Hub's cache; None if it is not there. One of another size is removed."""
    from huggingface_hub import try_to_load_from_cache

    place = try_to_load_from_cache(found.repository, path, repo_type="dataset", revision=found.commit)
    if not isinstance(place, str):
        return None
    if Path(place).stat().st_size != found.sizes[path]:
        _remove(Path(place))
        return None
    return Path(place)


def _cached(found: Snapshot, path: str) -> Path:
    place = cached(found, path)
    if place is None:
        raise FormatError(f"{found.repository}: {path} is gone from the Hub's cache while it is read")
    return place


def _is_whole(place: Path) -> bool:
    """Return whether a file has the hash that its place in the cache is named by; one that differs is removed."""
    blob = place.resolve()
    with blob.open("rb") as stream:
        match len(blob.name):
            case 64:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            case 40:  # of git
                content = stream.read()
                found = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
            case _:
                return True
    if found != blob.name:
        _remove(place)
    return found == blob.name


def _remove(place: Path) -> None:
    """Remove a file of the Hub's cache: the link to it, and itself."""
    blob = place.resolve()
    place.unlink()
    blob.unlink(missing_ok=True)


def tried(call: Callable[[], T], also: tuple[int, ...] = ()) -> T:
    """Call something of the client, and call it again after a wait where the Hub failed in a way that may pass.

    That is an answer of 5xx, or of one of the statuses in `also`, and a connection that is cut.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for wait in WAITS:
        try:
            return call()
        except (OSError, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
            was_cut = isinstance(error, httpx2.TransportError)
            if status < 500 and status not in also and not was_cut and "Consistency check" not in str(error):
                raise
        time.sleep(wait)
    return call()
