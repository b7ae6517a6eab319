"""Filter or Edit by secrets: addresses, telephones, keys and account numbers, counted, dropped or masked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, get_args, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.kernels.utf8 import character_places
from curate.rows.edits import Change, Edits
from curate.rows.segments import EVERY_TEXT, On, Part, Segments, TextPart, check_on, check_parts
from curate.steps.base import Bound, Edit, Evidence, Filter, Scores
from curate.text.secrets.find import KINDS, Kind, find_secrets, mask_secrets

Mode: TypeAlias = Literal["flag", "drop", "mask"]

SHOWN: Final = 8
"""Hits of one kind in one row that the evidence lists; the scores count all."""


@dataclass(frozen=True, kw_only=True)
class SecretsAndPii(Filter):
    """Counts the hits of each kind and, if `drop`, lets no row with one pass; see `secrets_and_pii`."""

    version: ClassVar[int] = 5
    name: ClassVar[str] = "secrets_and_pii"
    bound_fields: ClassVar[frozenset[str]] = frozenset({"drop"})
    kinds: tuple[Kind, ...] = KINDS
    parts: frozenset[TextPart] = EVERY_TEXT
    drop: bool = False

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """The parts asked for."""
        return self.parts

    def bounds(self) -> tuple[Bound, ...]:
        """Return a bound for each kind; without `drop` it has no limit."""
        return tuple(Bound(kind, kind, at_most=0 if self.drop else None) for kind in self.kinds)

    def score(self, segments: Segments) -> Scores:
        """Count the hits of each kind in each row; the evidence lists the first eight of each."""
        found = [_evidence(part, self.kinds) for part in segments.parts]
        none = (np.zeros(0, np.int32),) * 6
        columns = [np.concatenate([each[place] for each in (none, *found)]) for place in range(6)]
        row, reason = columns[:2]
        size = len(self.kinds)
        counts = np.bincount(row * np.int64(size) + reason, minlength=segments.rows * size).astype(np.int32)
        by_row = counts.reshape(segments.rows, size)
        scores: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {}
        scores.update((kind, by_row[:, place].copy()) for place, kind in enumerate(self.kinds))
        return Scores(scores, _shown(columns, self.kinds))


@dataclass(frozen=True, kw_only=True)
class MaskSecretsAndPii(Edit):
    """Puts a mask in place of each hit; see `secrets_and_pii`."""

    version: ClassVar[int] = 4
    name: ClassVar[str] = "secrets_and_pii"
    kinds: tuple[Kind, ...] = KINDS
    parts: frozenset[TextPart] = EVERY_TEXT

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """The parts asked for."""
        return self.parts

    def edit(self, segments: Segments) -> Edits:
        """Return the texts that have a hit, masked."""
        return Edits(
            tuple(
                Change(*mask_secrets(part.text, part.index, self.kinds, values=part.is_json)) for part in segments.parts
            )
        )


def _evidence(part: Part, kinds: tuple[Kind, ...]) -> tuple[NDArray[np.int32], ...]:
    """Return row, place in `kinds`, side, turn, start and end of each hit."""
    hits = find_secrets(part.text, part.index, kinds, values=part.is_json)
    start, end = character_places(part.text, part.index[hits.place], hits.start, hits.stop)
    reason = np.array([kinds.index(kind) if kind in kinds else -1 for kind in KINDS], np.int32)[hits.kind]
    return part.row[hits.place], reason, part.places(hits.place), part.turn[hits.place], start, end


def _shown(columns: list[NDArray[np.int32]], kinds: tuple[Kind, ...]) -> Evidence:
    """Order hits by row, side, turn and start, and leave out those beyond the first few of their row and kind."""
    row, reason, side, turn, start, end = columns
    order = np.lexsort((start, turn, side, reason, row))
    group = row[order] * np.int64(len(kinds)) + reason[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    order = order[rank < SHOWN]
    order = order[np.lexsort((start[order], turn[order], side[order], row[order]))]
    match = pa.array(kinds, pa.string()).take(pa.array(reason[order]))
    return Evidence(
        row[order],
        reason[order].astype(np.int16),
        side[order],
        turn[order],
        start[order],
        end[order],
        match,
    )


@overload
def secrets_and_pii(
    mode: Literal["flag", "drop"] = "flag",
    *,
    kinds: tuple[Kind, ...] | list[Kind] | None = None,
    on: On | set[str] | tuple[str, ...] = "all",
    parts: str | Iterable[str] = "all",
    allow_large_drop: bool = False,
) -> SecretsAndPii: ...


@overload
def secrets_and_pii(
    mode: Literal["mask"],
    *,
    kinds: tuple[Kind, ...] | list[Kind] | None = None,
    on: On | set[str] | tuple[str, ...] = "all",
    parts: str | Iterable[str] = "all",
    allow_large_drop: bool = False,
) -> MaskSecretsAndPii: ...


def secrets_and_pii(
    mode: Mode = "flag",
    *,
    kinds: tuple[Kind, ...] | list[Kind] | None = None,
    on: On | set[str] | tuple[str, ...] = "all",
    parts: str | Iterable[str] = "all",
    allow_large_drop: bool = False,
) -> SecretsAndPii | MaskSecretsAndPii:
    r"""Find personal data and secrets: flag the rows, drop them, or mask each hit.

    Hits of two kinds never overlap; the longer one counts.

    - `email`: a mailbox of ASCII and a domain that ends in letters. No one's are left alone: `example.com` and what
      begins alike, `.test`, `.local` and the like, domains called `your...`, `domain`, `company`, `email`, `sample` or
      `website`, mailboxes that begin with `example` or `your`, or are `user`, `name`, `you`, `git` and the like.
    - `phone`: international ones with a plus sign and a country code, 8 to 15 digits; and with their signs between the
      groups those of North America, (212) 736-5000, France, Brazil, mobile ones of China, and those with 10 or 11
      digits that begin with 0. Plain digits without any sign are none. Those of films (555) are left alone, and six
      digits on end that rise by one or are the same.
    - `ip`: public IPv4 and IPv6 addresses of hosts. Private, local, shared, reserved and documentation addresses are
      left alone, networks (a last part of 0 or 255), versions and sections ("version 12.0.19.1"; parts of one digit).
    - `key`: keys with a published prefix, of AWS, GitHub, GitLab, OpenAI, Anthropic, Google, Slack, Stripe (live),
      Hugging Face, Groq, npm, PyPI, SendGrid, DigitalOcean and Shopify, JSON Web Tokens, PEM private keys. Those with
      less than six different characters, or with "example", "your", "xxxx", "123456" and the like, are left alone.
      Passwords have no layout and are not looked for.
    - `card`: 14 to 16 digits that begin as Visa, Mastercard, Amex, Diners, Discover, JCB or UnionPay do, alone or in
      groups, with a right check sum (Luhn); left alone with less than four different digits, as test cards have, and
      where they are mathematics: digits of a constant (2718281828459045), a power, a result after "=", a fraction.
    - `iban`: bank accounts of 87 countries, with the length of their country and a right check sum (mod 97).

    Word borders are those of ASCII, so an address right after Chinese is found; full-width forms and letters of other
    scripts in addresses are not. Invisible characters (zero-width spaces, soft hyphens) hide nothing: a text that has
    some is searched as it is and without them, and a hit covers those within it. Empty and null text has no hit. The
    evidence gives the kind and the place, never the secret; the report shows the text of rows around it, so mask before
    you share one. Of 197 hits in 293,000 real texts (127 MB), read by eye, one was wrong ("§15.12.2.7", which no longer
    counts), and six were made-up names.

    Arguments of calls, tools on offer, and any text that is a JSON object or list are read as JSON: string by string,
    keys among them, with escapes undone, also where a string holds JSON text again. So `"\nann@x.org"` has the mailbox
    `ann`, and masked JSON text is JSON text. A number that is a card becomes a string: `"[CARD]"`.

    Args:
        mode: "flag", the default: a Filter that drops nothing and counts the hits of each kind. "drop": the same, and a
            row with any hit is dropped, with the kind of its first hit as the reason. "mask": an Edit that puts
            `[EMAIL]`, `[PHONE]`, `[IP]`, `[KEY]`, `[CARD]` or `[IBAN]` in place of each hit.
        kinds: The kinds to look for. Default: all.
        on: The segments to read. Default: all. Calls and reasoning belong to their turn, tools to the system.
        parts: What to read of them: "all", the default, or some of "content" (results of tools among it), "reasoning",
            "call" (the name of the tool and the arguments) and "tools".
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter, or with "mask" an Edit.

    Raises:
        MixtureError: An unknown mode, kind, scope or part.

    References:
        RFC 2606, 3849, 5737 and 6890 (reserved names and addresses), ITU E.164, ISO 7812 and 13616, and the makers'
        pages on keys. datatrove's `PIIFormatter` ignores private addresses as well.

    Example:
        >>> from curate.rows.edits import apply_edits
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> said = {"role": "user", "content": "I'm ann@pellow.org, call +44 1632 960983; not user@example.com."}
        >>> batch = pa.RecordBatch.from_pylist([{"messages": [said], "meta": "{}"}], BODIES["conversation"])
        >>> scores = secrets_and_pii().score(segments(batch))
        >>> scores.columns["email"].tolist(), scores.evidence.match.to_pylist(), scores.evidence.start.tolist()
        ([1], ['email', 'phone'], [4, 25])
        >>> masked, _ = apply_edits(batch, segments(batch), secrets_and_pii("mask").edit(segments(batch)))
        >>> masked["messages"][0][0]["content"].as_py()
        "I'm [EMAIL], call [PHONE]; not user@example.com."
    """
    if mode not in get_args(Mode):
        raise MixtureError(f"mode={mode!r} is no mode of secrets_and_pii; {did_you_mean(mode, get_args(Mode))}")
    scope, chosen, read = check_on(on), _chosen(kinds), check_parts(parts, "secrets_and_pii")
    if mode == "mask":
        return MaskSecretsAndPii(on=scope, kinds=chosen, parts=read, allow_large_drop=allow_large_drop)
    return SecretsAndPii(on=scope, kinds=chosen, parts=read, drop=mode == "drop", allow_large_drop=allow_large_drop)


def _chosen(kinds: tuple[Kind, ...] | list[Kind] | None) -> tuple[Kind, ...]:
    """Return the kinds to look for, in their own order."""
    if isinstance(kinds, str):
        raise MixtureError(f"kinds={kinds!r}: give kinds as a tuple, as in kinds=({kinds!r},)")
    for kind in kinds or ():
        if kind not in KINDS:
            raise MixtureError(f"kinds: secrets_and_pii has no kind {kind!r}; {did_you_mean(str(kind), KINDS)}")
    chosen = tuple(kind for kind in KINDS if kinds is None or kind in kinds)
    if not chosen:
        raise MixtureError(f"kinds=() leaves secrets_and_pii nothing to look for; kinds: {', '.join(KINDS)}")
    return chosen
