"""Near-duplicate removal beside peers, end to end: datatrove's four MinHash stages, and rensa with Python shingling.

Run it with `CURATE_REAL_DATA=... pytest tests/bench/bench_dedup.py -s`. Peers are installed by pip into an environment
of their own in the temporary folder, once; where that fails, the bench skips. Each side is a process of its own, one
after the other, `ROUNDS` times; figures are medians. Seconds come with processor time: on a machine that does other
work, only the ratio of that says much.

- In memory: texts lie in memory (a list of `str` for rensa, Arrow for us) and the answer is which rows stay. Ours is
  `dedup("all")`, signed on two threads, then resolved; kernels are loaded before the clock starts.
- From files: the same JSON Lines to files of the rows that stay. Ours is a whole build, with ledger and page, and
  nothing loaded before; datatrove has two tasks on two workers, forked, which spares them the imports.

Peers' settings. datatrove 0.10.1: as it comes (5-grams of its English words by spaCy, 14 buckets of 8 hashes of 64
bits), on a part of the rows (`CURATE_BENCH_PEER_MB`, 40), scaled per MB. rensa 0.5.0: `RMinHashDeduplicator`, 128
permutations, LSH at 0.8, as in its README, over 5-grams of words made in Python in two ways: lower case and
split at white space ("split"), which is the least that one can do, and runs of letters and digits in NFKC, case folded
("words"), which comes close to ours. Neither peer verifies what it drops; we do, by the exact sets.
Every side must tell nearly all planted near copies from their rows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.bench.peers import Measured, Run, environment, ours, run
from tests.bench.real_chats import Chats, part, rows, share_found, write

ROUNDS: Final = 3
DATATROVE: Final = (
    "datatrove==0.10.1",
    "orjson==3.13.0",
    "regex==2026.11.15",
    "spacy==3.8.18",
    "tokenizers==0.23.3",
    "xxhash==3.8.2",
)
"""With what its English words and its reader of JSON Lines need."""

RENSA: Final = ("rensa==0.5.0",)

DATATROVE_SIDE: Final = """
import json, os, sys, time
from pathlib import Path
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

def row(self, data, path, number):
    return {"text": "\\n\\n".join(message["content"] or "" for message in data["messages"]), "id": data["id"]}

def main():
    chats, base, result = sys.argv[1:]
    at = lambda name: str(Path(base) / "datatrove" / name)
    reader, config = JsonlReader(chats, adapter=row), MinhashConfig()
    buckets = config.num_buckets
    stages = {
        "signatures": (2, [reader, MinhashDedupSignature(at("signatures"), config)]),
        "buckets": (buckets, [MinhashDedupBuckets(at("signatures"), at("buckets"), config=config)]),
        "clusters": (1, [MinhashDedupCluster(at("buckets"), at("remove"), config=config)]),
        "filter": (2, [reader, MinhashDedupFilter(at("remove")), JsonlWriter(at("kept"), compression=None)]),
    }
    parts, used = {}, sum(os.times()[:4])
    for name, (tasks, pipeline) in stages.items():
        start = time.perf_counter()
        logs = at("logs-" + name)
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, start_method="fork", logging_dir=logs).run()
        parts[name] = time.perf_counter() - start
    used = sum(os.times()[:4]) - used
    kept = [json.loads(line)["id"] for path in Path(at("kept")).glob("*.jsonl") for line in path.open()]
    Path(result).write_text(json.dumps({"work": sum(parts.values()), "cpu": used, "parts": parts, "kept": kept}))

if __name__ == "__main__":
    main()
"""

RENSA_SIDE: Final = """
import json, re, sys, time, unicodedata
from pathlib import Path
from rensa import RMinHashDeduplicator

WORD = re.compile(r"[^\\W_]+")
WAYS = {
    "split": lambda text: text.lower().split(),
    "words": lambda text: WORD.findall(unicodedata.normalize("NFKC", text).casefold()),
}
chats, base, way, result = sys.argv[1:]
words_of = WAYS[way]

def shingles(text):
    words = words_of(text)
    return [" ".join(words[i : i + 5]) for i in range(max(len(words) - 4, 1))]

found = [json.loads(line) for path in sorted(Path(chats).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
ids = [row["id"] for row in found]
texts = ["\\n\\n".join(message["content"] or "" for message in row["messages"]) for row in found]
start, used = time.perf_counter(), time.process_time()
sets = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True)
stays = sets.add_pairs((name, shingles(text)) for name, text in zip(ids, texts))
work, used = time.perf_counter() - start, time.process_time() - used
kept = [name for name, stay in zip(ids, stays) if stay]
Path(result).write_text(json.dumps({"work": work, "cpu": used, "parts": {}, "kept": kept}))
"""


class Bench(NamedTuple):
    """All rows, the part that slow peers get, the folder of the real data."""

    every: Chats
    some: Chats
    data: Path


@pytest.fixture(scope="module")
def bench(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Real rows as JSON Lines."""
    folder = tmp_path_factory.mktemp("chats")
    found = list(rows(real_data))
    some = part(found, int(float(os.environ.get("CURATE_BENCH_PEER_MB", "40")) * 1e6))
    made = Bench(write(found, folder / "all", 2), write(some, folder / "part", 2), real_data)
    assert made.every.rows >= 100_000
    print(f"\nall: {made.every.summary}\npart: {made.some.summary}")
    return made


def found_by(run: Run, chats: Chats) -> float:
    return share_found(chats, set(run.result["kept"]))


@pytest.mark.timeout(3600)
def test_beside_datatrove(bench: Bench, tmp_path: Path) -> None:
    python = environment(*DATATROVE)
    ours("dedup", "build", bench.some, bench.data, tmp_path)  # kernels are compiled once an installation
    theirs = Measured("datatrove, four stages", bench.some, [])
    theirs.runs.append(run(python, DATATROVE_SIDE, bench.some.folder, tmp_path, folder=tmp_path))
    theirs.say(found_by(theirs.runs[-1], bench.some))
    for name, way in (("curate, a whole build", "build"), ("curate, in memory", "memory")):
        mine = Measured(name, bench.every, [])
        mine.runs.extend(ours("dedup", way, bench.every, bench.data, tmp_path) for _ in range(ROUNDS))
        mine.say(found_by(mine.runs[-1], bench.every))
        print(f"{name}: {mine.rate:.0f} MB/s (mark: 150)")
        mine.beside(theirs, 500)


@pytest.mark.timeout(3600)
def test_beside_rensa(bench: Bench, tmp_path: Path) -> None:
    python = environment(*RENSA)
    ours("dedup", "memory", bench.some, bench.data, tmp_path)
    mine = Measured("curate, in memory", bench.every, [])
    theirs = {way: Measured(f"rensa, {way}", bench.every, []) for way in ("split", "words")}
    for _ in range(ROUNDS):
        mine.runs.append(ours("dedup", "memory", bench.every, bench.data, tmp_path))
        for way, measured in theirs.items():
            measured.runs.append(run(python, RENSA_SIDE, bench.every.folder, tmp_path, way, folder=tmp_path))
    mine.say(found_by(mine.runs[-1], bench.every))
    for measured in theirs.values():
        measured.say(found_by(measured.runs[-1], bench.every))
        mine.beside(measured, 30)
