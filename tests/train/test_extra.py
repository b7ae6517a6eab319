"""Without the extra, one sentence says what to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.errors import CallError
from curate.preflight import hardware as machine
from curate.preflight.preflight import preflight
from curate.train import plan, train
from curate.train.answer_lengths import answer_lengths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.result.build import Build


@pytest.mark.parametrize(
    "call",
    [
        lambda build, _: preflight(build, tokenizer="x", limit=8),
        lambda build, _: plan("sft", build, model="x", recipe="tulu2"),
        lambda build, out: train("sft", build, model="x", recipe="tulu2", out=out),
        lambda _, out: answer_lengths(out, ["x"]),
    ],
)
def test_what_is_missing_is_named(
    chats: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Build, Path], object]
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name == "trl" else object())
    with pytest.raises(CallError, match=r"^trl: not installed; this needs the extra: pip install 'curate\[train\]'$"):
        call(chats, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
