r"""One reader per kind of secret: a pattern for the layout, then the checks that a pattern cannot express.

Readers take UTF-8 bytes, so `\w` and `[0-9]` are ASCII and spans are byte offsets. Every repetition is bounded or
possessive, so the time is linear in the text, whatever the text. Patterns start with a character class or a literal,
with the look-behind after it: `re` skips to the next candidate character about ten times faster than it tests a
look-behind at each.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from curate.text.secrets.layouts import (
    CALLING_CODES,
    CONSTANTS,
    IBAN_LENGTHS,
    KEY_LAYOUTS,
    NON_PUBLIC_NETWORKS,
    PLACEHOLDER_DOMAINS,
    PLACEHOLDER_KEYS,
    PLACEHOLDER_LABELS,
    PLACEHOLDER_MAILBOXES,
    VERSION_WORDS,
)

Span: TypeAlias = tuple[int, int]

LABEL: Final = rb"(?![A-Za-z0-9-]{64})[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\."
DOMAIN: Final = re.compile(rb"@((?:" + LABEL + rb"){1,126}[A-Za-z]{2,24})(?!\w)")
CALL: Final = re.compile(rb"[A-Za-z0-9.-]{0,253}+\(")
MAILBOX_SIGNS: Final = b".%+-"
MAILBOX: Final = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + b"_" + MAILBOX_SIGNS
LONGEST_MAILBOX: Final = 64
"""RFC 5321, section 4.5.3.1.1."""


def emails(text: bytes) -> Iterator[Span]:
    """Find mail addresses; placeholders (user@example.com) and calls (x@w.to(device)) are none."""
    for hit in DOMAIN.finditer(text):
        before = text[max(0, hit.start() - LONGEST_MAILBOX - 1) : hit.start()]
        mailbox = before[len(before.rstrip(MAILBOX)) :]
        name = mailbox.lstrip(MAILBOX_SIGNS)
        if len(mailbox) > LONGEST_MAILBOX or not name or name.endswith(b".") or b".." in name:
            continue
        *labels, last = (f"{label}." for label in hit[1].decode().lower().split("."))
        placeholder = f"{name.decode()}@".lower().startswith(PLACEHOLDER_MAILBOXES)
        placeholder |= last.startswith(PLACEHOLDER_DOMAINS)
        placeholder |= any(label.startswith(PLACEHOLDER_LABELS) for label in labels)
        if not placeholder and not CALL.match(text, hit.end()):
            yield hit.start() - len(name), hit.end()


RISING: Final = re.compile(rb"012345|123456|234567|345678|456789")
IPV4: Final = re.compile(rb"[0-9](?<![\w.+].)[0-9]{0,2}+(?:\.[0-9]{1,3}+){3}(?!\w|\.[0-9])")
IPV6: Final = re.compile(rb"[23](?<![\w:+].)[0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,35}+(?![\w:])")
WORD_BEFORE: Final = re.compile(rb"(\w+|\xc2\xa7)[ :=#]{0,4}\Z")


def ip_addresses(text: bytes) -> Iterator[Span]:
    """Find public addresses of hosts; networks, versions and section numbers are none."""
    for hit in IPV4.finditer(text):
        octets = hit[0].split(b".")
        if sum(len(octet) > 1 for octet in octets) < 2 or octets[3] in {b"0", b"255"} or not is_public(hit[0]):
            continue
        word = WORD_BEFORE.search(text, max(0, hit.start() - 30), hit.start())
        if not RISING.search(b"".join(octets)) and not (word and word[1].decode().lower() in VERSION_WORDS):
            yield hit.span()
    for hit in IPV6.finditer(text):
        address = re.sub(rb"(?<!:):\Z", b"", hit[0])
        if sum(map(bool, address.split(b":"))) >= 3 and is_public(address):
            yield hit.start(), hit.start() + len(address)


def is_public(address: bytes) -> bool:
    """Return whether this is an IP address outside all private, local, reserved and documentation networks."""
    try:
        parsed = ipaddress.ip_address(address.decode())
    except ValueError:
        return False
    return not any(parsed.version == network.version and parsed in network for network in NON_PUBLIC_NETWORKS)


API_KEYS: Final = tuple(
    (re.compile(rf"{prefix}(?<!\w{prefix})(?=([{alphabet}]{{{low},{high}}}+)(?![\w{alphabet}]))".encode()), run)
    for prefix, alphabet, low, high, run in ((re.escape(key.prefix), *key[1:]) for key in KEY_LAYOUTS)
)
WEB_TOKEN: Final = re.compile(rb"eyJ(?<!\weyJ)[\w-]{7,509}+\.ey[\w-]{8,8190}+\.[\w-]{10,1024}+(?![\w-])")
PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN (?=[^-]{0,43}?(?i:private key))[^-]{0,54}+-----((?:[^-]|-(?!----)){0,20000}+)-----END[^-]{0,57}+-----"
)
FEWEST_KEY_CHARACTERS: Final = 6
"""Different characters in a key that is not a placeholder."""


def keys(text: bytes) -> Iterator[Span]:
    """Find API keys with a published prefix, JSON Web Tokens and PEM private keys; placeholders are none."""
    for pattern, run in API_KEYS:
        for hit in pattern.finditer(text):
            body = hit[1].decode()
            runs = (part for part in re.findall("[A-Za-z0-9]+", body) if len(part) >= run)
            mixed = not run or any(not part.isalpha() or not (part.islower() or part.isupper()) for part in runs)
            placeholder = any(word in body.lower() for word in PLACEHOLDER_KEYS)
            if mixed and len(set(body)) >= FEWEST_KEY_CHARACTERS and not placeholder:
                yield hit.start(), hit.end(1)
    for hit in WEB_TOKEN.finditer(text):
        yield hit.span()
    for hit in PRIVATE_KEY.finditer(text):
        if len(re.findall(rb"[A-Za-z0-9+/=]", hit[1])) >= 64:
            yield hit.span()


PLACEHOLDER_DIGITS: Final = re.compile(RISING.pattern + rb"|([0-9])\1{5}")
"""Six digits that rise by one or are the same."""

NUMBER: Final = re.compile(
    rb"[0-9(](?<![\w./+#$*^%&@\\~].)(?<!-[0-9])(?:(?<![0-9] .)|(?=[0-9]{0,5}[-./)]|[0-9]{13}))"
    rb"(?=[.-]?[0-9](?:[ ./()-]{0,2}[0-9]){8})"
)
"""Where a national telephone or a card may start: not within a sum, a price, a path or a version."""
NUMBER_SIZES: Final = {
    size: re.compile(rb"\(?[0-9](?:[ ./()-]{0,2}[0-9]){%d}(?![0-9])" % (size - 1)) for size in range(10, 17)
}
NUMBER_END: Final = re.compile(rb"(?!\w|[-./][0-9])")
SPACED_START, SPACED_END = re.compile(rb"(?<![0-9] )"), re.compile(rb"(?! [0-9])")
"""A number with spaces between its groups has no further group before or after it."""

AREA: Final = rb"(?!.11|555|[2-7]00)[2-9][0-8][0-9]"
EXCHANGE: Final = rb"(?!.11|555)[2-9][0-9]{2}"
NATIONAL: Final = re.compile(
    b"|".join(
        (
            rb"(?:1([-.]))?" + AREA + rb"(?(1)\1|([-.]))" + EXCHANGE + rb"(?(1)\1|\2)[0-9]{4}",  # 1-212-736-5000
            rb"\(" + AREA + rb"\)[ -]?" + EXCHANGE + rb"[ .-][0-9]{4}",  # (212) 736-5000
            rb"\([0-9]{2}\) ?9[0-9]{4}-[0-9]{4}",  # Brazil: (11) 98765-4321
            rb"1[3-9][0-9]([ -])[0-9]{4}\3[0-9]{4}",  # mobile telephones of China: 138 1234 5678
            rb"(?P<french>0[1-9]([ .-])[0-9]{2}(?:\5[0-9]{2}){3})",  # France: 01 42 68 53 00
            rb"0[1-9][0-9]{0,3}(?:-[0-9]{3,})+",  # 0755-12345678
            rb"0[1-9][0-9]{1,3}(?: [0-9]{3,})+",  # 020 7946 0018
            rb"(?:0[1-9][0-9]{0,3}/|\(0[1-9][0-9]{0,3}\) ?)[0-9]{3,}(?:([ -])[0-9]{3,}(?:\6[0-9]{3,})*)?",  # 030/123456
        )
    )
)


def numbers(text: bytes, sizes: Sequence[int]) -> Iterator[tuple[int, bytes, bytes]]:
    """Find groups of as many digits as one of `sizes`; yield start, number, and its digits."""
    for first in NUMBER.finditer(text):
        for size in sizes:
            hit = NUMBER_SIZES[size].match(text, first.start())
            if hit is None or not NUMBER_END.match(text, hit.end()):
                continue
            spaced = b" " in hit[0].replace(b") ", b")")
            if not spaced or (SPACED_START.match(text, hit.start()) and SPACED_END.match(text, hit.end())):
                yield hit.start(), hit[0], re.sub(rb"[^0-9]", b"", hit[0])


def phones(text: bytes) -> Iterator[Span]:
    """Find international telephones, and national ones with their usual signs between the groups."""
    for start, number, digits in numbers(text, (10, 11)):
        hit = NATIONAL.fullmatch(number)
        counts_up = hit is not None and hit["french"] and int(digits[2:4]) == int(digits[:2]) + 1
        if hit and not counts_up and not PLACEHOLDER_DIGITS.search(digits.removeprefix(b"1")):
            yield start, start + len(number)
    yield from international_phones(text)


INTERNATIONAL: Final = re.compile(rb"\+(?<![\w./+#$*^%&@\\~)-]\+)([0-9]{1,15}+)(?![0-9])")
GROUP: Final = re.compile(rb"[ .-]?\(([0-9]{1,5})\)|(?:[ .-]|(?<=\)))([0-9]{1,16})")
MORE_GROUPS: Final = 5
AMERICAN: Final = re.compile(rb"1(?!555|...555)[2-9]..[2-9].{6}")


def international_phones(text: bytes) -> Iterator[Span]:
    """Find "+" and 8 to 15 digits: as many groups as have at most 13 digits, or the first one; 11 digits after +1."""
    for hit in INTERNATIONAL.finditer(text):
        number, stop = digits, end = hit[1], hit.end()
        singles = 0
        for _ in range(MORE_GROUPS):
            group = GROUP.match(text, end)
            if group is None or (number.startswith(b"1") and len(number) >= 11):
                break
            digits, end = digits + (group[1] or group[2]), group.end()
            singles += group[1] is None and len(group[2]) == 1
            if len(digits) > 13 or singles > 1:
                break
            number, stop = digits, end
        known = AMERICAN.fullmatch(number) or (len(number) >= 8 and number.decode().startswith(CALLING_CODES))
        if known and NUMBER_END.match(text, stop) and not PLACEHOLDER_DIGITS.search(number):
            yield hit.start(), stop


CARD: Final = re.compile(rb"[0-9]{14,16}|[0-9]{4}([ -])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{6}\1[0-9]{4,5})")
CARD_BRANDS: Final = {
    14: re.compile(rb"36|38|30[0-5]"),
    15: re.compile(rb"34|37"),
    16: re.compile(rb"4|5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|6011|64[4-9]|65|352[89]|35[3-8]|62"),
}
"""First digits by length (ISO 7812): Diners; American Express; Visa, Mastercard, Discover, JCB, UnionPay."""
FEWEST_CARD_DIGITS: Final = 4
"""Different digits in a card that is not for tests."""
RESULT: Final = re.compile(rb"(?:[0-9)!] ?(?:=|\xe2\x89\x88) ?|(?<![0-9])0,)\Z")
"""What comes before the result of a sum ("2^52 = ") and before a fraction ("0,")."""
POWERS: Final = frozenset(
    str(base**power).encode() for base in range(2, 100) for power in range(7, 54) if 13 < len(str(base**power)) < 17
)
"""Powers of small numbers, of 14 to 16 digits."""


def cards(text: bytes) -> Iterator[Span]:
    """Find card numbers with the first digits of their brand and a valid checksum (Luhn).

    Test cards are none, and neither are numbers of mathematics.
    """
    for start, number, digits in numbers(text, tuple(CARD_BRANDS)):
        if not CARD.fullmatch(number) or not CARD_BRANDS[len(digits)].match(digits):
            continue
        checksum = sum(sum(divmod(int(digit) * (1 + k % 2), 10)) for k, digit in enumerate(reversed(digits.decode())))
        plain = len(set(digits)) >= FEWEST_CARD_DIGITS and not PLACEHOLDER_DIGITS.search(digits)
        if checksum % 10 == 0 and plain and not is_computed(text, start, digits):
            yield start, start + len(number)


def is_computed(text: bytes, start: int, digits: bytes) -> bool:
    """Tell whether 14 or more digits at `start` are mathematics: a constant (its last one rounded), a power, a result.

    >>> (
    ...     is_computed(b"2718281828459045", 0, b"2718281828459045"),
    ...     is_computed(b"4539578763621486", 0, b"4539578763621486"),
    ... )
    (True, False)
    """
    constant = any(each.encode().startswith(digits[:-1]) for each in CONSTANTS)
    return constant or digits in POWERS or RESULT.search(text, max(0, start - 8), start) is not None


IBAN: Final = re.compile(rb"[A-Z](?<!\w.)[A-Z][0-9]{2}")
IBAN_WHOLE: Final = re.compile(rb"[0-9A-Z]+|(?:[0-9A-Z]{4} )+[0-9A-Z]{1,4}")
WORD: Final = re.compile(rb"\w")


def ibans(text: bytes) -> Iterator[Span]:
    """Find bank account numbers with the length of their country and a valid checksum (ISO 7064, mod 97)."""
    for hit in IBAN.finditer(text):
        size = IBAN_LENGTHS.get(hit[0][:2].decode(), 0)
        spaces = (size - 1) // 4 if text.startswith(b" ", hit.end()) else 0
        stop = hit.start() + size + spaces
        number = text[hit.start() : stop]
        account = number.replace(b" ", b"").decode("latin-1")
        if len(account) != size or not IBAN_WHOLE.fullmatch(number) or WORD.match(text, stop):
            continue
        if int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1:
            yield hit.start(), stop
