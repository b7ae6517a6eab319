"""`judge` asks for each row once, tries again where that may help, and names what it gave up on."""

from __future__ import annotations

import itertools
import json
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.engine.manifest import canonical
from curate.errors import BuildError, JudgeError, MixtureError
from curate.preview.check import check
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps._answers import numbers_of
from curate.steps.judging.judge import Judging
from tests.support.judge_server import JUDGES, judging, score

NAN: Final = float("nan")
NUMBER: Final = itertools.count()

MODULE: Final = '''
"""Judges of a test."""
import threading
import time

CALLS = []  # the texts of each call
MADE = []
FAILS = []  # errors to raise, one for each call


def texts(rows):
    return [turns[-1]["content"] for turns in rows["messages"].to_pylist()]


def length(rows):
    CALLS.append(texts(rows))
    if FAILS:
        error = FAILS.pop(0)
        if error is not None:
            raise error
    return [len(text) if text else None for text in texts(rows)]


def meta(rows):
    CALLS.append(rows["meta"].to_pylist())
    return rows["meta"].to_pylist() and [len(one) for one in rows["meta"].to_pylist()]


class Model:
    model = "small"
    prompt = "how long?"

    def __init__(self):
        MADE.append(threading.get_ident())
        self.mine = threading.get_ident()

    def __call__(self, rows):
        assert self.mine == threading.get_ident()
        time.sleep(0.01)
        return length(rows)


class Silent:
    pass


class Keyed:
    @staticmethod
    def cache_key():
        return KEY

    def __call__(self, rows):
        return length(rows)


KEY = "1"


def endless(rows):
    return [float("inf")] * rows.num_rows


def short(rows):
    return []


limit = 3
'''


class Judges:
    """A module of its own for one test; `name` is new, so no other test has imported it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"judges_of_test_{next(NUMBER)}"
        self.write(MODULE)

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.py"

    def write(self, code: str) -> None:
        self.file.write_text(code)
        sys.modules.pop(self.name, None)

    def step(self, name: str = "length", **more: Any) -> Judging:  # noqa: ANN401
        return c.judge(f"{self.name}:{name}", **{"cache": self.folder / "judged", "wait": 0.0, **more})

    @property
    def module(self) -> Any:  # noqa: ANN401
        return sys.modules[self.name]


@pytest.fixture
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judges:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Judges(tmp_path)


def body(*texts: str, meta: str = "{}") -> pa.RecordBatch:
    rows = [{"messages": [{"role": "user", "content": text}], "meta": meta} for text in texts]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def values(step: Judging, batch: pa.RecordBatch) -> list[float]:
    return step.score(segments(batch)).columns["value"].tolist()


def calls(judges: Judges) -> list[list[str]]:
    """The calls since the last look."""
    found = list(judges.module.CALLS)
    judges.module.CALLS.clear()
    return found


def test_each_content_is_judged_once_in_batches_of_like_length(judges: Judges) -> None:
    step = judges.step(batch=2)
    texts = ["long text", "a", "", "ccc", "a", "dd"]
    assert values(step, body(*texts)) == pytest.approx([9, 1, NAN, 3, 1, 2], nan_ok=True)
    assert calls(judges) == [["", "a"], ["dd", "ccc"], ["long text"]]
    assert values(step, body(*reversed(texts), "new")) == pytest.approx([2, 1, 3, NAN, 1, 9, 3], nan_ok=True)
    assert calls(judges) == [["new"]], "no score is a score too"
    assert values(judges.step(workers=3, batch=4), body("a", "dd")) == [1, 2]
    assert calls(judges) == []
    assert values(judges.step(cache=judges.folder / "other"), body("a")) == [1]
    assert calls(judges) == [["a"]]


def test_an_answer_is_kept_though_polars_raises_an_interrupt(judges: Judges, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C, Polars raises it in any thread that calls it: also in one that has just got an answer."""
    interrupts = [KeyboardInterrupt(), KeyboardInterrupt()]

    def interrupted(*arguments: Any) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401
        if interrupts:
            raise interrupts.pop()
        return numbers_of(*arguments)

    monkeypatch.setattr("curate.steps.judging._worker.numbers_of", interrupted)
    assert values(judges.step(), body("a", "dd")) == [1, 2]
    assert calls(judges) == [["a"], ["dd"]]
    assert not interrupts


def test_meta_counts_where_the_judge_reads_it(judges: Judges) -> None:
    plain, whole = judges.step("meta"), judges.step("meta", meta=True)
    assert values(plain, body("a", meta='{"n":1}')) == [2]
    assert values(plain, body("a", meta='{"n":2}')) == [2]
    assert calls(judges) == [["{}"]]
    assert values(whole, body("a", meta='{"n":10}')) == [8]
    assert canonical(plain) != canonical(whole)


def test_how_a_judge_is_asked_is_not_in_the_fingerprint(judges: Judges) -> None:
    one, other = judges.step(), judges.step(workers=9, batch=9, attempts=9, wait=9, budget=9, cache=None)
    assert canonical(one) == canonical(other)
    assert one.data_hashes() == other.data_hashes()
    assert str(judges.folder) not in json.dumps(canonical(one))


def test_a_class_is_made_once_for_each_worker(judges: Judges, tmp_path: Path) -> None:
    rows = pl.DataFrame({"prompt": [f"Ask {n}" for n in range(40)], "completion": ["x" * n for n in range(1, 41)]})
    step = judges.step("Model", workers=3, at_most=30)
    mixture = c.Mixture("m", [c.Source("s", c.frame(rows))], [step])
    build = mixture.build(tmp_path / "build", quiet=True, threads=2)
    assert build.scores("judge")["value"].sort().to_list() == list(range(1, 41))
    assert len(judges.module.MADE) == len(set(judges.module.MADE)) == 3
    assert len(calls(judges)) == 40
    assert not [each for each in threading.enumerate() if each.name.startswith("curate-judge")], "the build ended"


def test_a_changed_module_model_or_key_is_another_judge(judges: Judges) -> None:
    def key(code: str, name: str = "Model") -> str:
        judges.write(code)
        return judges.step(name).data_hashes()[f"{judges.name}:{name}"]

    first = key(MODULE)
    assert key("# a comment\n" + MODULE.replace("    mine", "    mine  ")) == first
    assert key(MODULE.replace("CALLS = []  # the texts", "\n\nCALLS = []  # all texts")) == first
    assert key(MODULE, "length") != first
    assert key(MODULE.replace("how long?", "how short?")) != first
    assert key(MODULE.replace('"small"', '"large"')) != first
    keyed = key(MODULE, "Keyed")
    judges.module.KEY = "2"
    assert judges.step("Keyed").data_hashes()[f"{judges.name}:Keyed"] != keyed
    judges.module.KEY = 3
    with pytest.raises(MixtureError, match="its cache_key must be a text"):
        judges.step("Keyed")
    judges.module.Model.model = "other"
    assert judges.step("Model").data_hashes() != {f"{judges.name}:Model": first}


def test_a_module_that_was_edited_after_its_import_is_refused(judges: Judges) -> None:
    step = judges.step()
    assert values(step, body("a")) == [1]
    judges.file.write_text(MODULE.replace("len(text)", "2 * len(text)"))
    with pytest.raises(MixtureError, match="edited after it was imported"):
        values(step, body("b"))


class Http(Exception):  # noqa: N818
    def __init__(self, code: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {code}")
        self.code, self.headers = code, headers or {}


class Wrapped(Exception):  # noqa: N818
    def __init__(self, code: int) -> None:
        self.response = Http(code)


@pytest.mark.parametrize(
    "error",
    [TimeoutError("60 s"), ConnectionResetError("gone"), Http(429), Http(503, {"Retry-After": "0"}), Wrapped(500)],
)
def test_what_may_pass_is_tried_again(judges: Judges, error: Exception) -> None:
    step = judges.step(attempts=3)
    judges.module.FAILS[:] = [error, error]
    assert values(step, body("abc")) == [3]
    assert len(calls(judges)) == 3
    judges.module.FAILS[:] = [error, error, error]
    with pytest.raises(JudgeError, match=rf"length'\): no answer for row \w+ after 3 attempts: {type(error).__name__}"):
        values(step, body("abcd"))
    assert values(step, body("abcd", "abc")) == [4, 3], "the same call goes on"
    assert issubclass(JudgeError, BuildError)


@pytest.mark.parametrize("error", [Http(400), Http(401), Wrapped(404), ZeroDivisionError("mine")])
def test_what_will_not_pass_is_raised_at_once(judges: Judges, error: Exception) -> None:
    step = judges.step()
    judges.module.FAILS[:] = [error]
    with pytest.raises(type(error), match=str(error)) as raised:
        values(step, body("abc"))
    assert len(calls(judges)) == 1
    assert "What was judged is kept in" in raised.value.__notes__[0]


def test_a_row_is_named_by_source_and_id(judges: Judges, tmp_path: Path) -> None:
    rows = pl.DataFrame({"id": ["first", "second"], "prompt": ["Ask", "Why"], "completion": ["a", "bb"]})
    step = judges.step(attempts=1)
    mixture = c.Mixture("m", [c.Source("chats", c.frame(rows))], [step])
    judges.module.FAILS[:] = [None, TimeoutError("60 s")]
    with pytest.raises(JudgeError, match=r"row second of source 'chats' after 1 attempts: TimeoutError: 60 s"):
        mixture.build(tmp_path / "build", quiet=True)
    assert not (tmp_path / "build").exists()
    mixture.build(tmp_path / "build", quiet=True)
    assert calls(judges) == [["a"], ["bb"], ["bb"]]


def test_a_budget_holds_over_all_builds(judges: Judges) -> None:
    assert values(judges.step(budget=3), body("a", "bb")) == [1, 2]
    with pytest.raises(
        JudgeError, match=r"budget of 3 rows is spent.*1 rows of this part of the data have no score.*Raise budget="
    ):
        values(judges.step(budget=3), body("ccc", "dddd"))
    assert calls(judges) == [["a"], ["bb"], ["ccc"]]
    assert values(judges.step(budget=3), body("ccc", "a")) == [3, 1], "what is kept costs nothing"
    assert values(judges.step(budget=4), body("dddd")) == [4]
    with pytest.raises(JudgeError, match="budget of 0 rows is spent"):
        values(judges.step(budget=0), body("f"))


@pytest.mark.parametrize(("error", "costs"), [(Http(429), 1), (TimeoutError("60 s"), 2)])
def test_an_attempt_counts_unless_the_server_refused_it(judges: Judges, error: Exception, costs: int) -> None:
    step = judges.step(budget=10)
    judges.module.FAILS[:] = [error]
    assert values(step, body("abc")) == [3]
    with sqlite3.connect(step.kept_in()) as file:
        assert file.execute("SELECT rows FROM spent").fetchone() == (costs,)
    file.close()


def test_a_check_asks_no_judge(judges: Judges) -> None:
    rows = pl.DataFrame({"prompt": ["Ask", "Why", "Ask"], "completion": ["a", "bb", "a"]})
    mixture = c.Mixture("m", [c.Source("s", c.frame(rows))], [judges.step(at_least=2, allow_large_drop=True)])
    found = check(mixture)
    assert calls(judges) == []
    assert found.sources[0].left == 3
    assert "3 rows without a score so far, which stay: a look before a build asks no judge" in found.warnings[-1]
    assert not (judges.folder / "judged").exists()
    with pytest.raises(JudgeError, match="budget"):
        mixture_of(mixture, judges.step(at_least=2, budget=1)).build(judges.folder / "build", quiet=True)
    found = check(mixture)
    assert found.sources[0].left == 1, "a kept score decides"
    assert "1 rows without a score so far" in found.warnings[-1]


def mixture_of(mixture: c.Mixture, step: Judging) -> c.Mixture:
    return c.Mixture(mixture.name, mixture.sources, [step])


def test_a_damaged_file_says_what_to_do(judges: Judges) -> None:
    step = judges.step()
    assert values(step, body("a")) == [1]
    step.kept_in().write_bytes(b"no database" * 1000)
    with pytest.raises(JudgeError, match=r"cannot be read or written .* name another folder .* move it away"):
        values(step, body("a"))


@pytest.mark.parametrize(("name", "message"), [("endless", "is infinite for 1 rows"), ("short", "it gave 0")])
def test_a_wrong_answer_says_whose_it_is_and_is_not_kept(judges: Judges, name: str, message: str) -> None:
    step = judges.step(name)
    with pytest.raises(MixtureError, match=rf"{judges.name}:{name}.*{message}"):
        values(step, body("a"))
    with sqlite3.connect(step.kept_in()) as file:
        assert file.execute("SELECT count(*) FROM scores").fetchone() == (0,)
    file.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "missing"}, "has no function 'missing'"),
        ({"name": "limit"}, "is int, which cannot be called"),
        ({"name": "Silent"}, "objects of this class cannot be called"),
        ({"workers": 0}, r"judge\(workers=0\): a whole number from 1 up"),
        ({"batch": 1.5}, "judge.batch=1.5.: a whole number"),
        ({"attempts": True}, "a whole number from 1"),
        ({"wait": -1}, "a number from 0 up"),
        ({"gpus": -1}, "a number from 0 up"),
        ({"gpus": 1.5}, r"judge\(gpus=1.5\): a whole number of GPUs, or a part of one"),
        ({"budget": -1}, "a whole number from 0 up, or None for no limit"),
        ({"at_least": 2, "at_most": 1}, "the lower limit is above"),
    ],
)
def test_a_wrong_call_says_so(judges: Judges, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        judges.step(**wrong)


@pytest.mark.parametrize("what", ["judges", "meta.reward", "a b:c", lambda _rows: None])
def test_a_name_that_is_none(what: Any) -> None:  # noqa: ANN401
    with pytest.raises(MixtureError, match=r"name a class or function|finds a function by its name"):
        c.judge(what)


def test_a_server_that_is_busy_is_asked_again(judges: Judges, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The states and time-outs as `urllib` raises them; the build's second run asks only for what has no score."""
    rows = pl.DataFrame({"prompt": ["Ask"] * 30, "completion": [f"Answer {n}" for n in range(30)]})
    judges.write(JUDGES)
    with judging() as server:
        monkeypatch.setenv("JUDGE_URL", server.url)
        mixture = c.Mixture("m", [c.Source("s", c.frame(rows))], [judges.step("Helpful", workers=4, attempts=3)])
        server.fail = {1: (429, {"Retry-After": "0.01"}), 2: (503, {})}
        build = mixture.build(tmp_path / "build", quiet=True)
        assert server.refused == {429: 30, 503: 30}
        assert set(server.judged.values()) == {1}
        assert sorted(build.scores("judge")["value"]) == sorted(score(f"Answer {n}") for n in range(30))
        monkeypatch.setenv("JUDGE_TIMEOUT", "0.05")
        server.delay, server.fail = 0.3, {}
        late = judges.step("Helpful", attempts=2, cache=tmp_path / "late")
        with pytest.raises(JudgeError, match="after 2 attempts: TimeoutError"):
            values(late, body("Late."))


def test_scores_do_not_depend_on_how_they_are_asked_for(judges: Judges) -> None:
    texts = ["x" * (n * 7 % 23) for n in range(60)]
    wanted = [float(len(text)) if text else NAN for text in texts]
    for number, (workers, batch) in enumerate(itertools.product((1, 4), (1, 3, 100))):
        step = judges.step(workers=workers, batch=batch, cache=judges.folder / str(number))
        assert np.array_equal(values(step, body(*texts)), wanted, equal_nan=True)
        assert len({text for call in judges.module.CALLS for text in call}) == 23
        assert sum(map(len, calls(judges))) == 23
