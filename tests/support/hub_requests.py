"""Requests to the Hub on loopback: noted, and failing where a test says so."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from tests.support.hub_server import Hub


class Request(NamedTuple):
    """What was asked for, and what was sent: `sent` are bytes of the answer's body, `received` of the request's."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int
    received: int = 0


@dataclass
class Failure:
    """How requests for paths that `path` matches fail, so many `times`.

    `status` is answered in place of the file, with `headers`; `cut` ends the connection after so many bytes of it; with
    `slow`, each tenth of it waits so many seconds; `damage` changes its first byte. What is sent to the Hub is not
    taken with `status`, and ends after so many bytes with `drop`.
    """

    path: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drop: int | None = None
    slow: float = 0
    damage: bool = False
    times: int = 1
    method: str = "GET"


class Handler(BaseHTTPRequestHandler):
    """What both servers share: answers that are noted, and fail where they should."""

    hub: ClassVar[Hub]
    received = 0

    def log_message(self, *_: object) -> None: ...

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    @cached_property
    def failing(self) -> Failure | None:
        """How this request fails; a connection has one request."""
        return self.hub.failure(self.command, self.path)

    def body(self) -> bytes | None:
        """Return what is sent, whole or in chunks; None where the request fails before it is acted upon."""
        drop = self.failing.drop if self.failing is not None else None
        sent = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                sent += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length if drop is None else min(drop, length))
        self.received = len(sent)
        if drop is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if self.command in {"POST", "PUT"} and self.failing is not None and self.failing.status is not None:
            self.answer(self.failing.status)
            return None
        return sent

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        failure = self.failing
        if failure is not None and failure.status is not None:
            status, body, headers = failure.status, b"", dict(failure.headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        sent = self._send(body, failure) if self.command != "HEAD" else 0
        self.hub.requests.append(
            Request(self.command, unquote(self.path), self.headers.get("Range"), status, sent, self.received)
        )

    def _send(self, body: bytes, failure: Failure | None) -> int:
        if failure is not None and failure.damage:
            body = bytes([body[0] ^ 1]) + body[1:]
        if failure is not None and failure.cut is not None:
            body = body[: failure.cut]
        step = max(1, len(body) // 10) if failure is not None and failure.slow else max(1, len(body))
        for start in range(0, len(body), step):
            time.sleep(failure.slow if failure is not None else 0)
            self.wfile.write(body[start : start + step])
        return len(body)

    def file(self, data: bytes, **headers: str) -> None:
        """Answer with a file, or with the range of it that is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return self.answer(200, data, **headers)
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1) + 1
        if start >= len(data):
            return self.answer(416, Content_Range=f"bytes */{len(data)}")
        content = f"bytes {start}-{min(end, len(data)) - 1}/{len(data)}"
        return self.answer(206, data[start:end], **headers, Content_Range=content)

    def json(self, value: object, **headers: str) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json", **headers)
