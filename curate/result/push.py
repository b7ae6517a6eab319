"""A build on the Hub: which of its files go there, as one commit, and what the Hub's refusals mean.

The client sends what is large first, and nothing that the Hub has; then one commit makes all of it visible at once. So
a push that was cut short leaves the repository as it was, and the next one goes on where it ended.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from curate.engine.manifest import file_hash
from curate.engine.workspace import MANIFEST, WRITTEN
from curate.errors import BuildFolderError, CallError, CurateError, MixtureError, PushError
from curate.io.hub.refusals import SITE, TOKEN, error_text, has_token, without_token
from curate.io.hub.repository import tried

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

CARD: Final = "README.md"
PAGE: Final = "report.html"

TEXTS: Final = re.compile(r"(?:<!--rows-->.*?<!--/rows-->\s*)+", re.DOTALL)
"""What a page shows of rows, as its templates mark it. Text of the data cannot be such a mark: its `<` is escaped."""

MARKED: Final = "<!--rows are marked-->"
"""What a page has whose templates mark them."""

LEFT_OUT: Final = '<p class="note">The texts of rows are on the page of the build folder.</p>\n'

CONFLICTS: Final = (409, 412)
"""What the Hub answers where somebody else changes the repository at the same time."""

LIMITED: Final = (429,)
"""What it answers to too many requests."""

Content: TypeAlias = Path | bytes


class Pushed(NamedTuple):
    """A build on the Hub: its address and commit, what the push sent and deleted, and what to know of the rows."""

    url: str
    commit: str
    private: bool
    sent: tuple[str, ...]
    deleted: tuple[str, ...]
    notes: tuple[str, ...]


class Destination(NamedTuple):
    """Where a build goes."""

    repository: str
    revision: str | None
    private: bool


def push(files: Mapping[str, Content], destination: Destination, message: str, notes: Iterable[str]) -> Pushed:
    """Make `files` the build that a repository holds, by one commit; other files of it stay as they are.

    Raises `CallError` for a name that is none, and `PushError` for what the Hub refuses.
    """
    name = destination.repository
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise CallError(f"push to {name!r}: say OWNER/NAME, OWNER being an account or an organisation")
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MixtureError("a push needs the client of the Hub: install curate[datasets]") from error
    if not has_token():
        raise PushError(f"there is no token to push with: set {TOKEN}, with the right to write")
    work = _Push(HfApi(), destination, files, message)
    with _explained(destination):
        tried(work.make, LIMITED)
        commit, private = tried(work.commit, LIMITED)
    url = f"{work.api.endpoint}/datasets/{name}" + (f"/tree/{destination.revision}" if destination.revision else "")
    return Pushed(url, commit, private, tuple(sorted(work.sent)), tuple(sorted(work.deleted)), tuple(notes))


@dataclass
class _Push:
    """A push under way, whose two halves may be tried again; `sent` and `deleted` are what all tries did."""

    api: HfApi
    destination: Destination
    files: Mapping[str, Content]
    message: str
    sent: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def make(self) -> None:
        """Make repository and branch where they are not there yet; a public one is no place for a private push."""
        from huggingface_hub.errors import RepositoryNotFoundError

        name, revision, private = self.destination
        try:
            found = self.api.dataset_info(name)
        except RepositoryNotFoundError:
            self.api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        else:
            if private and not found.private:
                raise PushError(
                    f"{name} is there, and public: say --public (private=False) to push to it, or choose another name"
                )
        if revision is not None and not revision.startswith("refs/"):
            self.api.create_branch(name, repo_type="dataset", branch=revision, exist_ok=True)

    def commit(self) -> tuple[str, bool]:
        """Send what differs, delete what an earlier push left; return the commit, and whether all this is private."""
        import httpx2
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete
        from huggingface_hub.hf_api import RepoFile

        name, revision, _ = self.destination
        head = self.api.dataset_info(name, revision=revision)
        listed = self.api.list_repo_tree(name, repo_type="dataset", revision=head.sha, recursive=True)
        there = {entry.path: entry for entry in listed if isinstance(entry, RepoFile)}
        _check_is_ours(name, set(there))
        new = [path for path, content in self.files.items() if not _is_same(there.get(path), content)]
        old = [path for path in there if WRITTEN.fullmatch(path) and path not in self.files]
        private = bool(head.private)
        if not new and not old:
            return str(head.sha), private
        self.sent.update(new)
        self.deleted.update(old)
        adds = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=self.files[path]) for path in new]
        deletes = [CommitOperationDelete(path_in_repo=path) for path in old]
        how: dict[str, Any] = {"repo_type": "dataset", "revision": revision, "parent_commit": head.sha}
        try:
            made = self.api.create_commit(name, [*deletes, *adds], commit_message=self.message, **how)
        except JSONDecodeError as error:  # the client reads an answer before it looks at its status
            raise httpx2.RemoteProtocolError("an answer that is not JSON") from error
        return str(made.oid), private


def files_of(folder: Path, *, with_ledger: bool, with_dropped: bool) -> dict[str, Content]:
    """Return the files of a build that go to the Hub, by path; without dropped rows, the page has no texts of rows.

    Raises `BuildFolderError` where the page or the card is missing, or the page cannot be parted from its texts.
    """
    folders = ["data", "charts", *(["ledger", "pairs", "steps"] if with_ledger else [])]
    folders += ["dropped", "rated"] if with_dropped else []
    found: dict[str, Content] = {name: folder / name for name in (CARD, MANIFEST, PAGE)}
    for name in (CARD, PAGE):
        if not (folder / name).is_file():
            raise BuildFolderError(f"{folder} is no whole build: it has no {name}; build it again")
    paths = (path for name in folders for path in sorted((folder / name).rglob("*")) if path.is_file())
    found |= {path.relative_to(folder).as_posix(): path for path in paths}
    if not with_dropped:
        found[PAGE] = without_texts((folder / PAGE).read_text("utf-8"), folder).encode()
    return found


def without_texts(page: str, folder: Path) -> str:
    """Return a page without the texts of rows; raises `BuildFolderError` for one whose texts are not marked."""
    if MARKED not in page:
        raise BuildFolderError(
            f"{folder / PAGE} is of an older version, and shows texts of dropped rows that cannot be left out: build "
            "it again, or push it as it is with --with-dropped (with_dropped=True)"
        )
    return TEXTS.sub(LEFT_OUT, page)


def _check_is_ours(repository: str, there: set[str]) -> None:
    """Raise `PushError` where a repository has data that no push wrote: it would be replaced, or read as a build's."""
    pushed = MANIFEST in there
    other = sorted(name for name in there if name.startswith("data/") and not (pushed and WRITTEN.fullmatch(name)))
    if other:
        more = f" and {len(other) - 1:,} more" if len(other) > 1 else ""
        raise PushError(
            f"{repository} holds data that no push of a build wrote: {other[0]}{more}; nothing was changed. Choose "
            "another repository, or remove them there"
        )


def _is_same(there: RepoFile | None, content: Content) -> bool:
    """Return whether a file on the Hub is the one that would be sent, by the hash that it is named by."""
    if there is None:
        return False
    if there.lfs is not None:
        ours = file_hash(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        return bool(there.lfs.sha256 == ours)
    data = content.read_bytes() if isinstance(content, Path) else content
    return bool(there.blob_id == hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest())


@contextmanager
def _explained(destination: Destination) -> Iterator[None]:
    """Turn what the client raises within it into a `PushError`; what names the token is not passed on."""
    import httpx2

    try:
        yield
    except CurateError:
        raise
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError) as error:
        cause = error if without_token(str(error)) == str(error) else None
        raise PushError(without_token(_reason(error, destination))) from cause


def _reason(error: Exception, destination: Destination) -> str:
    """Say why the Hub did not take a build, and what to do."""
    import httpx2
    from huggingface_hub import errors

    name, revision, _ = destination
    again = "What was uploaded is kept: push again"
    cause = (isinstance(error, RuntimeError) and error.__cause__) or error  # the client names the file, and not why
    match cause:
        case errors.OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set, so nothing is pushed to {name}: unset it"
        case errors.RevisionNotFoundError():
            return f"{name} has no revision {revision!r}: leave it out for main, or name a branch, which is made"
        case errors.HfHubHTTPError():
            return _status(cause.response.status_code, error_text(cause), name, again)
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return f"the Hub cannot be reached ({error_text(cause)}). {again}"
        case ConnectionError() if (status := re.search(r"\((\d{3}) [A-Z]", str(cause))) is not None:  # of Xet
            return _status(int(status[1]), error_text(cause), name, again)
        case httpx2.TransportError() | ConnectionError():
            return f"the connection to the Hub was cut ({error_text(cause)}), also when tried again. {again}"
    return f"{name} does not take the build: {error_text(error)}. {again}"


def _status(status: int, said: str, name: str, again: str) -> str:
    """Say what an answer of the Hub means for a push."""
    owner = name.partition("/")[0]
    if status == 401:
        return f"the Hub does not accept the token (401): correct HF_TOKEN, or make a new one at {SITE}/settings/tokens"
    if status == 403:
        return (
            f"the token in use may not write to {name} (403): it needs the right to write to repositories of {owner}, "
            f"see {SITE}/settings/tokens"
        )
    if status == 404:
        return (
            f"the Hub finds no {name} (404): see that {owner} is there, and that its account or yours may write to it"
        )
    if status in CONFLICTS:
        return f"{name} was changed by somebody else at the same time ({status}): look at it, then push again"
    if status == 429:
        return f"the Hub allows no more requests for now (429), also after waiting. {again} later"
    if status >= 500:
        return f"the Hub fails ({status}), also when asked again. {again}"
    return f"{name} does not take the build: {said}"
