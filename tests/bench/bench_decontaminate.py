"""The search for eval items beside a plain Python script of sets of n-grams, in the manner of open-r1's.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_decontaminate.py -s`. Each side is a process of its own, one
after the other, `ROUNDS` times; figures are medians. Both search all turns of the same rows, in memory, for the
questions of all evals of the real data, by 8-grams, from loading or indexing the questions to the list of rows that
stay; how long the index alone takes is shown beside. Ours is `decontaminate(evals, on="all")`, signed on two threads,
then resolved (it searches for answers too, and counts the words matched); and a whole build with it, from JSON Lines to
the finished folder, nothing loaded before.

The script is the usual one, in two processes: lower case, split at white space, a dict of 8-grams an eval, and a row
falls that shares one with any. "by eval" makes a row's n-grams again for each eval, as open-r1's `scripts/
decontaminate.py` does; "once" makes them once a row. It gets a part of the rows (`CURATE_BENCH_PEER_MB`, 40), scaled
per MB. Every side must drop nearly all planted rows: questions of 16 words or more behind a few words of a user.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.bench.our_side import all_evals
from tests.bench.peers import Measured, Run, ours, run
from tests.bench.real_chats import Chats, part, rows, write

ROUNDS: Final = 3
PLANTED: Final = 200
WORDS: Final = 16

SCRIPT: Final = """
import json, os, sys, time
from collections import defaultdict
from multiprocessing import Pool
from pathlib import Path

N, LOOKUPS = 8, {}

def grams(text):
    words = text.lower().split()
    return [" ".join(words[i : i + N]) for i in range(len(words) - N + 1)]

def once(text):
    found = set(grams(text))
    return any(any(gram in lookup for gram in found) for lookup in LOOKUPS.values())

def by_eval(text):
    return any([any({gram in lookup for gram in set(grams(text))}) for lookup in LOOKUPS.values()])

def main():
    chats, evals, way, result = sys.argv[1:]
    evals = json.loads(Path(evals).read_bytes())
    found = [json.loads(line) for path in sorted(Path(chats).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    texts = ["\\n\\n".join(message["content"] or "" for message in row["messages"]) for row in found]
    start, used = time.perf_counter(), sum(os.times()[:4])
    for name, questions in evals.items():
        lookup = LOOKUPS[name] = defaultdict(set)
        for number, question in enumerate(questions):
            for gram in grams(question):
                lookup[gram].add(number)
    index = time.perf_counter() - start
    with Pool(2) as pool:
        hit = pool.map({"once": once, "by eval": by_eval}[way], texts, chunksize=1000)
        pool.close()
        pool.join()
    work, used = time.perf_counter() - start, sum(os.times()[:4]) - used
    kept = [row["id"] for row, dropped in zip(found, hit) if not dropped]
    parts = {"index": index, "search": work - index}
    Path(result).write_text(json.dumps({"work": work, "cpu": used, "parts": parts, "kept": kept}))

if __name__ == "__main__":
    main()
"""


class Bench(NamedTuple):
    """All rows, the part that the script gets, the folder of the real data, the questions by eval as JSON."""

    every: Chats
    some: Chats
    data: Path
    questions: Path


def planted(questions: list[str]) -> Iterator[dict[str, Any]]:
    """Give rows that hold a question."""
    long = [question for question in questions if len(question.split()) >= WORDS]
    for number, question in enumerate(random.Random(0).sample(long, PLANTED)):
        asked, said = f"I wonder what you make of this. {question}", "Let me think about it."
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        yield {"id": f"eval-{number}", "messages": messages}


@pytest.fixture(scope="module")
def bench(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Real rows as JSON Lines, with planted ones before them, and the questions."""
    folder = tmp_path_factory.mktemp("chats")
    by_eval = {one.name: one.load().question.to_pylist() for one in all_evals(real_data, folder)}
    (folder / "questions.json").write_text(json.dumps(by_eval), encoding="utf-8")
    found = [*planted([question for questions in by_eval.values() for question in questions]), *rows(real_data)]
    some = part(found, int(float(os.environ.get("CURATE_BENCH_PEER_MB", "40")) * 1e6))
    made = Bench(write(found, folder / "all", 2), write(some, folder / "part", 2), real_data, folder / "questions.json")
    assert made.every.rows >= 100_000
    print(f"\n{len(by_eval)} evals, {sum(map(len, by_eval.values())):,} questions")
    print(f"all: {made.every.summary}\npart: {made.some.summary}")
    return made


def found_by(run: Run) -> float:
    return 1 - sum(name.startswith("eval-") for name in run.result["kept"]) / PLANTED


@pytest.mark.timeout(3600)
def test_beside_sets_of_ngrams(bench: Bench, tmp_path: Path) -> None:
    ours("decontaminate", "memory", bench.some, bench.data, tmp_path)  # kernels are compiled once an installation
    ours("decontaminate", "build", bench.some, bench.data, tmp_path)
    mine = {way: Measured(f"curate, {way}", bench.every, []) for way in ("memory", "build")}
    theirs = {way: Measured(f"script, {way}", bench.some, []) for way in ("once", "by eval")}
    for measured in theirs.values():
        way = measured.name.removeprefix("script, ")
        python = Path(sys.executable)
        measured.runs.append(run(python, SCRIPT, bench.some.folder, bench.questions, way, folder=tmp_path))
    for _ in range(ROUNDS):
        for way, measured in mine.items():
            measured.runs.append(ours("decontaminate", way, bench.every, bench.data, tmp_path))
    for measured in (*mine.values(), *theirs.values()):
        measured.say(found_by(measured.runs[-1]))
    alone = statistics.median(one.work - one.result["parts"]["index"] for one in mine["memory"].runs)
    print(f"curate, memory: {bench.every.size / 1e6 / alone:.0f} MB/s once the index is made (mark: 150)")
    for measured in mine.values():
        print(f"{measured.name}: {measured.rate:.0f} MB/s, index and all (mark: 150)")
        for peer in theirs.values():
            measured.beside(peer, 50)
