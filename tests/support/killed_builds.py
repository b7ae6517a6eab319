"""Builds with a judge in processes of their own, which are killed while they run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from tests.support.judge_server import JUDGES, JudgeServer

BUILD: Final = """
import sys
import curate as c

workers, threads, out, engine = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[5]
step = c.judge("judges_of_kills:Helpful", at_least=2.5, workers=workers, cache=sys.argv[4], allow_large_drop=True)
mixture = c.Mixture("judged", [c.Source("chats", c.files("chats.jsonl"))], [step])
mixture.build(out, threads=threads, quiet=True, engine=engine)
"""


class KilledBuilds:
    """A folder with rows, a judge and a cache; `start` begins a build."""

    def __init__(
        self, folder: Path, server: JudgeServer, rows: int, workers: int = 8, *, engine: str = "local"
    ) -> None:
        self.folder, self.server, self.rows, self.workers, self.engine = folder, server, rows, workers, engine
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {"messages": [{"role": "user", "content": f"Ask {n}?"}, {"role": "assistant", "content": f"Answer {n}."}]}
            for n in range(rows)
        ]
        (folder / "chats.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        self.prompt("How helpful is it?")

    def prompt(self, prompt: str) -> None:
        """Change the judge's prompt."""
        (self.folder / "judges_of_kills.py").write_text(JUDGES.replace("PROMPT", prompt))

    def start(self, out: str = "build", cache: str = "judged", threads: int = 2) -> subprocess.Popen[bytes]:
        """Begin a build."""
        paths = os.pathsep.join([str(self.folder), *sys.path])
        env = os.environ | {"JUDGE_URL": self.server.url, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", BUILD, str(self.workers), str(threads), out, cache, self.engine]
        return subprocess.Popen(command, cwd=self.folder, env=env)

    def finish(self, out: str = "build", cache: str = "judged", threads: int = 2) -> None:
        """Build, to the end."""
        assert self.start(out, cache, threads).wait(timeout=600) == 0

    def kept(self, cache: str = "judged") -> int:
        """The scores on disk by now, over all judges."""
        return sum(map(lines_of, (self.folder / cache).glob("*.sqlite")))

    def kill_at(self, judged: int) -> None:
        """Build until so many rows are judged and kept, then kill the build while others are asked for.

        The server holds those until all processes of the build have ended.
        """
        self.server.hold_after = judged
        running = self.start()
        wait_for(lambda: (self.kept() >= judged and self.waiting() > 0) or running.poll() is not None)
        assert running.poll() is None, "the build ended before it could be killed"
        seen = self.processes()
        running.kill()
        running.wait()

        def have_ended() -> bool:
            seen.update(self.processes())
            return not any(map(is_running, seen))

        wait_for(have_ended)
        self.server.release()
        wait_for(lambda: self.waiting() == 0)

    def processes(self) -> set[int]:
        """The processes of all builds: whatever has their environment, but for agents of Ray, which outlive it."""
        found = set()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and self.server.url.encode() in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
        return {process for process in found if "Agent" not in called(process)}

    def waiting(self) -> int:
        """Requests that the server holds."""
        return self.server.asking


def lines_of(path: Path) -> int:
    """The scores in the file of a judge by now."""
    with closing(sqlite3.connect(path)) as file:
        try:
            return int(file.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.OperationalError:  # not made yet
            return 0


def below(parent: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {parent}
    while more := {process for process, one in parents.items() if one in found} - found:
        found |= more
    return found - {parent}


def called(process: int) -> str:
    """The command line of a process; nothing if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def is_running(process: int) -> bool:
    """Whether a process has a thread that has not ended, and so may hold a connection."""
    states = []
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                states.append((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return any(state not in {"Z", "X"} for state in states)


def wait_for(condition: object) -> None:
    """Wait until something is true; two minutes at most."""
    assert callable(condition)
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited for two minutes")


def files(folder: Path) -> dict[str, bytes]:
    """The data and the ledger of a build, by file."""
    paths = [path for part in ("data", "ledger") for path in (folder / part).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
