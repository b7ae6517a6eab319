"""OpenAssistant's dialogues: of each tree of messages the best path, as Tulu 2 and Tulu 3 took them (arXiv 2304.07327).

    curate build oasst
    curate build oasst --set as_in=tulu3 --set clean=true
    curate build oasst --set release=oasst2 --set by=rank --set replies=2

At every message the `replies` of the highest label `quality` are followed (or of the best rank), and paths that end
with a question are dropped. Tulu 2 read the trees of oasst1 that are ready for export, and found 7,708 paths before its
filter; Tulu 3 read the messages of the train split, and kept 7,132 paths without names of providers in answers. No
count was published for other settings. `clean` removes near duplicates, and questions of three evals.
"""

from __future__ import annotations

from typing import Final, Literal

import curate as c

PUBLISHED: Final = {
    "tulu2": c.Published(7_708, cite="arXiv 2311.10702, section 2"),
    "tulu3": c.Published(7_132, cite="arXiv 2411.15124, table 7", note="after Tulu 3's filter"),
}
TREES: Final = {
    "oasst1": "2023-04-12_oasst_ready.trees.jsonl.gz",
    "oasst2": "2023-11-05_oasst2_ready.trees.jsonl.gz",
}


def oasst(
    *,
    as_in: Literal["tulu2", "tulu3"] = "tulu2",
    release: Literal["oasst1", "oasst2"] = "oasst1",
    by: Literal["quality", "rank"] = "quality",
    replies: int = 1,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = c.evals("alpaca_eval", "mt_bench", "truthful_qa"),
    revision: str | None = None,
) -> c.Mixture:
    """Return the mixture; `revision` is the commit of the Hub, or None for the newest."""
    said = PUBLISHED[as_in].at(scale)
    if as_in == "tulu2":
        rows = c.hub(f"OpenAssistant/{release}", c.oasst(replies, by=by), files=TREES[release], revision=revision)
    else:
        messages = c.oasst_messages(replies, by=by)
        rows = c.hub(f"OpenAssistant/{release}", messages, split="train", revision=revision)
    return c.Mixture(
        name=f"{release}-{as_in}",
        sources=[c.Source("oasst", rows, take=c.All() if scale == 1 else c.Rows(said.rows))],
        steps=[
            c.shape(empty_turns=as_in == "tulu2", role_order=False),
            *([c.refusals("tulu3")] if as_in == "tulu3" else []),
            *([c.dedup(), c.decontaminate(evals)] if clean else []),
        ],
        seed=42,
        on_shortage="shrink" if clean else "error",
        published={"oasst": said} if (release, by, replies) == ("oasst1", "quality", 1) else {},
    )
