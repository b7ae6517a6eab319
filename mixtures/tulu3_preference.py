"""Tulu 3's preference mixtures for DPO, of the 8B and the 70B model (arXiv 2411.15124, table 15).

    curate build tulu3_preference
    curate build tulu3_preference --set size=70b --set clean=true

Each part is a set of pairs on the Hub; the paper's table adds up to 271,409 and 334,302 of them. `ready` reads the
mixtures as they were uploaded, of which cards have since listed other counts (272,898; 334,367 and 337,186). Pairs are
all there is: the four rated answers that each was made of are lost (open-instruct issue 696). An audit of 2026 found
pairs in the 8B part `sft_on_policy` whose answers belong to other questions: look at it before you train on it.
`clean` drops equal answers and pairs with swapped labels, near duplicates, and questions of the authors' evals.
"""

from __future__ import annotations

from typing import Final, Literal

import curate as c
from curate.mix.published import scaled

CITE: Final = "arXiv 2411.15124, table 15"
PAIRS: Final = {  # the name of its set, with the size of the model that gave an answer to each; pairs; mixtures
    "sft_on_policy": ("tulu-3-sft-reused-on-policy-{}", 19_444, "8b 70b"),
    "sft_off_policy": ("tulu-3-sft-reused-off-policy", 96_911, "8b 70b"),
    "if_augmented": ("tulu-3-IF-augmented-on-policy-{}", 65_530, "8b 70b"),
    "wildchat_if": ("tulu-3-wildchat-if-on-policy-{}", 10_792, "8b 70b"),
    "wildchat_reused": ("tulu-3-wildchat-reused-on-policy-{}", 17_207, "8b 70b"),
    "wildchat_unused": ("tulu-3-wildchat-unused", 82_783, "70b"),
    "ultrafeedback": ("tulu-3-ultrafeedback-cleaned-on-policy-{}", 41_635, "8b 70b"),
    "persona_if": ("tulu-3-pref-personas-instruction-following", 19_890, "8b"),
}
TOTAL: Final = {"8b": 271_409, "70b": 334_302}


def tulu3_preference(
    *,
    size: Literal["8b", "70b"] = "8b",
    ready: bool = False,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = c.evals("tulu3"),
    revision: str | None = None,
) -> c.Mixture:
    """Return the mixture of one size; `revision` is that of the `ready` set."""
    if ready:
        sets = {"mixture": (f"llama-3.1-tulu-3-{size}-preference-mixture", TOTAL[size])}
    else:
        sets = {name: (at.format(size), pairs) for name, (at, pairs, sizes) in PAIRS.items() if size in sizes.split()}
    lint = [c.lint_pairs(("equal_answers",)), c.contradictions(), c.dedup(), c.decontaminate(evals)]
    return c.Mixture(
        name=f"tulu3-preference-{size}",
        sources=[
            c.Source(
                name,
                c.hub(f"allenai/{at}", "preference", revision=revision if ready else None),
                before=None if scale == 1 else c.Rows(scaled(pairs, scale)),
                licence="odc-by",
            )
            for name, (at, pairs) in sets.items()
        ],
        steps=lint if clean else [],
        seed=42,
        published={name: c.Published(pairs, cite=CITE).at(scale) for name, (_, pairs) in sets.items()},
    )
