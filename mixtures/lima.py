"""LIMA: 1,030 conversations, chosen and written with care (arXiv 2305.11206).

    curate build lima
    curate build lima --set clean=true

GAIR/lima is gated: accept its terms on the Hub, and set HF_TOKEN. The 300 prompts of its test split have no answers and
are not read. As Tulu 2 and 3 did, an open question at the end of a conversation is cut off; the rows are 1,030 either
way. `clean` removes duplicates, and questions of AlpacaEval, MT-bench and TruthfulQA.
"""

from __future__ import annotations

import curate as c

PUBLISHED = {
    "lima": c.Published(1_030, cite="arXiv 2305.11206, section 2: 1,000 single turns and 30 dialogues"),
}


def lima(
    *,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = c.evals("alpaca_eval", "mt_bench", "truthful_qa"),
    revision: str | None = None,
) -> c.Mixture:
    """Return the mixture; `revision` is the commit of the Hub, or None for the newest."""
    said = PUBLISHED["lima"].at(scale)
    rows = c.hub("GAIR/lima", c.alternating("conversations", odd="cut"), files="train.jsonl", revision=revision)
    return c.Mixture(
        name="lima",
        sources=[c.Source("lima", rows, before=None if scale == 1 else c.Rows(said.rows))],
        steps=[c.dedup(), c.decontaminate(evals)] if clean else [],
        seed=42,
        published={"lima": said},
    )
