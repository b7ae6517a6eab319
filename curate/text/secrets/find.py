"""E-mail addresses, telephones, public IP addresses, keys, cards and bank accounts in texts, and masks in their place.

What counts is written down here and in the two kernels; `tests/reference/secrets.py` says it again in patterns.
"""

from __future__ import annotations

import functools
import string
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import Text, frozen, strings, view
from curate.kernels.compile import kernel
from curate.text.secrets.bytes_kernel import BEFORE, DIGIT, HEX, LETTER, LOCAL, UNDER, UPPER
from curate.text.secrets.scan_kernel import SecretTables, scan

Kind: TypeAlias = Literal["email", "phone", "ip", "key", "card", "iban"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""The kinds, in the order of the kernel's numbers."""

MASKS: Final = tuple(f"[{kind.upper()}]" for kind in KINDS)
"""The mask of each kind; no mask contains anything that is found."""

SHORTEST: Final = 6
"""Bytes of the shortest hit: a@b.co."""

LETTERS, ALL = string.ascii_letters, string.ascii_letters + string.digits
SETS: Final = {
    1: ALL,
    2: ALL + "_-",
    4: string.ascii_uppercase + string.digits,
    8: "0123456789abcdef",
    16: ALL + "_",
    32: ALL + "._-",
    64: ALL + "+/=",
}
"""Alphabets of keys, each a bit."""


class Layout(NamedTuple):
    """A layout of keys: its prefix, the alphabet of the rest, and how long that is.

    `stretch` asks for so many letters and digits on end, a digit or letters of both cases among them: what names in
    code that begin alike (`sk-circle-fade`) have not.
    """

    prefix: str
    alphabet: int
    shortest: int
    longest: int
    stretch: int = 0


LAYOUTS: Final = (
    Layout("BEGIN ", 0, 0, 0),  # PEM; the kernel knows this one and the next by their places
    Layout("eyJ", 0, 0, 0),  # JSON Web Token
    Layout("AKIA", 4, 16, 16),  # Amazon Web Services
    Layout("ASIA", 4, 16, 16),
    *(Layout(f"gh{letter}_", 1, 36, 251) for letter in "pousr"),  # GitHub
    Layout("github_pat_", 16, 82, 82),
    Layout("glpat-", 2, 20, 64),  # GitLab
    Layout("sk-", 2, 20, 256, 10),  # OpenAI, Anthropic (sk-ant-), DeepSeek and others
    Layout("AIza", 2, 35, 35),  # Google
    Layout("GOCSPX-", 2, 28, 28),
    *(Layout(f"xox{letter}-", 2, 20, 256, 10) for letter in "abeoprs"),  # Slack
    *(Layout(f"{kind}_live_", 1, 16, 256) for kind in ("sk", "rk")),  # Stripe
    Layout("hf_", 1, 34, 40, 34),  # Hugging Face
    Layout("gsk_", 1, 52, 52),  # Groq
    Layout("npm_", 1, 36, 36),
    Layout("pypi-", 2, 50, 512),
    Layout("SG.", 32, 66, 66),  # SendGrid
    Layout("dop_v1_", 8, 64, 64),  # DigitalOcean
    Layout("shpat_", 8, 32, 32),  # Shopify
)
"""Layouts of keys as their makers publish them; of those with the same beginning the first that fits counts."""

WORDS: Final = {
    "mailbox": ("example", "your", "username@", "user@", "name@", "email@", "someone@", "you@", "foo@", "git@"),
    "domain": ("example", "test.", "invalid.", "localhost.", "local."),
    "label": ("your", "domain.", "company.", "email.", "sample.", "website."),
    "version": (
        *("version ", "versions ", "ver ", "v ", "release ", "build ", "firmware ", "revision ", "rev "),
        *("section ", "chapter ", "clause "),
    ),
    "key": ("example", "your", "xxxx", "123456", "abcdef", "redacted", "placeholder", "dummy"),
    "block": ("private key",),
}
"""Words, in lower case, by which a hit is no one's, words before the number of a version, and what names a PEM block.

A mailbox, or any label of a domain (of its last labels only those of `domain`), begins with one; a key holds one. What
ends in a sign is a whole mailbox or label.
"""

COUNTRIES: Final = (
    "7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 "
    "90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 "
    "238 239 240 241 242 243 244 245 246 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 "
    "268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 "
    "382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 "
    "599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692 800 850 852 853 855 856 "
    "870 880 886 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998"
)
"""Country codes of telephones (ITU E.164) but 1, which has a layout of its own."""

IBANS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
    "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
    "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
"""Countries of bank accounts and how long theirs are (the IBAN registry of SWIFT)."""


class Secrets(NamedTuple):
    """Every hit: parallel arrays, in text order.

    `place` counts within the given `index`, `kind` within `KINDS`; `start` and `stop` count bytes within the text.
    """

    place: NDArray[np.int32]
    kind: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]


def find_secrets(text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS) -> Secrets:
    """Find hits of these kinds in the strings of `text` at `index`; a null and an empty string have none.

    Hits do not overlap: of two that would, the longer stays, of two as long the first.

    >>> texts = view(pa.array(["Write to ann@pellow.org.", "or call +44 1632 960983", ""]))
    >>> [column.tolist() for column in find_secrets(texts, np.arange(3, dtype=np.int32))]
    [[0, 1], [0, 1], [9, 8], [23, 23]]
    """
    sizes = text.offsets[index + 1] - text.offsets[index]
    hits = np.empty((int(sizes.sum(dtype=np.int64)) // SHORTEST + 1, 4), np.int32)
    wanted = sum(1 << KINDS.index(kind) for kind in kinds)
    scratch = np.empty(64, np.uint8), np.empty((8, 3), np.int32)
    found = scan(text.data, text.offsets, frozen(np.ascontiguousarray(index)), wanted, tables(), *scratch, hits)
    place, kind, start, stop = hits[:found].T.copy()
    return Secrets(place, kind, start, stop)


def mask_secrets(
    text: Text, index: NDArray[np.int32], kinds: tuple[Kind, ...] = KINDS
) -> tuple[NDArray[np.int32], pa.StringArray]:
    """Return which of the strings of `text` at `index` have hits, and these with `MASKS` in place of them.

    A mask may free what stood in its shade (of two numbers that ran into each other, the second), so the answer is
    searched again until it has no hit.

    >>> texts = view(pa.array(["Hi.", "Write to ann@pellow.org, bo@pellow.org"]))
    >>> places, masked = mask_secrets(texts, np.arange(2, dtype=np.int32))
    >>> places.tolist(), masked.to_pylist()
    ([1], ['Write to [EMAIL], [EMAIL]'])
    """
    hits = find_secrets(text, index, kinds)
    places = np.unique(hits.place)
    hits = hits._replace(place=np.searchsorted(places, hits.place).astype(np.int32))
    masked = _masked(text, index[places], hits)
    while len(hits.place):
        text, every = view(masked), np.arange(len(masked), dtype=np.int32)
        hits = find_secrets(text, every, kinds)
        masked = _masked(text, every, hits) if len(hits.place) else masked
    return places, masked


def _masked(text: Text, index: NDArray[np.int32], hits: Secrets) -> pa.StringArray:
    """Return the strings of `text` at `index` with masks in place of hits."""
    sizes = np.array([len(mask) for mask in MASKS], np.int32)
    grown = np.bincount(hits.place, sizes[hits.kind] - (hits.stop - hits.start), len(index))
    lengths = text.offsets[index + 1] - text.offsets[index] + grown
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    out = np.empty(offsets[-1], np.uint8)
    ends = np.cumsum(sizes, dtype=np.int32)
    masks = np.frombuffer("".join(MASKS).encode(), np.uint8)
    _write(text.data, text.offsets, index, hits, masks, ends, out)
    return strings(out, offsets)


@kernel
def _write(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    index: NDArray[np.int32],
    hits: Secrets,
    masks: NDArray[np.uint8],
    ends: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    at = hit = 0
    for place in range(len(index)):
        base, end = offsets[index[place]], offsets[index[place] + 1]
        i = base
        while i < end:
            if hit < len(hits.place) and hits.place[hit] == place and base + hits.start[hit] == i:
                kind = hits.kind[hit]
                for k in range(ends[kind - 1] if kind else 0, ends[kind]):
                    out[at] = masks[k]
                    at += 1
                i = base + hits.stop[hit]
                hit += 1
                continue
            out[at] = data[i]
            at += 1
            i += 1


@functools.cache
def tables() -> SecretTables:
    """Return the kernel's tables, made once (2 ms)."""
    kinds = np.zeros(256, np.uint8)
    signs = {LOCAL: ".%+-", BEFORE: "./+#$-*^%&@\\~", DIGIT: string.digits, LETTER: LETTERS, UNDER: "_"}
    for bit, letters in (*signs.items(), (HEX, string.hexdigits), (UPPER, string.ascii_uppercase)):
        kinds[[ord(letter) for letter in letters]] |= bit
    alphabets = np.zeros(256, np.uint8)
    for bit, letters in SETS.items():
        alphabets[[ord(letter) for letter in letters]] |= bit
    spelled = [layout.prefix for layout in LAYOUTS] + [word for words in WORDS.values() for word in words]
    edges = np.cumsum([0, *(len(word) for word in spelled)])
    spans = np.stack([edges[:-1], edges[1:]], axis=1).astype(np.int32)
    sizes = np.array([layout[1:] for layout in LAYOUTS], np.int32)
    first, second = np.zeros((2, 1 << 16), np.uint8)
    for layout in LAYOUTS:
        head = layout.prefix.encode()[:4]
        first[int.from_bytes(head[:2], "little")] = 1
        second[head[2] | np.arange(256) << 8 if len(head) == 3 else int.from_bytes(head[2:], "little")] = 1
    return SecretTables(
        frozen(kinds),
        frozen(alphabets),
        frozen(first),
        frozen(second),
        frozen(np.frombuffer("".join(spelled).encode(), np.uint8)),
        frozen(np.concatenate([spans[: len(LAYOUTS)], sizes], axis=1)),
        frozen(spans[len(LAYOUTS) :].copy()),
        frozen(np.cumsum([len(words) for words in WORDS.values()], dtype=np.int32)),
        frozen(_countries()),
        frozen(_ibans()),
    )


def _countries() -> NDArray[np.uint8]:
    """Mark the first three digits of telephones that begin with a country code."""
    table = np.zeros(1000, np.uint8)
    for code in COUNTRIES.split():
        width = 10 ** (3 - len(code))
        table[int(code) * width : (int(code) + 1) * width] = 1
    return table


def _ibans() -> NDArray[np.uint8]:
    """Return the length of bank accounts of each two letters, 0 where there are none."""
    table = np.zeros(26 * 26, np.uint8)
    for country in IBANS.split():
        table[(ord(country[0]) - 65) * 26 + ord(country[1]) - 65] = int(country[2:])
    return table
