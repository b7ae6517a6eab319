"""A Hub on loopback, for a real client in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

Repositories: TypeAlias = dict[tuple[str, str], dict[str, bytes]]
"""Files by path, by name and commit of the repository."""

COMMIT = "c" * 40
PARQUET = "d" * 40
CONVERTED = "refs/convert/parquet"
COMMITS = {"main": COMMIT, COMMIT: COMMIT, CONVERTED: PARQUET, PARQUET: PARQUET}


class Hub(BaseHTTPRequestHandler):
    """The routes of the Hub that a dataset is read by."""

    repositories: Repositories

    def log_message(self, *_: object) -> None: ...

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def route(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        length = int(self.headers.get("Content-Length") or 0)
        sent = parse_qs(self.rfile.read(length).decode())
        parts = path.removeprefix("api/").split("/")
        if parts[0] != "datasets" or len(parts) < 3:
            return self.answer(404)
        name, rest = "/".join(parts[1:3]), "/".join(parts[3:])
        if name == "lab/noise":
            self.wfile.write(b"this is no HTTP\r\n")
            return None
        if name == "lab/gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        verb, _, tail = rest.partition("/")
        commit = next((known for known in COMMITS if tail == known or tail.startswith(f"{known}/")), "main")
        files = self.repositories.get((name, COMMITS[commit]))
        if files is None:
            return self.answer(404, X_Error_Code="RepoNotFound")
        within = tail.removeprefix(commit).lstrip("/")
        return self.reply(verb, name, COMMITS[commit], files, within, sent)

    do_GET = do_HEAD = do_POST = route  # noqa: N815  names that the base class calls

    def reply(
        self, verb: str, name: str, commit: str, files: dict[str, bytes], path: str, sent: dict[str, list[str]]
    ) -> None:
        listed = [
            {"type": "file", "path": at, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
            for at, data in files.items()
        ]
        folders = {at.rpartition("/")[0] for at in files} - {""}
        listed += [{"type": "directory", "path": at, "oid": commit, "size": 0} for at in sorted(folders)]
        if verb == "resolve" and path in files:
            oid = hashlib.sha1(files[path]).hexdigest()  # noqa: S324
            self.answer(200, files[path], ETag=f'"{oid}"', X_Repo_Commit=commit)
        elif verb == "resolve":
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        elif verb == "paths-info":
            self.json([entry for entry in listed if entry["path"] in sent["paths"]])
        elif verb == "tree":
            below = f"{path}/" if path else ""
            self.json([entry for entry in listed if str(entry["path"]).startswith(below)])
        else:
            siblings = [{"rfilename": at} for at in files]
            self.json({"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0})

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")


@contextmanager
def serving(repositories: Repositories) -> Iterator[str]:
    """Serve these repositories; gives the endpoint."""
    handler = type("Served", (Hub,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def client(endpoint: str, home: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a process whose Hub is at `endpoint`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return env | environment
