"""A build whose rated rows were paired, some of them dropped before and some after."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.filters.shape import shape
from curate.steps.pairs.binarize import binarize
from curate.steps.pairs.completion_scores import mean

DEMO = Path(__file__).parents[3] / "mixtures" / "demo"
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


@pytest.fixture(scope="session")
def rated_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    quiz = evals.files(DEMO / "evals.jsonl", question="question", answer="answer", id="id", name="pellow")
    source = Source("ratings", files(DEMO / "ratings.jsonl", format="ultrafeedback"))
    steps = (decontaminate(quiz), binarize(score=mean(*ASPECTS)), shape(on="chosen", max_words=40))
    return Mixture("ratings", (source,), steps).build(tmp_path_factory.mktemp("rated") / "build", quiet=True)
