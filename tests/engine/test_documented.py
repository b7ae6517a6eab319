"""The documented fields of the manifest, columns of the ledger and of the rows are those that builds have."""

from __future__ import annotations

import ast
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

import curate as c
from curate.engine import ledger, manifest
from curate.engine.ledger import LEDGER
from curate.rows import schema
from curate.rows.schema import BODIES, PARTS
from tests.support.build_data import built, chats, source, write_lines
from tests.support.hub_server import Repository, serving
from tests.support.rated_data import asks, of_rated


def documented(module: Any, name: str) -> list[str]:  # noqa: ANN401
    """Return the lines of the docstring below a constant."""
    body = ast.parse(Path(module.__file__).read_text("utf-8")).body
    for node, following in itertools.pairwise(body):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if name in {ast.unparse(target) for target in targets} and isinstance(following, ast.Expr):
            return str(ast.literal_eval(following.value)).split("\n")
    raise AssertionError(f"{name} has no docstring")


def fields(lines: list[str]) -> set[str]:
    """Return the fields that a list documents: `name` of the whole, `sources.name` of each source."""
    found, outer = set(), ""
    for line in lines:
        named = re.match(r"( *)- `(\w+)`: ", line)
        if named:
            found.add(f"{outer}.{named[2]}" if named[1] else named[2])
            outer = outer if named[1] else named[2]
    return found


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("documented")
    other = built(folder / "other", source("other", chats(2)))
    own = write_lines(folder / "own.jsonl", chats(20, licence="mit"))
    half = c.Source("half", c.files(own, format="messages"), before=c.Rows(10), licence_field="licence", max_share=0.25)
    published = {"half": c.Published(10)}
    steps = [c.language(), c.exact_dedup(), c.exclude_prompts_of(other)]
    rows = "".join(json.dumps(row) + "\n" for row in chats(8, 100)).encode()
    replica = Repository({"README.md": b"---\nlicense: mit\n---\n", "a.jsonl": rows})
    with serving({"lab/set": replica}) as hub, hub.here(folder / "hf"):
        sources = [half, c.Source("set", c.hub("lab/set"))]
        mixed = built(folder / "a", *sources, steps=steps, use="commercial", published=published)
    pairs = built(
        folder / "b", source("rated", of_rated(asks(6)), licence="cc-by-nc-4.0"), steps=[c.binarize()], use="commercial"
    )
    return [mixed.manifest, pairs.manifest]


def test_the_fields_of_a_manifest(manifests: list[dict[str, Any]]) -> None:
    found: set[str] = set()
    for one in manifests:
        found |= one.keys()
        found |= {f"sources.{name}" for source in one["sources"] for name in source}
        found |= {f"steps.{name}" for step in one["steps"] for name in step}
    assert fields(documented(manifest, "FORMAT")) == found


def test_the_plan_and_the_origin_of_a_source(manifests: list[dict[str, Any]]) -> None:
    lines = "\n".join(documented(manifest, "FORMAT"))
    plans = {name for one in manifests for source in one["sources"] for name in source["plan"]}
    shards = {name for one in manifests for split in one["splits"].values() for name in split["shards"][0]}
    assert {name for name in {*plans, *shards} if f"`{name}`" not in lines} == set()
    assert plans == {"take", "unit", "asked", "delivered", "available", "capped", "before"}


def test_the_columns_of_the_ledger() -> None:
    named = [line.partition(": ")[0] for line in documented(ledger, "LEDGER") if line.startswith("- ")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(named))) == sorted(LEDGER.names)


def test_the_columns_of_the_rows() -> None:
    text = "\n".join(documented(schema, "BODIES"))
    assert {kind for kind in BODIES if f"- {kind}: " not in text} == set()
    names = {name for body in BODIES.values() for name in body.names if name != "rewards"} | {*PARTS}
    assert {name for name in names if f"`{name}`" not in text} == set()
