"""Filter by what a judge says of each row, where asking it costs money or a GPU: no row is ever judged twice."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, check_number, check_whole
from curate.rows.identity import content_hashes
from curate.rows.segments import Segments
from curate.rows.take import take
from curate.steps._named import NAME, Scorer, name_of, named
from curate.steps._settings import check_limits
from curate.steps.base import Bound, Filter, Scores
from curate.steps.costly import Costly, CostlyRun, StopOnError, joined_run
from curate.steps.judging._asking import Asking, JudgeSettings, RowsToJudge, Workers, distinct, working
from curate.steps.judging._judge_key import judge_key
from curate.steps.judging._kept_scores import KeptScores
from curate.steps.judging._worker import JudgeOfWorker

FREE: Final[Mapping[str, Any]] = {"fingerprint": False}
"""How a judge is asked changes no score."""

NOT_ASKED: Final = "without a score so far, which stay: a look before a build asks no judge"


@dataclass(frozen=True, kw_only=True)
class Judging(Filter, Costly):
    """See `judge`. `what` names the function or class as `module:name`."""

    name: ClassVar[str] = "judge"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"at_least", "at_most"})
    what: str
    meta: bool = False
    at_least: float | None = None
    at_most: float | None = None
    workers: int = field(default=1, metadata=FREE)
    gpus: float = field(default=0.0, metadata=FREE)
    batch: int = field(default=1, metadata=FREE)
    attempts: int = field(default=6, metadata=FREE)
    wait: float = field(default=1.0, metadata=FREE)
    budget: int | None = field(default=None, metadata=FREE)
    cache: str | None = field(default=None, metadata=FREE)

    def bounds(self) -> tuple[Bound, ...]:
        """Return the two limits."""
        bounds = Bound("low_score", "value", self.at_least), Bound("high_score", "value", at_most=self.at_most)
        return tuple(bound for bound in bounds if bound[2:] != (None, None))

    def score(self, segments: Segments) -> Scores:
        """Return the number of each row, NaN if there is none; the judge is asked only where no score is kept."""
        if segments.body is None or segments.rows == 0:
            return Scores({"value": np.full(segments.rows, np.nan)})
        body = segments.body if self.meta else _without_meta(segments.body)
        hashes = content_hashes(body)
        keys = np.ascontiguousarray(np.stack([hashes.high, hashes.low], axis=1).astype(">u8")).view("V16").reshape(-1)
        first, which = distinct(keys, _sizes(segments))
        names: list[bytes] = keys[first].tolist()
        call = f"judge({self.what!r})"
        with joined_run() as run:
            run.check()
            scores: dict[bytes, float] = run.ask(self, names)
            missing = np.array([place for place, key in enumerate(names) if key not in scores], np.int64)
            without = int(np.isin(which, missing).sum())
            if run.pays:
                run.count(call, "with a score that was kept", segments.rows - without)
                if len(missing):
                    keys_of = [names[place] for place in missing]
                    scores |= run.ask(self, _rows_to_judge(keys_of, body, segments, first[missing]))
            else:
                run.count(call, NOT_ASKED, without)
        return Scores({"value": np.array([scores.get(name, np.nan) for name in names])[which]})

    def answer(self, question: list[bytes] | RowsToJudge, run: CostlyRun) -> dict[bytes, float]:
        """Return the scores of rows: of keys those that are kept, of rows all of them, judged now."""
        path = self.kept_in()
        if not run.pays and not path.exists():
            return {}
        # Closed after the workers, which are made later, so that their last answers are kept.
        kept = run.shared(path, partial(KeptScores, path))
        if isinstance(question, list):
            return kept.known(question)
        call = f"judge({self.what!r})"
        settings = JudgeSettings(call, self.workers, self.batch, self.attempts, self.wait, self.budget)

        def begin() -> AbstractContextManager[Workers]:
            return working(self.workers, run.worker(partial(JudgeOfWorker, self.what), self.workers, self.gpus))

        workers = run.shared((self.what, self.workers, self.gpus), begin)
        with StopOnError(run):
            return Asking(question, settings, kept, workers, run).judge_all()

    def kept_in(self) -> Path:
        """Return the file that the scores of this judge are kept in."""
        folder = _default_folder() if self.cache is None else Path(self.cache)
        return folder / f"{self.what.replace(':', '.')}-{judge_key(self.what)[:32]}.sqlite"

    def data_hashes(self) -> Mapping[str, str]:
        """Return the key of the judge: its module's code, and what it says of its model and prompt."""
        return {self.what: judge_key(self.what)}


def judge(
    what: str | Scorer | type[Scorer],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    meta: bool = False,
    workers: int = 1,
    gpus: float = 0.0,
    batch: int = 1,
    attempts: int = 6,
    wait: float = 1.0,
    budget: int | None = None,
    cache: str | Path | None = None,
    allow_large_drop: bool = False,
) -> Judging:
    r"""Drop rows by what a judge of yours says, where asking it costs money or a GPU: an LLM, a reward model.

    Every answer is kept on disk at once, by the content of the row and the code of the judge. So no row is judged
    twice: not after a crash, in another order, in another build, or where rows are equal. The number is the score
    `value`; a row without one has NaN and is kept. `curate check` asks no judge. As every filter, it scores all rows
    that are read: to pay for clean ones only, clean in a first build, and let the judged mixture read its data.

    Args:
        what: "judges:Helpful", a class or function as `package.module:name`, or itself if it is at the top of a module.
            A class is made once for each worker, so load the model in `__init__`; its objects are called as `Scorer`
            says. A function of several workers must be safe in threads. The module runs with your rights.
        at_least: Rows with a lower number are dropped as `low_score`. Default: no limit.
        at_most: Rows with a higher number are dropped as `high_score`. Default: no limit.
        meta: Whether the judge reads `meta`. By default it gets "{}", so rows of the same text are judged once.
        workers: Threads that judge side by side. Default 1, for a model on this machine; 16 for a service. With Ray
            they are in processes on all machines, no more of them than processors.
        gpus: GPUs of each worker with Ray, then a process of its own that sees no other; 0.5: two share one. Default 0.
        batch: Rows of one call at most, of like length. Default 1, as a failed call is made again for all of its rows;
            32 for a model on a GPU. Round what such a model says: last digits depend on the rows beside a row.
        attempts: Calls for the same rows before the build stops and names them. Another one follows time-outs, broken
            connections, workers of Ray that die, and HTTP 408, 409, 425, 429, 500, 502, 503, 504 and 529 (`code`,
            `status` or `status_code` of the error or its `response`).
        wait: Seconds before the second attempt, doubled before each later one. `retry_after` of the error, or the
            header Retry-After, counts instead; 300 seconds at most.
        budget: Rows sent to this judge at most, over all builds with this `cache`, so a restart does not spend it
            again. Each attempt counts, but for those refused with a state of HTTP. Default: no limit.
        cache: Folder of the scores, a SQLite file for each judge, on a disk of the machine that builds. Default:
            `$XDG_CACHE_HOME/curate/judged`, or `~/.cache/curate/judged`.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter. The manifest has a key of the judge, which changes with the code of its module, but for comments and
        blank lines, and with the texts `model`, `prompt` and `cache_key` of the class or function (the last may be a
        static method). Another key is another judge. How it is asked (`workers` to `cache`) changes nothing.

    Raises:
        MixtureError: No such judge, or settings that are none; in a build, an answer that is not one number a row.

    Example:
        >>> import sys, tempfile
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "example.py").write_text("def turns(rows): return rows['messages'].value_lengths()")
        >>> sys.path.insert(0, str(folder))
        >>> step = judge("example:turns", at_least=3, workers=16, budget=25_000, cache=folder / "judged")
        >>> row = {"messages": [{"role": "user", "content": "Hi"}], "meta": "{}"}
        >>> rows = pa.RecordBatch.from_pylist([row] * 2, BODIES["conversation"])
        >>> step.score(segments(rows)).columns["value"].tolist()
        [1.0, 1.0]
    """
    low, high = check_limits("judge", at_least, at_most)
    step = Judging(
        what=what if isinstance(what, str) else name_of(what, "judge"),
        meta=meta, at_least=low, at_most=high, workers=workers, gpus=gpus, batch=batch, attempts=attempts,
        wait=check_number(f"judge(wait={wait!r})", wait, least=0),
        budget=budget,
        cache=str(_default_folder() if cache is None else Path(cache).expanduser().absolute()),
        allow_large_drop=allow_large_drop,
    )  # fmt: skip
    _check(step)
    return step


def _check(step: Judging) -> None:
    """Raise `MixtureError` for settings that are none, and for a name that leads to no judge."""
    for setting in ("workers", "batch", "attempts"):
        number = getattr(step, setting)
        check_whole(f"judge({setting}={number!r})", number, least=1)
    check_number(f"judge(gpus={step.gpus!r})", step.gpus, least=0)
    if step.gpus > 1 and step.gpus % 1:
        raise MixtureError(f"judge(gpus={step.gpus!r}): a whole number of GPUs, or a part of one")
    if step.budget is not None:
        check_whole(f"judge(budget={step.budget!r})", step.budget, hint=", or None for no limit")
    if not NAME.fullmatch(step.what):
        raise MixtureError(f"judge({step.what!r}): name a class or function of a module: 'package.module:name'")
    found = named(step.what, "judge")
    if isinstance(found, type) and not any("__call__" in vars(each) for each in found.__mro__):
        raise MixtureError(
            f"judge({step.what!r}): objects of this class cannot be called; give it `def __call__(self, rows)`, which "
            "takes a pyarrow.RecordBatch and returns one number a row"
        )
    judge_key(step.what)


def _rows_to_judge(keys: list[bytes], body: pa.RecordBatch, segments: Segments, rows: NDArray[np.int64]) -> RowsToJudge:
    """Return the bodies and names of some rows."""
    context, some = segments.context, take(body, rows.astype(np.int32))
    if context is None:
        return RowsToJudge(keys, some)
    return RowsToJudge(keys, some, context.ids.take(pa.array(rows)), context.source)


def _without_meta(body: pa.RecordBatch) -> pa.RecordBatch:
    place = body.schema.get_field_index("meta")
    if place < 0:
        return body
    return body.set_column(place, body.schema.field(place), pa.repeat(pa.scalar("{}", pa.string()), body.num_rows))


def _sizes(segments: Segments) -> NDArray[np.int64]:
    """Return the bytes of the texts of each row."""
    sizes = np.zeros(segments.rows, np.int64)
    for part in segments.parts:
        sizes += np.bincount(part.row, np.diff(part.text.offsets)[part.index], segments.rows).astype(np.int64)
    return sizes


def _default_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:  # a user without a home
        raise MixtureError("judge(): there is no home for the scores; name a folder with cache=") from error
    return folder / "curate" / "judged"
