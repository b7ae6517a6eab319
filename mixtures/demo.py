"""A first look: three small mixtures from data written for this project, one for each kind of row.

    curate build mixtures/demo.py:sft               293 conversations from four sources
    curate build mixtures/demo.py:preferences       40 pairs of answers
    curate build mixtures/demo.py:ratings           30 prompts with up to four scored answers each, made into pairs

The funnel in the terminal shows what each step took away: answers that talk about being a language model, empty and
unanswered turns, prompts that were there before, in other letters or nearly, and questions of an eval set. Two steps
take nothing away: they put sentences that begin in lower case right, and masks over addresses and telephones. Five rows
cannot be read at all; they are quarantined, not lost. Some of Fennel's own rows (`identity`) say "as an AI language
model" and stay: that source is protected, and goes in three times. So does the refusal of a plainly harmful request: a
model that never saw one learns to refuse nothing. `demo/README.md` says which flaws lie in which file, and how many.

`sft` names no format: `curate` looks at the first rows of each file and says what it chose.
"""

from __future__ import annotations

from pathlib import Path

import curate as c

HERE = Path(__file__).parent / "demo"
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
EVALS = c.evals.files(HERE / "evals.jsonl", question="question", answer="answer", id="id", name="pellow")

sft = c.Mixture(
    name="demo-sft",
    seed=42,
    sources=[
        c.Source("assistant", c.files(HERE / "assistant.jsonl"), take=c.All()),
        c.Source("instructions", c.files(HERE / "instructions.json"), take=c.Rows(70)),
        c.Source("forum", c.files(HERE / "forum.jsonl.gz"), take=c.Fraction(0.75)),
        c.Source("identity", c.files(HERE / "identity.jsonl"), take=c.Repeat(3), protect=True),
    ],
    steps=[
        c.language(),  # Filter without a limit: says what language each row is in, for the page
        c.refusals(keep_safety=True),  # Filter: drops a row, keeps the phrase and its place; refusing harm is let pass
        c.truecase(),  # Edit: "Hello. how are you?" gets its capital, nothing else changes
        c.secrets_and_pii("mask"),  # Edit: [EMAIL] and [PHONE] in place of them
        c.shape(),  # Filter: no empty turns, no roles out of order, no question left open
        c.exact_dedup(on="prompt"),  # Group: one row a prompt, from the source that is named first
        c.dedup(on="prompt"),  # Group: nor one that is nearly the same, each verified and named
        c.decontaminate(EVALS, fuzzy=0.85),  # Group: no question of the eval set, wherever a user asks it
    ],
    test=c.Fraction(0.05),
)

preferences = c.Mixture(
    name="demo-preferences",
    seed=42,
    sources=[c.Source("pairs", c.files(HERE / "pairs.jsonl", format="preference"))],
    steps=[
        c.lint_pairs("all"),  # Filter: empty or equal sides, refusals and foreign answers chosen, names of other makers
        c.contradictions(),  # Group: one prompt, the labels swapped
        c.exact_dedup(on="prompt"),
        c.decontaminate(EVALS),
        c.balance_length(0.6),  # Group: the longer answer is not to win because it is longer
    ],
)

ratings = c.Mixture(
    name="demo-ratings",
    seed=42,
    sources=[c.Source("ratings", c.files(HERE / "ratings.jsonl", format="ultrafeedback"))],
    steps=[
        c.exact_dedup(on="prompt"),
        c.decontaminate(EVALS),
        c.lint_pairs(),  # Filter without a limit: ratings that contradict each other, as where a 1 became a 10
        c.binarize(
            score=c.mean(*ASPECTS), rejected="worst"
        ),  # Pairing: rated rows in, pairs out; who gives none says why
        c.lint_pairs(("refusal_chosen",)),  # Filter: drops pairs that reward a refusal where the other side answers
    ],
)
