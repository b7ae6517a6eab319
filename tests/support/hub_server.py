"""A Hub on loopback: the API that the real clients (`huggingface_hub`, `datasets`) read and write data sets by.

Replicas of repositories are mappings or folders. In this process, with `huggingface_hub`:

    with serving({"lab/chat": {"README.md": CARD, "data/train.jsonl": rows}}) as hub, hub.here(tmp_path):
        opened = curate.hub("lab/chat").open()

In a process of its own, which `datasets` needs, as it keeps the endpoint that it was imported with:

    with serving({"lab/chat": Path("replicas/chat")}) as hub:
        subprocess.run([sys.executable, script], env=hub.environment(tmp_path))

A `Repository` may be gated or private, and have other revisions than `main`, such as `refs/convert/parquet`;
`hub.commit(name, files)` moves its `main`. Tokens say what they may read: `tokens={"hf_a": {"lab/gated"}}`; writing is
in `hub_uploads`.
`hub.fail("resolve/.*parquet", status=503)` lets the next request for a path that matches fail (`Failure` says how).
`hub.requests` has every request with the bytes that were sent. Files that git would keep as LFS come by a redirect from
a second server, as from the Hub's storage.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import yaml  # type: ignore[import-untyped]  # comes with the client

from tests.support.hub_requests import Failure, Handler, Request
from tests.support.hub_uploads import store, upload

Tree: TypeAlias = Mapping[str, bytes] | Path
"""The files of a commit: bytes by path, or the folder that holds them."""

CONVERTED: Final = "refs/convert/parquet"
LFS: Final = (".parquet", ".arrow", ".gz", ".zst", ".xz", ".bz2", ".zip")
PAGE: Final = 50
"""Entries of a page of a tree; the Hub has 1,000."""


@dataclass
class Repository:
    """A replica: the files of `main`, those of other revisions, and who may read it."""

    files: Tree
    revisions: Mapping[str, Tree] = field(default_factory=dict)
    gated: bool = False
    private: bool = False


class Hub:
    """A running server; see the module."""

    def __init__(self, repositories: Mapping[str, Repository | Tree], tokens: Mapping[str, set[str]]) -> None:
        self.repositories = {
            name: given if isinstance(given, Repository) else Repository(given) for name, given in repositories.items()
        }
        self.tokens = tokens
        self.requests: list[Request] = []
        self.failures: list[Failure] = []
        self.lock = threading.Lock()
        self.refs: dict[str, dict[str, str]] = {name: {} for name in self.repositories}
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.xorbs: dict[str, list[bytes]] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.part: int | None = None
        for name, one in self.repositories.items():
            for revision, files in {"main": one.files, **one.revisions}.items():
                self.commit(name, files, revision)
        self.servers = [self._server(Api), self._server(Storage)]
        self.endpoint, self.storage = (f"http://127.0.0.1:{one.server_port}" for one in self.servers)

    def _server(self, handler: type[Handler]) -> ThreadingHTTPServer:
        return ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (handler,), {"hub": self}))

    def commit(self, name: str, files: Tree, revision: str = "main") -> str:
        """Make these files a revision of a repository; return the commit, which a revision of 40 digits is itself."""
        held = _read(files)
        made = hashlib.sha1(repr((name, sorted(held.items()))).encode(), usedforsecurity=False).hexdigest()
        commit = revision if re.fullmatch("[0-9a-f]{40}", revision) else made
        self.commits[name, commit] = held
        self.refs[name][revision] = commit
        self.blobs |= {sha256(data): data for data in held.values()}
        return commit

    def create(self, name: str, *, private: bool) -> None:
        """Make a repository, with the file that the Hub puts there."""
        self.repositories[name] = Repository({".gitattributes": b"*.parquet filter=lfs\n"}, private=private)
        self.refs[name] = {}
        self.commit(name, self.repositories[name].files)

    def files(self, name: str, revision: str = "main") -> dict[str, bytes] | None:
        """Return the files of a revision."""
        return self.commits.get((name, self.refs[name].get(revision, revision)))

    def may(self, token: str, name: str) -> bool:
        """Return whether a token may write to a repository."""
        return f"{name.partition('/')[0]}/*" in self.tokens.get(token, set())

    def keep(self, oid: str, data: bytes) -> bool:
        """Keep a large file; return whether its hash is what it is named by."""
        if sha256(data) == oid:
            self.blobs[oid] = data
        return sha256(data) == oid

    def is_large(self, path: str) -> bool:
        return path.endswith(LFS)

    def oid(self, path: str, data: bytes) -> str:
        """Return what the Hub names a file by."""
        return sha256(data) if self.is_large(path) else git_hash(data)

    def fail(self, path: str, **how: Any) -> None:  # noqa: ANN401
        """Let the next requests for paths that match fail; see `Failure`."""
        self.failures.append(Failure(path, **how))

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """Return the requests for paths that a pattern is found in."""
        return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    def sent(self, path: str = "") -> int:
        """Return the bytes that were sent of paths that a pattern is found in, storage included."""
        return sum(one.sent for one in self.requests if re.search(path, one.path))

    def failure(self, method: str, path: str) -> Failure | None:
        """Take the failure that is next for a request."""
        with self.lock:
            for one in self.failures:
                if one.times and one.method == method and re.search(one.path, path):
                    one.times -= 1
                    return one
        return None

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment of a process whose Hub this is."""
        return client(self.endpoint, home, **more)

    @contextmanager
    def here(self, home: Path, *, offline: bool = False, token: str | None = None, xet: bool = False) -> Iterator[None]:
        """Make this the Hub of `huggingface_hub` in this process, with its caches below `home`."""
        with away(self.endpoint, home, offline=offline, token=token, xet=xet):
            yield


@contextmanager
def away(
    endpoint: str, home: Path, *, offline: bool = False, token: str | None = None, xet: bool = False
) -> Iterator[None]:
    """Point `huggingface_hub` in this process to an endpoint, which need not be there.

    Large files go by LFS, whose failures a test can choose; with `xet` as they go on most machines.
    """
    from huggingface_hub import close_session, constants

    values = {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_XET": not xet,
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = plain | {"NO_PROXY": "127.0.0.1"} | ({"HF_TOKEN": token} if token else {})
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(mock.patch.object(constants, name, value))
        stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        stack.callback(close_session)
        close_session()
        yield


def client(endpoint: str, home: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a process whose Hub is at `endpoint`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    env["HF_HUB_DISABLE_XET"] = "1"
    return env | environment


@contextmanager
def serving(
    repositories: Mapping[str, Repository | Tree], *, tokens: Mapping[str, set[str]] | None = None
) -> Iterator[Hub]:
    """Serve these repositories; `tokens` are those that the Hub knows, each with the closed sets that it may read."""
    hub = Hub(repositories, tokens or {})
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True) for one in hub.servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(hub.servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    """Return what git names a file by."""
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _read(files: Tree) -> dict[str, bytes]:
    if isinstance(files, Path):
        paths = sorted(path for path in files.rglob("*") if path.is_file())
        return {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
    return dict(files)


class Storage(Handler):
    """The storage of large files: by hash, without a token."""

    def fetch(self) -> None:
        if self.headers.get("Authorization"):
            return self.answer(400)  # a token must not leave the Hub
        return self.file(self.hub.blobs[urlsplit(self.path).path.lstrip("/")])

    def store(self) -> None:
        sent = self.body()
        if sent is not None:
            store(self, urlsplit(self.path).path.lstrip("/").split("/"), sent)

    do_GET, do_PUT = fetch, store  # noqa: N815  names that the base class calls


class Api(Handler):
    """The routes of the Hub that a data set is read by."""

    def route(self) -> None:
        sent = self.body()
        parts = urlsplit(self.path).path.lstrip("/").removeprefix("api/").split("/")
        if sent is None or upload(self, parts, sent):
            return None
        if parts[0] != "datasets" or len(parts) < 3:
            return self.answer(404)
        name, verb = "/".join(parts[1:3]), "".join(parts[3:4])
        if name == "lab/noise":
            self.wfile.write(b"this is no HTTP\r\n")
            return None
        refused = self.refusal(name, verb)
        if refused is not None:
            return self.answer(refused[0], X_Error_Code=refused[1], X_Error_Message=refused[2])
        if verb == "refs":
            return self.references(name)
        revision = unquote(parts[4]) if len(parts) > 4 else "main"
        commit = self.hub.refs[name].get(revision, revision)
        files = self.hub.commits.get((name, commit))
        if files is None:
            return self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message=f"Invalid rev id: {revision}")
        return self.reply(verb, name, commit, files, unquote("/".join(parts[5:])), sent.decode())

    do_GET = do_HEAD = do_POST = route  # noqa: N815  names that the base class calls

    def refusal(self, name: str, verb: str) -> tuple[int, str, str] | None:
        """Return why the token, or its absence, does not do: status, code and message; None if it does."""
        token = self.token
        if token and token not in self.hub.tokens:
            return 401, "", "Invalid credentials in Authorization header"
        one = self.hub.repositories.get(name)
        allowed = name in self.hub.tokens.get(token, set()) or self.hub.may(token, name)
        if one is None or (one.private and not allowed):
            return (404 if token else 401), "RepoNotFound", "Repository not found"
        if one.gated and verb == "resolve" and not allowed:  # what is in it is public
            return (403 if token else 401), "GatedRepo", f"Access to dataset {name} is restricted."
        return None

    def references(self, name: str) -> None:
        def listed(converted: bool) -> list[dict[str, str]]:  # noqa: FBT001
            return [
                {"name": at.rpartition("/")[2], "ref": at, "targetCommit": commit}
                for at, commit in self.hub.refs[name].items()
                if at.startswith("refs/convert/") == converted
            ]

        self.json({"branches": listed(converted=False), "converts": listed(converted=True), "tags": []})

    def reply(self, verb: str, name: str, commit: str, files: dict[str, bytes], path: str, sent: str) -> None:
        if verb == "resolve":
            return self.resolve(files.get(path), commit)
        listed = [_entry(at, data) for at, data in files.items()]
        folders = {folder.as_posix() for at in files for folder in Path(at).parents} - {"."}
        listed += [{"type": "directory", "path": at, "oid": commit, "size": 0} for at in sorted(folders)]
        if verb == "paths-info":
            return self.json([entry for entry in listed if entry["path"] in parse_qs(sent)["paths"]])
        if verb == "tree":
            query = parse_qs(urlsplit(self.path).query)
            return self.tree(listed, f"{path}/" if path else "", query)
        one = self.hub.repositories[name]
        siblings = [{"rfilename": at} for at in files]
        about = {"id": name, "sha": commit, "siblings": siblings, "private": one.private, "tags": [], "downloads": 0}
        return self.json({**about, "gated": "auto" if one.gated else False, "cardData": _card_data(files)})

    def tree(self, listed: list[dict[str, Any]], below: str, query: dict[str, list[str]]) -> None:
        inside = [entry for entry in listed if entry["path"].startswith(below)]
        if query.get("recursive", ["false"])[0].lower() != "true":
            inside = [entry for entry in inside if "/" not in entry["path"][len(below) :]]
        start = int(query.get("cursor", ["0"])[0])
        more = {}
        if start + PAGE < len(inside):
            rest = "&".join(f"{name}={values[0]}" for name, values in query.items() if name != "cursor")
            place = f"{self.hub.endpoint}{urlsplit(self.path).path}?{rest}&cursor={start + PAGE}"
            more = {"Link": f'<{place}>; rel="next"'}
        self.json(inside[start : start + PAGE], **more)

    def resolve(self, data: bytes | None, commit: str) -> None:
        path = unquote(urlsplit(self.path).path)
        if data is None:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        if not path.endswith(LFS):
            return self.file(data, ETag=f'"{git_hash(data)}"', X_Repo_Commit=commit, Accept_Ranges="bytes")
        return self.answer(
            302,
            Location=f"{self.hub.storage}/{sha256(data)}?of={path.rpartition('/')[2]}",
            X_Linked_ETag=f'"{sha256(data)}"',
            X_Linked_Size=str(len(data)),
            X_Repo_Commit=commit,
        )


def _card_data(files: Mapping[str, bytes]) -> object:
    """Return the YAML of the card, which the Hub shows for gated sets too."""
    head = files.get("README.md", b"").split(b"---\n")
    try:
        return yaml.safe_load(head[1]) if len(head) > 2 else None
    except yaml.YAMLError:
        return None


def _entry(path: str, data: bytes) -> dict[str, Any]:
    """Return what a tree says of a file."""
    entry = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
    if path.endswith(LFS):
        entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
    return entry
