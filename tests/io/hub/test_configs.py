"""Configs and splits are those that `datasets` finds, and a card says what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets.data_files import DataFilesDict, get_data_patterns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.hub.card import DatasetCard, read_card
from curate.io.hub.configs import Chosen, by_name, choose, matching, readable

FOLDERS = ["data", "train", "test", "my-train", "eval_x", "x.test", "dev", "training", "notrain", "valid set", "sub"]
NAMES = [
    "train", "test", "a", "b-train", "train_0", "eval", "testing.v2", "untest", "my train", "data.dev",
    "train-00000-of-00002", "x-00001-of-00002", "foo-validation",
]  # fmt: skip
paths = st.builds(
    lambda folders, name: "/".join([*folders, f"{name}.jsonl"]),
    st.lists(st.sampled_from(FOLDERS), max_size=2),
    st.sampled_from(NAMES),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(paths, min_size=1, max_size=5, unique=True), st.integers(0, 1 << 30))
def test_file_names_give_the_splits_that_datasets_finds(tmp_path: Path, files: list[str], number: int) -> None:
    base = tmp_path / str(number)
    for path in files:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).touch()
    files = sorted(path.relative_to(base).as_posix() for path in base.rglob("*.jsonl"))
    theirs = {
        str(split): {str(Path(file).relative_to(base)) for file in found}
        for split, patterns in get_data_patterns(str(base)).items()
        for found in DataFilesDict.from_local_or_remote({split: patterns}, base_path=str(base)).values()
    }
    _, said = read_card("")
    ours = {split: set(choose("lab/x", files, said, None, [split]).paths) for split in theirs}
    assert ours == theirs
    if len(theirs) > 1:
        with pytest.raises(SourceNotFoundError, match=f"lab/x has {len(theirs)} splits; choose one"):
            choose("lab/x", files, said, None, None)


CARD = """---
configs:
- config_name: SFT
  data_files:
  - split: think
    path: SFT/think/*
  - split: plain
    path: [SFT/a.parquet, SFT/b.parquet]
- config_name: Mid
  default: true
  data_files: Mid/**
- config_name: Preference
  data_dir: Preference
- config_name: Nothing
  data_files: nothing/*.parquet
dataset_info:
- config_name: SFT
  splits:
  - {name: think, num_examples: 1234}
  - {name: plain}
---
"""
FILES = [
    "Mid/x/y.parquet", "Preference/test.parquet", "Preference/train.parquet", "README.md", "SFT/a.parquet",
    "SFT/b.parquet", "SFT/c.parquet", "SFT/think/.hidden.parquet", "SFT/think/0.parquet", "SFT/think/deep/1.parquet",
    "SFT/think/notes.txt",
]  # fmt: skip


def test_a_card_says_configs_splits_and_the_default() -> None:
    _, said = read_card(CARD)

    def chosen(config: str | None, *splits: str) -> Chosen:
        return choose("lab/x", FILES, said, config, splits or None)

    assert chosen(None) == Chosen(("Mid/x/y.parquet",), "Mid", ("train",))
    assert chosen("SFT", "think") == Chosen(("SFT/think/0.parquet",), "SFT", ("think",))
    assert chosen("SFT", "plain").paths == ("SFT/a.parquet", "SFT/b.parquet")
    assert chosen("Preference", "test").paths == ("Preference/test.parquet",)
    with pytest.raises(SourceNotFoundError, match=r"has 2 splits; .*: think \(1,234 rows\), plain$"):
        chosen("SFT")
    with pytest.raises(SourceNotFoundError, match=r"no config 'sft'; it has SFT \(1,234 rows\), Mid, Preference, N"):
        chosen("sft")
    with pytest.raises(SourceNotFoundError, match="config Nothing: no file that curate reads"):
        chosen("Nothing")


def test_many_configs_are_listed_in_part() -> None:
    card = "---\nconfigs:\n" + "".join(f"- config_name: c{i}\n  data_files: {i}.csv\n" for i in range(57)) + "---\n"
    with pytest.raises(SourceNotFoundError, match=r"has 57 configs; .*: c0, c1, .*, c29 and 27 more$"):
        choose("lab/x", ["0.csv"], read_card(card)[1], None, None)


def test_the_most_frequent_kind_of_file_is_read() -> None:
    """As `datasets` does: of a draw, Parquet."""
    _, said = read_card("")
    assert choose("lab/x", ["a.json", "b.jsonl", "c.parquet"], said, None, None).paths == ("a.json", "b.jsonl")
    assert choose("lab/x", ["a.json", "c.parquet"], said, None, None).paths == ("c.parquet",)
    assert readable(["dataset_infos.json", "a.zip", "__x/a.json", "a.JSON.gz"]) == ["a.JSON.gz"]


def test_files_are_chosen_by_name_folder_or_pattern() -> None:
    def found(*patterns: str) -> tuple[str, ...]:
        return by_name(FILES, patterns, "lab/x").paths

    assert found("SFT") == ("SFT/a.parquet", "SFT/b.parquet", "SFT/c.parquet", "SFT/think/0.parquet",
                            "SFT/think/deep/1.parquet")  # fmt: skip
    assert found("SFT/*.parquet", "SFT/a.parquet") == ("SFT/a.parquet", "SFT/b.parquet", "SFT/c.parquet")
    assert found("./Mid/**/*.parquet") == ("Mid/x/y.parquet",)
    assert found("SFT/[ab].parquet") == ("SFT/a.parquet", "SFT/b.parquet")
    with pytest.raises(SourceNotFoundError, match=r"lab/x has no file 'SFT/d.parquet'; did you mean 'SFT/"):
        found("SFT/d.parquet")
    with pytest.raises(MixtureError, match=r"the pattern 'SFT/\*\*.parquet': \*\* is a whole part of a path"):
        matching("SFT/**.parquet", FILES)


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("", DatasetCard()),
        ("# Title\n\nBody.", DatasetCard(title="Title")),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", DatasetCard(licence="mit, cc-by-4.0")),
        (
            "---\r\nlicense: other\r\nlicense_name: ours\r\nlicense_link: LICENSE\r\n---\r\n",
            DatasetCard(licence="ours", licence_link="LICENSE"),
        ),
        ("---\nextra_gated_fields:\n  Name: text\n  I agree: checkbox\n---\n", DatasetCard(asks=("Name", "I agree"))),
        (
            "---\npretty_name: P\n---\n# T\n\n@article{a,\n t={{A} b}}\ntext\n```\n@misc{b}\n```\n@open{",
            DatasetCard(title="P", citation="@article{a,\n t={{A} b}}\n\n@misc{b}"),
        ),
    ],
)
def test_a_card_is_read(text: str, card: DatasetCard) -> None:
    assert read_card(text)[0] == card
