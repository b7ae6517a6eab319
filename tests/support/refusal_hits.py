"""List the hits of the phrases of `refusals` in the real files, with their context, to be read.

Run it with `CURATE_REAL_DATA=... python -m tests.support.refusal_hits [family ...] [--hits 20] [--file part]`.
A line of a phrase file is counted as one, whichever of its alternatives matched.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

import curate as c
from curate.io.inputs import Input
from curate.rows.segments import segments, select
from curate.steps.refusals.phrase_files import PRESETS, PhraseKind, compiled, phrase_lines, rule_file
from curate.steps.refusals.phrase_hits import hits_in
from curate.text.phrases.automaton import Phrase, alternatives
from tests.bench.real_chats import inputs

AROUND: Final = 90
COUNTED: Final = (PhraseKind.COUNTS, PhraseKind.OPENING, PhraseKind.CERTAIN)
SEED: Final = 7
PAIRS: Final = (
    "preference/dpo_en_demo.json",
    "preference/ultrafeedback_binarized_train_clean.jsonl",
    "preference/ultrafeedback_truthful_qa_completions.json",
)
"""Files of rows of the other two kinds, beside the conversations of `real_chats`."""


class Hit(NamedTuple):
    file: str
    row: int
    line: str
    around: str


def every_input(data: Path) -> Iterator[Input]:
    """Give the inputs, one per file."""
    yield from inputs(data)
    for name in PAIRS:
        yield c.files(data / name)


def phrase_file(name: str) -> tuple[Phrase, ...]:
    """The phrases of a file that count as hits, without its exceptions."""
    rules = rule_file(name)
    return tuple(phrase for phrase, kind in zip(rules.phrases, rules.kinds, strict=True) if kind in COUNTED)


def lines_of(family: str) -> dict[str, str]:
    """Return for each phrase of a family the line of the file that has it."""
    name = PRESETS["default"].families[family]
    known = {phrase.text for phrase in phrase_file(name)}
    found: dict[str, str] = {}
    for line in phrase_lines(name):
        for plain in alternatives(line.lstrip("^+=~ ")):
            if " ".join(plain.split()) in known:
                found.setdefault(" ".join(plain.split()), line)
    return found


def hits(data: Path, families: tuple[str, ...], part_of: str = "") -> Iterator[Hit]:
    """Give every hit of these families in the real files, in their order."""
    search = compiled("default", families, ())
    lines = {text: line for family in families if family != "moralising" for text, line in lines_of(family).items()}
    for source in every_input(data):
        opened = source.open()
        for block in opened.blocks():
            if part_of not in block.file:
                continue
            body = opened.parse(block).body
            for part in select(segments(body), "response").parts:
                found = hits_in(part, search, "anywhere")
                texts = part.text.data.tobytes()
                words = [*search.text.to_pylist(), *search.lines.to_pylist()]
                for place, start, end, phrase in zip(
                    *(column.tolist() for column in (found.place, found.start, found.end, found.phrase)), strict=True
                ):
                    at = part.index[place]
                    said = texts[part.text.offsets[at] : part.text.offsets[at + 1]].decode()
                    around = f"{said[max(0, start - AROUND) : start]}[[{said[start:end]}]]{said[end : end + AROUND]}"
                    line = lines.get(words[phrase], "moralising")
                    yield Hit(block.file, int(part.row[place]), line, around.replace("\n", "⏎"))


def main() -> None:
    """Print the table."""
    known = [*PRESETS["default"].families]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", choices=[*known, []])
    parser.add_argument("--hits", type=int, default=20)
    parser.add_argument("--file", default="")
    options = parser.parse_args()
    by_line: dict[str, list[Hit]] = defaultdict(list)
    families = tuple(family for family in known if not options.families or family in options.families)
    for hit in hits(Path(os.environ["CURATE_REAL_DATA"]), families, options.file):
        by_line[hit.line].append(hit)
    chance = random.Random(SEED)
    for line, found in sorted(by_line.items(), key=lambda item: -len(item[1])):
        sys.stdout.write(f"\n{len(found):6d}  {line}\n")
        for hit in chance.sample(found, min(options.hits, len(found))):
            sys.stdout.write(f"          {Path(hit.file).name}:{hit.row}: {hit.around}\n")
    rows = {(hit.file, hit.row) for found in by_line.values() for hit in found}
    sys.stdout.write(f"\n{len(rows)} rows with a hit; {np.sum([len(found) for found in by_line.values()])} hits\n")


if __name__ == "__main__":
    main()
