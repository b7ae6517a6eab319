"""`secrets_and_pii` flags, drops or masks, says where, and never repeats a secret."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import MixtureError
from curate.kernels.buffers import view
from curate.rows.edits import apply_edits
from curate.rows.schema import BODIES, FULL, Kind
from curate.rows.segments import EVERY_TEXT, SIDES, Segments, place_names, segments
from curate.rows.take import take
from curate.steps.base import decide
from curate.steps.filters.secrets_and_pii import SHOWN, MaskSecretsAndPii, SecretsAndPii, secrets_and_pii
from curate.text.secrets.find import KINDS, MASKS, find_secrets
from tests.support.planted_secrets import planted

SAID = {kind: planted(kind, 1)[0] for kind in KINDS}


def talk(*texts: str | None) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


def body(*rows: dict[str, Any], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def masked(batch: pa.RecordBatch, **settings: Any) -> tuple[list[dict[str, Any]], list[bool]]:  # noqa: ANN401
    step = secrets_and_pii("mask", **settings)
    seen = segments(batch, step.reads)
    after, changed = apply_edits(batch, seen, step.edit(seen))
    return after.to_pylist(), changed.tolist()


def test_counts_are_of_rows_and_kinds() -> None:
    batch = body(talk(f"{SAID['email']} {SAID['email']}", SAID["ip"]), talk("Hi.", None), talk(SAID["card"]))
    scores = secrets_and_pii().score(segments(batch))
    assert {kind: column.tolist() for kind, column in scores.columns.items()} == {
        **{kind: [0, 0, 0] for kind in KINDS},
        "email": [2, 0, 0],
        "ip": [1, 0, 0],
        "card": [0, 0, 1],
    }
    assert {column.dtype for column in scores.columns.values()} == {np.dtype(np.int32)}


def test_a_flag_drops_nothing_and_a_drop_each_row_with_a_hit() -> None:
    batch = body(*(talk(f"It is {SAID[kind]}.") for kind in KINDS), talk("Hi."), talk(f"{SAID['ip']} {SAID['email']}"))
    flag, drop = secrets_and_pii(), secrets_and_pii("drop")
    assert [bound.reason for bound in flag.bounds()] == [bound.reason for bound in drop.bounds()] == list(KINDS)
    assert (decide(flag.score(segments(batch)), flag.bounds(), batch.num_rows).bound == -1).all()
    bounds = decide(drop.score(segments(batch)), drop.bounds(), batch.num_rows).bound.tolist()
    assert [drop.bounds()[place].reason if place >= 0 else None for place in bounds] == [*KINDS, None, "email"]


def test_evidence_names_the_kind_never_the_secret() -> None:
    texts = [f"é 京 {SAID[kind]}" for kind in KINDS]
    batch = body(talk(*texts))
    found = secrets_and_pii(kinds=("key", "email", "iban")).score(segments(batch)).evidence
    assert found is not None
    assert found.match.to_pylist() == ["email", "key", "iban"]
    assert [text[4:] for text in (texts[turn] for turn in found.turn)] == [SAID["email"], SAID["key"], SAID["iban"]]
    assert found.start.tolist() == [4, 4, 4]
    assert found.end.tolist() == [4 + len(SAID[kind]) for kind in ("email", "key", "iban")]
    assert found.reason.tolist() == [0, 1, 2], "kinds come in their own order"


def test_evidence_is_in_order_and_of_eight_hits_at_most() -> None:
    said = [{"role": "user", "content": f"{SAID['ip']} {SAID['email']} "}]
    many = [{"role": "user", "content": f"{SAID['email']} " * 20}]
    rows = [{"prompt": said, "chosen": many, "rejected": said}, {"prompt": said, "chosen": said, "rejected": []}]
    scores = secrets_and_pii().score(segments(body(*rows, kind="preference")))
    found = scores.evidence
    assert found is not None
    assert scores.columns["email"].tolist() == [22, 2]
    places = list(zip(found.row.tolist(), found.side.tolist(), found.start.tolist(), strict=True))
    assert places == sorted(places)
    assert found.match.to_pylist().count("email") == SHOWN + 2
    assert {SIDES[side] for side in found.side} == {"prompt", "chosen", "rejected"}


def test_masks_change_hits_and_nothing_else() -> None:
    kept = talk("Hi \u00e9\x00\r\n", "user@example.com 192.168.0.1", None)
    batch = body(kept, talk(*(f"\t{SAID[kind]}\r\n京" for kind in KINDS)))
    after, changed = masked(batch)
    assert changed == [False, True]
    assert after == body(kept, talk(*(f"\t{mask}\r\n京" for mask in MASKS))).to_pylist()


def test_masks_are_for_kinds_and_segments_asked_for() -> None:
    batch = body(talk(f"{SAID['email']} {SAID['ip']}", SAID["email"]))
    assert (
        masked(batch, kinds=["email"], on="response")[0]
        == body(talk(f"{SAID['email']} {SAID['ip']}", "[EMAIL]")).to_pylist()
    )


def test_masked_rows_are_not_dropped() -> None:
    batch = body(
        talk("+49 30 1234567 212-736-5000 8.34.12.99", "a@b.co@c.de +12127365000ann@pellow.org+44 1632 960983")
    )
    step, drop = secrets_and_pii("mask"), secrets_and_pii("drop")
    seen = segments(batch)
    after, _ = apply_edits(batch, seen, step.edit(seen))
    assert not sum(column.sum() for column in drop.score(segments(after)).columns.values())


def test_rated_completions_are_masked() -> None:
    answer = {"content": SAID["key"], "model": "m", "scores": [{"name": "s", "value": 1.0}]}
    after, changed = masked(body({**talk("Hi."), "completions": [answer]}, kind="rated"))
    assert changed == [True]
    assert after[0]["completions"] == [{**answer, "content": "[KEY]"}]


def with_parts() -> pa.RecordBatch:
    mail, card = SAID["email"], SAID["card"]
    number = "".join(sign for sign in card if sign.isdigit())
    call = {"id": "1", "name": "send", "arguments": f'{{"to": "\\n{mail}", "card": {number}}}'}
    result = {"role": "tool", "content": f'{{"sent":\t"\\t{mail}"}}', "tool_call_id": "1"}
    asked = {"role": "assistant", "content": None, "reasoning": f"To {mail}?", "tool_calls": [call]}
    row = {
        "messages": [{"role": "user", "content": "Send it."}, asked, result, {"role": "assistant", "content": "Done."}],
        "tools": f'[{{"name": "send", "description": "As\\u0020{mail}"}}]',
        "meta": "{}",
    }
    return take(pa.RecordBatch.from_pylist([row], FULL["conversation"]), np.zeros(1, np.int32))


def test_every_part_is_masked_and_stays_json() -> None:
    batch, step = with_parts(), secrets_and_pii("mask")
    seen = segments(batch, step.reads, step.reads_parts)
    after, changed = apply_edits(batch, seen, step.edit(seen))
    assert changed.tolist() == [True]
    expected = batch.to_pylist()
    _, asked, result, _ = expected[0]["messages"]
    asked["reasoning"] = "To [EMAIL]?"
    asked["tool_calls"][0]["arguments"] = '{"to": "\\n[EMAIL]", "card": "[CARD]"}'
    result["content"] = '{"sent":\t"\\t[EMAIL]"}'
    expected[0]["tools"] = '[{"name": "send", "description": "As\\u0020[EMAIL]"}]'
    assert after.to_pylist() == expected


def test_parts_are_counted_where_they_are() -> None:
    batch = with_parts()
    scores = secrets_and_pii().score(segments(batch, "all", EVERY_TEXT))
    assert (scores.columns["email"].tolist(), scores.columns["card"].tolist()) == ([4], [1])
    found = scores.evidence
    assert found is not None
    row = batch.to_pylist()[0]
    texts = {
        "dialogue": row["messages"][2]["content"],
        "dialogue.reasoning": row["messages"][1]["reasoning"],
        "dialogue.call1.arguments": row["messages"][1]["tool_calls"][0]["arguments"],
        "dialogue.tools": row["tools"],
    }
    shown = {
        (side, turn, texts[side][start:end])
        for side, turn, start, end in zip(
            place_names(found.side).to_pylist(), found.turn, found.start, found.end, strict=True
        )
    }
    mail, number = SAID["email"], "".join(sign for sign in SAID["card"] if sign.isdigit())
    assert shown == {
        ("dialogue", 2, mail),
        ("dialogue.reasoning", 1, mail),
        ("dialogue.call1.arguments", 1, mail),
        ("dialogue.call1.arguments", 1, number),
        ("dialogue.tools", 0, mail),
    }


def test_parts_and_scopes_are_read_as_asked() -> None:
    def count(**settings: Any) -> int:  # noqa: ANN401
        step = secrets_and_pii(kinds=("email",), **settings)
        return int(step.score(segments(with_parts(), step.reads, step.reads_parts)).columns["email"][0])

    assert [count(parts=part) for part in ("content", "reasoning", "call", "tools", ("call", "content"))] == [
        *(1, 1, 1, 1, 2)
    ]
    assert [count(on=on) for on in ("all", "prompt", "response", {"tool"}, {"system"})] == [4, 1, 2, 1, 1]


def test_no_rows_and_no_parts() -> None:
    assert {len(column) for column in secrets_and_pii().score(Segments(0, ())).columns.values()} == {0}
    assert list(secrets_and_pii(kinds=("ip",)).score(Segments(0, ())).columns) == ["ip"]
    assert secrets_and_pii("mask").edit(Segments(0, ())).changes == ()
    assert masked(body()) == ([], [])


def test_an_edge_text_stays(edge_text: str) -> None:
    batch = body(talk(edge_text, "Hi."))
    assert masked(batch) == (batch.to_pylist(), [False])


def test_masks_have_no_hit() -> None:
    texts = view(pa.array([*MASKS, "".join(MASKS)]))
    assert not len(find_secrets(texts, np.arange(len(texts), dtype=np.int32)).place)


def test_the_mode_says_which_step() -> None:
    assert isinstance(secrets_and_pii("mask"), MaskSecretsAndPii)
    assert secrets_and_pii("drop") == SecretsAndPii(drop=True)
    assert secrets_and_pii(kinds=["iban", "email"], on={"user"}) == SecretsAndPii(
        kinds=("email", "iban"), on=frozenset({"user"})
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "hide"}, r"mode='hide' is no mode of secrets_and_pii"),
        ({"kinds": ("mail",)}, r"no kind 'mail'; did you mean 'email'"),
        ({"kinds": "email"}, r"give kinds as a tuple, as in kinds=\('email',\)"),
        ({"kinds": ()}, r"nothing to look for; kinds: email, phone"),
        ({"on": "answer"}, "is no scope"),
        ({"parts": "calls"}, r"secrets_and_pii\(parts=\['calls'\]\): parts are 'all', or some of content"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        secrets_and_pii(**wrong)
