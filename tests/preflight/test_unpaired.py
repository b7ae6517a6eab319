"""Answers with a label are measured as TRL's `KTOTrainer` prepares them, and their labels are counted and weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

from curate.errors import CallError
from curate.io.formats.unpaired import prompts
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.preflight import Preflight, check, preflight
from curate.preflight.row_lengths import JUDGED, LENGTHS, measured
from curate.train.trainer import _trainer_of
from tests.support.chat_templates import family_tokenizer
from tests.support.tool_rows import built, judged, trl_rows

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers


@pytest.mark.parametrize("name", ["qwen3", "chatml"])
@pytest.mark.parametrize("limit", [60, 10_000])
def test_trl_prepares_the_same_answers(tokenizer: Path, model: Path, tmp_path: Path, name: str, limit: int) -> None:
    from trl import KTOConfig, KTOTrainer

    chatty = chat_tokenizer(str(family_tokenizer(name, tokenizer, tmp_path / name)))
    plain = [row for row in judged() if "</s>" not in str(row)]  # which TRL reads as the end of the answer
    found = pa.Table.from_batches(measured(built(plain, tmp_path / "build"), chatty, limit)).to_pylist()
    rows = [row for row in found if row["prompt_ids"]]
    assert (len(rows) < len(plain)) == (limit == 60)
    given = trl_rows([plain[int(row["id"])] for row in found], "prompt", "completion")
    given = given.add_column("label", [row["label"] for row in found])
    config = KTOConfig(
        str(tmp_path / "out"), max_length=limit, per_device_train_batch_size=2, bf16=False, report_to="none"
    )
    theirs = KTOTrainer(str(model), args=config, train_dataset=given, processing_class=chatty).train_dataset
    names = [*JUDGED, "KL_completion_ids"]
    tokens = pa.Table.from_pylist([{column: row[column] for column in JUDGED} for row in rows])
    ours = prepared(tokens, config, str(model), chatty)
    assert ours.select_columns(names).to_list() == theirs.select_columns(names).to_list()


def prepared(tokens: pa.Table, config: Any, model: str, chatty: Any) -> Any:  # noqa: ANN401  of TRL
    """Return rows as our trainer has them."""
    from datasets import Dataset

    return _trainer_of("kto")(model, args=config, train_dataset=Dataset(tokens), processing_class=chatty).train_dataset


def test_a_quoted_end_does_not_end_an_answer(tokenizer: Path, tmp_path: Path) -> None:
    chatty = chat_tokenizer(str(tokenizer), "tulu")
    rows = judged()[1:2]
    (found,) = pa.Table.from_batches(measured(built(rows, tmp_path / "build"), chatty, 500)).to_pylist()
    assert chatty.decode(found["completion_ids"]) == "Go away. </s></s>"
    assert found["completion_ids"].count(chatty.eos_token_id) == 1


def test_labels_are_counted_by_source(tokenizer: Path, tmp_path: Path) -> None:
    folder = str(family_tokenizer("chatml", tokenizer, tmp_path / "chatml"))
    rows = [row for row in judged(3) if "chat_template_kwargs" not in row]
    build = built(rows, tmp_path / "build")
    found = preflight(build, tokenizer=folder, limit=10_000)
    check(found)
    assert found.table.select("rows", "lost", "desirable", "undesirable").rows() == [(15, 0, 12, 3)] * 2
    assert found.parts.rows()[-1] == ("total", 6, 3, 3, 6, 0)
    assert found.rows == 15
    (note,) = found.notes()
    assert note == (
        "warning: 12 desirable rows at a weight of 1 and 3 undesirable rows at a weight of 1 do not balance, "
        "4.00 to 1; KTO wants from 1 to 1.33: set undesirable_weight from 3.00 to 4.00"
    )
    short = preflight(build, tokenizer=folder, limit=40)
    assert short.total["desirable"] + short.total["undesirable"] == short.rows < 15


def of_labels(good: int, bad: int, *weights: float) -> Preflight:
    rows: list[Any] = [("a", str(n), 9, 4, 9, 8, 1, "whole", True, [], [], [], n < good) for n in range(good + bad)]
    lengths = pl.DataFrame(rows, [*LENGTHS.names, "label"], orient="row").cast({"source": pl.Enum(["a"])})
    return Preflight("mine", "unpaired", 8, lengths, None, weights or (1.0, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(("good", "bad", "weights"), [(3, 3, ()), (4, 3, ()), (9, 3, (1, 3)), (3, 6, (2, 1))])
def test_labels_that_balance_need_no_note(good: int, bad: int, weights: tuple[float, ...]) -> None:
    assert of_labels(good, bad, *weights).notes() == []


@pytest.mark.parametrize(
    ("good", "bad", "weights", "says"),
    [
        (3, 6, (), "0.50 to 1; KTO wants from 1 to 1.33: set desirable_weight from 2.00 to 2.67"),
        (9, 3, (2, 1), "6.00 to 1; KTO wants from 1 to 1.33: set undesirable_weight from 4.50 to 6.00"),
        (2, 0, (), "every row is desirable, and KTO compares"),
        (0, 2, (), "every row is undesirable, and KTO compares"),
    ],
)
def test_labels_that_do_not_balance_get_a_weight(good: int, bad: int, weights: tuple[float, ...], says: str) -> None:
    (note,) = of_labels(good, bad, *weights).notes()
    assert says in note
    for word, name in (("undesirable_weight", 1), ("desirable_weight", 0)):
        if f"set {word} from" in note:
            advised = [float(number) for number in note.rpartition("from ")[2].split(" to ")]
            for weight in advised:
                given = [*(weights or (1.0, 1.0))]
                given[name] = weight
                assert of_labels(good, bad, *given).notes() == []


def test_prompts_are_for_another_trainer(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "2+2?"}], "ground_truth": "4", "dataset": "sums"}\n')
    build = Mixture("prompts", [Source("a", files(path, format=prompts()))]).build(tmp_path / "out", quiet=True)
    with pytest.raises(CallError, match=r"holds prompts, .*`curate export DIR --to trl`, .* TRL's GRPOTrainer"):
        preflight(build, tokenizer=str(tokenizer), limit=8, chat_template="tulu")
