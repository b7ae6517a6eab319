"""Replicas of published data sets, and what every recipe of `mixtures/` is held to.

A replica has the files, configs, splits and columns of the real set with rows of our own, at about a hundredth of its
size; the loopback Hub serves it to the real client. A test of a recipe is this much:

    REPLICAS = {"GAIR/lima": repository({"train.jsonl": ROWS}, licence="other", gated=True)}

    def test_lima(tmp_path: Path) -> None:
        build = built_twice("lima", REPLICAS, tmp_path, scale=0.01)
        assert build.reproduction()["difference"][-1] == 0

    def test_the_plan_at_full_size() -> None:
        assert full_size(recipe("lima")) == {"lima": 1_030}
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml  # type: ignore[import-untyped]  # comes with the client of the Hub

from curate.cli.mixture_file import run_file
from curate.cli.mixture_recipes import mixtures_in, recipes_folder
from curate.evalsets.evals import evals
from curate.evalsets.items import EvalSet
from curate.mix.amounts import Rows
from curate.mix.plan import Stock, plan
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from tests.support.hub_server import Repository, Tree, serving

Row = dict[str, Any]
TOKEN: Final = "hf_" + "r" * 24
WORDS: Final = (
    "harbour", "lantern", "meadow", "river", "copper", "violin", "orchard", "winter", "pebble", "candle", "bridge",
    "garden", "thunder", "saddle", "basket", "compass", "feather", "anchor", "blanket", "mirror", "barrel", "ribbon",
    "kettle", "shadow", "valley", "island", "forest", "desert", "castle", "village", "market", "window",
)  # fmt: skip

QUESTION: Final = "How many lanterns hang above the long stone bridge of the old harbour at night?"


def text(seed: str, words: int = 12) -> str:
    """Return a sentence of its own for each seed: a capital, a full stop, nothing that a filter looks for."""
    chance = random.Random(seed)
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def chat(seed: str, turns: int = 2, **first: str) -> list[dict[str, str]]:
    """Return messages of the user and the assistant in turn; `first` has texts for these roles' first messages."""
    roles = ("user", "assistant")
    said = [{"role": roles[i % 2], "content": text(f"{seed}/{i}")} for i in range(turns)]
    for i, role in enumerate(roles[:turns]):
        said[i]["content"] = first.get(role, said[i]["content"])
    return said


def repository(
    files: Mapping[str, Iterable[Row]],
    *,
    licence: str | None = None,
    configs: Mapping[str, Mapping[str, str]] | None = None,
    gated: bool = False,
    revisions: Mapping[str, Tree] | None = None,
) -> Repository:
    """Return a replica: rows by file (see `written`), and its card.

    `configs` are those that the card names: the pattern of each split, by name of the config.
    """
    card: dict[str, Any] = {} if licence is None else {"license": licence}
    if configs is not None:
        card["configs"] = [
            {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
            for name, splits in configs.items()
        ]
    tree = {path: written(path, rows) for path, rows in files.items()}
    tree["README.md"] = f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n# A replica\n".encode()
    return Repository(tree, revisions or {}, gated=gated)


def written(path: str, rows: Iterable[Row]) -> bytes:
    """Return rows as the file that a path names: Parquet, a JSON array or JSON Lines, perhaps packed by gzip."""
    if path.endswith(".gz"):
        return gzip.compress(written(path.removesuffix(".gz"), rows), mtime=0)
    if path.endswith(".json"):
        return json.dumps(list(rows)).encode()
    if not path.endswith(".parquet"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out)
    return out.getvalue()


def recipe(name: str, **settings: object) -> Mixture:
    """Return the mixture of a recipe, as `curate build NAME --set SETTING=VALUE` declares it."""
    (mixture,) = mixtures_in(name, {key: str(value) for key, value in settings.items()})
    return mixture


def function(name: str) -> Callable[..., Mixture]:
    """Return the function of a recipe, which also takes what is no text, such as eval sets."""
    found: Callable[..., Mixture] = getattr(run_file(recipes_folder() / f"{name}.py"), name)
    return found


def quiz(folder: Path) -> tuple[EvalSet, ...]:
    """Return an eval set of one item, `QUESTION`."""
    (folder / "quiz.jsonl").write_text(json.dumps({"id": "1", "ask": QUESTION}))
    return evals.files(folder / "quiz.jsonl", question="ask", id="id")


def built_clean(name: str, replicas: Mapping[str, Repository], folder: Path, **settings: object) -> Build:
    """Build the clean variant of a recipe on replicas, held against `QUESTION`."""
    gated = {one for one, replica in replicas.items() if replica.gated}
    with serving(replicas, tokens={TOKEN: gated}) as hub, hub.here(folder / "hf", token=TOKEN):
        return function(name)(clean=True, evals=quiz(folder), **settings).build(folder / "clean", quiet=True)


def built_twice(name: str, replicas: Mapping[str, Repository], folder: Path, **settings: object) -> Build:
    """Build a recipe on replicas with the real client, then again offline from its cache; both have the same bytes."""
    gated = {one for one, replica in replicas.items() if replica.gated}
    with ExitStack() as stack:
        hub = stack.enter_context(serving(replicas, tokens={TOKEN: gated}))
        with hub.here(folder / "hf", token=TOKEN):
            build = recipe(name, **settings).build(folder / "online", quiet=True)
        asked = len(hub.requests)
        with hub.here(folder / "hf", offline=True):
            again = recipe(name, **settings).build(folder / "offline", quiet=True)
        assert len(hub.requests) == asked, "offline, nothing is asked for"
    assert contents(again.path) == contents(build.path)
    return build


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, by name."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def sampled(mixture: Mixture) -> dict[str, int]:
    """Return how many rows of each source go into the steps, as declared ahead of them or else as published."""
    return {source.name: _stock(mixture, source, kept=False) for source in mixture.sources}


def full_size(mixture: Mixture) -> dict[str, int]:
    """Return the rows that the plan takes of each source where it has as many as published; the steps drop none.

    Of a source whose take repeats rows, the published ones are the copies.
    """
    stock = {}
    for source in mixture.sources:
        rows = _stock(mixture, source, kept=True) // getattr(source.take, "k", 1)
        stock[source.name] = Stock(rows, 0)
    return {share.source: share.amount for share in plan(mixture, stock)}


def _stock(mixture: Mixture, source: Source, *, kept: bool) -> int:
    said = mixture.published[source.name]
    if isinstance(source.before, Rows) and not kept:
        return source.before.n
    return said.expected if kept else said.rows
