"""The command as a process of its own: exit codes, no traceback, no colours without a terminal, a light start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from curate.cli.app import app

START: Final = [sys.executable, "-c", "from curate.cli.app import main; main()"]
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|38|48|9[0-7]|10[0-7])\b[0-9;]*m")
ROOT: Final = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    names = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TERM", "COLUMNS")
    plain = {name: value for name, value in os.environ.items() if name not in names}
    return {**plain, "PYTHONPATH": str(ROOT), **more}


def curate(*line: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *line],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(**more),
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code", "start"),
    [
        (["build", "mix.py", "-q"], 0, ""),
        (["check", "mix.py"], 0, ""),
        (["show", "data"], 1, "error: no build at data: it has no manifest.json\n"),
        (["build", "gone.py"], 2, "error: gone.py does not exist; "),
        (["build"], 2, "error: Missing argument "),
        (["show", "data", "--debug"], 1, "Traceback (most recent call last):\n"),
    ],
)
def test_exit_codes_and_messages(work: Path, line: list[str], code: int, start: str) -> None:
    assert work.is_dir()
    done = curate(*line)
    assert (done.returncode, done.stderr[: len(start)]) == (code, start)
    assert bool(done.stderr) == bool(start)
    assert "\x1b" not in done.stdout + done.stderr


def test_colours_are_for_terminals_that_want_them(work: Path) -> None:
    assert work.is_dir()
    assert CliRunner().invoke(app, ["build", "mix.py:first", "--out", "here", "-q"]).exit_code == 0
    lines = (["show", "here"], ["show", "gone"], ["--help"])
    for line in lines:
        forced = curate(*line, FORCE_COLOR="1", TERM="xterm-256color")
        shown = forced.stdout + forced.stderr
        assert "\x1b[" in shown, line
        without = curate(*line, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")
        assert not COLOUR.search(without.stdout + without.stderr), line


def test_a_table_in_a_log_is_not_folded(work: Path) -> None:
    name = "s" * 100
    (work / "mix.py").write_text(
        f"import curate as c\nm = c.Mixture('m', [c.Source('{name}', c.files('data/b.jsonl'))])\n"
    )
    assert re.search(rf"{name} +5 +5 +All\(\) +5 *\n", curate("check", "mix.py").stdout)


def test_a_start_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom curate.cli.app import main\nsys.argv = ['curate', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print({'numba', 'numpy', 'polars', 'pyarrow', 'msgspec', 'jinja2'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.endswith("set()\n"), done.stdout


def test_an_unforeseen_error_asks_for_a_report(work: Path) -> None:
    (work / "odd.py").write_text(
        "import curate as c\n\n\n"
        "class Odd(c.Mixture):\n    def build(self, *_, **__):\n        raise RuntimeError('what is this')\n\n\n"
        "odd = Odd('odd', [c.Source('b', c.files('data/b.jsonl'))])\n",
        "utf-8",
    )
    done = curate("build", "odd.py")
    assert done.returncode == 1
    assert done.stderr == (
        "error: RuntimeError: what is this\n"
        "This is a defect of curate. Run the command again with --debug, and report the traceback.\n"
    )
    debug = curate("build", "odd.py", "--debug")
    assert debug.returncode == 1
    assert debug.stderr.startswith("Traceback (most recent call last):\n")
    assert debug.stderr.endswith("RuntimeError: what is this\n")


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        ("ValueError('no number')", "ValueError: no number", "For the traceback run the command again with --debug."),
        ("HTTPError('http://x', 401, 'Unauthorized', {}, None)", "HTTP Error 401: Unauthorized", None),
    ],
)
def test_an_error_of_a_judge_says_whose_it_is(work: Path, error: str, said: str, hint: str | None) -> None:
    """It is no defect of curate, and no folder that cannot be written."""
    code = f"from urllib.error import HTTPError\n\n\ndef strict(rows):\n    raise {error}\n"
    (work / "judges.py").write_text(code, "utf-8")
    (work / "judged.py").write_text(
        "import curate as c\n\n"
        "steps = [c.judge('judges:strict', cache='kept')]\n"
        "judged = c.Mixture('judged', [c.Source('b', c.files('data/b.jsonl'))], steps)\n",
        "utf-8",
    )
    done = curate("build", "judged.py")
    assert done.returncode == 1
    first, note, *rest = done.stderr.splitlines()
    assert first == f"error: {said}"
    assert note.startswith("raised by judge('judges:strict') for row ")
    assert note.endswith("/kept; the same build goes on from there")
    assert rest == ([] if hint is None else [hint])


def test_a_reader_that_has_had_enough_ends_it_without_a_word(work: Path) -> None:
    assert work.is_dir()
    assert CliRunner().invoke(app, ["build", "mix.py:first", "--out", "here", "-q"]).exit_code == 0
    line = [*START, "show", "here", "--fate", "kept", "-n", "1000"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_an_interruption_ends_it_with_130(work: Path) -> None:
    (work / "slow.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n", "utf-8")
    line = [*START, "build", "slow.py"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.decode().strip() == "interrupted; finished work is kept, run the same command to resume"


def test_letters_that_standard_output_cannot_show_are_spelled(work: Path) -> None:
    assert work.is_dir()
    done = curate("check", "mix.py:first", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\xbb" in done.stdout
