"""No Robots: 9,500 conversations that people wrote, after InstructGPT's ten kinds of request (no paper; the card).

    curate build no_robots
    curate build no_robots --set split=test

The counts of both splits are those of the card. Its licence, CC-BY-NC-4.0, does not allow commercial use; Tulu 3 has
all of its training split.
`clean` removes duplicates, and the questions of AlpacaEval, IFEval, MT-bench and TruthfulQA, for which the set was
not searched.
"""

from __future__ import annotations

from typing import Literal

import curate as c

CARD = "the card of HuggingFaceH4/no_robots"
PUBLISHED = {
    "train": c.Published(9_500, cite=CARD),
    "test": c.Published(500, cite=CARD),
}
EVALS = c.evals("alpaca_eval", "ifeval", "mt_bench", "truthful_qa")
COMMIT = "e6f9a4ac5c37faeb744ba9ecf0473184d7f8105b"


def no_robots(
    *,
    split: Literal["train", "test"] = "train",
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture of a split; `revision` is the commit of the Hub, or None for the newest."""
    rows = c.hub("HuggingFaceH4/no_robots", "messages", split=split, revision=revision)
    return c.Mixture(
        name=f"no-robots-{split}",
        seed=42,
        sources=[c.Source(split, rows, licence="cc-by-nc-4.0")],
        steps=[c.dedup(), c.decontaminate(evals)] if clean else [],
        published={split: PUBLISHED[split].at(scale)},
    )
