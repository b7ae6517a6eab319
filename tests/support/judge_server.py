"""A server on loopback with the API of OpenAI that judges texts, counts them, and can be busy, slow or held."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

JUDGES: Final = '''
"""Judges of a test."""

import json
import os
import urllib.request


class Helpful:
    model = "judge"
    prompt = "PROMPT"

    def __call__(self, rows):
        return [self.ask(turns) for turns in rows["messages"].to_pylist()]

    def ask(self, turns):
        messages = [{"role": "system", "content": self.prompt}, {"role": "user", "content": turns[-1]["content"]}]
        request = urllib.request.Request(
            os.environ["JUDGE_URL"] + "/v1/chat/completions",
            json.dumps({"model": self.model, "messages": messages}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=float(os.environ.get("JUDGE_TIMEOUT", "20"))) as answer:
            return float(json.load(answer)["choices"][0]["message"]["content"])
'''


class JudgeServer:
    """Counts how often each text is judged. A text is judged when its answer is due and its client is still there."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.judged: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.refused: Counter[int] = Counter()
        self.fail: dict[int, tuple[int, dict[str, str]]] = {}
        """The state and headers for the first, second, ... time that a text is asked for."""
        self.hold_after: int | None = None
        self.lock = threading.Lock()
        self.free = threading.Event()
        self.free.set()
        self.url = ""
        self.asking = 0

    @property
    def total(self) -> int:
        return sum(self.judged.values())

    def answer(self, text: str, client: socket.socket) -> tuple[int, dict[str, str], str]:
        with self.lock:
            self.asked[text] += 1
            failing = self.fail.get(self.asked[text])
        if failing is not None:
            with self.lock:
                self.refused[failing[0]] += 1
            return *failing, "{}"
        time.sleep(self.delay)
        while True:
            self.free.wait()
            with self.lock:
                if self.hold_after is not None and self.total >= self.hold_after:
                    self.free.clear()
                    continue
                if _is_gone(client):
                    return 0, {}, ""
                self.judged[text] += 1
            return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": str(score(text))}}]})

    def release(self) -> None:
        """Let held requests go on."""
        self.hold_after = None
        self.free.set()


def score(text: str) -> float:
    """What the judge says of a text."""
    return zlib.crc32(text.encode()) % 41 / 8


def _is_gone(client: socket.socket) -> bool:
    readable, _, _ = select.select([client], [], [], 0)
    if not readable:
        return False
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


@contextmanager
def judging(delay: float = 0.0) -> Iterator[JudgeServer]:
    """Serve on a free port."""
    state = JudgeServer(delay)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asking += 1
            status, headers, text = state.answer(body["messages"][-1]["content"], self.connection)
            with state.lock:
                state.asking -= 1
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that were killed."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.release()
        server.shutdown()
        thread.join()
        server.server_close()
