"""Tulu 3's SFT mixture: 939,343 conversations from 19 sources (arXiv 2411.15124, table 7).

    curate build tulu3_sft
    curate build tulu3_sft --set wildchat=20000 --set clean=true

The rows are those of allenai/tulu-3-sft-mixture by its column `source`, after the authors' filter (names of providers
in answers, empty messages) and decontamination of five sources. Table and card list 939,344 rows, one more than there
are. `clean` removes near duplicates, and questions of the authors' evals from all sources.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import curate as c
from curate.mix.published import scaled


class Part(NamedTuple):
    """A line of the table: words of the column `source`, rows, and the licence that the card lists for it."""

    source: str
    rows: int
    licence: str | None


DEV: Final = "ai2-adapt-dev/"
TABLE: Final = {
    "hard_coded": Part(f"{DEV}tulu_hard_coded_repeated_10", 240, "cc-by-4.0"),  # 24 rows, 10 times each
    "oasst1": Part(f"{DEV}oasst1_converted", 7_132, "apache-2.0"),
    "no_robots": Part(f"{DEV}no_robots_converted", 9_500, "cc-by-nc-4.0"),
    "wildchat": Part(f"{DEV}tulu_v3.9_wildchat_100k", 100_000, "odc-by"),
    "flan_v2": Part(f"{DEV}flan_v2_converted", 89_982, None),
    "sciriff": Part(f"{DEV}tulu_v3.9_sciriff_10k", 10_000, "odc-by"),
    "table_gpt": Part(f"{DEV}tulu_v3.9_table_gpt_5k", 5_000, "mit"),
    "persona_math": Part(f"{DEV}personahub_math_v5_regen_149960", 149_960, "odc-by"),
    "persona_gsm": Part("allenai/tulu-3-sft-personas-math-grade", 49_980, "odc-by"),
    "persona_algebra": Part(f"{DEV}tulu_v3.9_personahub_math_interm_algebra_20k", 20_000, "odc-by"),
    "open_math": Part(f"{DEV}tulu_v3.9_open_math_2_gsm8k_50k", 50_000, None),
    "numina_math": Part(f"{DEV}numinamath_tir_math_decontaminated", 64_312, "apache-2.0"),
    "persona_python": Part(f"{DEV}personahub_code_v2_34999", 34_999, "odc-by"),
    "evol_code": Part(f"{DEV}evol_codealpaca_heval_decontaminated", 107_276, "apache-2.0"),
    "coconot": Part(f"{DEV}coconot_converted", 10_983, "odc-by"),
    "wildjailbreak": Part(f"{DEV}tulu_v3.9_wildjailbreak_decontaminated_50k", 50_000, "odc-by"),
    "wildguard": Part(f"{DEV}tulu_v3.9_synthetic_finalresp_wildguardmixtrain_decontaminated_50k", 50_000, "apache-2.0"),
    "aya": Part(f"{DEV}tulu_v3.9_aya_100k", 100_000, "apache-2.0"),
    "persona_if": Part(f"{DEV}personahub_ifdata_manual_seed_v3_29980", 29_980, "odc-by"),
}
CITE: Final = "arXiv 2411.15124, table 7; the card of allenai/tulu-3-sft-mixture"
PUBLISHED: Final = {name: c.Published(part.rows, cite=CITE) for name, part in TABLE.items()}


def tulu3_sft(
    *, wildchat: int | None = None, flan: int | None = None, persona_math: int | None = None,
    evol_code: int | None = None, aya: int | None = None, scale: float = 1.0, clean: bool = False,
    evals: tuple[c.EvalSet, ...] = c.evals("tulu3"), revision: str | None = None,
) -> c.Mixture:  # fmt: skip
    """Return the mixture; a number samples so many rows of a source, None takes all."""
    mixture = c.hub("allenai/tulu-3-sft-mixture", "messages", revision=revision)
    asked = {"wildchat": wildchat, "flan_v2": flan, "persona_math": persona_math, "evol_code": evol_code, "aya": aya}

    def source(name: str, part: Part) -> c.Source:
        rows = asked.get(name) or (None if scale == 1 else part.rows)
        sample = None if rows is None else c.Rows(scaled(rows, scale))
        where = {"source": part.source}
        return c.Source(name, mixture, where=where, before=sample, protect=name == "hard_coded", licence=part.licence)

    return c.Mixture(
        name="tulu3-sft",
        sources=[source(name, part) for name, part in TABLE.items()],
        steps=[c.dedup(), c.decontaminate(evals)] if clean else [],
        seed=42,
        published={name: said.at(scale) for name, said in PUBLISHED.items()},
    )
