"""Peers of a bench: an environment of their own, sides run one process at a time, and what they measured."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.bench.real_chats import Chats

READY: Final = "ready"
"""A file that is in an environment once all of its packages are installed."""

PATIENCE: Final = 900
"""Seconds that an installation may take."""

ROOT: Final = Path(__file__).parents[2]

OURS: Final = "from tests.bench.our_side import main\nmain()\n"


class Run(NamedTuple):
    """What one side took and answered: seconds of its work, and of processor during it, all its processes together.

    `peak` is the most memory that its largest process held, in bytes.
    """

    work: float
    cpu: float
    peak: int
    result: dict[str, Any]


def environment(*packages: str, patience: int = PATIENCE) -> Path:
    """Return the Python of an environment with these pinned packages, made once and kept in the temporary folder.

    The test skips, with pip's last words, where they cannot be installed.
    """
    name = hashlib.sha256(repr((sys.version, packages)).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"curate-bench-peers-{os.getuid()}" / name
    python = folder / "bin" / "python"
    if (folder / READY).exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    call = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    try:
        subprocess.run(call, check=True, capture_output=True, text=True, timeout=patience)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"pip cannot install {', '.join(packages)}: {error.stderr.strip()[-500:]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip took more than {patience} s to install {', '.join(packages)}")
    (folder / READY).touch()
    return python


def run(python: Path, code: str, *arguments: object, folder: Path) -> Run:
    """Run one side to its end, in `folder`; it writes its figures as JSON to the file named last."""
    result, script, noise = folder / "result.json", folder / "side.py", folder / "noise.txt"
    script.write_text(code, encoding="utf-8")
    room = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if code == OURS:
        room["PYTHONPATH"] = str(ROOT)
    call = [str(each) for each in (python, script, *arguments, result)]
    with noise.open("w") as out:
        process = subprocess.Popen(call, stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=room)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        pytest.fail(f"a side ended with {process.returncode}:\n{noise.read_text()[-4000:]}")
    figures = json.loads(result.read_bytes())
    return Run(figures["work"], figures["cpu"], used.ru_maxrss * 1024, figures)


def ours(step: str, way: str, chats: Chats, data: Path, folder: Path) -> Run:
    """Run our side (`our_side.py`)."""
    return run(Path(sys.executable), OURS, step, way, chats.folder, folder, data, folder=folder)


class Measured(NamedTuple):
    """The runs of one side over `chats`."""

    name: str
    chats: Chats
    runs: list[Run]

    @property
    def work(self) -> float:
        """Seconds, median."""
        return statistics.median(one.work for one in self.runs)

    @property
    def rate(self) -> float:
        """MB of text a second, median."""
        return self.chats.size / 1e6 / self.work

    @property
    def cpu(self) -> float:
        """MB of text a second of processor, median: what a busy machine does not change much."""
        return self.chats.size / 1e6 / statistics.median(one.cpu for one in self.runs)

    def beside(self, peer: Measured, mark: int) -> None:
        """Print how many times as fast as `peer` this side is."""
        times = f"{self.rate / peer.rate:.1f} times as fast as {peer.name} (mark: {mark})"
        print(f"{self.name}: {times}; by processor time {self.cpu / peer.cpu:.1f}")

    def say(self, found: float) -> None:
        """Print its figures, with the share `found` of what was planted; nearly all must be."""
        last = self.runs[-1]
        spent = ", ".join(f"{part} {seconds:.2f}" for part, seconds in last.result["parts"].items() if seconds)
        kept = f"kept {len(last.result['kept']):,} of {self.chats.rows:,}, planted found {found:.3f}"
        used = f"cpu {last.cpu:.1f} s, load {os.getloadavg()[0]:.1f}, peak {last.peak / 1e9:.2f} GB"
        size = f"{self.chats.size / 1e6:.1f} MB"
        print(f"{self.name:24} {self.work:7.2f} s {self.rate:7.2f} MB/s of {size}; {kept}; {used}; {spent}")
        assert found >= 0.95, f"{self.name} found only {found:.3f} of what was planted"
