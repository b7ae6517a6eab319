"""What the commands do, in one process: output, exit codes, and one message for every error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from curate.cli import app as cli
from curate.errors import ConservationError
from curate.mixture import Mixture
from curate.result.build import Build
from tests.cli.conftest import REFUSAL
from tests.support.build_data import chat, chats, hashes, write_lines

RUNNER: Final = CliRunner()


def run(*line: str, code: int = 0) -> Result:
    found = RUNNER.invoke(cli.app, list(line))
    assert found.exit_code == code, found.output
    return found


def error(*line: str, code: int) -> str:
    """Return the message of a command that fails; it is all that standard error holds."""
    found = run(*line, code=code)
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.output
    return found.stderr.removeprefix("error: ").rstrip("\n")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


# --- build ---------------------------------------------------------------------------------------------------------


def test_build_makes_every_mixture_of_the_file(work: Path) -> None:
    result = run("build", "mix.py")
    assert sorted(path.name for path in (work / "build").iterdir()) == ["first-mix", "second-mix"]
    assert Build(work / "build" / "first-mix").funnel.filter(source="a")["rows"].item() == 20
    for line in (
        "first-mix",
        "refusals",
        "The build is in build/first-mix: train 20 rows.",
        "build/second-mix/report.html",
    ):
        assert line in result.stdout
    assert result.stdout.index("build/first-mix") < result.stdout.index("build/second-mix")
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["second", "second-mix", "again"])
def test_build_takes_one_mixture_by_variable_or_by_name(work: Path, name: str) -> None:
    run("build", f"mix.py:{name}", "--out", "here")
    assert Build(work / "here").name == "second-mix"
    assert not (work / "build").exists()


def test_out_is_the_parent_of_several(work: Path) -> None:
    assert run("build", "mix.py", "-o", "all", "--quiet").stdout == "all/first-mix\nall/second-mix\n"
    assert Build(work / "all" / "second-mix").name == "second-mix"


def test_threads_do_not_change_a_byte(work: Path) -> None:
    run("build", "mix.py:first", "--out", "one", "--threads", "1", "--no-resume")
    run("build", "mix.py:first", "--out", "two", "--threads", "2", "--resume")
    assert hashes(work / "one") == hashes(work / "two")


def test_an_existing_build_is_replaced_only_on_request(work: Path) -> None:
    run("build", "mix.py:second", "--out", "here")
    before = hashes(work / "here")
    assert "here exists; choose another folder, or say --overwrite" in error(
        "build", "mix.py:second", "-o", "here", code=1
    )
    assert hashes(work / "here") == before
    run("build", "mix.py:first", "--out", "here", "--overwrite")
    assert Build(work / "here").name == "first-mix"


def test_no_mixture_is_built_when_one_has_no_place(work: Path) -> None:
    run("build", "mix.py:second")
    assert "build/second-mix exists" in error("build", "mix.py", code=1)
    assert not (work / "build" / "first-mix").exists()


def test_two_mixtures_of_one_name_have_no_two_folders(work: Path) -> None:
    edit(work / "mix.py", '"second-mix"', '"first-mix"')
    assert error("build", "mix.py", code=2) == (
        "two mixtures of this file are named 'first-mix'; rename one, or build each by its variable, PATH:NAME"
    )
    run("build", "mix.py:second", "--out", "here")


def test_data_that_cannot_be_built_is_exit_code_1(work: Path) -> None:
    edit(work / "mix.py", "c.Rows(20)", "c.Rows(50)")
    assert "a has 30 rows after the steps, asked: 50" in error("build", "mix.py:first", code=1)
    assert not (work / "build" / "first-mix").exists()


# --- the mixture file ----------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_names_its_neighbours(work: Path) -> None:
    assert work.is_dir()
    for command in ("build", "check"):
        assert error(command, "mixx.py", code=2) == "mixx.py does not exist; did you mean 'mix.py'?"
        assert error(command, "data", code=2) == "data is a folder; name a Python file that declares a mixture"


def test_a_name_that_is_not_there_names_the_others(work: Path) -> None:
    assert work.is_dir()
    assert error("check", "mix.py:secnd", code=2) == "mix.py declares no mixture 'secnd'; did you mean 'second'?"
    assert "known: again, first, first-mix, second, second-mix" in error("build", "mix.py:_hidden", code=2)


def test_a_file_without_a_mixture_says_how_to_declare_one(work: Path) -> None:
    (work / "none.py").write_text("x = 1\n", "utf-8")
    assert error("build", "none.py", code=2) == "none.py declares no mixture at its top level: mixture = c.Mixture(...)"


def test_a_file_that_fails_names_its_line(work: Path) -> None:
    (work / "bad.py").write_text("import curate as c\n\nc.refusals('zephir')\n", "utf-8")
    assert error("build", "bad.py", code=2) == (
        "bad.py, line 3: preset='zephir' is no preset of refusals; did you mean 'zephyr'?"
    )
    (work / "bad.py").write_text("\nx = {}['k']\n", "utf-8")
    assert error("check", "bad.py", code=2) == "bad.py, line 2: KeyError: 'k'"


def test_data_that_is_not_there_is_a_wrong_call(work: Path) -> None:
    edit(work / "mix.py", "data/b.jsonl", "data/c.jsonl")
    assert "c.jsonl' is not there" in error("build", "mix.py:second", code=2)


# --- check ---------------------------------------------------------------------------------------------------------


def test_check_tells_formats_fields_steps_and_the_plan(work: Path) -> None:
    before = sorted(work.rglob("*"))
    output = run("check", "mix.py:first").stdout
    for part in (
        "first-mix: conversation rows",
        "a  messages() (as declared)",
        "34 rows read, all of them",
        "fields: id, messages",
        "1 in quarantine (2.9%):",
        "a.jsonl:34: expected valid JSON",
        "»As an AI language model«, »I do not have opinions«.",
    ):
        assert part in output
    assert re.search(r"refusals +33 +3 +9\.1% +no_feelings 3|refusals +33 +3 +9\.1% +self_reference 3", output)
    assert re.search(r"a +34 +30 +Rows\(n=20\) +20 *\n", output)
    assert sorted(work.rglob("*")) == before


def test_check_of_the_first_rows_says_what_is_a_guess(work: Path) -> None:
    assert work.is_dir()
    output = run("check", "mix.py:first", "--rows", "10").stdout
    assert "10 rows read, the first of ~" in output
    assert "~ is an estimate" in output


def test_check_is_exit_code_1_where_the_build_would_stop(work: Path) -> None:
    write_lines(work / "data" / "a.jsonl", [chat(f"Say {n}!", REFUSAL) for n in range(40)])
    output = run("check", "mix.py", code=1).stdout
    assert "the build would fail: step 'refusals' drops 40 of the 40 rows of source 'a' (100%)" in output
    assert "the build would fail: mixture 'first-mix' cannot deliver" in output
    assert "second-mix: conversation rows" in output, "the others are reported too"


def test_check_builds_nothing_where_the_file_does(work: Path) -> None:
    edit(work / "mix.py", "again = second\n", "again = second.build('build/second')\n")
    message = error("check", "mix.py", code=2)
    assert message.startswith("mix.py, line 10: 'second-mix' would be built here, and `curate check` writes nothing.")
    assert not (work / "build").exists()
    edit(work / "mix.py", "again =", "if __name__ == '__main__':\n    again =")
    run("check", "mix.py")
    assert not (work / "build").exists()


def test_check_of_an_empty_source_warns(work: Path) -> None:
    (work / "data" / "b.jsonl").write_text("", "utf-8")
    output = run("check", "mix.py:second", code=1).stdout
    assert "warning: source 'b' has no rows" in output
    assert "the build would fail: mixture 'second-mix' keeps no row" in output
    assert "0 rows read, all of them" in output


# --- show ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(work: Path) -> Path:
    run("build", "mix.py:first", "--out", "here", "--quiet")
    return work / "here"


def test_show_marks_the_evidence(made: Path) -> None:
    output = run("show", str(made), "-n", "2").stdout
    assert output.count("»As an AI language model«, »I do not have opinions«.") == 2
    assert "\x1b" not in output
    assert run("show", str(made), "--step", "exact_dedup").stdout == "no rows to show\n"
    assert run("show", str(made), "--fate", "quarantined", "--source", "a").stdout.startswith(
        "a  a.jsonl:34  quarantined"
    )
    assert run("show", str(made), "--fate", "unsampled").stdout.count("not sampled") == 10
    assert run("show", str(made), "--fate", "kept", "-n", "3").stdout.count("in the train split") == 3
    assert run("show", str(made), "--reason", "self_reference").stdout.count("refusals: self_reference") == 3


def test_show_of_a_name_that_is_not_there_is_a_wrong_call(made: Path) -> None:
    here = str(made)
    assert "no step 'refusal'; did you mean 'refusals'?" in error("show", here, "--step", "refusal", code=2)
    assert "no source 'b'; known: a" in error("show", here, "--source", "b", code=2)
    assert "for the reason 'provider'; known: " in error("show", here, "--reason", "provider", code=2)
    assert "leave out --step and --reason" in error("show", here, "--fate", "kept", "--step", "refusals", code=2)


def test_a_folder_without_a_whole_build_is_exit_code_1(made: Path, work: Path) -> None:
    assert error("show", "data", code=1) == "no build at data: it has no manifest.json"
    assert error("diff", "data", str(made), code=1) == "no build at data: it has no manifest.json"
    (work / "data" / "manifest.json").write_text("{", "utf-8")
    assert "data/manifest.json cannot be read" in error("show", "data", code=1)
    (work / "data" / "manifest.json").write_text('{"name": "an app"}', "utf-8")
    assert error("show", "data", code=1) == "data/manifest.json is not the manifest of a build of curate"
    for path in (made / "dropped").glob("*"):
        path.write_bytes(b"PAR1 not")
    assert "is not whole" in error("show", str(made), code=1)


# --- diff ----------------------------------------------------------------------------------------------------------


def test_diff_tells_settings_counts_and_rows(work: Path) -> None:
    run("build", "mix.py:first", "--out", "before", "-q")
    edit(work / "mix.py", "c.Rows(20)", "c.Rows(25)")
    edit(work / "data" / "a.jsonl", "Answer 7. ", "Answer [7]. ")
    edit(work / "mix.py", "c.refusals(), ", "")
    run("build", "mix.py:first", "--out", "after", "-q")
    output = run("diff", "before", "after", "-n", "100").stdout
    for part in (
        "before against after",
        "source a.take: Rows(n=20) → Rows(n=25)",
        "step refusals: only before: Refusals(",
        "order of steps: refusals, exact_dedup → exact_dedup",
        "source a: its rows differ",
        "was not sampled",
    ):
        assert part in output
    same = run("diff", "after", "after").stdout
    assert "the same settings and the same data" in same
    assert "25 rows are the same in both" in same


def test_diff_marks_what_changed_in_a_text(work: Path) -> None:
    edit(work / "mix.py", "take=c.Rows(20)", "take=c.All()")
    run("build", "mix.py:first", "--out", "before", "-q")
    edit(work / "data" / "a.jsonl", "Answer 7. ", "Answer [b]7[/b]. ")
    run("build", "mix.py:first", "--out", "after", "-q")
    output = run("diff", "before", "after").stdout
    assert "a/a7  text\n- assistant: Answer »7«. " in output
    assert "+ assistant: Answer »[b]7[/b]«." in output


def test_diff_of_two_kinds_is_a_wrong_call(made: Path, work: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "Q?", "chosen": "A.", "rejected": "B."}]
    write_lines(work / "data" / "b.jsonl", rows)
    edit(work / "mix.py", '"data/b.jsonl", "messages"', '"data/b.jsonl", "preference"')
    run("build", "mix.py:second", "--out", "pairs", "-q")
    assert "holds conversation rows, pairs holds preference rows" in error("diff", str(made), "pairs", code=2)


# --- the line itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["buil"], "No such command 'buil'. Did you mean 'build'?; see curate --help"),
        (["build"], "Missing argument 'PATH[:NAME]'; see curate build --help"),
        (["diff", "a"], "Missing argument"),
        (["build", "mix.py", "--threads", "0"], "--threads"),
        (["check", "mix.py", "--rows", "many"], "--rows"),
        (["show", ".", "-n", "0"], "-n"),
        (["show", ".", "--fate", "eaten"], "'eaten' is not one of 'dropped', 'kept', 'quarantined', 'unsampled'"),
        (["check", "mix.py", "--row", "5"], "No such option: --row"),
        (["build", "mix.py", "extra"], "extra"),
    ],
)
def test_a_wrong_line_says_what_is_wrong(work: Path, line: list[str], message: str) -> None:
    assert work.is_dir()
    assert message in error(*line, code=2)


def test_version_and_help() -> None:
    assert re.fullmatch(r"curate \d+\.\d+\.\d+\n", run("--version").stdout)
    for command in ("build", "check", "show", "diff"):
        assert command in run("--help").stdout
        output = run(command, "-h").stdout
        assert "--debug" in output
    assert "Exit codes: 0 done" in run("--help").stdout
    assert "Commands" in run(code=2).stdout, "no command: help, and a wrong call"


def test_debug_shows_the_traceback_and_keeps_the_exit_code(work: Path) -> None:
    assert work.is_dir()
    output = run("show", "data", "--debug", code=1).stderr
    assert "Traceback (most recent call last)" in output
    assert output.endswith("error: no build at data: it has no manifest.json\n")


def test_control_characters_in_a_message_are_named(work: Path) -> None:
    (work / "bad.py").write_text("raise ValueError('\\x1b[2J\\u202e[bold]x')\n", "utf-8")
    assert error("check", "bad.py", code=2) == "bad.py, line 1: ValueError: [U+001B][2J[U+202E][bold]x"


def test_an_interruption_says_that_work_is_kept(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.is_dir()

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mixture, "build", stopped)
    output = run("build", "mix.py", code=130).stderr
    assert output.strip() == "interrupted; finished work is kept, run the same command to resume"
    monkeypatch.setattr("curate.preview.check.check", stopped)
    assert run("check", "mix.py", code=130).stderr.strip() == "interrupted"


def test_a_failed_build_is_exit_code_1(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.is_dir()

    def fails(*_: object, **__: object) -> None:
        message = "it does not add up"
        raise ConservationError(message)

    monkeypatch.setattr(Mixture, "build", fails)
    assert error("build", "mix.py", code=1) == "it does not add up"


def test_an_error_of_the_system_is_one_message(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.is_dir()

    def fails(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "data/a.jsonl")

    monkeypatch.setattr(Mixture, "build", fails)
    assert error("build", "mix.py", code=1) == "data/a.jsonl: Permission denied"


def test_a_build_that_keeps_nothing_is_exit_code_1(work: Path) -> None:
    (work / "data" / "b.jsonl").write_text("", "utf-8")
    found = run("build", "mix.py:second", code=1)
    assert "source 'b' has no rows" in found.stderr
    assert found.stderr.startswith("error: mixture 'second-mix' keeps no row. Rows read: 0\n")
    assert "note: source 'b' has no rows" in found.stdout, "the funnel comes first"
    assert Build(work / "build" / "second-mix").ledger.collect().is_empty()
    quiet = run("build", "mix.py:second", "--overwrite", "--quiet", code=1)
    assert (quiet.stdout, quiet.stderr) == ("", found.stderr)


def test_a_source_that_brings_nothing_is_said(work: Path) -> None:
    write_lines(work / "data" / "few.jsonl", chats(5, 100))
    few = 'c.Source("few", c.files("data/few.jsonl"), take=c.Fraction(0.01))'
    edit(work / "mix.py", "take=c.Rows(20))]", f"take=c.Rows(20)), {few}]")
    note = "source 'few' comes to 0 rows: Fraction(share=0.01) of 5 rows rounds to 0"
    assert f"note: {note}\n" in run("build", "mix.py:first").stdout
    assert f"warning: {note}\n" in run("check", "mix.py:first").stdout
    assert run("build", "mix.py:first", "--quiet", "--overwrite").stderr == f"note: {note}\n"


@pytest.mark.parametrize("command", ["build", "check", "diff", "lengths", "preflight", "show", "train"])
def test_a_wrong_option_points_to_the_help_of_its_command(command: str) -> None:
    assert error(command, "--no-such-option", code=2).endswith(f"; see curate {command} --help")


def test_export_writes_a_folder_and_says_what_came_of_the_rows(work: Path) -> None:
    run("build", "mix.py:first", "--quiet")
    done = run("export", "build/first-mix", "--to", "llama-factory", "--out", "out/lf")
    assert "exported" in done.output
    assert "The export is in out/lf: dataset_info.json, ledger/rows.parquet, train.parquet" in done.output
    assert (work / "out/lf/train.parquet").is_file()
    again = run("export", "build/first-mix", "--to", "llama-factory", "--out", "out/lf", code=1)
    assert "say --overwrite" in again.output
    run("export", "build/first-mix", "--to", "trl", "--out", "out/lf", "--overwrite")
    assert run("export", "build/first-mix", "--to", "trt", code=2).output
    wrong = run("export", "build/first-mix", "--to", "trl", "--without", "content", code=2)
    assert "'content' is no part for it" in wrong.output
