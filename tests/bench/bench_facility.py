"""How well `FacilityLocation` represents real prompts beside random rows and other takes, and what it costs.

100,000 real prompts of T0, FLAN, Alpaca, LIMA and others (`bench_diverse`). Run it with
`CURATE_REAL_DATA=... pytest tests/bench/bench_facility.py -s`. `CURATE_STATIC_MODEL` names the folder of a static
embedding model; without it, that of the package wordllama is used. Where neither is there, each word that ten prompts
have gets a random vector of 256 dimensions, short if the word is frequent: similar prompts are then those that share
rare words. Costs are the same; how well rows are represented says less.

The first test says seconds, processor time and peak memory of whole builds of 100,000 rows (`CURATE_BENCH_ROWS` adds a
larger number, made from these rows by exchanging words). The second says the value of the function: the mean over all
rows of the cosine to the nearest chosen row, at 1, 5 and 20 % of the rows.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.facility import FacilityLocation
from curate.mix.takes.selection import Selection
from curate.mix.takes.stratified import Stratified
from curate.mixture import Mixture
from curate.text.embeddings.static_model import load_static_model
from tests.bench.bench_diverse import real_rows
from tests.bench.bench_semantic import vectors
from tests.support.tiny_embeddings import tiny_embeddings

COUNT: Final = 100_000
SHARES: Final = (0.01, 0.05, 0.2)
SEEDS: Final = range(3)
WORD: Final = re.compile(r"\w+|[^\w\s]+")
TILE: Final = 8192
BUILD: Final = """
import resource, sys, time
import curate as c
rows, out, count, model, kind = sys.argv[1:]
makes = {
    "FacilityLocation": lambda: c.FacilityLocation(int(count), semantic=model),
    "Stratified": lambda: c.Stratified(int(count), by="cluster", semantic=model),
    "All": c.All,
}
start, cpu = time.perf_counter(), time.process_time()
source = c.Source("rows", c.files(rows, "messages"), take=makes[kind]())
c.Mixture("bench", [source], []).build(out, overwrite=True, quiet=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(time.perf_counter() - start, time.process_time() - cpu, peak)
"""


@pytest.fixture(scope="module")
def prompts(real_data: Path) -> list[str]:
    """Return real prompts in a random order."""
    found = [ask for ask, say, *_ in real_rows(real_data / "sft") if ask.strip() and say.strip()]
    random.Random(0).shuffle(found)
    return found[:COUNT]


@pytest.fixture(scope="module")
def model(prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a model; one of random vectors where there is no other."""
    installed = importlib.util.find_spec("wordllama")
    if folder := os.environ.get("CURATE_STATIC_MODEL"):
        return folder
    if installed is not None and installed.origin is not None:
        return str(Path(installed.origin).parent)
    print("\nno model: random vectors of words")
    return str(random_model(prompts, tmp_path_factory.mktemp("model")))


def random_model(prompts: list[str], folder: Path) -> Path:
    """Write a model with a random vector for each word that ten prompts have."""
    from safetensors.numpy import save_file

    counted = Counter(chain.from_iterable(set(WORD.findall(prompt)) for prompt in prompts))
    words = [word for word, rows in counted.items() if rows >= 10]
    tiny = tiny_embeddings(folder, [" ".join(words)], dimensions=256)
    share = np.ones(len(tiny.vectors))
    for word, number in tiny.tokenizer.get_vocab().items():
        share[number] = counted.get(word, 0) / len(prompts)
    scaled = tiny.vectors * (1e-3 / (1e-3 + share))[:, None]
    save_file({"embeddings": scaled.astype(np.float32)}, folder / "model.safetensors")
    return folder


def write(path: Path, prompts: list[str]) -> Path:
    with path.open("w") as out:
        for i, ask in enumerate(prompts):
            turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": f"Answer {i}."}]
            out.write(json.dumps({"id": str(i), "messages": turns}) + "\n")
    return path


@pytest.mark.timeout(7200)
def test_what_it_costs(prompts: list[str], model: str, tmp_path: Path) -> None:
    most = int(os.environ.get("CURATE_BENCH_ROWS", str(COUNT)))
    for count in sorted({COUNT, most}):
        path = write(tmp_path / "rows.jsonl", more(prompts, count))
        for kind in ("All", "FacilityLocation", "Stratified"):
            command = [sys.executable, "-c", BUILD, str(path), str(tmp_path / "out"), str(count // 10), model, kind]
            run = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            clock, cpu, peak = map(float, run)
            print(f"\n{count:9,} rows, {kind:16} {clock:6.1f} s, processor {cpu:6.1f} s, peak {peak:.2f} GB", end="")


def more(prompts: list[str], count: int) -> list[str]:
    """Return so many prompts; those after the real ones have one word in five from another prompt."""
    rng = random.Random(1)
    found = prompts[:count]
    while len(found) < count:
        words, other = (rng.choice(prompts).split(" ") for _ in range(2))
        found.append(" ".join(rng.choice(other) if rng.random() < 0.2 else word for word in words))
    return found


@pytest.mark.timeout(7200)
def test_how_well_rows_are_represented(prompts: list[str], model: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", prompts)
    static = load_static_model(model)
    found = np.concatenate([vectors(prompts[at : at + 10_000], static) for at in range(0, len(prompts), 10_000)])
    most = int(SHARES[-1] * len(prompts))

    def order(take: Selection) -> NDArray[np.int64]:
        mixture = Mixture("bench", [Source("rows", files(path, "messages"), take=take)], [])
        built = mixture.build(tmp_path / "build", overwrite=True, quiet=True)
        return built.chosen("rows")["id"].cast(pl.Int64).to_numpy()

    orders = {
        "random": [np.random.default_rng(seed).permutation(len(prompts)) for seed in SEEDS],
        **{
            f"facility, {size} neighbours": [order(FacilityLocation(most, semantic=model, neighbors=size))]
            for size in (16, 64, 256)
        },
        "even over clusters": [order(Stratified(most, by="cluster", semantic=model))],
        "diverse": [order(Diverse(most, on="prompt"))],
    }
    for share in SHARES:
        print()
        for name, each in orders.items():
            value = np.mean([covered(found, one[: int(share * len(prompts))]) for one in each])
            print(f"{share:4.0%} {name:28} {value:.4f}")


def covered(found: NDArray[np.float32], lines: NDArray[np.int64]) -> float:
    """Return the mean over all rows of the cosine to the nearest chosen one."""
    chosen = np.ascontiguousarray(found[lines].T)
    best = [(found[at : at + TILE] @ chosen).max(axis=1).clip(0) for at in range(0, len(found), TILE)]
    return float(np.concatenate(best).mean(dtype=np.float64))
