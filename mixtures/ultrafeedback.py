"""UltraFeedback as pairs: 63,967 prompts with four scored answers each, paired in each published way, or better.

    curate build ultrafeedback                                           Zephyr's pairs; PAIRED has the variants
    curate build ultrafeedback --set variant=argilla --set clean=true    without TruthfulQA and repeated prompts

Random choices were not published, so pairs differ where counts agree. Here a completion needs all four ratings, and
TruthfulQA's questions are also found within prompts, where the authors left out equal ones (832 rows). The pairs of
Zephyr's paper, Argilla's first and Notus's have them. At COMMIT 2,628 overall scores of 10 are mended (issue 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import curate as c

if TYPE_CHECKING:
    from curate.io.inputs import Input
    from curate.steps.base import Step

Variant: TypeAlias = Literal[
    "zephyr", "zephyr_paper", "argilla", "argilla_cleaned", "argilla_multi", "notus", "max_min", "ours"
]
ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")
MEAN: Final = c.mean(*ASPECTS)
PAIRED: Final[dict[Variant, tuple[Step, ...]]] = {
    "zephyr": (c.zephyr(seed=42),),  # the best overall score against any other: the card
    "zephyr_paper": (c.binarize(score=MEAN, rejected="random_other", ties="keep", seed=42),),  # by means: the paper
    "argilla": (c.binarize(score=MEAN, rejected="random_lower", ties="keep", seed=42),),
    "argilla_cleaned": (c.argilla(seed=42),),  # the same without ties
    "argilla_multi": (c.binarize(score=MEAN, rejected="all_lower", seed=42),),
    "notus": (c.argilla(seed=42),),  # before TruthfulQA was left out
    "max_min": (c.max_min(seed=42),),
    "ours": (
        c.exact_dedup(on="prompt"),  # Group: a prompt with four answers twice is one row
        c.lint_pairs(aspects=ASPECTS),  # Filter without a limit: which ratings contradict each other
        c.binarize(score=MEAN, margin=0.5, seed=42),  # Pairing: what gives no pair says why
        c.lint_pairs(("empty_side", "equal_answers", "refusal_chosen")),  # Filter: pairs that teach nothing, or wrong
        *(c.contradictions(), c.balance_length(0.5)),  # Groups: of opposite opinions the one of more rows; lengths
    ),
}
COUNTS: Final[dict[Variant, c.Published]] = {
    "zephyr": c.Published(63_967, kept=63_135, cite="card of HuggingFaceH4/ultrafeedback_binarized: 61,135 + 2,000"),
    "zephyr_paper": c.Published(63_967, kept=63_966, cite="the same before TruthfulQA was left out: 61,966 + 2,000"),
    "argilla": c.Published(63_967, kept=63_619, cite="card of argilla/ultrafeedback-binarized-preferences"),
    "argilla_cleaned": c.Published(63_967, kept=60_917, cite="its -cleaned"),
    "argilla_multi": c.Published(158_000, cite="its -multi-, rounded"),
    "notus": c.Published(63_619, cite="card of argilla/notus-7b-v1", note="ties were left out; how many is unknown"),
}
TRUTHFUL_QA: Final = c.evals("truthful_qa")
COMMIT: Final = "40b436560ca83a8dba36114c22ab3c66e43f6d5e"


def ultrafeedback(
    variant: Variant = "zephyr",
    *,
    data: Input | None = None,
    evals: tuple[c.EvalSet, ...] = TRUTHFUL_QA,
    test: int = 2_000,
    scale: float = 1.0,
    clean: bool = False,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture of a variant; about `test` pairs are a test split, which Argilla's and Notus's do not have."""
    raw = data or c.hub("openbmb/UltraFeedback", "ultrafeedback", files="*.jsonl", revision=revision)
    found = clean or variant not in {"zephyr_paper", "argilla", "notus"}
    first = [*([c.exact_dedup("prompt")] if clean else []), *([c.decontaminate(evals)] if evals and found else [])]
    split = 0 if variant.startswith(("argilla", "notus")) else c.Published(test).at(scale).rows
    return c.Mixture(
        f"ultrafeedback-{variant.replace('_', '-')}",
        [c.Source("ultrafeedback", raw, licence="mit")],
        [*first, *PAIRED[variant]],
        seed=42,
        test=c.Rows(split) if split else None,
        published={"ultrafeedback": COUNTS[variant].at(scale)} if variant in COUNTS else {},
    )
