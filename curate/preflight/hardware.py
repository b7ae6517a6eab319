"""The training hardware, and a model's size, read from its configuration (a few kilobytes)."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from curate.errors import CallError

LINEAGE: Final = "lineage.json"
"""The file in a model's folder that records what it was made from."""

SHOWN: Final = 200
"""Characters shown of an error of transformers."""

LARGE: Final = 1_000_000_000
"""From this number of parameters, training needs a GPU: on a CPU, an epoch of Tulu 2 would take years."""


class Machine(NamedTuple):
    """The training hardware: processes, torch's device type ("cpu", ...), and whether this process is the first."""

    processes: int
    kind: str
    bf16: bool
    first: bool

    def share(self, batch: int, each: int) -> int:
        """Return the accumulation steps of `each` rows per device that make a batch of `batch` rows.

        >>> Machine(8, "cuda", bf16=True, first=True).share(128, 2)
        8
        """
        steps, rest = divmod(batch, each * self.processes)
        if rest or not steps:
            raise CallError(
                f"{batch} rows a step cannot be shared by {self.processes} device(s) with {each} rows each; set "
                "per_device_train_batch_size to a divisor, or batch to a multiple"
            )
        return steps

    def check_four_bits(self) -> None:
        """Raise `CallError` if 4-bit weights are not possible: without an NVIDIA GPU, or without bitsandbytes."""
        if self.kind != "cuda" or find_spec("bitsandbytes") is None:
            raise CallError(
                f"4-bit weights need an NVIDIA GPU and the extra 'curate[qlora]'; this device is {self.kind}: use lora"
            )


def check_extra() -> None:
    """Raise `CallError` if a package that preflight and training need is not installed."""
    missing = [name for name in ("torch", "transformers", "trl") if find_spec(name) is None]
    if missing:
        raise CallError(f"{', '.join(missing)}: not installed; this needs the extra: pip install 'curate[train]'")


def machine(*, use_cpu: bool = False) -> Machine:
    """Return the hardware of this process or of `accelerate launch`; `use_cpu`: ignore GPUs."""
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=use_cpu or not torch.accelerator.is_available())
    kind = state.device.type
    if kind == "cuda" and state.num_processes == 1 and torch.cuda.device_count() > 1:
        raise CallError(
            f"{torch.cuda.device_count()} GPUs are visible to one process: start `accelerate launch -m curate.train` "
            "in place of `curate train`, or show it one (CUDA_VISIBLE_DEVICES=0)"
        )
    return Machine(state.num_processes, kind, kind == "cuda" and torch.cuda.is_bf16_supported(), state.is_main_process)


def shortened(error: Exception) -> str:
    """Return the start of an error of transformers, which may be a page long."""
    words = " ".join(str(error).split())
    return words if len(words) <= SHOWN else f"{words[:SHOWN]} ..."


class ModelInfo(NamedTuple):
    """A model, by its configuration.

    - `title`: its id on the Hub, or the name of its folder, for cards that must not show a path.
    - `lineage`: the SHA-256 of `lineage.json` in a folder that `curate` trained.
    - `reads`: its context length in tokens. `embeddings`: its vocabulary size. None: not configured.
    """

    name: str
    title: str
    lineage: str | None
    parameters: int
    reads: int | None
    embeddings: int | None


def model_of(name: str) -> ModelInfo:
    """Read the configuration of a model; `name` is a folder, or an id on the Hub.

    Weights are neither downloaded nor allocated, and code shipped with the model is not run. Raises `CallError` if
    there is no such model, or it is no language model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        with torch.device("meta"):
            count = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    except (OSError, ValueError, KeyError) as error:
        raise CallError(f"no model could be found at {name!r}: {shortened(error)}") from error
    text, folder = config.get_text_config(), Path(name)
    made = folder / LINEAGE
    return ModelInfo(
        name=name,
        title=folder.resolve().name if folder.is_dir() else name,
        lineage=sha256(made.read_bytes()).hexdigest() if made.is_file() else None,
        parameters=count,
        reads=getattr(text, "max_position_embeddings", None),
        embeddings=getattr(text, "vocab_size", None),
    )


def check_room(model: ModelInfo, here: Machine, limit: int, *, reference: bool = False, use_cpu: bool = False) -> None:
    """Raise `CallError` for a model too large to train without a GPU, and for a limit beyond its context length.

    Training keeps weights, gradients and two moments in 4 bytes each; `reference`: the weights of a second model too.
    """
    needed = (20 if reference else 16) * model.parameters / 1e9
    if here.kind == "cpu" and model.parameters >= LARGE and not use_cpu:
        raise CallError(
            f"{model.name} has {model.parameters / 1e9:.1f} billion parameters, and there is no GPU: full "
            f"training needs about {needed:,.0f} GB and would take months; use a machine with a GPU, or set "
            "use_cpu=true to train anyway"
        )
    if model.reads and limit > model.reads:
        raise CallError(
            f"{model.name} reads {model.reads:,} tokens, fewer than max_length={limit:,}; set max_length={model.reads}"
        )
