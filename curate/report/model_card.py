"""The card of a trained model: `README.md` of its folder, with the front matter that the Hub reads."""

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
    told = json.loads((folder / LINEAGE).read_text("utf-8"))
    logged = read_log(folder)
    last = {name: value for key, name in SHOWN.items() for one in logged if (value := one.get(key)) is not None}
    parts = [
        _front_matter(told),
        f"# {cell(told['build']['name'])}, {told['stage']}",
        _opening(told),
        "## Data\n",
        f"Fingerprint of the build: {code(told['build']['fingerprint'])}. Rows that were trained are `rows` less `lost`"
        + (" and `equal`." if told["stage"] == "dpo" else "."),
        table(pl.DataFrame(told["rows"])),
        *_listed(notes_of(folder)),
        "## Licences of the data\n",
        _pairs("source", "licence", {name: own or "not named" for name, own in told["licences"].items()}),
        "## At the end\n",
        _pairs("measure", "value", {name: f"{value:.6g}" for name, value in last.items()}),
        "## Settings\n",
        _pairs("setting", "value", told["settings"]),
        "## Made with\n",
        ", ".join(f"{name} {number}" for name, number in told["versions"].items()) + ".",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _front_matter(told: dict[str, Any]) -> str:
    tags = "\n".join(f"- {name}" for name in ("curate", "trl", told["stage"]))
    return f"---\nbase_model: {quoted(told['model']['name'])}\nlibrary_name: transformers\ntags:\n{tags}\n---"


def _opening(told: dict[str, Any]) -> str:
    model, build, recipe = code(told["model"]["name"]), cell(told["build"]["name"]), cell(told["recipe"]["name"])
    source = cell(told["recipe"]["source"])
    return (
        f"{model}, trained on the build **{build}** with the recipe **{recipe}** ({source}). Only answers were trained."
    )


def _pairs(name: str, value: str, told: Mapping[str, object]) -> str:
    return table(pl.DataFrame([{name: key, value: str(one)} for key, one in told.items()]))


def _listed(said: list[str]) -> list[str]:
    return ["\n".join(f"- {cell(note)}" for note in said)] if said else []
