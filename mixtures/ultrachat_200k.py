"""UltraChat 200k, the conversations that Zephyr was fine-tuned on (arXiv 2310.16944, section 4.1).

    curate build ultrachat_200k
    curate build ultrachat_200k --set raw=true --set clean=true

The rows are a split of HuggingFaceH4/ultrachat_200k: `train_sft` (207,865), or another one. With `raw`, the 1.4 million
dialogues of stingning/ultrachat go through the steps that the authors describe: a subset, sentences that begin with a
capital ("Hello. how are you?"), no answers with phrases such as "I do not have emotions", and a test split. The counts
are theirs; the rows are not, as the subset, the code for capitals and the whole list of phrases were never released
(alignment-handbook issue 7). `clean` removes near duplicates, and questions of the evals that Zephyr reports.
"""

from __future__ import annotations

from typing import Final, Literal

import curate as c
from curate.mix.published import scaled

CARD: Final = "the card of HuggingFaceH4/ultrachat_200k"
PUBLISHED: Final = {
    "train_sft": c.Published(207_865, cite=CARD),
    "test_sft": c.Published(23_110, cite=CARD),
    "train_gen": c.Published(256_032, cite=CARD),
    "test_gen": c.Published(28_304, cite=CARD),
}
SUBSET: Final = c.Published(230_975, cite=f"{CARD}: train_sft and test_sft", sampled=True)


def ultrachat_200k(
    *,
    split: Literal["train_sft", "test_sft", "train_gen", "test_gen"] = "train_sft",
    raw: bool = False,
    rows: int = 230_975,
    test: int = 23_110,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = c.evals("zephyr"),
    revision: str | None = None,
) -> c.Mixture:
    """Return the mixture; of the `raw` dialogues, `rows` are the subset, and `test` of them about its test split."""
    said = (SUBSET if raw else PUBLISHED[split]).at(scale)
    if raw:
        dialogues = c.hub("stingning/ultrachat", c.alternating("data"), revision=revision)
        source = c.Source("ultrachat", dialogues, take=c.Rows(scaled(rows, scale)), early_stop=not clean)
    else:
        published = c.hub("HuggingFaceH4/ultrachat_200k", "messages", split=split, revision=revision)
        source = c.Source(split, published, before=None if scale == 1 else c.Rows(said.rows))
    return c.Mixture(
        name="ultrachat-200k",
        sources=[source],
        steps=[
            *([c.truecase(), c.refusals("zephyr")] if raw else []),
            *([c.dedup(), c.decontaminate(evals)] if clean else []),
        ],
        seed=42,
        test=c.Rows(scaled(test, scale)) if raw else None,
        published={source.name: said},
    )
