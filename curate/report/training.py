"""The training log of a model, as terminal lines, notes and a page with charts, and the model's card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from curate.drawing.lines import chart
from curate.errors import BuildFolderError
from curate.preflight.hardware import LINEAGE
from curate.report.card_metadata import quoted
from curate.report.run_card import cell, code, table
from curate.report.templates import templates

LOG: Final = "training.jsonl"

Logged: TypeAlias = Mapping[str, Any]
"""What TRL logged at one step, by TRL's names, and the step."""

SHOWN: Final = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "token accuracy",
    "rewards/chosen": "chosen",
    "rewards/rejected": "rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "kl": "KL",
    "learning_rate": "lr",
}
"""The values of a terminal line, in this order."""

CHARTS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("Loss", {"loss": "training", "eval_loss": "held out"}),
    ("Token accuracy", {"mean_token_accuracy": "training", "eval_mean_token_accuracy": "held out"}),
    ("Rewards", {"rewards/chosen": "chosen", "rewards/rejected": "rejected", "rewards/margins": "margin"}),
    ("Accuracy of rewards", {"rewards/accuracies": "training", "eval_rewards/accuracies": "held out"}),
    ("KL divergence from the first model", {"kl": "training", "eval_kl": "held out"}),
    ("Learning rate", {"learning_rate": "learning rate"}),
)

STUCK_AT, STUCK_STEPS = 0.05, 20
"""A last third of at least 20 steps whose mean accuracy is within 0.05 of one half has learnt nothing."""


def line(entry: Logged, steps: int) -> str:
    """Return the measurements of a step as a terminal line.

    >>> line({"step": 3, "loss": 1.25, "learning_rate": 2e-5}, 40)
    'step 3/40  loss 1.250  lr 2.00e-05'
    """
    shown = [f"{name} {_number(entry[key])}" for key, name in SHOWN.items() if key in entry]
    return "  ".join([f"step {entry['step']}/{steps}", *shown])


def _number(value: float) -> str:
    return f"{value:.2e}" if 0 < abs(value) < 0.001 else f"{value:.3f}"


def trouble(entry: Logged) -> str | None:
    """Return why training must stop at this step, or None.

    >>> trouble({"step": 7, "loss": float("nan")})
    'the loss of step 7 is nan; training stops. Lower the learning rate, or inspect the rows'
    """
    loss = entry.get("loss")
    if loss is not None and not isfinite(loss):
        return (
            f"the loss of step {entry['step']} is {loss}; training stops. Lower the learning rate, or inspect the rows"
        )
    if loss == 0 and "rewards/chosen" not in entry:
        return f"the loss of step {entry['step']} is 0: it has no trainable token; training stops"
    return None


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the log in a model's folder; raises `BuildFolderError` if it is missing or broken."""
    try:
        return [json.loads(one) for one in (folder / LOG).read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise BuildFolderError(f"no training log in {folder}: {error}") from error


def notes(logged: Sequence[Logged]) -> list[str]:
    """Return notes on a run; problems begin with "warning: "."""
    found = [f"warning: {wrong}" for entry in logged if (wrong := trouble(entry))]
    chosen, margins = (_values(logged, f"rewards/{name}") for name in ("chosen", "margins"))
    kto = bool(_values(logged, "kl"))  # in which rewards have a fixed point of reference
    if len(chosen) > 1 and _decreases(chosen) and not _decreases(margins) and margins[-1] > margins[0] and not kto:
        found.append(
            "the rewards of chosen answers decreased while the margins rose: usual for DPO, which only widens the "
            "margin; if answers get worse, try a lower learning rate or a higher beta"
        )
    accuracy = _values(logged, "rewards/accuracies")
    last = accuracy[-(len(accuracy) // 3) :] if len(accuracy) >= 3 else []
    if len(last) >= STUCK_STEPS / 3 and abs(sum(last) / len(last) - 0.5) < STUCK_AT:
        found.append(
            "warning: the accuracy of rewards stays at one half: the model does not distinguish chosen from "
            "rejected answers; inspect the pairs (lint_pairs, length bias), or train longer or faster"
        )
    return found


def _values(logged: Sequence[Logged], name: str) -> list[float]:
    return [entry[name] for entry in logged if name in entry]


def _decreases(values: Sequence[float]) -> bool:
    """Whether the last third is lower than the first."""
    third = max(len(values) // 3, 1)
    return sum(values[-third:]) < sum(values[:third])


def notes_of(folder: Path) -> list[str]:
    """Return the notes on the model in a folder: on its rows, then on its training."""
    return [*json.loads((folder / LINEAGE).read_text("utf-8"))["notes"], *notes(read_log(folder))]


def page(folder: Path) -> str:
    """Return the training page: a pure function of `lineage.json` and `training.jsonl` in its folder."""
    logged = read_log(folder)
    lineage = json.loads((folder / LINEAGE).read_text("utf-8"))
    charts = [(title, drawn) for title, lines in CHARTS if (drawn := _chart(logged, lines))]
    last = {name: _number(values[-1]) for key, name in SHOWN.items() if (values := _values(logged, key))}
    template = templates().get_template("training.html.j2")
    return template.render(lineage=lineage, charts=charts, notes=notes_of(folder), last=last)


def _chart(logged: Sequence[Logged], lines: Mapping[str, str]) -> str:
    found = {
        title: [(entry["step"], entry[name]) for entry in logged if name in entry] for name, title in lines.items()
    }
    return chart({title: points for title, points in found.items() if points})


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
        "\n".join(f"- {cell(note)}" for note in notes_of(folder)),
        "## Licences of the data\n",
        _pairs("source", "licence", {name: own or "not named" for name, own in lineage["licences"].items()}),
        "## At the end\n",
        _pairs("measure", "value", {name: f"{value:.6g}" for name, value in last.items()}),
        "## Settings\n",
        _pairs("setting", "value", lineage["settings"]),
        "## Made with\n",
        ", ".join(f"{name} {number}" for name, number in lineage["versions"].items()) + ".",
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _front_matter(lineage: dict[str, Any]) -> str:
    tags = "\n".join(f"- {name}" for name in ("curate", "trl", lineage["stage"]))
    return f"---\nbase_model: {quoted(lineage['model']['name'])}\nlibrary_name: transformers\ntags:\n{tags}\n---"


def _opening(lineage: dict[str, Any]) -> str:
    model, build = code(lineage["model"]["name"]), cell(lineage["build"]["name"])
    recipe, source = (cell(lineage["recipe"][key]) for key in ("name", "source"))
    return (
        f"{model}, trained on the build **{build}** with the recipe **{recipe}** ({source}). Only answers were trained."
    )


def _pairs(name: str, value: str, values: Mapping[str, object]) -> str:
    return table(pl.DataFrame([{name: key, value: str(one)} for key, one in values.items()]))
