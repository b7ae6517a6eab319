"""A build of each kind of row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.result.build import Build
from tests.support.chart_builds import build_of


@pytest.fixture(scope="session")
def build_named(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Build]:
    folder: Path = tmp_path_factory.mktemp("drawn")
    made: dict[str, Build] = {}

    def build(kind: str) -> Build:
        if kind not in made:
            made[kind] = build_of(kind, folder)
        return Build(made[kind].path)

    return build
