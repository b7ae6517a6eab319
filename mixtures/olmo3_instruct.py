"""Dolci Instruct SFT, on which Olmo 3 Instruct was trained: 2,152,112 conversations (arXiv 2512.13961, table 30).

    curate build olmo3_instruct
    curate build olmo3_instruct --set filters=true --set clean=true --set wildchat=0.1

The rows are as published, source by source. `filters=true` runs the filters of the report (A.7.1) over them once
more. They still find some: the authors' scripts differ in details (repetition), and Aya was published with its
Chinese. Verifiers, the topic filter (a judge) and WildChat's flags, which the published rows have no more, cannot run
here.
`clean` removes repeated prompts, and eval questions as Olmo 3 does: 8-grams of user turns, over half of a question,
but no n-grams of symbols, and none of generic phrases; ours are examples, as the authors' lists were not published.
"""

from __future__ import annotations

import curate as c

ROWS = {  # of each `source_dataset`
    "Wildchat": 302_406,
    "OpenAssistant": 7_132,
    "Dolci Instruct Precise IF": 136_833,
    "Tulu 3 Persona MATH": 149_958,
    "Tulu 3 Persona Algebra": 19_999,
    "Tulu 3 Persona GSM": 49_980,
    "OpenMathInstruct 2": 50_000,
    "Dolci Instruct Python Algorithms": 186_345,
    "Tulu 3 Persona Python": 34_999,
    "Evol CodeAlpaca": 107_270,
    "CoCoNot": 10_957,
    "WildGuardMix": 49_373,
    "WildJailbreak": 49_965,
    "SciRiff": 4_557,
    "Dolci Instruct OpenThoughts3+ Science": 99_268,
    "Aya": 99_987,
    "TableGPT": 5_000,
    "FLAN": 89_981,
    "Logic Puzzles": 159_882,
    "Verifiable Reasoning": 310_572,
    "Hardcoded Data": 69,
    "Dolci Instruct Tool Use": 227_579,
}
CITE = "arXiv 2512.13961, table 30; by source_dataset in allenai/Dolci-Instruct-SFT"
GENERIC = ("which of the following statements is true", "what is the output of the following code")
EVALS = c.evals("tulu3")
TOKENS = 1_800_000_000  # open-instruct e6c3044, scripts/slurm/sft/README.md
COMMIT = "bd3c8f3a9b2cc5a9682e44b96ddd0bb2ff027221"


def olmo3_instruct(
    *,
    filters: bool = False,
    wildchat: float = 0.35,
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture; `wildchat` is the share that it may be at most (footnote 55, where it is of pairs)."""
    data = c.hub("allenai/Dolci-Instruct-SFT", "messages", revision=revision)
    filtering = [
        c.shape(role_order=False, unanswered=True, unknown_tools=True, bad_arguments=True, unmatched_calls=True),
        *(c.refusals("olmo3"), c.refusals("olmo3_dates")),  # providers, cut-off dates
        c.repetition("olmo3", on="last_response"),  # a sentence or paragraph 10 times, a phrase 50 times
        c.character_share(chinese=0.05),
    ]
    ignore = {one.name: GENERIC for one in evals}
    search = c.decontaminate(evals, numbers=False, content=0, on={"user"}, symbols=False, ignore=ignore)
    steps = [*(filtering if filters else []), *([c.exact_dedup("prompt"), search] if clean else [])]
    sources, published = [], {}
    for value, rows in ROWS.items():
        name = value.lower().replace(" ", "_").replace("+", "")
        said = published[name] = c.Published(rows, cite=CITE).at(scale)
        most = wildchat if value == "Wildchat" else None
        where = {"source_dataset": value}
        sources.append(c.Source(name, data, where=where, take=c.Rows(said.rows), max_share=most, licence="odc-by"))
    return c.Mixture("olmo3-instruct", sources, steps, seed=42, published=published, on_shortage="shrink")
