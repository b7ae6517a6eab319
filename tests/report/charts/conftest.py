"""A build of each kind of row."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curate.result.build import Build
from tests.support.chart_builds import builds_in


@pytest.fixture(scope="session")
def build_named(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Build]:
    return builds_in(tmp_path_factory.mktemp("drawn"))
