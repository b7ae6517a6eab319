"""`curate check` on sources of which some blocks have tool calls and others are plain chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview import resolved
from curate.preview.check import check
from curate.report.check import check_parts
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape


def test_calls_in_text_are_seen_and_what_reads_them(tmp_path: Path) -> None:
    call = '<tool_call>{"name": "tide", "arguments": {}}</tool_call>'
    path = tmp_path / "rows.jsonl"
    texts = [call, call, f"{call} So.", "So."]
    rows = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]} for text in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (before,) = check(Mixture("m", [Source("s", files(path))], []), rows=100).warnings
    (after,) = check(Mixture("m", [Source("s", files(path, calls="split"))], []), rows=100).warnings
    assert before.startswith("source 's': 3 of the 4 rows read have <tool_call> in an answer's text: calls=\"split\"")
    assert after.startswith("source 's': 1 of the 4 rows read have <tool_call> in an answer's text: which is no call")


def test_blocks_with_and_without_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolved, "BLOCK", 400)
    call = {"id": "1", "function": {"name": "tide", "arguments": '{"port": "Brest"}'}}
    rows: list[dict[str, Any]] = []
    for i in range(40):
        answer = {"content": None, "tool_calls": [call]} if i % 8 > 5 else {"content": f"So {i}."}
        rows.append({"messages": [{"role": "user", "content": f"Ask {i}?"}, {"role": "assistant", **answer}]})
    rows += [rows[7], rows[0], {"messages": [{"role": "user", "content": "And then?"}]}]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "eval.jsonl").write_text(json.dumps({"q": "How high is the tide in the harbour of Brest today?"}))
    own = evals.files(tmp_path / "eval.jsonl", question="q", name="own")
    mixture = Mixture("m", [Source("s", files(path))], [shape(), exact_dedup(), decontaminate(own)])
    console = Console(width=200)
    found = check(mixture, rows=100)
    assert [step.rows for step in found.sources[0].steps[:2]] == [1, 2]
    with console.capture() as shown:
        console.print(*check_parts(found))
    assert "call of tide" in shown.get()
