"""The law of sources: a build reads all of a file, or says what it did not read, or fails and names the source."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from curate.engine.executors.threads import Threads
from curate.engine.pipeline import final_phase
from curate.engine.progress import showing_progress
from curate.engine.reading import open_sources, read
from curate.errors import BuildError
from curate.io.detect import NAMED
from curate.io.inputs import files
from curate.mix.plan import nothing_from
from curate.mix.spec import MixtureSpec, Source
from tests.support.build_data import Row, turns

ROWS: Final = 10

EXAMPLES: Final[dict[str, Callable[[int], Row]]] = {
    "messages": lambda i: {"messages": turns(f"Ask {i}?", f"So {i}.")},
    "sharegpt": lambda i: {
        "conversations": [
            {"from": "human", "value": f"{i}?"},
            {"from": "gpt", "value": f"<tool_call>{{'name': 'f', 'arguments': {{'a': {i}}}{'}' * (i % 2)}</tool_call>"},
        ]
    },
    "alpaca": lambda i: {"instruction": f"Ask {i}.", "input": "", "output": f"So {i}."},
    "prompt_completion": lambda i: {"prompt": f"Ask {i}?", "completion": f"So {i}."},
    "question_answer": lambda i: {"question": f"Ask {i}?", "answer": f"So {i}."},
    "alternating": lambda i: {"conversations": [f"Ask {i}?", f"So {i}."]},
    "oasst": lambda i: {
        "prompt": {
            "text": f"Ask {i}?",
            "role": "prompter",
            "replies": [{"text": f"So {i}.", "role": "assistant", "replies": []}],
        }
    },
    "oasst_messages": lambda i: {"message_id": f"m{i}", "parent_id": None, "text": f"Ask {i}?", "role": "prompter"},
    "preference": lambda i: {"prompt": f"Ask {i}?", "chosen": f"So {i}.", "rejected": "No."},
    "hh": lambda i: {
        "chosen": f"\n\nHuman: Ask {i}?\n\nAssistant: So.",
        "rejected": f"\n\nHuman: Ask {i}?\n\nAssistant: No.",
    },
    "openai_pairs": lambda i: {
        "input": {"messages": turns(f"Ask {i}?")},
        "preferred_output": [{"role": "assistant", "content": f"So {i}."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    },
    "helpsteer3": lambda i: {
        "context": turns(f"Ask {i}?"), "response1": f"So {i}.", "response2": "No.", "overall_preference": -2,
    },
    "ultrafeedback": lambda i: {
        "instruction": f"Ask {i}?",
        "completions": [
            {"response": word, "model": word, "annotations": {"truth": {"Rating": "4"}}, "overall_score": 4.0}
            for word in "ab"
        ],
    },
    "rated": lambda i: {
        "prompt": f"Ask {i}?",
        "completions": [{"content": word, "scores": {"overall": 1.0}} for word in "ab"],
    },
    "nectar": lambda i: {
        "prompt": f"\n\nHuman: Ask {i}?\n\nAssistant: ",
        "answers": [{"answer": word, "model": "m", "rank": rank} for rank, word in enumerate("ab", 1)],
    },
    "stepwise": lambda i: {"prompt": f"Ask {i}?", "completions": ["a", "b"], "labels": [True, False]},
    "unpaired": lambda i: {"prompt": f"Ask {i}?", "completion": f"So {i}.", "label": bool(i % 2)},
    "prompts": lambda i: {"messages": turns(f"Ask {i}?"), "ground_truth": f"{i}", "dataset": "d"},
}  # fmt: skip
"""A row of each format that needs no settings, with nothing in quarantine."""

FLAT: Final = ("alpaca", "prompt_completion", "question_answer", "preference")
"""Formats whose rows may be those of CSV."""


def lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def table(rows: list[Row]) -> pa.Table:
    """Return rows as a table; one that cannot be read has nulls only."""
    names = list(next((row for row in rows if "x" not in row), {"x": ""}))
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


def cells(rows: list[Row], separator: str) -> bytes:
    """Return rows as CSV; one that cannot be read has one cell."""
    names = list(next((row for row in rows if "x" not in row), {"x": "", "y": ""} if rows else {}))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerows([names, *(list(row.values()) for row in rows)] if names else [])
    return text.getvalue().encode()


def parquet(rows: list[Row]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table(rows), sink)
    return sink.getvalue().to_pybytes()


def arrow(rows: list[Row], open_writer: Callable[..., Any]) -> bytes:
    sink = pa.BufferOutputStream()
    made = table(rows)
    with open_writer(sink, made.schema) as writer:
        writer.write_table(made, max_chunksize=4)
    return sink.getvalue().to_pybytes()


CONTAINERS: Final[dict[str, Callable[[list[Row]], bytes]]] = {
    "jsonl": lines,
    "json": lambda rows: json.dumps(rows, indent=1).encode(),
    "csv": lambda rows: cells(rows, ","),
    "tsv": lambda rows: cells(rows, "\t"),
    "parquet": parquet,
    "arrow": lambda rows: arrow(rows, pyarrow.ipc.new_file),
    "stream.arrow": lambda rows: arrow(rows, pyarrow.ipc.new_stream),
}
PACKINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


class Said(NamedTuple):
    """What is known of a source after its rows were read: all rows, those in quarantine, and a note."""

    read: int
    invalid: int
    note: str | None


def outcome(path: Path, form: str, allowed: float, work: Path) -> Said | str:
    """Read a source as a build does; return what it says, or the message of its error."""
    source = Source("s", files(path, form, calls="split", reasoning="split"), max_quarantine=allowed)
    mixture = MixtureSpec("mix", [source])
    work.mkdir()
    try:
        _, opened = open_sources(mixture)
        with showing_progress(quiet=True) as progress:
            (count,) = read(final_phase(mixture, opened), work, Threads(1), progress).counts
    except BuildError as error:
        return str(error)
    note = nothing_from(mixture, source, read=count.rows, invalid=count.quarantined, share=None, delivered=0)
    return Said(count.rows, count.quarantined, note)


def begun(data: bytes, container: str) -> int:
    """Return how many rows of text begin in it, which is what there is to read of a file that was cut."""
    found = sum(bool(line.strip()) for line in data.split(b"\n"))
    return max(0, found - (container in {"csv", "tsv"}))


def cases(count: int) -> list[tuple[str, str, str, int]]:
    """Return format, container, packing and number for so many files."""
    chance = random.Random(count)
    every = [
        (form, container, packing)
        for form in EXAMPLES
        for container in CONTAINERS
        for packing in PACKINGS
        if form in FLAT or container not in {"csv", "tsv"}
    ]
    chance.shuffle(every)
    return [(*every[i % len(every)], i) for i in range(count)]


def check_law(folder: Path, case: tuple[str, str, str, int]) -> None:
    """Hold a whole file, an empty one, those of which a part cannot be read, and one that was cut, to the law."""
    form, container, packing, number = case
    chance = random.Random(number)
    bad: Row = {"x": "no row"}
    for unreadable in chance.sample([0, 4, 6, ROWS, -1], 2):  # -1: no row at all
        rows = [] if unreadable < 0 else [EXAMPLES[form](i) for i in range(ROWS - unreadable)] + [bad] * unreadable
        if form in FLAT or container not in {"csv", "tsv"}:
            chance.shuffle(rows)
        data = CONTAINERS[container](rows)
        path = folder / f"{number}-{unreadable}.{container}{packing}"
        path.write_bytes(PACKINGS[packing](data))
        allowed = chance.choice([0.0, 1.0])
        found = outcome(path, form, allowed, folder / f"{path.name}.work")
        where = f"{path.name}, {form}, max_quarantine={allowed}: {found}"
        if 2 * unreadable > ROWS and not allowed:
            assert isinstance(found, str), where
            assert "source 's'" in found, where
            continue
        assert isinstance(found, Said), where
        assert found[:2] == (len(rows), max(0, unreadable)), where
        assert (found.note is not None) == (not rows or 2 * unreadable > ROWS), where
    check_cut(folder, case, chance)


def check_cut(folder: Path, case: tuple[str, str, str, int], chance: random.Random) -> None:
    """Cut a file anywhere: what is left of it is read to its end, or the error names it."""
    form, container, packing, number = case
    data = CONTAINERS[container]([EXAMPLES[form](i) for i in range(ROWS)])
    packed = PACKINGS[packing](data)
    left = packed[: chance.randrange(len(packed))]
    path = folder / f"{number}-cut.{container}{packing}"
    path.write_bytes(left)
    found = outcome(path, form, 1.0, folder / f"{path.name}.work")
    where = f"{path.name}, {form}, {len(left)} of {len(packed)} bytes: {found}"
    if isinstance(found, str):
        assert "source 's'" in found or path.name in found, where
        return
    if packing or container not in {"jsonl", "csv", "tsv"}:
        assert not found.read or found.invalid == found.read, where
        assert found.note is not None, where
        return
    assert found.read == begun(left, container), where
    assert bool(found.read) or found.note is not None, where


def test_every_format_is_held_to_the_law() -> None:
    assert EXAMPLES.keys() == NAMED.keys()


def test_nothing_of_a_source_vanishes_in_silence(tmp_path: Path) -> None:
    for case in cases(100):
        check_law(tmp_path, case)


@pytest.mark.thorough
def test_nothing_of_many_sources_vanishes_in_silence(tmp_path: Path) -> None:
    for case in cases(600):
        check_law(tmp_path, case)
