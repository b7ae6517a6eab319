"""The scores of one judge on disk, by the content of the rows: a SQLite file that threads, processes and builds share.

A score is written through to the disk in one transaction, so it is there whole or not at all, whenever a process is
killed. Before rows are judged they are claimed, so that builds that run at once share the work; the claims of a process
that ended count no more, because the lock on its file ended with it.
"""

from __future__ import annotations

import fcntl
import math
import sqlite3
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple, Self

from curate.errors import JudgeError

TABLES: Final = """
CREATE TABLE IF NOT EXISTS scores (row BLOB PRIMARY KEY, value REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (row BLOB PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (one INTEGER PRIMARY KEY CHECK (one = 1), rows INTEGER NOT NULL);
INSERT OR IGNORE INTO spent VALUES (1, 0);
"""
AT_ONCE: Final = 500
"""Rows of one question to the file."""

PATIENCE: Final = 120.0
"""Seconds to wait for another process that writes."""


class Claimed(NamedTuple):
    """Rows that are to be judged now, those that have a score by now, and those that someone else judges."""

    mine: list[bytes]
    known: dict[bytes, float]
    others: list[bytes]


class KeptScores:
    """The file of one judge. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._named():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".lock").open("w") as lock:  # SQLite does not wait for its turn to make a file
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._paid = _open(path, "FULL")  # through to the disk: these cost money
                self._noted = _open(path, "NORMAL")  # claims and counts: if the power fails, the last may be lost
        self._writing, self._reading = Lock(), Lock()
        self._waiting: deque[Mapping[bytes, float]] = deque()

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._paid.close()
        self._noted.close()

    def known(self, rows: Sequence[bytes]) -> dict[bytes, float]:
        """Return the scores of those rows that have one; NaN is a score too: the judge gave none."""
        with self._reading, self._named():
            return _scores(self._noted, rows)

    def claim(self, rows: Sequence[bytes], owner: str) -> Claimed:
        """Claim those rows that have no score, and that no one else judges."""
        with self._transaction() as file:
            known = _scores(file, rows)
            claims = dict(_ask(file, "SELECT row, owner FROM claims WHERE row IN", rows))
            working = {one for one in {*claims.values()} - {owner} if self._is_working(one)}
            held = {row for row, one in claims.items() if one in working} - known.keys()
            mine = [row for row in rows if row not in known and row not in held]
            file.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?)", [(row, owner) for row in mine])
        return Claimed(mine, known, sorted(held))

    def keep(self, scores: Mapping[bytes, float]) -> None:
        """Write scores through to the disk; what several threads bring meanwhile is written together."""
        self._waiting.append(scores)
        with self._writing, self._named():
            lines = [
                (row, None if math.isnan(value) else value)
                for _ in range(len(self._waiting))
                for row, value in self._waiting.popleft().items()
            ]
            if lines:
                with _transaction(self._paid) as file:
                    file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", lines)
                    file.executemany("DELETE FROM claims WHERE row = ?", [(row,) for row, _ in lines])

    def spend(self, rows: int, budget: int) -> bool:
        """Count rows that are sent to the judge; say whether the budget of all builds allows it."""
        with self._transaction() as file:
            (spent,) = file.execute("SELECT rows FROM spent").fetchone()
            if spent + rows > budget:
                return False
            file.execute("UPDATE spent SET rows = rows + ?", (rows,))
        return True

    def give_back(self, rows: int) -> None:
        """Take back what `spend` counted, of rows that the judge refused."""
        with self._transaction() as file:
            file.execute("UPDATE spent SET rows = rows - ?", (rows,))

    @contextmanager
    def owner(self) -> Iterator[str]:
        """Yield a name to claim rows under; its claims end with the block, or with the process."""
        with self._named():
            self._owners.mkdir(exist_ok=True)
            path = self._owners / uuid.uuid4().hex
            lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path.name
        finally:
            path.unlink(missing_ok=True)
            lock.close()

    @property
    def _owners(self) -> Path:
        return self.path.with_suffix(".owners")

    def _is_working(self, owner: str) -> bool:
        """Whether the process that claimed rows under this name holds its lock."""
        path = self._owners / owner
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
        return False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading, self._named(), _transaction(self._noted) as file:
            yield file

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in what SQLite or the system raises."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(
                f"the scores that a judge gave are kept in {self.path}, which cannot be read or written ({error}); "
                "name another folder with judge(cache=...), or, where the file is damaged, move it away: its rows are "
                "judged again"
            ) from error


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute(f"PRAGMA synchronous = {synchronous}")
    file.executescript(TABLES)
    return file


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write all or nothing, Ctrl-C at any moment included."""
    whole = False
    try:
        file.execute("BEGIN IMMEDIATE")
        yield file
        whole = True
    finally:
        if file.in_transaction:
            file.execute("COMMIT" if whole else "ROLLBACK")


def _scores(file: sqlite3.Connection, rows: Sequence[bytes]) -> dict[bytes, float]:
    found = _ask(file, "SELECT row, value FROM scores WHERE row IN", rows)
    return {row: math.nan if value is None else value for row, value in found}


def _ask(file: sqlite3.Connection, question: str, rows: Sequence[bytes]) -> Iterator[tuple[bytes, Any]]:
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        yield from file.execute(f"{question} ({','.join('?' * len(some))})", some)
