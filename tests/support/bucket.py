"""A bucket on loopback, by moto, that s3fs reads and writes as it does one of MinIO or Amazon.

    with bucket(tmp_path / "copies") as store:
        store.put({"in/chats.jsonl": rows})
        curate.files("s3://bucket/in/*.jsonl").open()

Requests go through a proxy: `store.fail("GET", "chats", times=2)` lets the next ones fail (`Broken` says how), and
`store.requests` has them all; `store.share` of them fail by `store.chance`.
"""

from __future__ import annotations

import http.client
import logging
import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

NAME: Final = "bucket"


@dataclass
class Broken:
    """How the next requests fail: with a status, or cut after some bytes; `then` is called before."""

    method: str
    path: str
    times: int = 1
    status: int = 503
    cut: int | None = None
    then: Callable[[], object] = lambda: None


@dataclass
class Bucket:
    """A bucket, and the proxy before it."""

    client: Any
    endpoint: str
    environment: dict[str, str]
    requests: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Broken] = field(default_factory=list)
    share: float = 0.0
    chance: random.Random = field(default_factory=random.Random)

    def put(self, files: Mapping[str, bytes] | Path, under: str = "") -> None:
        """Put files there: bytes by name, or those of a folder."""
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes()
                for path in sorted(files.rglob("*"))
                if path.is_file()
            }
        for name, data in files.items():
            self.client.put_object(Bucket=NAME, Key=under + name, Body=data)

    def names(self, under: str = "") -> list[str]:
        """Return the names of what is there."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=NAME, Prefix=under)
        return [one["Key"].removeprefix(under) for page in pages for one in page.get("Contents", ())]

    def read(self, under: str = "") -> dict[str, bytes]:
        """Return the bytes of all that is there, by name."""
        return {
            name: self.client.get_object(Bucket=NAME, Key=under + name)["Body"].read() for name in self.names(under)
        }

    def remove(self, *names: str) -> None:
        for name in names:
            self.client.delete_object(Bucket=NAME, Key=name)

    def fail(self, method: str, path: str, **how: Any) -> None:  # noqa: ANN401
        """Let the next requests for paths that match fail."""
        self.failures.append(Broken(method, path, **how))

    def asked(self, method: str, path: str = "") -> list[str]:
        """Return the paths of requests."""
        return [one for way, one in self.requests if way == method and re.search(path, one)]

    def failure(self, method: str, path: str) -> Broken | None:
        """Take the failure that is next for a request."""
        for one in self.failures:
            if one.times and one.method == method and re.search(one.path, path):
                one.times -= 1
                return one
        return Broken(method, path) if self.chance.random() < self.share else None


class _Proxy(BaseHTTPRequestHandler):
    """Hands requests on to moto, or lets them fail."""

    protocol_version = "HTTP/1.1"
    store: Bucket
    behind: tuple[str, int]

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.store.requests.append((self.command, self.path))
        failure = self.store.failure(self.command, self.path)
        if failure is not None:
            failure.then()
            if failure.cut is None and failure.status:
                return self.answer(failure.status, {}, b"")
        with closing(http.client.HTTPConnection(*self.behind, timeout=60)) as connection:
            connection.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "server", "date"}
        }
        if self.command == "HEAD":
            content, kept["Content-Length"] = b"", answer.getheader("Content-Length") or "0"
        self.answer(answer.status, kept, content, None if failure is None else failure.cut)
        return None

    def answer(self, status: int, headers: Mapping[str, str], content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content if cut is None else content[:cut])
        self.close_connection = self.close_connection or cut is not None

    def log_message(self, *_: object) -> None: ...

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = hand_on  # noqa: N815  names that the base class calls


@contextmanager
def bucket(copies: Path) -> Iterator[Bucket]:
    """Serve an empty bucket, and make it that of `s3://` in this process and those that it starts."""
    import boto3  # type: ignore[import-untyped]
    import s3fs  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    behind = moto.get_host_and_port()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (_Proxy,), {"behind": behind}))
    endpoint = f"http://127.0.0.1:{proxy.server_port}"
    environment = {
        "AWS_ACCESS_KEY_ID": "ann",
        "AWS_SECRET_ACCESS_KEY": "hidden-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "CURATE_BUCKETS": str(copies),
    }
    with mock.patch.dict(os.environ, environment):
        client = boto3.client("s3", endpoint_url=f"http://{behind[0]}:{behind[1]}")
    store = Bucket(client, endpoint, environment)
    proxy.RequestHandlerClass.store = store  # type: ignore[attr-defined]
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        client.create_bucket(Bucket=NAME)
        with pytest.MonkeyPatch.context() as patch:  # which takes back no more than this: Ray leaves settings here
            for name, value in environment.items():
                patch.setenv(name, value)
            s3fs.S3FileSystem.clear_instance_cache()
            yield store
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        client.close()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
        moto.stop()
