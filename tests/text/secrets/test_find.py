"""Planted secrets are found, all of them; placeholders are left; masks hold; batches change nothing."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.invisible import invisible as hidden
from curate.text.secrets.find import KINDS, MASKS, READERS, Kind, find_secrets, mask_secrets
from tests.support.planted_secrets import planted

PLANTED = 200
INVISIBLE = ("\u200b", "\u00ad", "\u2060", "\ufeff", "\u034f", "\ufe0f", "\U000e0041")
NOTHING = (
    "Version 12.0.19.1, v8.34.12.99, 1.2.3.4, §15.12.2.7, 8.8.8.8, 10.11.12.13, 192.168.1.20, 172.16.30.40",
    "203.0.113.77 and 198.51.100.23 and 2001:db8::8a2e:370:7334 and 255.255.255.0 and 999.34.12.99 and 8.34.12.99.5",
    "12:34:56 std::vector a::b 00:1a:2b:3c:4d:5e 2024:01:02 2001:4860",
    "user@example.com, ann@example1.org, joe@x.example.co.uk, you@gmail.com, your.name@pellow.org, git@github.com:a/b",
    "A@B.T X@W.to(device) react@16.12.0 a@b @ann ann@ a@b..com a@-x.com @app.route setup-node@v14.x",
    "(555) 123-4567, 212-555-0123, 123-456-7890, (234) 567-8901, 000-000-0000, +1 555 123 4567, (111) 222-3333",
    "2024-01-02, 01-02-2024, 01.02.2024, 12:30:45, 1999-2004, 978-3-16-148410-0, 0-306-40615-2, $212-736-5000",
    "300-200-1000, 5-212-736-5000, 212-736-5000-9, 3.14159265358979, 1,234,567.89, 4155552671, 8210+4908374100427",
    "4111 1111 1111 1111, 4242424242424242, 4539 1488 0343 6468, 1234 5678 9012 3456, 4539148803436467012345",
    "2003 2011 2017 2027, 5309 7677 8244 1346, 3301 3307 3313 3319",
    "2718281828459045, 2302585092994046, 30102999566399, 4808584372417849, 4304672100000000, 2334165173090451",
    "0,4539578763621486, 97 * 46799781068262 = 4539578763621486, f(3) =4539578763621486, 5! \u2248 4539578763621486",
    "DE88 3704 0044 0532 0130 00, DE89 3704 0044 0532 0130, de89370400440532013000, ZZ89370400440532013000",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-your-api-key-goes-here-1, AKIAIOSFODNN7EXAMPLE",
    "hf_some_long_function_name_of_yours, hf_abcdefghijklmnopqrstuvwxyzabcdefgh",
    "sk-circle-fade-dot-container-twelve, ghp_123456, task-AbCdEf1234567890ZyXw, eyJhbGciOiJIUzI1NiJ9, AIzaSy",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----, -----BEGIN CERTIFICATE-----",
    "[EMAIL] [PHONE] [IP] [KEY] [CARD] [IBAN]",
    "",
)

PARTS = st.one_of(
    st.sampled_from(KINDS).flatmap(lambda kind: st.sampled_from(planted(kind, 40))),
    st.sampled_from(NOTHING).flatmap(lambda text: st.sampled_from(text.split(", "))),
    st.sampled_from(
        [
            *" .,:;-+/()@=_\n",
            "1",
            "0",
            "23",
            "555",
            "2001",
            "a",
            "Z",
            "é",
            "京",
            "§",
            "v",
            "version ",
            "://",
            "::",
            "-----",
            "BEGIN ",
        ]
    ),
)
TEXTS = st.lists(PARTS, max_size=8).flatmap(
    lambda parts: st.sampled_from(["", " ", "-"]).map(lambda gap: gap.join(parts))
)
DENSE = st.text("0123456789 -.()+:/@aZ", max_size=60)


def found(texts: Sequence[str | None], kinds: tuple[Kind, ...] = KINDS) -> list[list[tuple[str, int, int]]]:
    hits = find_secrets(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32), kinds)
    answer: list[list[tuple[str, int, int]]] = [[] for _ in texts]
    for place, kind, start, stop in zip(*(column.tolist() for column in hits), strict=True):
        answer[place].append((KINDS[kind], start, stop))
    return answer


def shown(text: str) -> list[tuple[str, str]]:
    return [(kind, text.encode()[start:stop].decode()) for kind, start, stop in found([text])[0]]


def masked(text: str, kinds: tuple[Kind, ...] = KINDS) -> str:
    return all_masked([text], kinds)[0]


def all_masked(texts: list[str], kinds: tuple[Kind, ...] = KINDS) -> list[str]:
    places, after = mask_secrets(view(pa.array(texts)), np.arange(len(texts), dtype=np.int32), kinds)
    changed = dict(zip(places.tolist(), after.to_pylist(), strict=True))
    return [changed.get(place, text) for place, text in enumerate(texts)]


def found_slowly(text: str) -> list[tuple[str, int, int]]:
    """Read a text as it is and without its invisible characters; of spans that overlap, the longer stays."""
    bare = "".join(sign for sign in text if not hidden()[ord(sign)])
    place, places = 0, list[int]()
    for sign in text:
        width = len(sign.encode())
        places += [] if hidden()[ord(sign)] else range(place, place + width)
        place += width
    spans = set()
    for number, kind in enumerate(KINDS):
        spans |= {(start, stop, number) for start, stop in READERS[kind][1](text.encode())}
        spans |= {(places[start], places[stop - 1] + 1, number) for start, stop in READERS[kind][1](bare.encode())}
    hits: list[tuple[int, int, int]] = []
    for start, stop, number in sorted(spans):
        rivals = [hit for hit in hits if hit[1] > start]
        if all(hit[1] - hit[0] < stop - start for hit in rivals):
            hits = [*(hit for hit in hits if hit not in rivals), (start, stop, number)]
    return [(KINDS[number], start, stop) for start, stop, number in hits]


def check_prefilters(texts: Sequence[str]) -> None:
    for pattern, reader in READERS.values():
        likely = pl.Series(texts, dtype=pl.String).str.contains(pattern)
        assert [text for text, may in zip(texts, likely, strict=True) if not may and any(reader(text.encode()))] == []


@given(st.lists(TEXTS | DENSE, max_size=4))
def test_every_text_with_a_hit_passes_the_prefilter_of_its_kind(texts: list[str]) -> None:
    check_prefilters(texts)


@given(st.lists(TEXTS | DENSE, max_size=4), st.integers(0, 4))
def test_hits_are_the_same_for_any_split_into_batches(texts: list[str], cut: int) -> None:
    assert found(texts) == found(texts[:cut]) + found(texts[cut:])


@given(TEXTS | DENSE, st.sets(st.sampled_from(KINDS), min_size=1))
def test_a_kind_is_found_without_the_others(text: str, some: set[Kind]) -> None:
    """Hits do not overlap, so fewer kinds may mean more hits of those: never less."""
    kinds = tuple(kind for kind in KINDS if kind in some)
    hits, every = found([text], kinds)[0], found([text])[0]
    assert {hit[0] for hit in hits} <= some
    assert {hit for hit in every if hit[0] in some} <= {hit for kind in kinds for hit in found([text], (kind,))[0]}
    assert all(first[2] <= second[1] for first, second in pairwise(hits))


def test_real_texts_with_hits_pass_the_prefilters(real_file: Callable[[str], Path]) -> None:
    files = ("lima.json", "alpaca_random_9k.json", "oasst_sft_zh.json", "code_alpaca_2k.json", "alpaca_zh_demo.json")
    rows = [row for name in files for row in json.loads(real_file(f"sft/{name}").read_bytes())]
    texts = [text for row in rows for text in (row["instruction"], row["output"])]
    assert sum(map(len, found(texts))) > 5
    check_prefilters(texts)


@pytest.mark.parametrize("kind", ["card", "iban"])
def test_one_wrong_digit_is_no_card_and_no_account(kind: Kind) -> None:
    """Luhn and mod 97 detect every change of one digit."""
    for secret in planted(kind, PLANTED):
        for place, sign in enumerate(secret):
            if sign.isdigit() and place >= 2:
                wrong = secret[:place] + str((int(sign) + 1) % 10) + secret[place + 1 :]
                assert found([wrong], (kind,)) == [[]], wrong


SPECIAL = ipaddress.ip_network("192.0.0.0/24")  # RFC 6890 reserves all of it; `is_global` depends on Python's version


@given(st.ip_addresses(v=4))
def test_ip_addresses_are_global_ones(address: ipaddress.IPv4Address) -> None:
    parts = str(address).split(".")
    host = parts[3] not in {"0", "255"} and sum(len(part) > 1 for part in parts) >= 2
    rising = re.search("012345|123456|234567|345678|456789", "".join(parts))
    public = address.is_global and not address.is_multicast and address not in SPECIAL
    assert bool(found([f"at {address}, say"], ("ip",))[0]) == (host and public and not rising)


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_secret_is_found(kind: Kind) -> None:
    drawn = planted(kind, PLANTED)
    for before, after in (
        ("", ""),
        ("It is ", ", or so."),
        ("我的是", "。"),
        ("(", ")"),
        ('{"x": "', '"}'),
        ("\n", "\n"),
    ):
        if kind == "phone" and before == "(":
            continue  # a second bracket is a layout of its own
        texts = [before + secret + after for secret in drawn]
        start = len(before.encode())
        expected = [[(kind, start, start + len(secret))] for secret in drawn]
        assert found(texts) == expected
        assert found(texts, (kind,)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_invisible_character_at_any_place_hides_no_secret(kind: Kind) -> None:
    for secret in planted(kind, 12):
        texts, expected = [], []
        for number, place in product(range(len(INVISIBLE)), range(len(secret) + 1)):
            sign = INVISIBLE[number] * (1 + place % 2)
            texts.append(f"It is {secret[:place]}{sign}{secret[place:]}, or so.")
            within = 0 < place < len(secret)
            start = 6 + (0 if place else len(sign.encode()))
            expected.append([(kind, start, start + len(secret) + (len(sign.encode()) if within else 0))])
        texts.append(f"It is {INVISIBLE[0].join(secret)}, or so.")
        expected.append([(kind, 6, len(texts[-1].encode()) - 8)])
        assert found(texts) == expected
        for text, after, [(_, start, stop)] in zip(texts, all_masked(texts), expected, strict=True):
            raw = text.encode()
            assert after == f"{raw[:start].decode()}[{kind.upper()}]{raw[stop:].decode()}"


@given(
    st.lists(TEXTS | DENSE, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0), st.sampled_from(INVISIBLE)), max_size=6),
)
def test_hits_in_texts_with_invisible_characters_are_those_of_a_plain_reading(
    texts: list[str], signs: list[tuple[int, str]]
) -> None:
    for number, (place, sign) in enumerate(signs):
        text = texts[number % len(texts)]
        cut = place % (len(text) + 1)
        texts[number % len(texts)] = text[:cut] + sign + text[cut:]
    assert found(texts) == [found_slowly(text) for text in texts]
    for text in texts:
        once = masked(text)
        assert found([once]) == [[]]
        assert (once == text) == (found([text]) == [[]])
        between = [re.escape(part) for part in re.split("|".join(map(re.escape, MASKS)), once)]
        assert re.fullmatch(".+?".join(between), text, re.DOTALL)


def test_invisible_characters_next_to_a_secret_hide_none() -> None:
    """Without them the next word would be a part of it."""
    assert shown("4539578763621486\u200b7 and x\u200bDE68210501700012345678") == [
        ("card", "4539578763621486"),
        ("iban", "DE68210501700012345678"),
    ]


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_no_ones_is_left(text: str) -> None:
    assert shown(text) == []
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("请联系ann@pellow.org。", [("email", "ann@pellow.org")]),
        ("ann@pellow.org.", [("email", "ann@pellow.org")]),
        ("<mailto:ann@pellow.org>", [("email", "ann@pellow.org")]),
        ("ann@pellow.org-ish ann@pellow.org/x", [("email", "ann@pellow.org")] * 2),
        ("212-736-5000@pellow.org", [("email", "212-736-5000@pellow.org")]),
        ("https://8.34.12.99:8080/x", [("ip", "8.34.12.99")]),
        ("212-736-5000,415-736-5000", [("phone", "212-736-5000"), ("phone", "415-736-5000")]),
        ("tel:+442079460018;x", [("phone", "+442079460018")]),
        ("+44 (0)20 7946 0018 or more", [("phone", "+44 (0)20 7946 0018")]),
        (
            "DE68 2105 0170 0012 3456 78 DE68 2105 0170 0012 3456 78",
            [("iban", "DE68 2105 0170 0012 3456 78")] * 2,
        ),
        ("card = 4539578763621486", [("card", "4539578763621486")]),
        ("10,4539578763621486,2", [("card", "4539578763621486")]),
        ("1 (800) 273-8255", [("phone", "(800) 273-8255")]),
        ("key=AIzaSyA1b2C3d4E5f6G7h8I9j0KlMnOpQrStUvW", [("key", "AIzaSyA1b2C3d4E5f6G7h8I9j0KlMnOpQrStUvW")]),
    ],
)
def test_a_secret_is_found_apart_from_the_text_around_it(text: str, hits: list[tuple[str, str]]) -> None:
    assert shown(text) == hits


@given(TEXTS | DENSE)
def test_masks_leave_nothing_and_change_nothing_else(text: str) -> None:
    once = masked(text)
    assert found([once]) == [[]]
    assert masked(once) == once
    between = [re.escape(part) for part in re.split("|".join(map(re.escape, MASKS)), once)]
    assert re.fullmatch(".+?".join(between), text, re.DOTALL)
    assert (once == text) == (found([text]) == [[]])


def test_each_kind_is_replaced_by_its_mask() -> None:
    text = ", ".join(planted(kind, 1)[0] for kind in KINDS)
    assert masked(text) == "[EMAIL], [PHONE], [IP], [KEY], [CARD], [IBAN]"
    assert masked(text, ("ip",)).count("[") == 1


def test_hits_are_the_same_in_a_slice_of_an_array() -> None:
    texts = [secret + " " * k for kind in KINDS for k, secret in enumerate(planted(kind, 40))]
    whole = pa.array(["x", *texts])
    hits = find_secrets(view(whole.slice(1)), np.arange(len(texts), dtype=np.int32))
    assert len(hits.place) == len(texts)
    some = find_secrets(view(whole), np.array([3, 1], np.int32))
    assert some.place.tolist() == [0, 1]


def test_an_edge_text_has_no_secret(edge_text: str) -> None:
    assert found([edge_text, None, ""]) == [[], [], []]
    assert masked(edge_text) == edge_text


@pytest.mark.parametrize(
    "unit",
    [
        "a@",
        "@",
        "a.",
        "eyJ-",
        "eyJaaaaaaaaaa.ey",
        "sk-",
        "sk-a1",
        "-----BEGIN PRIVATE KEY-----",
        "1",
        "1 ",
        "+1",
        "(0",
        "0-",
        "2:",
        "AA00",
        "1.",
        "x" * 63 + ".",
        "-eyJ",
        "DE88 ",
        "a@b.",
        "8.34.12.99 ",
    ],
)
def test_hostile_texts_take_time_in_proportion(unit: str) -> None:
    """1 MB takes up to 2 s (one million addresses); with a quadratic step it would take hours."""
    found(["a"])
    text = "@" + unit * (1_000_000 // len(unit))
    began = time.process_time()
    found([text])
    assert time.process_time() - began < 8
