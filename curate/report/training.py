"""What was measured while a model trained, as a line in a terminal, as notes, and as a page with charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeAlias

from markupsafe import Markup

from curate.errors import BuildFolderError
from curate.preflight.hardware import LINEAGE
from curate.report.charts import chart
from curate.report.templates import templates
from curate.result.tables import STYLE

LOG: Final = "training.jsonl"

Logged: TypeAlias = Mapping[str, Any]
"""What TRL logged at one step, by its names, and the step."""

SHOWN: Final = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "token accuracy",
    "rewards/chosen": "chosen",
    "rewards/rejected": "rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "learning_rate": "lr",
}
"""What a line in a terminal shows of it, in this order."""

CHARTS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("Loss", {"loss": "training", "eval_loss": "held out"}),
    ("Token accuracy", {"mean_token_accuracy": "training", "eval_mean_token_accuracy": "held out"}),
    ("Rewards", {"rewards/chosen": "chosen", "rewards/rejected": "rejected", "rewards/margins": "margin"}),
    ("Accuracy of rewards", {"rewards/accuracies": "training", "eval_rewards/accuracies": "held out"}),
    ("Learning rate", {"learning_rate": "learning rate"}),
)

STUCK_AT, STUCK_STEPS = 0.05, 20
"""A last third of at least 20 steps whose mean accuracy is within 0.05 of one half has learnt nothing."""


def line(told: Logged, steps: int) -> str:
    """Return what a step measured, for a terminal.

    >>> line({"step": 3, "loss": 1.25, "learning_rate": 2e-5}, 40)
    'step 3/40  loss 1.250  lr 2.00e-05'
    """
    shown = [f"{name} {_number(told[key])}" for key, name in SHOWN.items() if key in told]
    return "  ".join([f"step {told['step']}/{steps}", *shown])


def _number(value: float) -> str:
    return f"{value:.2e}" if 0 < abs(value) < 0.001 else f"{value:.3f}"


def trouble(told: Logged) -> str | None:
    """Say what is so wrong with a step that going on makes no sense; None for nothing.

    >>> trouble({"step": 7, "loss": float("nan")})
    'the loss of step 7 is nan: no number; training stops. Lower the learning rate, or look at the rows'
    """
    loss = told.get("loss")
    if loss is not None and not isfinite(loss):
        return (
            f"the loss of step {told['step']} is {loss}: no number; training stops. Lower the learning rate, or look "
            "at the rows"
        )
    if loss == 0 and "rewards/chosen" not in told:
        return f"the loss of step {told['step']} is nothing: it has no trainable token; training stops"
    return None


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return what was logged in a model's folder; raises `BuildFolderError` where there is no log, or a broken one."""
    try:
        return [json.loads(one) for one in (folder / LOG).read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        message = f"no training log in {folder}: {error}"
        raise BuildFolderError(message) from error


def notes(logged: Sequence[Logged]) -> list[str]:
    """Say what a run shows: what is wrong begins with "warning: ", what is usual does not."""
    found = [f"warning: {wrong}" for told in logged if (wrong := trouble(told))]
    chosen, margins = (_values(logged, f"rewards/{name}") for name in ("chosen", "margins"))
    if len(chosen) > 1 and _falls(chosen) and not _falls(margins) and margins[-1] > margins[0]:
        found.append(
            "the rewards of chosen answers fell while the margins rose: usual for DPO, which only widens the distance; "
            "where answers get worse, try a lower learning rate or a higher beta"
        )
    accuracy = _values(logged, "rewards/accuracies")
    last = accuracy[-(len(accuracy) // 3) :] if len(accuracy) >= 3 else []
    if len(last) >= STUCK_STEPS / 3 and abs(sum(last) / len(last) - 0.5) < STUCK_AT:
        found.append(
            "warning: the accuracy of rewards stays at one half: the model does not tell chosen from rejected answers; "
            "look at the pairs (lint_pairs, length bias), or train longer or faster"
        )
    return found


def _values(logged: Sequence[Logged], name: str) -> list[float]:
    return [told[name] for told in logged if name in told]


def _falls(values: Sequence[float]) -> bool:
    """Whether the last third lies below the first."""
    third = max(len(values) // 3, 1)
    return sum(values[-third:]) < sum(values[:third])


def notes_of(folder: Path) -> list[str]:
    """Return what is to be said of the model in a folder: of its rows, then of its training."""
    return [*json.loads((folder / LINEAGE).read_text("utf-8"))["notes"], *notes(read_log(folder))]


def page(folder: Path) -> str:
    """Return the page of a training: a pure function of `lineage.json` and `training.jsonl` in its folder."""
    logged = read_log(folder)
    lineage = json.loads((folder / LINEAGE).read_text("utf-8"))
    told = notes_of(folder)
    charts = [(title, Markup(drawn)) for title, lines in CHARTS if (drawn := _chart(logged, lines))]  # noqa: S704
    last = {name: _number(values[-1]) for key, name in SHOWN.items() if (values := _values(logged, key))}
    template = templates().get_template("training.html.j2")
    return template.render(lineage=lineage, charts=charts, notes=told, last=last, style=Markup(STYLE))  # noqa: S704


def _chart(logged: Sequence[Logged], lines: Mapping[str, str]) -> str:
    found = {title: [(told["step"], told[name]) for told in logged if name in told] for name, title in lines.items()}
    return chart({title: points for title, points in found.items() if points})
