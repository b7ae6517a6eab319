"""Dolci Instruct DPO, the pairs of Olmo 3 Instruct: 259,922, made in four ways (arXiv 2512.13961, 5.3).

    curate build olmo3_instruct_dpo
    curate build olmo3_instruct_dpo --set filters=true --set tokenizer=olmo3/tokenizer.json

The rows are as published; 41 have no text on one side, and are quarantined. `filters=true` runs the report's filters
over them once more, over chosen answers, and holds multi-turn pairs to a difference of 100 tokens, estimated without
a `tokenizer`. Chat had this limit too, but the pairs do not say which are chat, nor which prompts are WildChat's (at
most 35 %).
`clean` removes repeated pairs, and eval questions as Olmo 3 does, but with phrases to ignore that are ours.
"""

from __future__ import annotations

import curate as c

ROWS = {  # of each `preference_type`
    "delta_learning": 124_942,
    "llm_judged": 124_980,
    "multiturn_self_talk": 5_000,
    "multiturn_synthetic_context": 5_000,
}
CITE = "allenai/Dolci-Instruct-DPO, by preference_type; in all those of arXiv 2512.13961, table 30"
GENERIC = ("which of the following statements is true", "what is the output of the following code")
EVALS = c.evals("tulu3")
COMMIT = "aed155cf32e809b590490b6c3577ee4b0d0a5019"


def olmo3_instruct_dpo(
    *,
    filters: bool = False,
    length: int = 100,
    tokenizer: str | None = None,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture; multi-turn pairs may differ by `length` tokens of a tokenizer.json."""
    data = c.hub("allenai/Dolci-Instruct-DPO", "preference", revision=revision)
    counted = None if tokenizer is None else c.Tokenizer(tokenizer)
    brief = c.lint_pairs(max_difference=length, tokenizer=counted, languages=False)
    filtering = [
        *(c.refusals("olmo3", on="chosen"), c.refusals("olmo3_dates", on="chosen")),  # providers, cut-off dates
        c.repetition("olmo3", on="chosen"),  # a sentence or paragraph 10 times, a phrase 50 times
        c.character_share(chinese=0.05, on="chosen"),
    ]
    ignore = {one.name: GENERIC for one in evals}
    search = c.decontaminate(evals, numbers=False, content=0, on={"user"}, symbols=False, ignore=ignore)
    sources, published = [], {}
    for value, rows in ROWS.items():
        said = published[value] = c.Published(rows, cite=CITE).at(scale)
        own = [brief] if filters and value.startswith("multiturn") else []
        where, take = {"preference_type": value}, c.Rows(said.rows)
        sources.append(c.Source(value, data, where=where, take=take, steps=own, licence="odc-by"))
    return c.Mixture(
        name="olmo3-instruct-dpo",
        seed=42,
        sources=sources,
        steps=[*(filtering if filters else []), *([c.exact_dedup(), search] if clean else [])],
        published=published,
        on_shortage="shrink",
    )
