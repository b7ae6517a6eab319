"""HelpSteer3-Preference: 40,476 pairs of answers, judged by people, in 14 languages (arXiv 2505.11475).

    curate build helpsteer3
    curate build helpsteer3 --set split=validation --set clean=true

Both splits have the rows of the card. A tie gives no pair: its row is quarantined, which leaves 36,299 of the 38,459
pairs for training. The prompts are from ShareGPT and WildChat-1M, so mixtures that have these share prompts with it.
`clean` removes equal pairs, pairs whose better answer is a refusal or equals the other one, opposite opinions, and
questions of AlpacaEval, Arena-Hard and MT-bench.
"""

from __future__ import annotations

from typing import Literal

import curate as c

CARD = "the card of nvidia/HelpSteer3"
TIES = "its ties are quarantined; how many was counted, not published"
PUBLISHED = {
    "train": c.Published(38_459, kept=36_299, cite=CARD, note=TIES),
    "validation": c.Published(2_017, cite=CARD, note="its ties are quarantined"),
}
EVALS = c.evals("alpaca_eval", "arena_hard", "mt_bench")
COMMIT = "f6d145777bcbde96137596340fab89793acd1031"


def helpsteer3(
    *,
    split: Literal["train", "validation"] = "train",
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture of a split; `revision` is the commit of the Hub, or None for the newest."""
    pairs = c.hub("nvidia/HelpSteer3", c.helpsteer3(), config="preference", split=split, revision=revision)
    cleaning = [
        c.exact_dedup(),
        c.lint_pairs(("equal_answers", "refusal_chosen"), languages=False),
        c.contradictions(),
        c.decontaminate(evals),
    ]
    return c.Mixture(
        name=f"helpsteer3-{split}",
        seed=42,
        sources=[c.Source(split, pairs, max_quarantine=0.1, licence="cc-by-4.0")],  # 5.6 % are ties
        steps=cleaning if clean else [],
        published={split: PUBLISHED[split].at(scale)},
    )
