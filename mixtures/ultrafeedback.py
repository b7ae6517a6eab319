"""UltraFeedback as preference pairs: 64,000 prompts with four scored answers each, paired as published, or better.

    curate build mixtures/ultrafeedback.py:zephyr              best overall score against any other one
    curate build mixtures/ultrafeedback.py:argilla_cleaned     best mean of the aspects against a random lower one
    curate build mixtures/ultrafeedback.py:max_min             best against worst
    curate build mixtures/ultrafeedback.py:ours                by the aspects, linted, as often shorter as longer

The rows come from the Hub (openbmb/UltraFeedback), or from files of yours:

    ultrafeedback("zephyr", data=c.files("raw/*.jsonl", "ultrafeedback")).build("build/zephyr")

The first release of Zephyr's pairs held TruthfulQA's prompts, and models that were trained on them were praised for
their TruthfulQA; all variants here leave these out. About 2,600 overall scores of the raw rows are wrong: a 1 was
written down as 10 (UltraFeedback issue 8). `zephyr` and `max_min` pair by them, as was published; the others pair by
the aspects, which are right, and the first `lint_pairs` of `ours` counts the wrong ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import curate as c

if TYPE_CHECKING:
    from curate.io.inputs import Input
    from curate.steps.base import Step

Variant: TypeAlias = Literal["zephyr", "argilla_cleaned", "max_min", "ours"]

ASPECTS: Final = ("helpfulness", "honesty", "instruction_following", "truthfulness")
PAIRED: Final[dict[Variant, tuple[Step, ...]]] = {
    "zephyr": (c.zephyr(seed=42),),
    "argilla_cleaned": (c.argilla(seed=42),),
    "max_min": (c.max_min(seed=42),),
    "ours": (
        c.exact_dedup(on="prompt"),  # Group: a prompt with four answers twice is one row
        c.lint_pairs(aspects=ASPECTS),  # Filter without a limit: which ratings contradict each other
        c.binarize(score=c.mean(*ASPECTS), margin=0.5, seed=42),  # Pairing: what gives no pair says why
        c.lint_pairs(("empty_side", "equal_answers", "refusal_chosen")),  # Filter: pairs that teach nothing, or wrong
        c.contradictions(),  # Group: of opposite opinions, the one of more rows
        c.balance_length(0.5),  # Group: the longer answer is chosen as often as the shorter one
    ),
}
RAW: Final = c.hub("openbmb/UltraFeedback", "ultrafeedback", files="*.jsonl")
TRUTHFUL_QA: Final = c.evals("truthful_qa")


def ultrafeedback(
    variant: Variant, *, data: Input = RAW, evals: tuple[c.EvalSet, ...] = TRUTHFUL_QA, test: int = 2_000
) -> c.Mixture:
    """Return the mixture of one variant.

    - `data`: where the raw rows are.
    - `evals`: sets whose questions no prompt may hold; `()` leaves that out.
    - `test`: so many pairs, about, are a test split, with prompts of their own; 0 is none.
    """
    clean = [c.decontaminate(evals)] if evals else []
    return c.Mixture(
        name=f"ultrafeedback-{variant.replace('_', '-')}",
        seed=42,
        sources=[c.Source("ultrafeedback", data, licence="MIT")],
        steps=[*clean, *PAIRED[variant]],
        test=c.Rows(test) if test else None,
    )


zephyr = ultrafeedback("zephyr")
argilla_cleaned = ultrafeedback("argilla_cleaned")
max_min = ultrafeedback("max_min")
ours = ultrafeedback("ours")
