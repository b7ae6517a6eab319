"""The card of a classifier: what it was trained on, how well it does, how to use it, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from curate.classify.metrics import HeldOut
from curate.classify.training_data import NAMES, TextSplit
from curate.steps.classifier_card import CardMetadata, spell

MADE: Final = """\
A fastText classifier that separates `{positive}` rows from `{negative}` ones by their text (`on`: {on}). Made by
`curate.train_classifier`."""

USE: Final = """\
```python
import curate as c

c.quality("{name}", at_least=0.5)  # a step of a mixture; reads the same segments, in the same form
```"""

COUNTED: Final = """\
A text was taken once; one that both sides have, and one that is empty, not at all. Both sides weigh the same in
training, the smaller one by repetition, so 0.5 means undecided. Contents are hashes of the rows, in any order."""

LIMITS: Final = """\
- It separates these two kinds of rows, nothing more: whatever else differs between them (topic, length, language,
  the model that wrote them) counts as quality. Read rows near the limit before you drop by it.
- It sees words, pairs of words and signs in lower case; neither line ends, nor letter case, nor whether an answer is
  true.
- A row in a language, or of a kind, that neither side has gets a probability all the same.
- Held-out rows are of the same files. Equal texts were taken once; nearly equal ones may be on both sides of the split,
  which flatters the figures: run `dedup()` first."""


def card(name: str, metadata: CardMetadata, split: TextSplit, held_out: HeldOut, settings: Mapping[str, object]) -> str:
    """Return the card as Markdown; it depends on rows and settings alone, not on where or when."""
    on = ", ".join(sorted(metadata.on)) if isinstance(metadata.on, frozenset) else metadata.on
    parts = [
        f"# {name}",
        MADE.format(positive=NAMES[0], negative=NAMES[1], on=on),
        "## Use",
        USE.format(name=name),
        "## Trained on",
        _rows(split),
        COUNTED,
        "## Held out",
        _figures(held_out),
        "Rates count both sides alike, however many rows they have. What a limit keeps of either:",
        _limits(held_out),
        "## Settings, by fastText's names",
        "\n".join(f"- {key}: {value}" for key, value in settings.items()),
        "## Limits",
        LIMITS,
        "## For programs",
        spell(metadata),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rows(split: TextSplit) -> str:
    head = ["", "rows", "unreadable", "without text", "repeated", "on both sides", "trained on", "held out", "content"]
    rows = []
    for place, (name, side) in enumerate(zip(NAMES, split.sides, strict=True)):
        counts = [
            side.rows,
            side.bad,
            side.empty,
            side.repeated,
            side.both,
            split.trained[place],
            len(split.held_out[place]),
        ]
        rows.append([name, *(f"{count:,}" for count in counts), f"`{side.content}`"])
    return _table(head, rows)


def _figures(found: HeldOut) -> str:
    confusion = _table(
        ["", "judged positive", "judged negative"],
        [
            ["positive", f"{found.true_positive:,}", f"{found.false_negative:,}"],
            ["negative", f"{found.false_positive:,}", f"{found.true_negative:,}"],
        ],
    )
    names = ("accuracy", "precision", "recall", "f1", "auc")
    return _table(list(names), [[f"{getattr(found, name):.4f}" for name in names]]) + "\n\n" + confusion


def _limits(found: HeldOut) -> str:
    rows = [[f"{at.limit:g}", f"{at.kept_positive:.1%}", f"{at.kept_negative:.1%}"] for at in found.limits]
    return _table(["at_least", "positive kept", "negative kept"], rows)
