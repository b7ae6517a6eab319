"""A pushed build is what it is on disk, whatever fails on the way; nothing that was dropped and no token goes along."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import huggingface_hub.utils._http
import polars as pl
import pytest

import curate as c
import curate.engine.shards
import curate.io.hub.repository
from curate.cli.app import main
from curate.errors import BuildFolderError, CallError, CurateError, PushError
from curate.io.hub.hub import hub
from curate.result.push import Destination, _reason
from tests.support.hub_server import Hub, Repository, away, serving

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client, at each upload

SENT = (".gitattributes", "README.md", "manifest.json", "report.html", "charts/composition.svg", "charts/funnel.svg")
TOKEN: Final = "hf_" + "w" * 24
READER: Final = "hf_" + "r" * 24
NAME: Final = "lab/chats"
KEY: Final = "AKIA" + "Q7RTZ2LMXW4KPB6D"
SECRET: Final = f"My key is {KEY}, keep it."
ASKED: Final = "Which of the seven bridges of Pellow was the last one to be built across the harbour?"


def row(number: int, said: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{said} {number}"}, {"role": "assistant", "content": f"Answer {number}."}]
    return {"id": f"r{number}", "messages": messages}


def mixture(folder: Path, rows: int = 400) -> c.Mixture:
    """Declare a mixture that drops secrets, a duplicate of a dropped row and a refusal, and keeps an eval item."""
    plain = [row(number, f"What is {number} times {number}, said in {number} words?") for number in range(rows)]
    odd = [row(9000, SECRET), row(9000, SECRET) | {"id": "again"}, {"id": "lost", "messages": f"{SECRET} lost"}]
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [*plain, *odd]), "utf-8")
    asking = [row(number, f"And what is {number}?") for number in range(9100, 9120)] + [row(9200, ASKED)]
    (folder / "b.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asking), "utf-8")
    (folder / "quiz.jsonl").write_text(json.dumps({"id": "1", "question": ASKED}) + "\n", "utf-8")
    quiz = c.evals.files(folder / "quiz.jsonl", question="question", id="id", name="quiz")
    return c.Mixture(
        "chats",
        [
            c.Source("a", c.files(folder / "a.jsonl", format="messages"), licence="cc-by-sa-4.0"),
            c.Source("b", c.files(folder / "b.jsonl", format="messages"), licence="cc-by-nc-4.0"),
        ],
        [c.exact_dedup(), c.secrets_and_pii("drop", on="prompt"), c.decontaminate(quiz, mode="flag")],
        test=c.Rows(20),
        use="commercial",
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[c.Build]:
    folder = tmp_path_factory.mktemp("pushed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curate.engine.shards, "SHARD_BYTES", 10_000)
        yield mixture(folder).build(folder / "build", quiet=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with (
        serving({}, tokens={TOKEN: {"lab/*"}, READER: set()}) as found,
        found.here(tmp_path / "hf", token=TOKEN),
    ):
        yield found


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note how long the client and `curate` would wait, in place of waiting."""
    found: list[float] = []
    clock = SimpleNamespace(**{**vars(time), "sleep": found.append})
    for module in (huggingface_hub.utils._http, curate.io.hub.repository):
        monkeypatch.setattr(module, "time", clock)
    return found


def files(server: Hub, name: str = NAME, revision: str = "main") -> dict[str, bytes]:
    found = server.files(name, revision)
    assert found is not None
    return found


def writes(server: Hub) -> list[str]:
    return [one.path for one in server.requests if one.method in {"POST", "PUT"}]


def data(build: c.Build) -> dict[str, bytes]:
    return {f"data/{path.name}": path.read_bytes() for path in (build.path / "data").iterdir()}


def refusal(build: c.Build, name: str = NAME, **how: Any) -> str:  # noqa: ANN401
    """Return why a build cannot be pushed."""
    try:
        pushed = build.push(name, **how)
    except CurateError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(str(pushed))


def test_a_pushed_build_is_read_back_as_it_is(build: c.Build, server: Hub, tmp_path: Path) -> None:
    pushed = build.push(NAME)
    assert pushed.url == f"{server.endpoint}/datasets/{NAME}"
    assert pushed.private
    assert server.repositories[NAME].private
    assert len(data(build)) > 3
    assert {*SENT, *data(build)} == set(files(server))
    assert {name: value for name, value in files(server).items() if name in data(build)} == data(build)
    assert set(pushed.sent) == set(files(server)) - {".gitattributes"}
    code = (
        "import json, sys, datasets\n"
        "found = datasets.load_dataset(sys.argv[1])\n"
        "print(json.dumps({name: rows.to_list() for name, rows in found.items()}))"
    )
    process = [sys.executable, "-c", code, NAME]
    env = server.environment(tmp_path / "other", HF_TOKEN=TOKEN)
    loaded = json.loads(subprocess.run(process, env=env, check=True, capture_output=True).stdout)
    assert {name: pl.DataFrame(rows).to_dicts() for name, rows in loaded.items()} == {
        name: build.kept(name).collect().to_dicts() for name in ("train", "test")
    }
    again = c.Mixture("again", [c.Source("x", hub(NAME, split="train"))]).build(tmp_path / "again", quiet=True)
    assert sorted(again.kept().collect()["messages"].to_list(), key=str) == sorted(
        build.kept("train").collect()["messages"].to_list(), key=str
    )
    assert again.manifest["sources"][0]["licence"] == "cc-by-sa-4.0, cc-by-nc-4.0"
    assert TOKEN not in str(server.requests)


def test_most_clients_send_large_files_by_xet(
    build: c.Build, server: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("hf_xet")
    with server.here(tmp_path / "xet", token=TOKEN, xet=True):
        build.push(NAME)
        assert {name: value for name, value in files(server).items() if name in data(build)} == data(build)
        before = len(writes(server))
        assert build.push(NAME).sent == ()
    assert len(writes(server)) == before
    assert server.asked("/cas/v1/xorbs/", "POST")
    assert not server.asked("", "PUT")
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("path", "how", "said"),
    [
        ("xet-write-token", {"method": "GET", "status": 403}, "the token in use may not write to lab/chats (403)"),
        ("xet-write-token", {"method": "GET", "status": 401}, "the Hub does not accept the token (401)"),
        ("/cas/v1/xorbs/", {"method": "POST", "status": 418}, "lab/chats does not take the build: Network error"),
    ],
)
def test_refusals_by_xet_say_what_to_do(
    build: c.Build, server: Hub, tmp_path: Path, path: str, how: dict[str, Any], said: str
) -> None:
    pytest.importorskip("hf_xet")
    with server.here(tmp_path / "xet", token=TOKEN, xet=True):
        server.fail(path, **how)
        assert said in refusal(build)


def test_xet_says_that_a_connection_was_cut_in_words_of_its_own() -> None:
    """It tries again for four minutes before it does."""
    error = ConnectionError("Network error: Request middleware error: error sending request for url (http://x/cas/v1)")
    said = _reason(error, Destination(NAME, None, private=True))
    assert said.startswith("the connection to the Hub was cut (Network error: Request middleware error")


def test_a_second_push_sends_nothing(build: c.Build, server: Hub) -> None:
    first = build.push(NAME)
    before = len(writes(server))
    second = build.push(NAME)
    assert (second.sent, second.deleted, second.commit) == ((), (), first.commit)
    assert len(writes(server)) == before


def test_another_build_takes_the_place_of_the_first(build: c.Build, server: Hub, tmp_path: Path) -> None:
    build.push(NAME, with_ledger=True)
    server.commit(NAME, files(server) | {"LICENSE": b"ours", "notes/a.md": b"b"})
    other = mixture(tmp_path, rows=40).build(tmp_path / "build", quiet=True)
    pushed = other.push(NAME)
    assert set(files(server)) == {*SENT, "LICENSE", "notes/a.md", *data(other)}
    assert set(pushed.deleted) >= set(data(build)) - set(data(other))
    assert any(name.startswith("ledger/") for name in pushed.deleted)


def test_nothing_that_was_dropped_goes_along(build: c.Build, server: Hub) -> None:
    assert KEY in (build.path / "report.html").read_text("utf-8")
    build.push(NAME)
    texts = {name: value for name, value in files(server).items() if not name.endswith(".parquet")}
    assert not [name for name, value in texts.items() if KEY.encode() in value or b"said in" in value]
    page = texts["report.html"].decode()
    assert "The texts of rows are on the page of the build folder." in page
    assert all(mark not in page for mark in ("<!--rows-->", 'id="rows-data"'))
    rows = pl.concat(map(pl.read_parquet, [value for name, value in files(server).items() if name in data(build)]))
    assert not [said for said in rows["messages"].to_list() if KEY in str(said)]
    pushed = build.push(NAME, with_dropped=True, with_ledger=True)
    folders = {name.partition("/")[0] for name in pushed.sent}
    assert folders == {"report.html", "dropped", "ledger", "steps"}
    assert files(server)["report.html"] == (build.path / "report.html").read_bytes()


def test_a_branch_is_made_and_a_public_set_is_asked_for(build: c.Build, server: Hub) -> None:
    pushed = build.push(NAME, revision="v2/try", private=False)
    assert pushed.url.endswith(f"/datasets/{NAME}/tree/v2/try")
    assert not pushed.private
    assert set(files(server)) == {".gitattributes"}
    assert set(files(server, revision="v2/try")) > set(data(build))
    assert "is there, and public: say --public (private=False)" in refusal(build)
    assert build.push(NAME, revision="v2/try", private=False).sent == ()


def test_what_others_put_there_is_neither_replaced_nor_read_as_ours(build: c.Build, server: Hub) -> None:
    theirs = {"README.md": b"# Theirs", "data/train-00000-of-00001.parquet": b"PAR1"}
    server.repositories[NAME] = Repository(theirs, private=True)
    server.refs[NAME] = {}
    server.commit(NAME, theirs)
    said = refusal(build)
    assert f"PushError: {NAME} holds data that no push of a build wrote: data/train-00000-of-00001.parquet" in said
    assert files(server) == theirs
    server.commit(NAME, {"README.md": b"# Mine", ".gitattributes": b""})
    build.push(NAME)
    server.commit(NAME, files(server) | {"data/train-more.parquet": b"PAR1"})
    assert "data/train-more.parquet; nothing was changed" in refusal(build)


@pytest.mark.parametrize("part", [None, 1_000])
def test_what_fails_for_a_while_is_sent_again(
    build: c.Build, server: Hub, waits: list[float], part: int | None
) -> None:
    server.part = part
    server.fail("/api/datasets/lab/chats", status=503)
    server.fail("repos/create", status=500, method="POST")
    server.fail("validate-yaml", status=502, method="POST")
    server.fail("preupload", status=429, method="POST", headers={"Retry-After": "7"})
    server.fail("objects/batch", status=504, method="POST")
    server.fail("/[0-9a-f]{64}", status=500, method="PUT", times=2)
    server.fail("/[0-9a-f]{64}", drop=300, method="PUT", times=2)
    server.fail("/complete/", status=503, method="POST")
    server.fail("/commit/", status=429, method="POST")
    server.fail("/commit/", drop=10, method="POST")
    build.push(NAME)
    assert {name: value for name, value in files(server).items() if name in data(build)} == data(build)
    left = [one for one in server.failures if one.times]
    assert [one.path for one in left] == (["/complete/"] if part is None else [])
    assert max(waits) == 8
    assert 8 in waits


def test_a_commit_whose_answer_is_lost_is_not_made_twice(build: c.Build, server: Hub, waits: list[float]) -> None:
    server.fail("/commit/", cut=0, method="POST")
    pushed = build.push(NAME)
    assert set(pushed.sent) == set(files(server)) - {".gitattributes"}
    assert pushed.commit == server.refs[NAME]["main"]
    assert len(server.asked("/commit/", "POST")) == 1
    assert waits == [1]


def test_a_push_that_was_cut_goes_on(build: c.Build, server: Hub, waits: list[float]) -> None:
    server.fail("/commit/", drop=0, method="POST", times=5)
    said = refusal(build)
    assert said.startswith("PushError: the connection to the Hub was cut (")
    assert said.endswith("also when tried again. What was uploaded is kept: push again")
    assert set(files(server)) == {".gitattributes"}, "whole or absent"
    assert waits == [1, 2, 4, 8]
    before = len(server.asked("", "PUT"))
    assert before == len(data(build))
    build.push(NAME)
    assert len(server.asked("", "PUT")) == before, "large files are sent once"
    assert set(files(server)) > set(data(build))


@pytest.mark.parametrize(
    ("path", "how", "said"),
    [
        ("repos/create", {"status": 403}, "the token in use may not write to lab/chats (403): it needs the right to"),
        ("preupload", {"status": 404}, "the Hub finds no lab/chats (404): see that lab is there"),
        ("/commit/", {"status": 409}, "lab/chats was changed by somebody else at the same time (409): look at it"),
        ("/commit/", {"status": 412}, "lab/chats was changed by somebody else at the same time (412): look at it"),
        ("/commit/", {"status": 429, "times": 9}, "the Hub allows no more requests for now (429), also"),
        ("/commit/", {"status": 503, "times": 9}, "the Hub fails (503), also when asked again. What was"),
        ("/[0-9a-f]{64}", {"status": 500, "times": 99, "method": "PUT"}, "the Hub fails (500), also when asked again"),
        ("/commit/", {"status": 413, "headers": {"X-Error-Message": f"no tea for {TOKEN}"}}, "no tea for (the token)"),
        (
            "validate-yaml",
            {"status": 502, "times": 9},
            "the connection to the Hub was cut (an answer that is not JSON)",
        ),
        ("objects/batch", {"status": 401}, "the Hub does not accept the token (401): correct HF_TOKEN, or make"),
    ],
)
def test_each_refusal_says_what_to_do(
    build: c.Build, server: Hub, waits: list[float], path: str, how: dict[str, Any], said: str
) -> None:
    server.fail(path, **{"method": "POST", **how})
    shown = refusal(build)
    assert said in shown
    assert TOKEN not in shown
    assert set(waits) <= {1, 2, 4, 8}


def test_without_a_right_or_a_network_the_refusal_says_what_to_do(
    build: c.Build, server: Hub, tmp_path: Path, waits: list[float]
) -> None:
    with server.here(tmp_path / "reader", token=READER):
        assert "the token in use may not write to lab/chats (403)" in refusal(build)
    with server.here(tmp_path / "wrong", token="hf_wrong"):  # noqa: S106
        assert "the Hub does not accept the token (401): correct HF_TOKEN" in refusal(build)
    with server.here(tmp_path / "none"):
        assert "there is no token to push with: set HF_TOKEN to a token of that account" in refusal(build)
    with server.here(tmp_path / "off", offline=True, token=TOKEN):
        assert "HF_HUB_OFFLINE is set, so nothing is pushed to lab/chats: unset it" in refusal(build)
    with away("http://127.0.0.1:9", tmp_path / "away", token=TOKEN):
        assert "the Hub cannot be reached (" in refusal(build)
    assert NAME not in server.repositories
    assert waits == [1, 2, 4, 8]
    assert "'chats': say OWNER/NAME, OWNER being an account" in refusal(build, "chats")
    with pytest.raises(CallError, match="say OWNER/NAME"):
        build.push("lab/chats/more")


def test_only_a_whole_build_is_pushed(build: c.Build, server: Hub, tmp_path: Path) -> None:
    def broken(name: str) -> c.Build:
        shutil.copytree(build.path, tmp_path / name)
        return c.Build(tmp_path / name)

    def said(one: c.Build) -> str:
        with pytest.raises(BuildFolderError, match=r"build it\s+again") as error:
            one.push(NAME)
        return str(error.value)

    no_card, no_data, changed, old = (broken(name) for name in ("card", "data", "changed", "old"))
    (no_card.path / "README.md").unlink()
    assert "is no whole build: it has no README.md" in said(no_card)
    first = next((no_data.path / "data").iterdir())
    first.unlink()
    assert f"data/{first.name} is missing" in said(no_data)
    next((changed.path / "data").iterdir()).write_bytes(b"PAR1")
    assert "was changed since" in said(changed)
    page = (old.path / "report.html").read_text("utf-8").replace("<!--rows are marked-->", "")
    (old.path / "report.html").write_text(page, "utf-8")
    assert "is of an older version, and shows texts of dropped rows" in said(old)
    assert server.requests == []


def test_what_to_know_of_the_rows_is_said(
    build: c.Build, server: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [
        "rows are under 2 licences, all of which whoever uses the set keeps to: cc-by-nc-4.0, cc-by-sa-4.0",
        "cc-by-sa-4.0 asks for its own terms on what is made of the rows, and cc-by-nc-4.0 limits their use",
        "source 'b': its licence, cc-by-nc-4.0, does not allow commercial use",
        "1 row contains an item of an eval set (decontaminate): see the card",
    ]
    assert list(build.push(NAME).notes) == expected
    for line in ("it has this build already", f"{len(data(build)) + 5} files sent"):
        monkeypatch.setattr(sys, "argv", ["curate", "push", str(build.path), NAME])
        with pytest.raises(SystemExit, match="0"):
            main()
        shown = capsys.readouterr().out
        assert [f"note: {note}" for note in expected] == shown.splitlines()[:-1]
        assert shown.splitlines()[-1] == f"{line}: {server.endpoint}/datasets/{NAME} (private)"
        server.commit(NAME, {".gitattributes": b""})
    monkeypatch.setattr(sys, "argv", ["curate", "push", str(build.path), "chats"])
    with pytest.raises(SystemExit, match="2"):
        main()


def test_the_token_is_in_no_file_message_or_log(
    build: c.Build, server: Hub, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    before = {path: path.read_bytes() for path in build.path.rglob("*") if path.is_file()}
    build.push(NAME)
    said = f"no tea for {TOKEN}"
    server.commit(NAME, {".gitattributes": b""})
    server.fail("/commit/", status=418, method="POST", headers={"X-Error-Message": said})
    logged = caplog.text
    with pytest.raises(PushError, match=r"no tea for \(the token\)") as error:
        build.push(NAME)
    assert error.value.__cause__ is None, "the traceback of the client has what the Hub said"
    shown = "".join([logged, *capfd.readouterr(), str(error.value)])
    assert TOKEN not in shown
    assert TOKEN not in str(files(server))
    assert before == {path: path.read_bytes() for path in build.path.rglob("*") if path.is_file()}
    assert {one.status for one in server.requests if one.method == "PUT"} == {200}, "storage refuses tokens with 400"
