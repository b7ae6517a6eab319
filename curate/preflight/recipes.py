"""Published recipes, each with its source. Settings that a recipe does not name keep TRL's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from curate.errors import CallError, did_you_mean
from curate.rows.schema import Kind

Stage: TypeAlias = Literal["sft", "dpo", "kto"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a published model was trained.

    - `batch`: rows per step (packed: blocks), over all devices and accumulated steps.
    - `max_length`: tokens per row; for a pair, per side with its prompt.
    - `warmup`: share of all steps, or from 1 a number of steps.
    - `optimizer`: TRL's name of it; None: AdamW, as TRL has it.
    - `loss`: TRL's name of the loss of DPO or KTO; `"sigmoid_norm"` is length-normalised DPO. `beta`: of these two.
    """

    name: str
    stage: Stage
    source: str
    epochs: int
    learning_rate: float
    batch: int
    max_length: int
    warmup: float
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    packing: bool = False
    optimizer: str | None = None
    loss: str = "sigmoid"
    beta: float | None = None

    def settings(self) -> dict[str, object]:
        """Return the settings by TRL's names, without the batch, which depends on the devices."""
        settings: dict[str, object] = {
            "num_train_epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "max_length": self.max_length,
            "warmup_steps": self.warmup,
            "lr_scheduler_type": self.schedule,
            "weight_decay": 0.0,
        }
        settings |= {"optim": self.optimizer} if self.optimizer else {}
        if self.stage == "sft":
            return settings | {"packing": self.packing}
        return settings | {"beta": self.beta, "loss_type": [self.loss] if self.stage == "dpo" else self.loss}


RECIPES: Final = (
    Recipe(name="tulu2", stage="sft", source="Tulu 2, arXiv:2311.10702, appendix B; schedule: open-instruct",
           epochs=2, learning_rate=2e-5, batch=128, max_length=8192, warmup=0.03),
    Recipe(name="tulu2", stage="dpo", source="Tulu 2, arXiv:2311.10702, appendix B; schedule: open-instruct",
           epochs=3, learning_rate=5e-7, batch=32, max_length=8192, warmup=0.1, beta=0.1),
    Recipe(name="tulu3", stage="sft", source="Tulu 3 8B, arXiv:2411.15124, section 4",
           epochs=2, learning_rate=5e-6, batch=128, max_length=4096, warmup=0.03),
    Recipe(name="tulu3", stage="dpo", source="Tulu 3 8B, arXiv:2411.15124, section 5",
           epochs=1, learning_rate=5e-7, batch=128, max_length=2048, warmup=0.1,
           loss="sigmoid_norm", beta=5.0),
    Recipe(name="zephyr", stage="sft", source="Zephyr, arXiv:2310.16944, section 4",
           epochs=1, learning_rate=2e-5, batch=512, max_length=2048, warmup=0.1,
           schedule="cosine", packing=True),
    Recipe(name="zephyr", stage="dpo", source="Zephyr, arXiv:2310.16944, section 4; length and optimizer: "
           "alignment-handbook before f0ffa0d (which also cut prompts at 512 tokens)",
           epochs=3, learning_rate=5e-7, batch=32, max_length=1024, warmup=0.1,
           optimizer="rmsprop", beta=0.1),
    Recipe(name="zephyr-handbook", stage="sft", source="alignment-handbook 925acdf, zephyr-7b-beta",
           epochs=1, learning_rate=2e-5, batch=128, max_length=2048, warmup=0.1,
           schedule="cosine", packing=True),
    Recipe(name="zephyr-handbook", stage="dpo", source="alignment-handbook 925acdf, zephyr-7b-beta",
           epochs=1, learning_rate=5e-7, batch=128, max_length=1024, warmup=0.1,
           schedule="cosine", beta=0.01),
    Recipe(name="kto", stage="kto", source="KTO, arXiv:2402.01306, by its authors' repository: ContextualAI/HALOs "
           "00a123c, config (which also cuts prompts at 512 tokens, and gradients at a norm of 5)",
           epochs=1, learning_rate=5e-6, batch=32, max_length=1024, warmup=150,
           schedule="constant_with_warmup", loss="kto", beta=0.1),
)  # fmt: skip
"""Tulu 2's repository has other numbers in one of its files (3 epochs, 4,096); these are the paper's."""


def recipe_of(name: str, stage: Stage) -> Recipe:
    """Return the recipe of this name for a stage; raises `CallError` for an unknown name.

    >>> recipe_of("tulu2", "dpo").beta
    0.1
    """
    known = {found.name: found for found in RECIPES if found.stage == stage}
    if name not in known:
        raise CallError(f"no recipe {name!r} for {stage}; {did_you_mean(name, known)}")
    return known[name]


def stage_of(kind: Kind) -> Stage:
    """Return the stage that trains on rows of a kind; raises `CallError` for rated rows and prompts."""
    if kind == "rated":
        raise CallError("the build holds rated rows, which cannot be trained on; make pairs of them with binarize()")
    if kind == "prompt":
        raise CallError(
            "the build holds prompts, which have no answer to train on: a model answers them in training, and reward "
            "functions judge; write them with `curate export DIR --to trl`, and give them to TRL's GRPOTrainer"
        )
    return STAGES[kind]


STAGES: Final[dict[Kind, Stage]] = {"conversation": "sft", "preference": "dpo", "unpaired": "kto"}
"""The stage that trains on rows of a kind."""
