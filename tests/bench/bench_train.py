"""Training by `curate` beside a bare TRL script on the same rows, in one run, in turns; and how fast `fit` measures.

On a GPU the model has a billion parameters (Llama's shape, random weights, bf16), and rows are packed to 4,096 tokens;
on a processor it is a small one. Needs the extra `curate[train]`. Utilisation is 6 floating-point operations a
parameter and token (8 where a reference model goes forward too), over what the device can do: 989e12 a second for an
H100 or H200 (dense bf16), or `CURATE_PEAK_FLOPS`. `CURATE_ROUNDS` and `CURATE_STEPS` say how often and how long.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import polars as pl
import pytest

from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.preflight import preflight
from curate.result.build import Build
from curate.train import train
from tests.support.tiny_model import tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

torch = pytest.importorskip("torch", reason="needs the extra curate[train]")
pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("default"), pytest.mark.timeout(3_000)]

GPU: Final = torch.cuda.is_available()
ROUNDS: Final = int(os.environ.get("CURATE_ROUNDS", "3"))
STEPS: Final = int(os.environ.get("CURATE_STEPS", "30" if GPU else "15"))
PEAK: Final = float(os.environ.get("CURATE_PEAK_FLOPS", "989e12"))
CHATS: Final = ("sft/lima.json", "sft/alpaca_1k_longest.json", "sft/alpaca_random_9k.json")
PAIRS: Final = "preference/ultrafeedback_binarized_train_clean.jsonl"
DTYPE: Final = "float32"
LIMIT: Final = 4_096 if GPU else 512
SIZES: Final = (2_048, 8_192, 16, 32, 8) if GPU else (256, 512, 4, 4, 4)
SHAPE: Final = dict(
    zip(
        ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
        SIZES,
        strict=True,
    )
)
"""On a GPU that of Llama 3.2 1B."""

SETTINGS: Final[dict[str, Any]] = {
    "max_length": LIMIT,
    "max_steps": STEPS,
    "learning_rate": 1e-5,
    "per_device_train_batch_size": 4 if GPU else 2,
    "gradient_accumulation_steps": 1,
    "save_strategy": "no",
    "eval_strategy": "no",
    "bf16": GPU,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def chats(real_data: Path, folder: Path) -> Build:
    sources = [Source(Path(name).stem, files(real_data / name)) for name in CHATS]
    return Mixture("chats", sources).build(folder / "chats", quiet=True)


@pytest.fixture(scope="module")
def pairs(real_data: Path, folder: Path) -> Build:
    return Mixture("pairs", [Source("pairs", files(real_data / PAIRS))]).build(folder / "pairs", quiet=True)


@pytest.fixture(scope="module")
def model(chats: Build, folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    out = folder / "model"
    tiny_tokenizer(chats, out, 16_000)
    tokenizer = chat_tokenizer(str(out), "tulu")
    tokenizer.save_pretrained(out)
    vocabulary = 128_256 if GPU else len(tokenizer)
    config = LlamaConfig(vocab_size=vocabulary, max_position_embeddings=LIMIT, tie_word_embeddings=True, **SHAPE)
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16 if GPU else torch.float32).save_pretrained(out)
    return out


Timed: TypeAlias = "Callable[[Callable[[], object]], Measured]"


class Measured(NamedTuple):
    """Seconds of the whole call, and of the steps alone; tokens seen in them."""

    whole: float
    steps: float
    tokens: float


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Timed:
    """Time a call, and within it TRL's steps."""
    from transformers import Trainer

    seen: list[Measured] = []
    plain = Trainer.train

    def train_and_tell(self: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        found = plain(self, *given, **named)
        tokens = [line["num_tokens"] for line in self.state.log_history if "num_tokens" in line]
        seen.append(Measured(0, time.perf_counter() - start, tokens[-1]))
        return found

    def measure(call: Callable[[], object]) -> Measured:
        if GPU:
            torch.cuda.empty_cache()
        start = time.perf_counter()
        call()
        return seen.pop()._replace(whole=time.perf_counter() - start)

    monkeypatch.setattr(Trainer, "train", train_and_tell)
    return measure


def bare(stage: str, build: Build, model: Path, out: Path) -> None:
    """Train as TRL's documentation shows it."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    tokenizer = chat_tokenizer(str(model))
    more: dict[str, Any] = {"packing": True, "assistant_only_loss": True} if stage == "sft" else {"beta": 0.1}
    columns = ["messages"] if stage == "sft" else ["prompt", "chosen", "rejected"]
    trained = preflight(build, tokenizer=str(model), limit=LIMIT).trained  # the same rows, so the same batches
    rows = Dataset(build.kept("train").select(columns).collect().filter(trained).to_arrow())
    config, kind = (SFTConfig, SFTTrainer) if stage == "sft" else (DPOConfig, DPOTrainer)
    settings = SETTINGS | more | {"report_to": "none", "model_init_kwargs": {"dtype": DTYPE}}
    kind(str(model), args=config(str(out), **settings), train_dataset=rows, processing_class=tokenizer).train()


def ours(stage: str, build: Build, model: Path, out: Path) -> None:
    more = {"packing": True} if stage == "sft" else {}
    settings = SETTINGS | more | {"dtype": DTYPE}
    train(stage, build, model=str(model), recipe="tulu2", out=out, settings=settings, max_lost=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_beside_a_bare_script(
    stage: str,
    chats: Build,
    pairs: Build,
    model: Path,
    tmp_path: Path,
    timed: Callable[[Callable[[], object]], Measured],
) -> None:
    build = chats if stage == "sft" else pairs
    found: dict[str, list[Measured]] = {"ours": [], "bare": []}
    for n in range(ROUNDS + 1):
        for name, call in (("ours", ours), ("bare", bare))[:: 1 if n % 2 else -1]:
            seconds = timed(partial(call, stage, build, model, tmp_path / f"{name}{n}"))
            found[name] += [seconds] if n else []  # the first round warms up
            shutil.rmtree(tmp_path / f"{name}{n}", ignore_errors=True)
    rate = {name: statistics.median(one.tokens / one.steps for one in runs) for name, runs in found.items()}
    whole = {name: statistics.median(one.whole for one in runs) for name, runs in found.items()}
    parameters = _parameters(model)
    print(f"\n{stage}: {parameters / 1e6:,.0f} million parameters, {STEPS} steps, median of {ROUNDS}")
    print(f"  ours {rate['ours']:,.0f} tokens/s, bare TRL {rate['bare']:,.0f}: {rate['ours'] / rate['bare']:.3f} of it")
    print(f"  the whole call, tokenizing included: ours {whole['ours']:.1f} s, bare {whole['bare']:.1f} s")
    if GPU:
        passes = 8 if stage == "dpo" else 6  # the reference model goes forward once more
        print(f"  utilisation {passes * parameters * rate['ours'] / PEAK:.1%} of {PEAK / 1e12:,.0f} TFLOP/s")


def _parameters(model: Path) -> int:
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return sum(
            one.numel() for one in AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).parameters()
        )


def test_fit(chats: Build, model: Path) -> None:
    size = chats.kept("train").select(pl.col("messages").explode().struct.field("content").str.len_bytes().sum())
    best = []
    for _ in range(3):
        start = time.perf_counter()
        seen = preflight(chats, tokenizer=str(model), limit=2_048)
        best.append(time.perf_counter() - start)
    whole = size.collect().item()
    rate = seen.total["tokens"] / min(best)
    print(f"\nfit: {whole / min(best) / 1e6:.1f} MB/s, {rate:,.0f} tokens/s, {seen.rows:,} rows")
