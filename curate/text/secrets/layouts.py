"""Published layouts and word lists: API keys, country calling codes, IBAN lengths, placeholder words."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

ALPHANUMERIC, URL_SAFE = "A-Za-z0-9", "A-Za-z0-9_-"
"""Alphabets of API keys, as the inside of a character class."""


class KeyLayout(NamedTuple):
    """A layout of API keys: the prefix, then `shortest` to `longest` characters of `alphabet`.

    With `run`, one run of that many letters and digits contains a digit or letters of both cases. Identifiers in code
    with the same prefix (`sk-circle-fade`) have no such run.
    """

    prefix: str
    alphabet: str
    shortest: int
    longest: int
    run: int = 0


KEY_LAYOUTS: Final = (
    *(KeyLayout(prefix, "A-Z0-9", 16, 16) for prefix in ("AKIA", "ASIA")),  # Amazon Web Services
    *(KeyLayout(f"gh{letter}_", ALPHANUMERIC, 36, 251) for letter in "pousr"),  # GitHub
    KeyLayout("github_pat_", "A-Za-z0-9_", 82, 82),
    KeyLayout("glpat-", URL_SAFE, 20, 64),  # GitLab
    KeyLayout("sk-", URL_SAFE, 20, 256, 10),  # OpenAI, Anthropic (sk-ant-), DeepSeek and others
    KeyLayout("AIza", URL_SAFE, 35, 35),  # Google
    KeyLayout("GOCSPX-", URL_SAFE, 28, 28),
    *(KeyLayout(f"xox{letter}-", URL_SAFE, 20, 256, 10) for letter in "abeoprs"),  # Slack
    *(KeyLayout(f"{kind}_live_", ALPHANUMERIC, 16, 256) for kind in ("sk", "rk")),  # Stripe
    KeyLayout("hf_", ALPHANUMERIC, 34, 40, 34),  # Hugging Face
    KeyLayout("gsk_", ALPHANUMERIC, 52, 52),  # Groq
    KeyLayout("npm_", ALPHANUMERIC, 36, 36),
    KeyLayout("pypi-", URL_SAFE, 50, 512),
    KeyLayout("SG.", "A-Za-z0-9._-", 66, 66),  # SendGrid
    KeyLayout("dop_v1_", "0-9a-f", 64, 64),  # DigitalOcean
    KeyLayout("shpat_", "0-9a-f", 32, 32),  # Shopify
)
"""Layouts of API keys, as their issuers publish them."""

PLACEHOLDER_MAILBOXES: Final = (
    *("example", "your", "username@", "user@", "name@", "email@", "someone@", "you@", "foo@", "git@"),
)
"""How placeholder mailboxes begin, in lower case; an entry with "@" is the whole mailbox."""

PLACEHOLDER_DOMAINS: Final = ("example", "test.", "invalid.", "localhost.", "local.")
"""How labels of placeholder domains begin (RFC 2606); an entry with "." is the whole label."""

PLACEHOLDER_LABELS: Final = (*PLACEHOLDER_DOMAINS, "your", "domain.", "company.", "email.", "sample.", "website.")
"""The same for every label but the last: `.email` and `.company` are real top-level domains."""

PLACEHOLDER_KEYS: Final = ("example", "your", "xxxx", "123456", "abcdef", "redacted", "placeholder", "dummy")
"""What only placeholder keys contain, in lower case."""

VERSION_WORDS: Final = (
    *("version", "versions", "ver", "v", "release", "build", "firmware", "revision", "rev"),
    *("section", "chapter", "clause", "\u00a7"),
)
"""Words before four numbers that are a version or a section, not an IP address."""

CONSTANTS: Final = (
    *(
        "2718281828459045235",
        "3141592653589793238",
        "1414213562373095048",
        "1732050807568877293",
        "2236067977499789696",
    ),
    *(
        "1618033988749894848",
        "5772156649015328606",
        "6931471805599453094",
        "2302585092994045684",
        "4342944819032518276",
    ),
    *(
        "6283185307179586476",
        "3678794411714423215",
        "2314069263277926900",
        "1644934066848226436",
        "1442695040888963407",
    ),
    *(
        "3321928094887362347",
        "9869604401089358618",
        "1772453850905516027",
        "5729577951308232087",
        "3010299956639811952",
    ),
)
"""e, pi, the roots of 2, 3 and 5, the golden ratio, Euler's gamma, ln 2, ln 10, log e, 2 pi, 1/e, e^pi, pi^2 / 6,
log2 e, log2 10, pi^2, the root of pi, 180 / pi and log 2, without a point."""

NON_PUBLIC_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "100.64.0.0/10", "172.16.0.0/12", "198.18.0.0/15"),
        *("169.254.0.0/16", "192.168.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        "2001:db8::/32",
    )
)
"""Private, local, shared, reserved and documentation networks (RFC 6890, 5737, 3849)."""

_CALLING_CODES: Final = (
    "7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 "
    "86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 "
    "236 237 238 239 240 241 242 243 244 245 246 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 "
    "265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 "
    "377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 "
    "594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692 "
    "800 850 852 853 855 856 870 880 886 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 "
    "992 993 994 995 996 998"
)
CALLING_CODES: Final = tuple(_CALLING_CODES.split())
"""Country calling codes (ITU E.164) except 1, which has a layout of its own."""

_IBANS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
    "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
    "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
IBAN_LENGTHS: Final = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
"""Length of a bank account number by country (the IBAN registry of SWIFT)."""
