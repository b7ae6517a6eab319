"""Secrets drawn from templates, for the tests: none of them is anyone's."""

from __future__ import annotations

import random
import string
from itertools import pairwise
from typing import Final

from curate.text.secrets.find import KINDS, Kind
from curate.text.secrets.layouts import CALLING_CODES, IBAN_LENGTHS

ALNUM: Final = string.ascii_letters + string.digits
URL_SAFE: Final = ALNUM + "-_"
UPPER: Final = string.ascii_uppercase + "234567"
HEX: Final = "0123456789abcdef"
NAMES: Final = ("ann", "bo.lee", "maria_k", "j-p.roux", "zoe+news", "x1", "Dr.Okafor", "li%wei")
HOSTS: Final = ("pellow.org", "mail.ardent.co.uk", "tu-kassel.de", "a1.io", "sub.domain-x.travel", "QX.EDU", "n.museum")


def drawn(chance: random.Random, letters: str, size: int) -> str:
    return "".join(chance.choices(letters, k=size))


def digits(chance: random.Random, shape: str) -> str:
    """Fill in a shape: `#` is a digit, `N` one from 2 to 9, `M` one from 1 to 8."""
    ranges = {"#": "0123456789", "N": "23456789", "M": "12345678"}
    return "".join(chance.choice(ranges.get(sign, sign)) for sign in shape)


def email(chance: random.Random) -> str:
    return f"{chance.choice(NAMES)}{chance.randrange(100)}@{chance.choice(HOSTS)}"


def phone(chance: random.Random) -> str:
    shapes = [
        "(NM#) NM#-####",
        "NM#-NM#-####",
        "NM#.NM#.####",
        "1-NM#-NM#-####",
        "+1 NM# NM# ####",
        "+1 (NM#) NM#-####",
    ]
    shapes += ["+1NM#NM#####", "01M2 NM#####", "(0NM#) #######", "0NM/########", "020 NM## ####", "0N### M#####"]
    shapes += ["13#-####-####", "18# #### ####", "(11) 9####-####", "0M 4# ## ## ##", "0M.4#.##.##.##"]
    code = chance.choice(CALLING_CODES)
    shapes += [f"+{code} NM ### ####", f"+{code}-NM#-###-###", f"+{code} (0) NM# ######", f"+{code}NM#######"]
    while True:
        found = digits(chance, chance.choice(shapes))
        if "555" not in found and "11" not in {found[-9:-7], found[-7:-5], found[-8:-6], found[-11:-9]} and fair(found):
            return found


def fair(text: str) -> bool:
    """Whether it has no six digits that rise by one or are the same."""
    said = "".join(sign for sign in text if sign.isdigit())
    straight = any(said[i : i + 6] in string.digits or len(set(said[i : i + 6])) == 1 for i in range(len(said) - 5))
    return not straight


def ip(chance: random.Random) -> str:
    if chance.random() < 0.3:
        groups = [drawn(chance, HEX, chance.randint(1, 4)) for _ in range(6)]
        tail = "::".join((":".join(groups[:3]), groups[3])) if chance.random() < 0.5 else ":".join([*groups, "1"])
        return f"2{drawn(chance, HEX, 3)}:{tail}"
    first = chance.choice([8, 23, 34, 52, 77, 93, 141, 151, 185, 193, 217])
    return f"{first}.{chance.randint(10, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"


def key(chance: random.Random) -> str:
    block = "\n".join(drawn(chance, ALNUM + "+/", 64) for _ in range(5))
    found = (
        "AKIA" + drawn(chance, UPPER, 16),
        "ASIA" + drawn(chance, UPPER, 16),
        f"gh{chance.choice('pousr')}_" + drawn(chance, ALNUM, 36),
        "github_pat_" + drawn(chance, ALNUM, 22) + "_" + drawn(chance, ALNUM, 59),
        "glpat-" + drawn(chance, URL_SAFE, 20),
        "sk-" + drawn(chance, ALNUM, 20) + "T3BlbkFJ" + drawn(chance, ALNUM, 20),
        "sk-proj-" + drawn(chance, URL_SAFE, 148),
        "sk-ant-api03-" + drawn(chance, URL_SAFE, 93) + "AA",
        "sk-" + drawn(chance, HEX, 32),
        "AIza" + drawn(chance, URL_SAFE, 35),
        f"xoxb-{digits(chance, '############-#############')}-" + drawn(chance, ALNUM, 24),
        "sk_live_" + drawn(chance, ALNUM, 24),
        "hf_" + drawn(chance, string.ascii_letters, 34),
        "npm_" + drawn(chance, ALNUM, 36),
        "pypi-AgEIcHlwaS5vcmc" + drawn(chance, URL_SAFE, 150),
        "SG." + drawn(chance, URL_SAFE, 22) + "." + drawn(chance, URL_SAFE, 43),
        "dop_v1_" + drawn(chance, HEX, 64),
        "gsk_" + drawn(chance, ALNUM, 52),
        "eyJ" + drawn(chance, URL_SAFE, 33) + ".eyJ" + drawn(chance, URL_SAFE, 80) + "." + drawn(chance, URL_SAFE, 43),
        f"-----BEGIN RSA PRIVATE KEY-----\n{block}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{block}==\n-----END OPENSSH PRIVATE KEY-----",
    )
    return chance.choice(found)


BRANDS: Final = (
    *((head, 16, (0, 4, 8, 12, 16)) for head in ("4", "53", "2221", "6011", "3530", "62")),
    ("37", 15, (0, 4, 10, 15)),
    ("36", 14, (0, 4, 10, 14)),
)


def card(chance: random.Random) -> str:
    head, size, cuts = chance.choice(BRANDS)
    body = head + drawn(chance, string.digits, size - len(head) - 1)
    total = sum(sum(divmod(int(digit) * (2 - k % 2), 10)) for k, digit in enumerate(reversed(body)))
    number = body + str(-total % 10)
    sign = chance.choice(["", " ", "-"])
    return sign.join(number[low:high] for low, high in pairwise(cuts)) if fair(number) else card(chance)


def iban(chance: random.Random) -> str:
    country, size = chance.choice(list(IBAN_LENGTHS.items()))
    body = drawn(chance, string.digits + "ABCXYZ", size - 4)
    value = int("".join(str(int(letter, 36)) for letter in body + country + "00"))
    account = f"{country}{98 - value % 97:02d}{body}"
    if chance.random() < 0.5:
        return account
    return " ".join(account[k : k + 4] for k in range(0, len(account), 4))


DRAW: Final = dict(zip(KINDS, (email, phone, ip, key, card, iban), strict=True))


def planted(kind: Kind, count: int) -> list[str]:
    """The first `count` secrets of a kind; the same ones every time."""
    chance = random.Random(f"planted {kind}")
    return [DRAW[kind](chance) for _ in range(count)]
