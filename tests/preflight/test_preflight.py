"""A fit counts what training will see: held against TRL's own preparation, and against plain loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

from curate.errors import CallError, PreflightError
from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.preflight import Preflight, check, preflight
from curate.preflight.recipes import recipe_of, stage_of
from curate.preflight.row_lengths import LABELLED, LENGTHS, measured
from curate.result.build import Build

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("trl", reason="needs the extra curate[train]")
pytestmark = pytest.mark.filterwarnings("default")  # TRL and its dependencies warn their own developers
LIMITS = (1, 17, 60, 150, 1_000)


@pytest.mark.parametrize("limit", LIMITS)
def test_conversations_against_a_loop(chats: Build, tokenizer: Path, limit: int) -> None:
    chatty = chat_tokenizer(str(tokenizer), "zephyr")
    found = preflight(chats, tokenizer=str(tokenizer), limit=limit, chat_template="zephyr")
    counts = dict.fromkeys(("tokens", "trainable", "cut", "lost", "left", "trained"), 0)
    for row in chats.kept("train").collect().to_dicts():
        tokenized = chatty.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=True)
        mask = tokenized["assistant_masks"]
        stays = any(mask[:limit])
        counts["tokens"] += len(mask)
        counts["trainable"] += sum(mask)
        counts["cut"] += stays and len(mask) > limit
        counts["lost"] += not stays
        counts["left"] += stays * min(len(mask), limit)
        counts["trained"] += sum(mask[:limit])
    assert {name: found.total[name] for name in counts} == counts
    assert found.rows == found.total["rows"] - counts["lost"] == found.trained.sum()
    assert found.table["source"].to_list() == [*chats.sources, "total"]
    assert found.table[:-1].drop("source", "longest").sum().row(0) == found.table.drop("source", "longest").row(-1)


@pytest.mark.parametrize("limit", LIMITS)
def test_pairs_against_a_loop(preferences: Build, tokenizer: Path, limit: int) -> None:
    chatty = chat_tokenizer(str(tokenizer), "tulu")
    found = preflight(preferences, tokenizer=str(tokenizer), limit=limit, chat_template="tulu")
    counts = dict.fromkeys(("tokens", "cut", "lost", "equal", "left"), 0)
    for row in preferences.kept("train").collect().to_dicts():
        asked = chatty.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        whole = [chatty.apply_chat_template(row["prompt"] + row[side])["input_ids"] for side in ("chosen", "rejected")]
        first, second = (one[:limit] for one in whole)
        fate = "lost" if len(asked) >= limit else "equal" if first == second else ""
        cut = not fate and max(map(len, whole)) > limit
        counts["tokens"] += sum(map(len, whole))
        counts["cut"] += cut
        counts["left"] += 0 if fate else len(first) + len(second)
        if fate:
            counts[fate] += 1
    assert {name: found.total[name] for name in counts} == counts


def test_sides_that_are_the_same_up_to_the_limit_are_left_out(tokenizer: Path, tmp_path: Path) -> None:
    ends = [("the same", "the other"), ("a", "b"), ("", "more")]
    rows = [{"prompt": "Say it", "chosen": f"{'so ' * 30}{a}", "rejected": f"{'so ' * 30}{b}"} for a, b in ends]
    rows.append({"prompt": "Say it", "chosen": "yes", "rejected": "no"})
    source = Source("pairs", frame(pl.DataFrame(rows), "preference"))
    build = Mixture("pairs", [source]).build(tmp_path / "pairs", quiet=True)
    found = {n: preflight(build, tokenizer=str(tokenizer), limit=n, chat_template="tulu") for n in (50, 500)}
    assert [(one.total["equal"], one.rows) for one in found.values()] == [(3, 1), (0, 4)]
    equal = found[50].lengths.filter(pl.col("outcome") == "equal")
    assert equal.select("left", "trained").sum().row(0) == (0, 0)


def test_trl_prepares_the_same_conversations(chats: Build, model: Path) -> None:
    import datasets
    from trl import SFTConfig, SFTTrainer

    chatty = chat_tokenizer(str(model), "tulu")
    ours = pa.Table.from_batches([one.select(list(LABELLED)) for one in measured(chats, chatty, 120)]).to_pydict()
    rows = datasets.Dataset(chats.kept("train").select("messages").collect().to_arrow())
    config = SFTConfig(str(model / "out"), max_length=120, assistant_only_loss=True, bf16=False, report_to="none")
    theirs = SFTTrainer(str(model), args=config, train_dataset=rows, processing_class=chatty).train_dataset
    kept = [place for place, ids in enumerate(ours["input_ids"]) if ids]
    assert len(kept) == len(theirs) < len(rows)
    for name in LABELLED:
        assert [ours[name][place] for place in kept] == theirs[name][:]


@pytest.mark.parametrize("limit", [40, 1_000])
def test_trl_prepares_the_same_pairs(preferences: Build, model: Path, limit: int) -> None:
    import datasets
    from trl import DPOConfig, DPOTrainer

    chatty = chat_tokenizer(str(model), "zephyr")
    found = preflight(preferences, tokenizer=str(model), limit=limit, chat_template="zephyr")
    rows = datasets.Dataset(preferences.kept("train").select("prompt", "chosen", "rejected").collect().to_arrow())
    config = DPOConfig(str(model / "out"), max_length=limit, bf16=False, report_to="none")
    theirs = DPOTrainer(str(model), args=config, train_dataset=rows, processing_class=chatty).train_dataset
    lengths = found.lengths.filter(pl.col("outcome") != "lost")
    assert len(lengths) == len(theirs)
    tokens = [2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in theirs]
    assert lengths["tokens"].to_list() == tokens


def test_packs_are_those_of_trl(chats: Build, tokenizer: Path) -> None:
    from datasets import Dataset
    from trl import pack_dataset

    found = preflight(chats, tokenizer=str(tokenizer), limit=200, chat_template="tulu", packing=True)
    batches = measured(chats, chat_tokenizer(str(tokenizer), "tulu"), 200)
    rows = Dataset(pa.Table.from_batches([one.select(list(LABELLED)) for one in batches]))
    assert found.packs == len(pack_dataset(rows, 200, "bfd"))
    assert found.efficiency == pytest.approx(found.total["left"] / (found.packs * 200))
    assert found.steps(8) == -(-found.packs // 8)


def of_lengths(*outcomes: str, kind: str = "conversation", sound: bool = True) -> Preflight:
    rows: list[Any] = [
        ("a", str(n), 9, 4, 9, 0 if one == "lost" else 8, 1, one, sound, [], [], []) for n, one in enumerate(outcomes)
    ]
    lengths = pl.DataFrame(rows, LENGTHS.names, orient="row").cast({"source": pl.Enum(["a"])})
    return Preflight("mine", kind, 8, lengths)  # type: ignore[arg-type]


def test_what_would_be_silently_wrong_is_an_error() -> None:
    check(of_lengths(*["whole"] * 19, "lost"))
    with pytest.raises(
        PreflightError, match=r"2 of 20 rows \(10.0%\) would be left out at 8 tokens: 2 have nothing .*=0.1"
    ):
        check(of_lengths(*["whole"] * 18, "lost", "lost"))
    check(of_lengths(*["whole"] * 18, "lost", "lost"), 0.1)
    with pytest.raises(PreflightError, match="1 have the same answer on both sides"):
        check(of_lengths("equal", kind="preference"))
    with pytest.raises(PreflightError, match="mine has no rows to train on"):
        check(of_lengths())
    with pytest.raises(PreflightError, match="shows another number of answers than the row has, such as a/0"):
        check(of_lengths("whole", sound=False))


def test_what_is_worth_knowing_is_a_note() -> None:
    assert of_lengths("whole", "whole").notes() == []
    lost, cut = of_lengths("lost", "cut", "whole").notes()
    assert lost == "1 of 3 rows are left out: 1 have nothing trainable left"
    assert cut.startswith("warning: 1 of 3 rows (33.3%) are longer than 8 tokens and are cut")
    assert "the longest is a/1 with 9 tokens" in cut
    (few,) = of_lengths(*["whole"] * 30, "cut").notes()
    assert few.startswith("1 of 31")


def test_a_template_that_drops_an_answer_is_found(chats: Build, tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "first.jinja"
    marked = "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    path.write_text(
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% elif loop.last %}"
        + marked
        + "{% endif %}{% endfor %}"
    )
    with pytest.raises(PreflightError, match="another number of answers"):
        check(preflight(chats, tokenizer=str(tokenizer), limit=500, chat_template=str(path)))


@pytest.mark.parametrize(
    ("condition", "match"),
    [
        (
            "{% if 'the' in m.content %}{{ raise_exception('No!') }}{% endif %}",
            r"rejects \w+/\S+: No!; choose",
        ),
        ("{{ m.content + 1 }}", r"rejects \w+/\S+: can only concatenate str"),
        ("{{ oops", r"rejects \w+/\S+: expected token"),
    ],
)
def test_a_row_that_the_template_turns_away_is_named(
    chats: Build, tokenizer: Path, tmp_path: Path, condition: str, match: str
) -> None:
    path = tmp_path / "strict.jinja"
    marked = "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
    path.write_text("{% for m in messages %}" + condition + marked + "{% endfor %}")
    with pytest.raises(PreflightError, match=match):
        preflight(chats, tokenizer=str(tokenizer), limit=500, chat_template=str(path))


def test_rated_rows_and_limits_of_nothing(tokenizer: Path, chats: Build, tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "a"}],
        "completions": [{"content": "b", "model": "m", "scores": []}],
    }
    build = Mixture("rated", [Source("a", frame(pl.DataFrame([row]), "rated"))]).build(tmp_path / "rated", quiet=True)
    with pytest.raises(CallError, match="rated rows, which cannot be trained on; make pairs of them with binarize"):
        preflight(build, tokenizer=str(tokenizer), limit=8, chat_template="tulu")
    with pytest.raises(CallError, match="a limit of 0 tokens"):
        preflight(chats, tokenizer=str(tokenizer), limit=0, chat_template="tulu")


def test_recipes_are_found_by_name_and_stage() -> None:
    assert recipe_of("tulu3", "dpo").settings()["loss_type"] == ["sigmoid_norm"]
    assert recipe_of("zephyr", "sft").settings()["packing"] is True
    with pytest.raises(CallError, match="no recipe 'tulu4' for dpo; did you mean 'tulu"):
        recipe_of("tulu4", "dpo")
    assert recipe_of("kto", "kto").settings()["loss_type"] == "kto"
    assert [stage_of("conversation"), stage_of("preference"), stage_of("unpaired")] == ["sft", "dpo", "kto"]
    with pytest.raises(CallError, match=r"`curate export DIR --to trl`, and give them to TRL's GRPOTrainer"):
        stage_of("prompt")


def test_every_setting_of_a_recipe_is_one_of_trl() -> None:
    from dataclasses import fields

    from curate.preflight.recipes import RECIPES
    from curate.train.training_plan import config_of

    for recipe in RECIPES:
        known: dict[str, Any] = {one.name: one for one in fields(config_of(recipe.stage))}
        assert recipe.settings().keys() <= known.keys()
