"""Secrets in a text, the slow way: a pattern for each layout, and what the check of its kind asks besides.

Texts come as Latin-1, a letter a byte, so that places are those of bytes.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Final

from curate.text.secrets.find import COUNTRIES, IBANS, KINDS, LAYOUTS, SETS, WORDS

Found = Iterator[tuple[int, str, int, int]]
"""Where what told of a hit stands, its kind, its start and its stop."""

LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN: Final = re.compile(rf"@((?:{LABEL}\.)+[A-Za-z]{{2,24}})(?!\w)(?![A-Za-z0-9.-]*\()", re.ASCII)
OCTET: Final = "(?:0|[1-9][0-9]{0,2})"
IP4: Final = re.compile(rf"(?<![\w.+]){OCTET}(?:\.{OCTET}){{3}}(?!\w|\.[0-9])", re.ASCII)
IP6: Final = re.compile(r"(?<![\w:+])[23][0-9A-Fa-f:]*+(?!\w)", re.ASCII)
TOKEN: Final = re.compile(r"(?<!\w)eyJ[\w-]{7,509}\.ey[\w-]{8,8190}\.[\w-]{10,1024}(?![\w-])", re.ASCII)
BLOCK: Final = re.compile(
    r"-----(?=BEGIN [^-]*(?i:private key))BEGIN [^-]{0,54}-----((?:(?!-----).){0,20000})-----END[^-]{0,57}-----",
    re.DOTALL,
)
NETWORKS: Final = (
    "0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 224.0.0.0/3 100.64.0.0/10 172.16.0.0/12 198.18.0.0/15 169.254.0.0/16 "
    "192.168.0.0/16 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32"
)
PRIVATE: Final = [ipaddress.ip_network(network) for network in NETWORKS.split()]
BEFORE, AFTER = r"(?<![\w./+#$*^%&@\\~-])", r"(?!\w|[-./][0-9])"
BEFORE_SPACED, AFTER_SPACED = rf"{BEFORE}(?<![0-9] )", rf"{AFTER}(?! [0-9])"
BRACKET = BEFORE.replace("-]", "]") + r"\("
D3, D4 = "[0-9]{3}", "[0-9]{4}"


def straight(digits: str) -> bool:
    return any(digits[i : i + 6] in "0123456789" for i in range(len(digits) - 5))


def made_up(digits: str) -> bool:
    return straight(digits) or re.search(r"([0-9])\1{5}", digits) is not None


def emails(text: str) -> Found:
    for mark in re.finditer("@", text):
        run = re.search(r"[\w.%+-]*\Z", text[max(0, mark.start() - 66) : mark.start()], re.ASCII)
        domain = DOMAIN.match(text, mark.start())
        if run is None or len(run[0]) > 64 or domain is None:
            continue
        local = run[0].lstrip(".%+-")
        *labels, last = (f"{label}.".lower() for label in domain[1].split("."))
        listed = f"{local}@".lower().startswith(WORDS["mailbox"]) or last.startswith(WORDS["domain"])
        listed |= any(label.startswith(WORDS["domain"] + WORDS["label"]) for label in labels)
        if local and not local.endswith(".") and ".." not in local and not listed:
            yield mark.start(), "email", mark.start() - len(local), domain.end(1)


def ips(text: str) -> Found:
    for hit in IP4.finditer(text):
        parts = [int(part) for part in hit[0].split(".")]
        if max(parts) > 255 or sum(part > 9 for part in parts) < 2 or straight(hit[0].replace(".", "")):
            continue
        word = re.search(r"\w*[ :=#]{0,4}\Z", text[max(0, hit.start() - 30) : hit.start()], re.ASCII)
        announced = word is not None and word[0].rstrip(" :=#").lower() + " " in WORDS["version"]
        announced |= re.search(r"\xc2\xa7[ :=#]{0,4}\Z", text[max(0, hit.start() - 6) : hit.start()]) is not None
        private = any(ipaddress.ip_address(hit[0]) in network for network in PRIVATE)
        if parts[3] not in {0, 255} and not private and not announced:
            yield hit.start(), "ip", hit.start(), hit.end()
    for hit in IP6.finditer(text):
        run = re.sub("(?<!:):$", "", hit[0])
        try:
            address = ipaddress.IPv6Address(run)
        except ValueError:
            continue
        public = address in ipaddress.ip_network("2000::/3") and address not in PRIVATE[-1]
        if public and len(re.findall("[^:]+", run)) >= 3 and len(hit[0]) <= 40:
            yield hit.start(), "ip", hit.start(), hit.start() + len(run)


def keys(text: str) -> Found:
    for layout in LAYOUTS[2:]:
        alphabet = re.escape(SETS[layout.alphabet])
        body = f"([{alphabet}]{{{layout.shortest},{layout.longest}}})(?![{alphabet}])"
        for hit in re.finditer(rf"(?<!\w)(?={re.escape(layout.prefix)}{body}(?!\w))", text, re.ASCII):
            stretches = [each for each in re.findall("[A-Za-z0-9]+", hit[1]) if len(each) >= max(layout.stretch, 1)]
            mixed = [s for s in stretches if s.lower() != s.upper() != s != s.lower() or re.search("[0-9]", s)]
            listed = any(word in hit[1].lower() for word in WORDS["key"])
            if len(set(hit[1])) >= 6 and not listed and (mixed or not layout.stretch):
                yield hit.start(), "key", hit.start(), hit.end(1)
    for hit in TOKEN.finditer(text):
        yield hit.start(), "key", hit.start(), hit.end()
    for hit in BLOCK.finditer(text):
        if len(re.findall("[A-Za-z0-9+/=]", hit[1])) >= 64:
            yield hit.start() + 5, "key", hit.start(), hit.end()


def north_american(digits: str) -> bool:
    area, exchange = digits[-10:-7], digits[-7:-4]
    wrong = area in {"200", "300", "400", "500", "555", "600", "700"} or area[1:] == "11" or area[1] == "9"
    return min(area[0], exchange[0]) > "1" and not wrong and exchange != "555" and exchange[1:] != "11"


NATIONAL: Final[tuple[tuple[Callable[[str], bool], str], ...]] = (
    (north_american, rf"{BEFORE}(?:1([-.]))?{D3}(?(1)\1|([-.])){D3}(?(1)\1|\2){D4}{AFTER}"),
    (north_american, rf"{BRACKET}{D3}\)[ -]?{D3}[-.]{D4}{AFTER}"),
    (north_american, rf"{BRACKET}(?<![0-9] \(){D3}\)[ -]?{D3} {D4}{AFTER_SPACED}"),
    (lambda digits: digits[2] == "9", rf"{BRACKET}[0-9][0-9]\) ?[0-9]{{5}}-{D4}{AFTER}"),
    (lambda digits: digits[1] > "2", rf"{BEFORE}1[0-9]{{2}}-{D4}-{D4}{AFTER}"),
    (lambda digits: digits[1] > "2", rf"{BEFORE_SPACED}1[0-9]{{2}} {D4} {D4}{AFTER_SPACED}"),
    (
        lambda digits: int(digits[2:4]) != int(digits[:2]) + 1,
        rf"{BEFORE}0[1-9]([-.])[0-9]{{2}}(?:\1[0-9]{{2}}){{3}}{AFTER}",
    ),
    (
        lambda digits: int(digits[2:4]) != int(digits[:2]) + 1,
        rf"{BEFORE_SPACED}0[1-9](?: [0-9]{{2}}){{4}}{AFTER_SPACED}",
    ),
)
ZERO: Final = (
    rf"{BEFORE}0[1-9][0-9]{{0,3}}([ -])[0-9]{{3,}}(?:\1[0-9]{{3,}})*",
    rf"{BEFORE}0[1-9][0-9]{{0,3}}/[0-9]{{3,}}(?:([ -])[0-9]{{3,}}(?:\1[0-9]{{3,}})*)?",
    rf"{BRACKET}0[1-9][0-9]{{0,3}}\) ?[0-9]{{3,}}(?:([ -])[0-9]{{3,}}(?:\1[0-9]{{3,}})*)?",
)


def phones(text: str) -> Found:
    for check, pattern in NATIONAL:
        for hit in re.finditer(pattern, text, re.ASCII):
            digits = re.sub("[^0-9]", "", hit[0])
            core = digits[-10:] if check is north_american else digits
            if check(digits) and not made_up(core):
                yield hit.start() + (hit[0][0] == "("), "phone", hit.start(), hit.end()
    for hit in itertools.chain.from_iterable(re.finditer(pattern, text, re.ASCII) for pattern in ZERO):
        ends = [group.end() for group in re.finditer("[0-9]+", hit[0])]
        sizes = [len(re.sub("[^0-9]", "", hit[0][:end])) for end in ends]
        used = max(k for k, size in enumerate(sizes) if size <= 11)
        number, stop = hit[0][: ends[used]], hit.start() + ends[used]
        spaced = " " in re.sub(r"^\([0-9]+\) ", "", number)
        if not 10 <= sizes[used] <= 11 or used == 0 or (spaced and sizes[0] == 2 and number[2] == " "):
            continue
        before = text[max(0, hit.start() - 2) : hit.start()]
        goes_on = spaced and (re.search("[0-9] $", before) or re.match(" [0-9]", text[stop:]))
        if (
            not goes_on
            and not re.match(AFTER[3:-1], text[stop:], re.ASCII)
            and not made_up(re.sub("[^0-9]", "", number))
        ):
            yield hit.start() + (number[0] == "("), "phone", hit.start(), stop


GROUP: Final = re.compile(r"(?:[ .-]?\(([0-9]{1,5})\)|(?:[ .-]|(?<=\)))([0-9]+))")


def international(text: str) -> Found:
    for hit in re.finditer(r"(?<![\w./+#$*^%&@\\~)-])\+([0-9]+)", text, re.ASCII):
        digits, at, singles, best, size = hit[1], hit.end(), 0, hit.end(), 0
        for count in range(6):
            if len(digits) > 15 or singles > 1:
                break
            best, size = (at, len(digits)) if len(digits) <= 13 or count == 0 else (best, size)
            group = GROUP.match(text, at)
            if group is None or (digits[0] == "1" and len(digits) >= 11):
                break
            digits, at, singles = digits + (group[1] or group[2]), group.end(), singles + (len(group[2] or "00") == 1)
        number = digits[:size]
        right = any(number.startswith(code) for code in COUNTRIES.split())
        if number[:1] == "1":
            right = size == 11 and min(number[1], number[4]) > "1" and "555" not in {number[1:4], number[4:7]}
        if size >= 8 and right and not made_up(number) and not re.match(AFTER[3:-1], text[best:], re.ASCII):
            yield hit.start(1), "phone", hit.start(), best


CARDS: Final = (
    rf"{BEFORE}[0-9]{{14,16}}{AFTER}",
    rf"{BEFORE}{D4}(?:(?:-{D4}){{3}}|-[0-9]{{6}}-[0-9]{{4,5}}){AFTER}",
    rf"{BEFORE_SPACED}{D4}(?:(?: {D4}){{3}}| [0-9]{{6}} [0-9]{{4,5}}){AFTER_SPACED}",
)
BRANDS: Final = {
    14: "36|38|30[0-5]",
    15: "34|37",
    16: "4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|6011|64[4-9]|65|352[89]|35[3-8]|62",
}


def cards(text: str) -> Found:
    for hit in itertools.chain.from_iterable(re.finditer(pattern, text, re.ASCII) for pattern in CARDS):
        digits = re.sub("[^0-9]", "", hit[0])
        doubled = (int(digit) * (1 + k % 2) for k, digit in enumerate(reversed(digits)))
        right = sum(number // 10 + number % 10 for number in doubled) % 10 == 0
        if right and re.match(BRANDS[len(digits)], digits) and len(set(digits)) > 3 and not made_up(digits):
            yield hit.start(), "card", hit.start(), hit.end()


def ibans(text: str) -> Found:
    for country in IBANS.split():
        size = int(country[2:])
        grouped = "".join(f"{' ' if k % 4 == 0 else ''}[A-Z0-9]" for k in range(4, size))
        for rest in (f"[A-Z0-9]{{{size - 4}}}", grouped):
            for hit in re.finditer(rf"(?<!\w){country[:2]}[0-9]{{2}}{rest}(?!\w)", text, re.ASCII):
                account = hit[0].replace(" ", "")
                if int("".join(str(int(letter, 36)) for letter in account[4:] + account[:4])) % 97 == 1:
                    yield hit.start() + 2, "iban", hit.start(), hit.end()


READERS: Final = (emails, ips, keys, phones, international, cards, ibans)


def secrets(text: str, kinds: tuple[str, ...] = KINDS) -> list[tuple[str, int, int]]:
    data = text.encode().decode("latin-1")
    kept: list[tuple[str, int, int]] = []
    for _, kind, start, stop in sorted(hit for reader in READERS for hit in reader(data)):
        met = [hit for hit in kept if hit[2] > start]
        if kind in kinds and all(hit[2] - hit[1] < stop - start for hit in met):
            kept = [*kept[: len(kept) - len(met)], (kind, start, stop)]
    return kept
