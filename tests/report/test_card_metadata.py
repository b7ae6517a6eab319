"""The metadata of a card: what the Hub's specification names, for any licence and any text, as `datasets` reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate as c
from curate.io.hub.card import read_card
from curate.report.card_metadata import _feature, quoted, size_category
from curate.report.run_card import card
from curate.result.build import Build
from curate.rows.schema import BODIES, FULL_MESSAGE, ROW_PARTS


def metadata(build: Build) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    _, front, _ = card(build).split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def changed(build: Build, folder: Path, **fields: list[Any]) -> Build:
    """Return a copy of a build with other fields of its sources: a value for each of them, in turn."""
    shutil.copytree(build.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for number, source in enumerate(manifest["sources"]):
        source |= {name: values[number % len(values)] for name, values in fields.items()}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return Build(folder)


def test_what_the_hub_lists_a_set_by(demo: Build, pairs: Build) -> None:
    found = metadata(demo)
    assert list(found) == [
        *("pretty_name", "license", "task_categories", "size_categories", "tags", "configs", "dataset_info"),
    ]
    assert found["pretty_name"] == "demo"
    assert found["license"] == "cc0-1.0"
    assert found["size_categories"] == ["n<1K"]
    assert found["task_categories"] == ["text-generation"]
    assert found["tags"] == ["curate", "sft"]
    assert metadata(pairs)["tags"] == ["curate", "preference", "dpo"]
    assert [split["split"] for split in found["configs"][0]["data_files"]] == ["train", "test"]


def test_columns_and_sizes_are_those_of_the_files(demo: Build, pairs: Build) -> None:
    datasets = pytest.importorskip("datasets")
    for build in (demo, pairs):
        found = metadata(build)["dataset_info"]
        files = sorted((build.path / "data").glob("*.parquet"))
        features = datasets.Features.from_arrow_schema(pq.read_schema(files[0]))
        assert datasets.Features._from_yaml_list(found["features"]) == features
        assert {one["name"]: one["num_examples"] for one in found["splits"]} == {
            name: split["rows"] for name, split in build.manifest["splits"].items() if split["rows"]
        }
        assert found["dataset_size"] == sum(one["num_bytes"] for one in found["splits"])
        assert found["download_size"] == sum(path.stat().st_size for path in files)
        assert found["dataset_size"] > found["download_size"] // 2


@pytest.mark.parametrize("schema", [*BODIES.values(), pa.schema([("messages", pa.list_(FULL_MESSAGE)), *ROW_PARTS])])
def test_columns_are_spelled_as_datasets_spells_them(schema: pa.Schema) -> None:
    datasets = pytest.importorskip("datasets")
    schema = schema.append(pa.field("deep", pa.list_(pa.list_(pa.struct([("a", pa.list_(pa.int64()))])))))
    ours = [{"name": field.name, **_feature(field.type)} for field in schema]
    assert ours == datasets.Features.from_arrow_schema(schema)._to_yaml_list()


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["mit", "Apache-2.0"], {"license": ["mit", "apache-2.0"]}),
        (["mit, cc-by-4.0", "mit"], {"license": ["mit", "cc-by-4.0"]}),
        (["mit", None], {"license": ["mit", "unknown"]}),
        ([None], {}),
        (["AI2 ImpACT: #1 'low'", "mit"], {"license": ["other", "mit"], "license_name": "ai2-impact-1-low"}),
        (["line\nbreak \u2028 \u202e \x7f", "- yes"], {"license": "other", "license_name": "line-break-and-yes"}),
        (["许可"], {"license": "other", "license_name": "unnamed"}),
    ],
)
def test_licences_are_rolled_up(demo: Build, tmp_path: Path, licences: list[str | None], expected: object) -> None:
    found = metadata(changed(demo, tmp_path / "copy", licence=licences))
    assert {name: value for name, value in found.items() if name.startswith("license")} == expected


def test_licences_are_read_back_as_they_were_written(demo: Build, tmp_path: Path) -> None:
    build = changed(demo, tmp_path / "copy", licence=["mit", "our terms", None])
    assert read_card(card(build))[0].licence == "mit, our-terms, unknown"


def test_only_licences_of_rows_in_the_data_files_count(nasty: Build, tmp_path: Path) -> None:
    rows = [{"mit": 12, "cc-by-nc-4.0": 0}, {"odc-by": 20}]
    assert metadata(changed(nasty, tmp_path / "copy", licences=rows))["license"] == ["mit", "odc-by"]


def test_sets_of_the_hub_are_named_once_with_the_link_to_their_licence(demo: Build, tmp_path: Path) -> None:
    origins = [{"repository": name, "commit": "c" * 40} for name in ("lab/b", "lab/a", "lab/b", "lab/c")]
    origins[1]["licence_link"] = "https://lab.example/terms"
    found = metadata(changed(demo, tmp_path / "copy", origin=origins, licence=["ours"]))
    assert found["source_datasets"] == ["lab/b", "lab/a", "lab/c"]
    assert found["license_link"] == "https://lab.example/terms"


def test_no_text_leaves_its_place(demo: Build, tmp_path: Path) -> None:
    text = 'a"\n---\nlicense: mit\n\u2028\u202e\x85\U000e0041 {x: [1]} # <b>'
    found = metadata(changed(demo, tmp_path / "copy", origin=[{"repository": text}]))
    assert found["source_datasets"] == [text]
    assert found["license"] == "cc0-1.0"
    assert quoted(text).isprintable()


def test_sizes_are_the_hubs() -> None:
    assert [size_category(10**n) for n in range(2, 14)] == [
        *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"),
        *("10B<n<100B", "100B<n<1T", "n>1T", "n>1T"),
    ]


def test_languages_are_those_of_more_than_a_few_rows(tmp_path: Path) -> None:
    texts = {
        "What will the weather be like in Hamburg tomorrow, and should I take a coat with me?": 120,
        "Wie wird das Wetter morgen in Hamburg, und soll ich einen Mantel mitnehmen?": 80,
        "Quel temps fera-t-il demain à Hambourg, et dois-je prendre un manteau avec moi ?": 1,
        "42": 30,
    }
    turns = [
        [{"role": "user", "content": f"{text} {number}"}, {"role": "assistant", "content": "4"}]
        for text, count in texts.items()
        for number in range(count)
    ]
    source = c.Source("a", c.frame(pl.DataFrame({"messages": turns}), "messages"))
    build = c.Mixture("languages", [source], [c.language()]).build(tmp_path / "build", quiet=True)
    assert build.languages["language"].to_list() == ["en", "de", "und", "fr"]
    assert metadata(build)["language"] == ["en", "de"]
