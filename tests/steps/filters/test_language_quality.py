"""How often `language` is right on real rows whose language is known without it.

A row is of known language, and longer than 40 characters, where:

- English: it comes from a file of English rows (Alpaca, LIMA, OASST `lang: en`, SGD), and asks for no other language.
- Chinese: it comes from a Chinese file, and at least half of its letters are Han.
- German, French, Spanish: it is a row of OASST, or a text of two other files, with function words of that language
  (three different ones, 15 % of all words, 1.4 times as many as of any of nine others) and no other script.

Rows of whose language nothing is said (`und`) count as wrong. Run with `-s` to see the figures.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import decide
from curate.steps.filters.language import language

FUNCTION_WORDS: Final = {
    name: frozenset(words.split())
    for name, words in {
        "en": "the and of is are that with for this can you what it",
        "fr": "est les des une dans pour vous que avec sont cette qui sur pas et du le au je il",
        "de": "der die und ist nicht ein eine das mit für sind von zu auf werden den wie sie im ich",
        "es": "el los las una que para con por es como del su más y se en un puede lo",
        "pt": "não uma com são você os dos que para por é do da em um o",
        "it": "il che di per sono gli della una con è del le i non",
        "ca": "els amb és dels què com aquesta per això molt i han segons qual ser l d una cal quin",
        "gl": "unha dunha pola é non cunha ao da do os e que de",
        "nl": "de het een van en is voor niet",
        "ro": "și este pentru care din",
    }.items()
}
OTHER: Final = re.compile(
    r"translat|language|french|spanish|german|italian|latin|greek|chinese|japanese|korean|russian|hindi|arabic|portugu",
    re.IGNORECASE,
)
LATIN: Final = re.compile(r"[a-zà-öø-ÿœ]+")
LETTER: Final = re.compile(r"[^\W\d_]")
HAN: Final = re.compile("[\u3400-\u9fff]")


def english(real_file: Callable[[str], Path]) -> Iterator[list[str]]:
    for name in ("alpaca_random_9k", "alpaca_cleaned_1000", "lima"):
        for row in json.loads(real_file(f"sft/{name}.json").read_bytes()):
            if not OTHER.search(row["instruction"] + row["input"]):
                yield [f"{row['instruction']}\n\n{row['input']}".strip(), row["output"]]
    for line in real_file("sft/oasst_en_100_message.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["lang"] == "en" and not OTHER.search(row["text"]):
            yield [row["text"]]
    for path in sorted(real_file("sft/sgd_dialogues").glob("*.json.gz"))[:3]:
        for talk in json.loads(gzip.decompress(path.read_bytes())):
            yield [turn["utterance"] for turn in talk["turns"]]


def chinese(real_file: Callable[[str], Path]) -> Iterator[list[str]]:
    for name in ("alpaca_zh_demo", "oasst_sft_zh", "alpaca_zh_part00"):
        for row in json.loads(real_file(f"sft/{name}.json").read_bytes()):
            turns = [f"{row['instruction']}\n\n{row['input']}".strip(), row["output"]]
            text = "".join(turns)
            if 2 * len(HAN.findall(text)) >= len(LETTER.findall(text)) > 0:
                yield turns


def by_function_words(real_file: Callable[[str], Path], wanted: str) -> Iterator[list[str]]:
    for line in real_file("sft/oasst_questions_guanaco.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        turns = [re.sub(r"### (?:Human|Assistant):", "", row["input"]).strip(), row["output"]]
        if by_words(" ".join(turns)) == wanted:
            yield turns
    for name in (
        ("ultrafeedback_binarized_train_clean.jsonl", "tulu1_human_eval_instances.jsonl") if wanted != "en" else ()
    ):
        for line in real_file(f"preference/{name}").read_text(encoding="utf-8").splitlines():
            texts = texts_in(json.loads(line))
            yield from ([text] for text in texts if not OTHER.search(text) and by_words(text) == wanted)


def texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in texts_in(item)]


def by_words(text: str) -> str | None:
    """Return the language of three different words or more, 15 % of all words, 1.4 times those of any other."""
    prose = re.sub(r"```.*?(?:```|\Z)", " ", text.lower(), flags=re.DOTALL)
    words = LATIN.findall(prose)
    if sum(map(len, words)) < 0.98 * len(LETTER.findall(prose)):
        return None
    counts = Counter({name: sum(word in known for word in words) for name, known in FUNCTION_WORDS.items()})
    (best, most), (_, next_most) = counts.most_common(2)
    several = len(FUNCTION_WORDS[best].intersection(words)) >= 3
    return best if several and most >= max(1.4 * next_most, 0.15 * len(words)) else None


def body(rows: list[list[str]]) -> pa.RecordBatch:
    roles = ("user", "assistant")
    talks: list[dict[str, Any]] = [
        {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)], "meta": "{}"}
        for turns in rows
        if sum(map(len, turns)) > 40
    ]
    return pa.RecordBatch.from_pylist(talks, BODIES["conversation"])


def rows_of(real_file: Callable[[str], Path], known: str) -> list[list[str]]:
    if known == "en":
        return [*english(real_file), *by_function_words(real_file, "en")]
    return list(chinese(real_file) if known == "zh" else by_function_words(real_file, known))


@pytest.mark.parametrize(("known", "fewest"), [("en", 11_000), ("zh", 8_000), ("es", 200), ("fr", 25), ("de", 20)])
def test_rows_of_known_language(real_file: Callable[[str], Path], known: str, fewest: int) -> None:
    rows = body(rows_of(real_file, known))
    assert rows.num_rows >= fewest
    step = language(known)
    scores = step.score(segments(rows, step.reads))
    detected = Counter(scores.labels["language"].to_pylist())
    dropped = np.count_nonzero(decide(scores, step.bounds(), rows.num_rows).bound >= 0) / rows.num_rows
    right = detected.pop(known) / rows.num_rows
    wrong = ", ".join(f"{name} {count}" for name, count in detected.most_common(8))
    print(  # noqa: T201
        f"\n{known}: {right:.4f} of {rows.num_rows:,} rows; dropped {dropped:.4f}; detected as {wrong or '-'}"
    )
    assert right >= 0.98
    assert dropped < 0.02
