"""What there is to train on, and how large a model is: told from its configuration alone, a few kilobytes."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from curate.errors import CallError

LINEAGE: Final = "lineage.json"
"""What a model was made from, in its folder."""

SAID: Final = 200
"""Letters of an error of transformers that are told."""

LARGE: Final = 1_000_000_000
"""Parameters from which on a processor is no place to train: an epoch of Tulu 2 would take years."""


class Machine(NamedTuple):
    """What there is to train on: processes, each with a device; `kind` is that of torch ("cpu", "cuda", ...).

    `first`: this is the process that writes files.
    """

    processes: int
    kind: str
    bf16: bool
    first: bool

    def share(self, batch: int, each: int) -> int:
        """Return how many times each device has to take `each` rows until `batch` rows make a step.

        >>> Machine(8, "cuda", bf16=True, first=True).share(128, 2)
        8
        """
        steps, rest = divmod(batch, each * self.processes)
        if rest or not steps:
            message = (
                f"{batch} rows a step cannot be shared by {self.processes} device(s) with {each} rows each; set "
                "per_device_train_batch_size to a divisor, or batch to a multiple"
            )
            raise CallError(message)
        return steps

    def check_four_bits(self) -> None:
        """Raise `CallError` where weights cannot be held in four bits: without a GPU of NVIDIA's, or bitsandbytes."""
        if self.kind != "cuda" or find_spec("bitsandbytes") is None:
            message = (
                f"weights in four bits want an NVIDIA GPU and the extra 'curate[qlora]'; here is {self.kind}: use lora"
            )
            raise CallError(message)


def check_extra() -> None:
    """Raise `CallError` where what fitting and training stand on is not installed."""
    missing = [name for name in ("torch", "transformers", "trl") if find_spec(name) is None]
    if missing:
        message = f"{', '.join(missing)}: not installed; this needs the extra: pip install 'curate[train]'"
        raise CallError(message)


def machine(*, use_cpu: bool = False) -> Machine:
    """Return what this process, or `accelerate launch`, was given; `use_cpu` leaves its GPUs alone."""
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=use_cpu or not torch.accelerator.is_available())
    kind = state.device.type
    if kind == "cuda" and state.num_processes == 1 and torch.cuda.device_count() > 1:
        message = (
            f"{torch.cuda.device_count()} GPUs are visible to one process: start `accelerate launch -m curate.train` "
            "in place of `curate train`, or show it one (CUDA_VISIBLE_DEVICES=0)"
        )
        raise CallError(message)
    return Machine(state.num_processes, kind, kind == "cuda" and torch.cuda.is_bf16_supported(), state.is_main_process)


def said(error: Exception) -> str:
    """Return what transformers says, which may be a page, in some words."""
    words = " ".join(str(error).split())
    return words if len(words) <= SAID else f"{words[:SAID]} ..."


class Model(NamedTuple):
    """What a configuration says of a model.

    - `title`: its id on the Hub, or the name of its folder, which is all that a card may say of a place.
    - `lineage`: the SHA-256 of `lineage.json` in a folder that `curate` trained.
    - `reads`: how many tokens a row may have. `embeddings`: how many tokens it knows. None: it does not say.
    """

    name: str
    title: str
    lineage: str | None
    parameters: int
    reads: int | None
    embeddings: int | None


def model_of(name: str) -> Model:
    """Return what the configuration of a model says; `name` is a folder, or an id on the Hub.

    Its weights are neither downloaded nor allocated, and code that it ships is not run. Raises `CallError` for a model
    that is not there, or is no language model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        with torch.device("meta"):
            count = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    except (OSError, ValueError, KeyError) as error:
        message = f"no model could be found at {name!r}: {said(error)}"
        raise CallError(message) from error
    text, folder = config.get_text_config(), Path(name)
    made = folder / LINEAGE
    return Model(
        name=name,
        title=folder.resolve().name if folder.is_dir() else name,
        lineage=sha256(made.read_bytes()).hexdigest() if made.is_file() else None,
        parameters=count,
        reads=getattr(text, "max_position_embeddings", None),
        embeddings=getattr(text, "vocab_size", None),
    )


def check_room(model: Model, here: Machine, limit: int, *, use_cpu: bool = False) -> None:
    """Raise `CallError` for a model too large to train without a GPU, and for rows longer than it can read."""
    if here.kind == "cpu" and model.parameters >= LARGE and not use_cpu:
        message = (
            f"{model.name} has {model.parameters / 1e9:.1f} billion parameters, and there is no GPU here: a full "
            f"training holds about {16 * model.parameters / 1e9:,.0f} GB and would take months; go where a GPU is, or "
            "set use_cpu=true all the same"
        )
        raise CallError(message)
    if model.reads and limit > model.reads:
        message = (
            f"{model.name} reads {model.reads:,} tokens, fewer than max_length={limit:,}; set max_length={model.reads}"
        )
        raise CallError(message)
