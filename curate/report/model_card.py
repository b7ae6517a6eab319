"""The trained model's card: `README.md` of its folder, with the front matter that the Hub reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.preflight.hardware import LINEAGE
from curate.report.run_card import cell, code, quoted, table
from curate.report.training import SHOWN, notes_of, read_log


def model_card(folder: Path) -> str:
    """Return the card of the model in `folder` as Markdown: a pure function of `lineage.json` and `training.jsonl`."""
    lineage = json.loads((folder / LINEAGE).read_text("utf-8"))
    logged = read_log(folder)
    last = {name: value for key, name in SHOWN.items() for one in logged if (value := one.get(key)) is not None}
    parts = [
        _front_matter(lineage),
        f"# {cell(lineage['build']['name'])}, {lineage['stage']}",
        _opening(lineage),
        "## Data\n",
        f"Fingerprint of the build: {code(lineage['build']['fingerprint'])}. Trained rows are `rows` less `lost`"
        + (" and `equal`." if lineage["stage"] == "dpo" else "."),
        table(pl.DataFrame(lineage["rows"])),
        *_listed(notes_of(folder)),
        "## Licences of the data\n",
        _pairs("source", "licence", {name: own or "not named" for name, own in lineage["licences"].items()}),
        "## At the end\n",
        _pairs("measure", "value", {name: f"{value:.6g}" for name, value in last.items()}),
        "## Settings\n",
        _pairs("setting", "value", lineage["settings"]),
        "## Made with\n",
        ", ".join(f"{name} {number}" for name, number in lineage["versions"].items()) + ".",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _front_matter(lineage: dict[str, Any]) -> str:
    tags = "\n".join(f"- {name}" for name in ("curate", "trl", lineage["stage"]))
    return f"---\nbase_model: {quoted(lineage['model']['name'])}\nlibrary_name: transformers\ntags:\n{tags}\n---"


def _opening(lineage: dict[str, Any]) -> str:
    model, build, recipe = (
        code(lineage["model"]["name"]),
        cell(lineage["build"]["name"]),
        cell(lineage["recipe"]["name"]),
    )
    recipe, source = (cell(lineage["recipe"][key]) for key in ("name", "source"))
    return (
        f"{model}, trained on the build **{build}** with the recipe **{recipe}** ({source}). Only answers were trained."
    )


def _pairs(name: str, value: str, values: Mapping[str, object]) -> str:
    return table(pl.DataFrame([{name: key, value: str(one)} for key, one in values.items()]))


def _listed(notes: list[str]) -> list[str]:
    return ["\n".join(f"- {cell(note)}" for note in notes)] if notes else []
