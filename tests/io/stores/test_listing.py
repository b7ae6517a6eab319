"""A URL reaches the files that a path would, under the same names; what is not there is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.io.joined import joined
from curate.io.paths import resolve
from curate.io.stores.copies import find
from curate.io.stores.drivers import Place
from curate.io.stores.listing import is_still, of_content, remote_file
from curate.io.stores.urls import RemoteFile, is_url, shown, without_secrets
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.decontaminate.decontaminate import decontaminate
from tests.support.build_data import built, chats, hashes, source, turns, write_lines

fsspec = pytest.importorskip("fsspec")

TREE: Final = (
    *("a.jsonl", "b.jsonl", "B.JSONL.gz", "notes.txt", "_draft.jsonl", ".hidden.jsonl", "a[1].jsonl", "what?.jsonl"),
    *("in/a.jsonl", "in/c.csv", "in/deep/d.parquet", "in/_old/e.jsonl", "in/.git/f.jsonl", "in/x y é.jsonl"),
    *("in/%2e%2e/g.jsonl", "in2/a.jsonl", "in [2]/h.jsonl"),
)
PATTERNS: Final = (
    *("", "in", "in/", "a.jsonl", "what?.jsonl", "a[1].jsonl", "*.jsonl", "?.jsonl", "[ab].jsonl", "[!a].jsonl", "*"),
    *(
        "_*.jsonl",
        ".*",
        "**",
        "**/*",
        "**/*.jsonl",
        "*/*.jsonl",
        "in*/*.jsonl",
        "in/**/*.parquet",
        "**/deep/*",
        "in/**",
    ),
    *("in/_old/*.jsonl", "in/_*/*", "*/*/*", "in [2]/*", "in/%2e%2e/*", "in/x y*"),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The store `memory://`, empty, with copies in a folder of its own."""
    monkeypatch.setenv("CURATE_BUCKETS", str(tmp_path / "copies"))
    driver = fsspec.filesystem("memory")
    driver.store.clear()
    driver.pseudo_dirs[:] = [""]
    yield driver
    driver.store.clear()


def lay(store: Any, folder: Path, names: tuple[str, ...] = TREE) -> None:  # noqa: ANN401
    """Put the same files into a store and a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        store.pipe_file(f"/top/{name}", name.encode())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_url_reaches_what_a_path_does(store: Any, tmp_path: Path, pattern: str) -> None:  # noqa: ANN401
    lay(store, tmp_path / "top")
    on_disk = resolve((f"{tmp_path}/top/{pattern}",))
    in_store = find([f"memory://top/{pattern}"])
    assert [(file.name, file.size) for file in in_store] == [(file.name, file.size) for file in on_disk]
    assert [file.path.read_text() for file in in_store] == [file.path.read_text() for file in on_disk]
    assert [file.place.removeprefix("memory://top/") for file in in_store] == [
        str(file.path.relative_to(tmp_path / "top")) for file in on_disk
    ]


@given(st.lists(st.sampled_from(PATTERNS[:24]), min_size=2, max_size=3))
def test_several_urls_are_read_once_under_names_that_they_share(patterns: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as name:
        patch.setenv("CURATE_BUCKETS", f"{name}/copies")
        store = fsspec.filesystem("memory")
        store.store.clear()
        lay(store, Path(name) / "top")
        on_disk = resolve(tuple(f"{name}/top/{one}" for one in patterns))
        in_store = find([f"memory://top/{one}" for one in patterns])
        assert [file.name for file in in_store] == [file.name for file in on_disk]
        assert [len(file.also) for file in in_store] == [len(file.also) for file in on_disk]
        store.store.clear()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://top/c.jsonl", r"'memory://top/c\.jsonl' is not there; memory://top holds "),
        ("memory://top/no/c.jsonl", r"'memory://top/no/c\.jsonl' is not there; memory://top holds "),
        ("memory://top/in/*.json", r"the pattern 'memory://top/in/\*\.json' matches no file; memory://top/in holds "),
        ("memory://top/in/[ab].csv", r"write \[\[\] for a bracket"),
        ("memory://top/in/deep/no/*", r"matches no file; memory://top/in/deep holds d\.parquet"),
        ("memory://nothing", r"'memory://nothing' is not there"),
        ("memory://top/in/.git", r"the folder 'memory://top/in/\.git' holds no data; looked for \.json"),
        ("memry://top", r"memry://top: there is no scheme 'memry'; did you mean 'memory'"),
    ],
)
def test_what_is_not_there_is_said(store: Any, tmp_path: Path, url: str, said: str) -> None:  # noqa: ANN401
    lay(store, tmp_path / "top", tuple(name for name in TREE if ".git" not in name))
    store.pipe_file("/top/in/.git/notes.txt", b"no rows")
    with pytest.raises(SourceNotFoundError, match=said):
        find([url])


def test_paths_and_urls_are_two_sources(store: Any, tmp_path: Path) -> None:  # noqa: ANN401
    lay(store, tmp_path / "top")
    with pytest.raises(MixtureError, match=r"memory://top/a\.jsonl is in a store, and a\.jsonl is on this machine"):
        find(["a.jsonl", "memory://top/a.jsonl"])


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", chats(3))
    assert find([f"file://{path}"]) == find([str(path)])
    assert not is_url(f"file://{path}")


def test_a_url_that_was_made_a_path_is_the_url(store: Any, tmp_path: Path) -> None:  # noqa: ANN401
    lay(store, tmp_path / "top", ("in/a.jsonl",))
    store.pipe_file("/top/in/a.jsonl", write_lines(tmp_path / "a.jsonl", chats(3)).read_bytes())
    source_files = files(Path("memory://top") / "in", "messages")
    assert [file.place for file in source_files.parts(None)] == ["memory://top/in/a.jsonl"]
    made = Mixture("mix", [source("s", source_files)]).build(Path("memory://top/out"), quiet=True)
    assert Build(Path("memory://top/out")).url == made.url == "memory://top/out"
    assert not Path("memory:").exists()


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(
        MixtureError, match=r"s3://b/x: the driver of s3:// is not installed: pip install 'curate\[s3\]'"
    ):
        find(["s3://b/x"])
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MixtureError, match=r"memory://b/x: memory:// needs fsspec and a driver for it: pip install"):
        find(["memory://b/x"])


def test_what_datasets_saved_is_read_by_its_state(store: Any, tmp_path: Path) -> None:  # noqa: ANN401
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(chats(4))
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "dict"))
    for path in sorted((tmp_path / "dict").rglob("*")):
        if path.is_file():
            store.pipe_file(f"/top/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    store.pipe_file("/top/dict/train/cache-1.arrow", b"of datasets")
    for one in ("dict/train", "dict/*/*.arrow", "dict/**"):
        on_disk, in_store = resolve((f"{tmp_path}/{one}",)), find([f"memory://top/{one}"])
        assert [file.name for file in in_store] == [file.name for file in on_disk]
    with pytest.raises(
        FormatError, match=r"with the splits train, test\. Choose one: files\('memory://top/dict/train'\)"
    ):
        find(["memory://top/dict"])


def test_a_folder_that_is_a_build_says_where_its_rows_are(store: Any, tmp_path: Path) -> None:  # noqa: ANN401
    made = built(tmp_path / "out", source("s", chats(3)))
    for path in sorted(made.path.rglob("*")):
        if path.is_file():
            store.pipe_file(f"/top/out/{path.relative_to(made.path).as_posix()}", path.read_bytes())
    with pytest.raises(FormatError, match=r"is a build of curate\. Its rows are in files\('memory://top/out/data'\)"):
        find(["memory://top/out"])
    assert [file.name for file in find(["memory://top/out/data"])] == ["train-00000-of-00001.parquet"]
    assert files("memory://top/out/data").open().kind == "conversation"


SAID: Final[list[tuple[Mapping[str, Any], str]]] = [
    ({"ETag": '"abc"', "LastModified": datetime(2026, 1, 1, tzinfo=UTC), "size": 3}, "etag abc"),  # S3
    ({"etag": "CI=", "md5Hash": "q1==", "updated": "2026-01-01", "size": 3}, "etag CI="),  # Google
    ({"created": datetime(2026, 1, 1, tzinfo=UTC), "size": 3}, "created 1767225600.0"),  # memory
    ({"mtime": 1767225600, "size": 3}, "mtime 1767225600"),  # HDFS
    ({"name": "x", "size": None, "type": "file"}, ""),  # a plain web server
]


@pytest.mark.parametrize(("info", "stamp"), SAID)
def test_what_a_store_says_of_a_file_names_its_copy(info: Mapping[str, Any], stamp: str) -> None:
    found = remote_file(Place("s3://b/x", None, "b/x"), info)
    assert found == RemoteFile("s3://b/x", info["size"], stamp)
    before = None if of_content(found) else info
    assert is_still(found, before, info)
    assert not stamp or not is_still(found, before, {name: f"{value}!" for name, value in info.items()})
    assert not is_still(found._replace(size=4), before, info)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("s3://bucket/part-?.jsonl", "s3://bucket/part-?.jsonl"),
        ("ftp://ann:hidden@host:21/a", "ftp://host:21/a"),
        ("s3://AKIA:hid/den@bucket/a@b.jsonl", "s3://bucket/a@b.jsonl"),
        ("https://host/a.jsonl?sig=hidden&x=hidden", "https://host/a.jsonl"),
        ("hdfs://host:8020/a@b", "hdfs://host:8020/a@b"),
        ("s3://bucket/a@b=c", "s3://bucket/a@b=c"),
    ],
)
def test_what_of_a_url_may_be_a_secret_is_not_shown(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert "hid" not in without_secrets(f"cannot read {url}: {url.partition('://')[2]} is gone", url)


def test_joined_rows_eval_sets_and_builds_come_from_urls_too(store: Any, tmp_path: Path) -> None:  # noqa: ANN401
    answers = [{"prompt": f"Ask {i}?", "content": f"Say {i}.", "score": i} for i in range(6)]
    (tmp_path / "in").mkdir()
    for model in ("a", "b"):
        path = write_lines(tmp_path / "in" / f"{model}.jsonl", answers)
        store.pipe_file(f"/top/in/{model}.jsonl", path.read_bytes())
    made = [
        built(tmp_path / f"out{i}", source("s", joined(given, on="prompt", content="content", score="score")))
        for i, given in enumerate(
            {model: f"{place}/{model}.jsonl" for model in ("a", "b")} for place in (f"{tmp_path}/in", "memory://top/in")
        )
    ]
    assert hashes(made[0].path) == hashes(made[1].path)
    sets = [evals.files(f"{place}/a.jsonl", question="prompt") for place in (f"{tmp_path}/in", "memory://top/in")]
    assert [one.name for (one,) in sets] == ["a", "a"]
    found = [
        built(
            tmp_path / f"clean{i}",
            source("s", [{"messages": turns(f"Ask {n}?", "So.")} for n in range(9)]),
            steps=(decontaminate(items, allow_large_drop=True),),
        )
        for i, items in enumerate(sets)
    ]
    assert hashes(found[0].path) == hashes(found[1].path)
