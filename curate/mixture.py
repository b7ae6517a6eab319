"""The object a user declares and builds: a mixture that can be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from curate.compare.takes import TakeComparison, TakenBuild, measured
from curate.engine import build as run
from curate.engine.executors.base import Executor
from curate.engine.executors.ray_tasks import ray_tasks
from curate.engine.executors.threads import Threads, cores
from curate.errors import CallError, EmptyBuildError, did_you_mean
from curate.io.atomic import write_text
from curate.io.stores.urls import path_of, shown, text_of
from curate.mix.amounts import Fraction, Rows, Tokens
from curate.mix.ladder import rungs, variants, whole
from curate.mix.spec import MixtureSpec
from curate.mix.takes.selection import Selection
from curate.report.charts.card_files import card_files
from curate.report.page import page
from curate.report.run_card import card
from curate.result.bucket import claim, folder_of, is_in_store, local_folder, send, work_folder
from curate.result.build import Build
from curate.steps.costly import Costly

Engine: TypeAlias = Literal["local", "ray"]
"""What runs a build: threads of this process, or Ray."""

MAY_BUILD: Final[ContextVar[bool]] = ContextVar("MAY_BUILD", default=True)
"""Whether a build may start: `curate check` writes nothing, whatever the file that it runs asks for."""


@dataclass(frozen=True)
class Mixture(MixtureSpec):
    """Sources, steps and a plan: everything that decides what a build holds.

    Args:
        name: names the build; letters, digits, `.`, `_` and `-`.
        sources: the origins of rows; their order is their priority among duplicates.
        steps: run for every source, in this order. Steps before a Pairing see rated rows, those after it pairs; `take`,
            `weights` and `test` then count pairs. A row passes at most one Pairing.
        seed: decides the sample, the order and the test split; 0 to 2**64 - 1.
        weights: shares of the sources, used with `total` in place of their `take`; `"size"` weighs each by the rows
            that the steps leave.
        total: the size of a mixture with weights, in rows or tokens.
        temperature: each weight is raised to `1 / temperature`; above 1 evens the shares out, 1 keeps them.
        on_shortage: what to do if a source has less than is asked of it: `"error"` names it, so that no mixture changes
            unnoticed; `"repeat"` uses rows again; `"shrink"` takes what there is.
        max_repeat: the most copies of a row that `"repeat"` makes; 65,535 is the limit of the format.
        test: the size of the test split; rows with the same prompt are all on one side. None: no split.
        tokenizer: counts tokens exactly; without one they are estimated.
        published: what was published of the sources, by name, for `Build.reproduction()`; it decides nothing.
        use: what the rows are for: `"commercial"`. Licences that do not allow it, and those that do not say, are named
            in notes, page and card.

    Raises:
        MixtureError: the declaration is not consistent.

    Example:
        >>> import curate as c
        >>> sources = [c.Source("chats", c.files("chats.jsonl")), c.Source("code", c.files("code.jsonl"))]
        >>> mixture = c.Mixture("mine", sources, [c.shape(), c.dedup()], weights="size", total=c.Rows(500), seed=42)
        >>> [step.name for step in mixture.steps]
        ['shape', 'dedup']
    """

    def build(
        self,
        out: str | Path | None = None,
        *,
        threads: int | None = None,
        resume: bool = True,
        overwrite: bool = False,
        quiet: bool = False,
        from_: str | Path | Build | None = None,
        engine: Engine = "local",
        address: str | None = None,
    ) -> Build:
        """Make a build folder and return it.

        Args:
            out: the folder; by default `build/` and the name of the mixture. Or a URL, such as `s3://bucket/chats`: the
                build is made on this machine, its files go there, the manifest last, and a copy stays here
                (`curate.io.stores.copies`).
            threads: worker threads; by default one per core. They do not change the bytes written.
            resume: continue an interrupted build of the same mixture and files.
            overwrite: replace a build in `out`; a file there that no build wrote is an error, and nothing is deleted.
            quiet: show no progress bars; they only appear if standard error is a terminal.
            from_: an earlier build, its folder or its URL, which may be `out`. Rows that it has seen keep their scores
                and edits where a step is as it was, so that after a moved bound or an added step only the rest runs.
                The new build is the same, byte for byte, as one from nothing; lines above the bars say which steps run.
            engine: `"local"` runs on threads of this process, `"ray"` as tasks of Ray, on as many machines as it has;
                it needs `curate[ray]`. They write the same bytes.
            address: where Ray is, such as `"10.0.0.1:6379"`; its machines must see the inputs, the build folder and
                your own modules under the same paths. None: a Ray on this machine, with `threads` workers.

        Returns:
            The finished build.

        Raises:
            MixtureError: the declaration is wrong.
            SourceNotFoundError: an input does not exist.
            BuildError: the data cannot be built; nothing is left in `out`.
            PushError: the store does not take the build; what was made and sent is kept, and the next build goes on.
            WorkerError: workers of Ray died again and again; what was made is kept, and the next build goes on from it.
            EmptyBuildError: no row is kept; the build is in `out`, and its ledger says why.
            CallError: `threads` is below 1, `curate check` runs the file, or Ray is not there.

        Example:
            >>> import curate as c
            >>> import polars as pl
            >>> rows = pl.DataFrame({"prompt": ["Why?", "How?"], "completion": ["So.", "Thus."]})
            >>> made = c.Mixture("demo", [c.Source("a", c.frame(rows))]).build("memory://bucket/demo", quiet=True)
            >>> made, c.Build("memory://bucket/demo").funnel["rows"][-1]
            (Build('memory://bucket/demo': demo, conversation rows: train 2), 2)
        """
        place = f"build/{self.name}" if out is None else text_of(out)
        url = place if is_in_store(place) else None
        target = Path(path_of(place)) if url is None else work_folder(url)
        return self._build(
            [(target, self)], threads, resume=resume, overwrite=overwrite, quiet=quiet, from_=from_, engine=engine,
            address=address, url=url,
        )[0]  # fmt: skip

    def ladder(
        self,
        sizes: Sequence[int | Rows | Fraction | Tokens],
        out: str | Path | None = None,
        *,
        threads: int | None = None,
        overwrite: bool = False,
        quiet: bool = False,
    ) -> list[Build]:
        """Build the mixture in several sizes in one pass, for ablations: rows are read, and steps run, once.

        A size takes the place of `total`, or of the take of the only source. Each build is the same, byte for byte, as
        one of that size alone, and a smaller one is part of a larger one: of each source, for a mixture with weights,
        up to the rounding of shares to whole rows.

        Args:
            sizes: different sizes of one kind: numbers of rows, `Fraction(f)` or `Tokens(n)`.
            out: the folder in which each build gets one, named by its size; by default `build/` and the name of the
                mixture.
            threads: worker threads; by default one per core.
            overwrite: replace builds in these folders.
            quiet: show no progress bars.

        Returns:
            The builds, the smallest first.

        Raises:
            MixtureError: the sizes are no ladder, or the mixture has several sources and no weights.
            BuildError: the data cannot be built, as where there are fewer rows than the largest size.
            EmptyBuildError: no row is kept.
            CallError: `threads` is below 1.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> import curate as c
            >>> import polars as pl
            >>> rows = pl.DataFrame({"prompt": [f"Ask {i}." for i in range(9)], "completion": ["So."] * 9})
            >>> mixture = c.Mixture(
            ...     "demo", [c.Source("a", c.frame(rows), take=c.Diverse())], weights={"a": 1}, total=c.Rows(9)
            ... )
            >>> with TemporaryDirectory() as folder:
            ...     builds = mixture.ladder([2, 4, 8], f"{folder}/ladder", quiet=True)
            ...     [build.funnel["rows"][-1] for build in builds]
            [2, 4, 8]
        """
        folder = local_folder(out or f"build/{self.name}", "ladder()")
        found = [(folder / name, rung) for name, rung in rungs(self, sizes).items()]
        return self._build(found, threads, resume=False, overwrite=overwrite, quiet=quiet, from_=None)

    def compare(
        self,
        takes: Mapping[str, Selection],
        sizes: Sequence[int | Rows | Fraction | Tokens],
        out: str | Path | None = None,
        *,
        seeds: int = 3,
        threads: int | None = None,
        overwrite: bool = False,
        quiet: bool = False,
    ) -> TakeComparison:
        """Build the mixture with several takes in several sizes, and hold each against random rows of the same size.

        Rows are read, and steps run, once a seed. Each build is a whole one, in a folder named by seed, take and size,
        and the same, byte for byte, as one of that take alone. `comparison.html` in the folder shows what is measured.

        Args:
            takes: selections by name, without an amount: `{"diverse": Diverse(), "longest": Longest()}`. They take the
                place of the take of every source.
            sizes: different sizes of one kind, as in `ladder`; in `Tokens(n)` what takes cover can be compared, as rows
                may be of any length.
            out: the folder of the builds; by default `build/` and the name of the mixture with `-takes`.
            seeds: how many seeds, the mixture's and those after it.
            threads: worker threads; by default one per core.
            overwrite: replace builds in these folders.
            quiet: show no progress bars.

        Returns:
            What was measured: `summary`, `figures`, `chart()`, `page()`, and the builds.

        Raises:
            MixtureError: the sizes are no ladder, a take says how much, or a source stops early.
            BuildError: the data cannot be built, as where there are fewer rows than the largest size.
            EmptyBuildError: no row is kept.
            CallError: `threads` or `seeds` is below 1.
        """
        if seeds < 1:
            raise CallError(f"seeds={seeds!r}: a whole number from 1")
        folder = local_folder(out or f"build/{self.name}-takes", "compare()")
        pools: list[Build] = []
        found: list[TakenBuild] = []
        for seed in range(seeds):
            one = replace(self, seed=(self.seed + seed) % 2**64)
            each = [
                (take, size, rung)
                for take, rungs in variants(one, takes, sizes).items()
                for size, rung in rungs.items()
            ]
            own = folder / f"seed-{one.seed}"
            targets = [*((own / take / size, rung) for take, size, rung in each), (own / "all", whole(one))]
            *parts, pool = self._build(targets, threads, resume=False, overwrite=overwrite, quiet=quiet, from_=None)
            pools.append(pool)
            found += [TakenBuild(take, size, seed, made) for (take, size, _), made in zip(each, parts, strict=True)]
        compared = measured(found, pools)
        compared.save(folder / "comparison.html")
        return compared

    def _build(
        self,
        targets: Sequence[tuple[Path, Mixture]],
        threads: int | None,
        *,
        resume: bool,
        overwrite: bool,
        quiet: bool,
        from_: str | Path | Build | None,
        engine: Engine = "local",
        address: str | None = None,
        url: str | None = None,
    ) -> list[Build]:
        """Build mixtures of the same sources and steps, the last one the largest; a single one may go to a URL."""
        if not MAY_BUILD.get():
            raise CallError(
                f"{self.name!r} would be built here, and `curate check` writes nothing. Leave out the call of build(): "
                "`curate build` builds what a file declares. Or guard it: if __name__ == '__main__':"
            )
        count = cores() if threads is None else threads
        if count < 1:
            raise CallError(f"threads={threads!r}: a whole number from 1")
        if url is not None:
            claim(url, overwrite=overwrite)
        measured: list[Build] = []

        def finish(folder: Path) -> None:
            measured.append(write_page_and_card(folder, *measured[-1:]))

        earlier = from_.path if isinstance(from_, Build) else from_
        target, largest = targets[-1]

        def finish_and_send(folder: Path) -> None:
            finish(folder)
            if url is not None:
                send(folder, url, overwrite=overwrite)

        with self._executor(count, engine, address) as executor:
            run.build(
                largest, target, executor=executor, resume=resume, quiet=quiet, finish=finish_and_send,
                overwrite=overwrite or url is not None,
                from_=None if earlier is None else folder_of(earlier),
                others=[(rung, folder) for folder, rung in targets[:-1]],
            )  # fmt: skip
        builds = []
        finished = [*measured[-len(targets) + 1 :], measured[-len(targets)]] if len(targets) > 1 else measured[-1:]
        for (folder, rung), found in zip(targets, finished, strict=True):
            made = Build(folder)
            made.mixture, made.url = rung, url and shown(url)
            made.take_over(found)
            if not made.funnel["rows"][-1]:
                raise EmptyBuildError(_empty(made))
            builds.append(made)
        return builds

    def _executor(self, threads: int, engine: Engine, address: str | None) -> AbstractContextManager[Executor]:
        """Return what runs the stages of a build; raises `CallError` for an engine that there is not, or no address."""
        if engine == "ray":
            every = (step for source in self.sources for step in (*source.steps, *self.steps))
            return ray_tasks(threads, address, costly=any(isinstance(step, Costly) for step in every))
        if engine != "local":
            raise CallError(f"engine={engine!r}: {did_you_mean(str(engine), get_args(Engine))}")
        if address is not None:
            raise CallError(f"address={address!r} is that of a Ray; say engine='ray' (--engine ray) with it")
        return nullcontext(Threads(threads))


def _empty(made: Build) -> str:
    """Say what became of the rows of a build that keeps none."""
    ends = ("source", "read", "paired", "pairs", "kept", "rows")
    counts = {name: count for name, count in made.funnel.row(-1, named=True).items() if name not in ends and count}
    became = ", ".join(f"{count:,} {_fate(name)}" for name, count in counts.items())
    lines = [f"mixture {made.name!r} keeps no row. Rows read: {made.funnel['read'][-1]:,}{became and f' ({became})'}"]
    return "\n  ".join(
        [*lines, *made.notes, f"The build in {made.place} has a line for each: curate show {made.place}"]
    )


def _fate(column: str) -> str:
    return column if column in {"quarantined", "unsampled"} else f"dropped by {column}"


def write_page_and_card(folder: Path, like: Build | None = None) -> Build:
    """Write the page, the card and the charts of the card into the folder of a build; return what was read of it.

    A terminal shows findings of the build too, and need not read its texts again; nor need that be measured again of
    all rows and of dropped ones which was measured for a build `like` this one, of the same rows and steps.
    """
    found = Build(folder)
    if like is not None:
        found.take_over_rows(like)
    with found.lines_in_memory():
        files = {"report.html": page(found), "README.md": card(found), **card_files(found)}
    for path, written in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        write_text(folder / path, written)
    return found
