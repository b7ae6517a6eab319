"""What the Hub refuses is explained, what fails for a while is asked for again, and no token is ever shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.file_download
import huggingface_hub.utils._http
import pytest
from huggingface_hub import constants

import curate.io.hub.repository
from curate.errors import CurateError, SourceNotFoundError
from curate.io.hub.hub import hub
from curate.mix.spec import Source
from curate.mixture import Mixture
from tests.support.hub_server import Hub, away, serving, sha256
from tests.support.hub_sets import FACT, REPOSITORIES, TOKEN, TOKENS, TRAIN, count, parquet, refusal

CHAT: dict[str, Any] = {"config": "chat", "split": "train"}
FILE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with serving(REPOSITORIES, tokens=TOKENS) as found, found.here(tmp_path / "hf"):
        yield found


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note how long the client and `curate` would wait, in place of waiting."""
    found: list[float] = []
    clock = SimpleNamespace(**{**vars(time), "sleep": found.append})
    for module in (huggingface_hub.utils._http, huggingface_hub.file_download, curate.io.hub.repository):
        monkeypatch.setattr(module, "time", clock)
    return found


def test_gated_private_and_missing_sets_are_explained_without_a_token(server: Hub) -> None:
    assert refusal("lab/gated") == (
        "SourceNotFoundError: lab/gated is gated: its terms are accepted at https://huggingface.co/datasets/lab/gated "
        "(it asks for: Company). Then set HF_TOKEN to a token of that account (https://huggingface.co/settings/tokens)"
    )
    for name in ("lab/private", "lab/none"):
        said = refusal(name)
        assert f"there is no data set {name} on the Hub, or it is private: see https://huggingface.co/dat" in said
        assert "set HF_TOKEN to a token" in said
    assert {one.status for one in server.requests} == {200, 401}


def test_with_a_token_that_may_not_the_refusal_says_so(server: Hub, tmp_path: Path) -> None:
    with server.here(tmp_path / "stranger", token="hf_stranger"):  # noqa: S106
        assert "The account of the token in use has no access: accept them with that account" in refusal("lab/gated")
        for name in ("lab/private", "lab/none"):
            assert f"no data set {name} on the Hub, or the account of the token in use may not" in refusal(name)
    with server.here(tmp_path / "wrong", token="hf_wrong"):  # noqa: S106
        assert "the Hub does not accept the token: correct HF_TOKEN" in refusal("lab/facts")
        server.fail("revision/main", status=403)
    with server.here(tmp_path / "stranger", token="hf_stranger"):  # noqa: S106
        assert "the token in use may not read lab/facts (403)" in refusal("lab/facts")


def test_a_token_opens_them_and_is_never_shown(
    server: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with server.here(tmp_path / "member", token=TOKEN):
        assert count(hub("lab/private").open()) == {"a.jsonl": 1}
        built = Mixture("gated", [Source("gated", hub("lab/gated"))]).build(tmp_path / "build", quiet=True)
        logged = caplog.text
        server.fail("revision/main", status=418, headers={"X-Error-Message": f"no tea for {TOKEN}"})
        with pytest.raises(SourceNotFoundError, match=r"no tea for \(the token\)") as error:
            hub("lab/private").open()
    written = b"".join(path.read_bytes() for path in built.path.rglob("*") if path.is_file())
    shown = "".join([logged, *capfd.readouterr(), str(error.value), written.decode("utf-8", "replace")])
    assert TOKEN not in shown
    assert {one.status for one in server.asked("", "GET")} <= {200, 302, 206, 418}, "storage refuses tokens with 400"


def test_a_limit_is_waited_for_as_long_as_the_hub_says(server: Hub, waits: list[float]) -> None:
    server.fail("revision/main", status=429, headers={"Retry-After": "70"}, times=2)
    server.fail("resolve/.*facts.jsonl", status=429, headers={"Retry-After": "30"})
    assert count(hub("lab/chat", config="facts").open()) == {"facts.jsonl": 2}
    assert waits == [71, 71, 31]
    server.fail("revision/main", status=429, times=6)
    said = refusal("lab/facts")
    assert (
        "lab/facts: the Hub allows no more requests for now (429), also after waiting. Try later, or set HF_TOK" in said
    )
    assert waits[3:] == [1, 2, 4, 8, 8]


def test_a_failing_hub_is_asked_again(server: Hub, waits: list[float]) -> None:
    server.fail("revision/main", status=500)
    server.fail("/tree/", status=503)
    server.fail("resolve/.*train", status=502, method="HEAD")
    server.fail(sha256(TRAIN), status=503, times=3)
    assert count(hub("lab/chat", **CHAT).open()) == {FILE: 400}
    assert [one.status for one in server.asked(sha256(TRAIN))] == [503, 503, 503, 200]
    assert waits == [1, 1, 1, 2, 4]


def test_a_hub_that_goes_on_failing_is_named(server: Hub, waits: list[float]) -> None:
    server.fail("resolve/.*jsonl", status=503, times=5)
    said = refusal("lab/facts", files="one.jsonl")
    assert "lab/facts: the Hub fails (503), also when asked again. Try later, or fetch its files" in said
    assert waits == [1, 2, 4, 8]
    assert len(server.asked("resolve/.*jsonl")) == 5
    assert count(hub("lab/facts", files="*.jsonl").open()) == {"one.jsonl": 1}
    server.fail("revision/main", status=503, times=6)
    kept = hub("lab/facts", files="*.jsonl").open()
    assert kept.origin is not None
    assert kept.origin.cached


def test_a_file_that_is_cut_is_resumed(server: Hub, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)  # the client resumes from whole chunks of 10 MiB
    server.fail(sha256(TRAIN), cut=5_000)
    server.fail("/tree/", cut=10)
    assert count(hub("lab/chat", **CHAT).open()) == {FILE: 400}
    first, second = server.asked(sha256(TRAIN))
    assert (first.sent, second.range, second.status) == (5_000, "bytes=5000-", 206)
    assert waits == [1, 1]


def test_a_slow_body_is_waited_for(server: Hub, waits: list[float]) -> None:
    server.fail(sha256(TRAIN), slow=0.03)
    assert count(hub("lab/chat", **CHAT).open()) == {FILE: 400}
    assert len(server.asked(sha256(TRAIN))) == 1
    assert not waits


@pytest.mark.usefixtures("waits")
def test_a_damaged_file_is_fetched_again_and_refused_the_second_time(server: Hub) -> None:
    server.fail("resolve/.*one.jsonl", damage=True)
    assert count(hub("lab/facts", files="one.jsonl").open()) == {"one.jsonl": 1}
    assert len(server.asked("resolve/.*one.jsonl")) == 2
    server.fail(sha256(TRAIN), damage=True, times=2)
    assert "FormatError: lab/chat: data/train-00000-of-00001.parquet differs twice from" in refusal("lab/chat", **CHAT)
    assert count(hub("lab/chat", **CHAT).open()) == {FILE: 400}


def test_a_file_of_the_cache_that_is_cut_is_fetched_again(server: Hub) -> None:
    whole = hub("lab/chat", **CHAT).open()
    blob = whole.parts[0].path.resolve()
    blob.write_bytes(TRAIN[:-100])
    assert count(hub("lab/chat", **CHAT).open()) == {FILE: 400}
    assert len(server.asked(sha256(TRAIN))) == 2


def test_a_revision_that_moves_between_two_opens_is_read_anew(server: Hub) -> None:
    first = hub("lab/facts").open()
    server.commit("lab/facts", {"one.jsonl": FACT * 5})
    second = hub("lab/facts").open()
    assert count(second) == {"one.jsonl": 5}
    assert count(first) == {"more/two.jsonl": 2, "one.jsonl": 1}
    assert first.origin != second.origin


@pytest.mark.usefixtures("waits", "server")
def test_no_network_and_noise_are_explained(tmp_path: Path) -> None:
    assert "lab/noise" in refusal("lab/noise")
    assert "the Hub cannot be reached (Server disconnected" in refusal("lab/noise")
    assert count(hub("lab/facts").open())
    with away("http://127.0.0.1:9", tmp_path / "hf"):
        assert count(hub("lab/facts").open()) == {"more/two.jsonl": 2, "one.jsonl": 1}
        said = refusal("lab/card")
        assert "the Hub cannot be reached ([Errno 111] Connection refused). Build once with a network, or" in said


def test_an_error_of_a_source_names_the_source(server: Hub, tmp_path: Path) -> None:
    mixture = Mixture("one", [Source("chats", hub("lab/chat"))])
    with pytest.raises(CurateError, match="source 'chats': lab/chat has 3 configs; choose one"):
        mixture.build(tmp_path / "build", quiet=True)
    assert not server.asked("resolve/.*parquet")


@pytest.mark.parametrize("card", [b"---\nconfigs: [1\n---\n", b"---\nconfigs:\n- config_name: [a]\n---\n"])
def test_a_card_that_cannot_be_read_asks_for_file_names(server: Hub, card: bytes) -> None:
    server.commit("lab/facts", {"README.md": card, "one.jsonl": FACT})
    assert "the card of lab/facts cannot be read, so its configs are not known" in refusal("lab/facts")
    assert count(hub("lab/facts", files="one.jsonl").open()) == {"one.jsonl": 1}


def test_files_elsewhere_are_not_followed(server: Hub) -> None:
    card = b"---\nconfigs:\n- config_name: a\n  data_files: https://example.org/a.jsonl\n---\n"
    server.commit("lab/facts", {"README.md": card, "one.jsonl": FACT})
    assert "the card of lab/facts names files that are elsewhere: https://example.org/a.jsonl" in refusal("lab/facts")


def test_a_parquet_that_is_none_is_refused(server: Hub) -> None:
    server.commit("lab/facts", {"a.parquet": parquet([{"question": "a", "answer": "b"}])[:-4] + b"PARX"})
    assert "a.parquet is no Parquet file, of which columns could be read" in refusal("lab/facts", columns=["question"])
