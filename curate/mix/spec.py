"""The declaration of a mixture: sources, steps and amounts. Nothing here reads data."""

from __future__ import annotations

import fractions
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal, TypeAlias, get_args

from curate.errors import MixtureError, check_number, did_you_mean, is_number
from curate.io.inputs import Input
from curate.io.narrow import Where, checked_where
from curate.mix.amounts import MAX_REPEAT, All, Fraction, Rows, Tokens
from curate.mix.licences import Use
from curate.mix.published import Published
from curate.mix.takes.selection import Selection, Take, amount_of, check_selection
from curate.rows.tokens import Tokenizer
from curate.steps.base import Group, Pairing, Step

Shortage: TypeAlias = Literal["error", "repeat", "shrink"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Source:
    """A named origin of rows.

    Args:
        name: the identity of the source: its sample and its ids depend on it.
        input: where the rows come from: `files(...)`, `hub(...)`, `frame(...)` and others.
        take: how much of it the mixture uses, counted after the steps, so a count is a count of clean rows. A selection
            such as `Diverse(n)` also says which rows; others take a random sample.
        steps: run for this source only, before those of the mixture. A Pairing among them turns its rated rows into
            preference rows, which may be mixed with ready-made pairs.
        protect: exempts its rows from filters and from removal as duplicates; they still remove duplicates elsewhere. A
            rated row that gives no pair is dropped all the same.
        max_quarantine: the share of rows that may be invalid before the build stops; ten rows always may, but no more
            than half of the source. 1 % lets stray broken lines pass, but not a wrong format.
        licence: copied to the manifest and the card. None takes what the card of a data set on the Hub says.
        licence_field: the field in which each row names its own licence, which then counts in place of the source's.
        max_share: the most that it may be of the mixture, over 0 and at most 1: the rest of its `take` stays out. With
            `weights`, the other sources make up for it.
        where: makes the source a part of its input: the rows that have, in each column named, the value given or one of
            several: `where={"dataset": "flan_v2"}`. Cells of CSV and TSV are compared as text.
        before: samples ahead of the steps: they see only so many of the rows, or that share of them, and `take` counts
            what they leave of those. The rest is unsampled.
        early_stop: no more rows go through the steps than `take` needs, which must be `Rows` or `Tokens`. The data
            files are the same; of the rows that no step saw, the ledger says that they are unsampled, not whether a
            step would have dropped them. A Group or a Pairing needs all rows, so none may be in its pipeline.

    Raises:
        MixtureError: a field has a wrong type or value.

    Example:
        >>> from curate.io.inputs import files
        >>> Source("chats", files("chats.jsonl"), take=Rows(10_000), licence="mit").take
        Rows(n=10000)
    """

    name: str
    input: Input
    take: Take = field(default=All(), kw_only=True)
    steps: Sequence[Step] = field(default=(), kw_only=True)
    protect: bool = field(default=False, kw_only=True)
    max_quarantine: float = field(default=0.01, kw_only=True)
    licence: str | None = field(default=None, kw_only=True)
    licence_field: str | None = field(default=None, kw_only=True, metadata={"fingerprint": False})
    max_share: float | None = field(default=None, kw_only=True)
    where: Where = field(default_factory=dict, hash=False, kw_only=True)
    before: Rows | Fraction | None = field(default=None, kw_only=True)
    early_stop: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_name("source", self.name)
        if not isinstance(self.input, Input):
            given, files = type(self.input).__name__, isinstance(self.input, str | PathLike)
            call = f"files({str(self.input)!r})" if files else "files(...), frame(...) or another function that reads"
            raise MixtureError(f"source {self.name!r}: its rows come from {call}, not from a {given}")
        object.__setattr__(self, "steps", _steps(self.steps, f"source {self.name!r}"))
        _check_pairings(self.steps, f"source {self.name!r}")
        if not isinstance(self.take, Take):
            raise MixtureError(
                f"source {self.name!r}: take={self.take!r} is none of All(), Rows(n), Fraction(f), Tokens(n), "
                "Repeat(k), and no selection such as Diverse(n)"
            )
        setting = f"source {self.name!r}: max_quarantine={self.max_quarantine!r}"
        check_number(setting, self.max_quarantine, least=0, most=1)
        if self.licence is not None and not isinstance(self.licence, str):
            raise MixtureError(f"source {self.name!r}: licence={self.licence!r} is no text")
        if self.max_share is not None:
            check_number(f"source {self.name!r}: max_share={self.max_share!r}", self.max_share, above=0, most=1)
        object.__setattr__(self, "where", checked_where(self.where, f"source {self.name!r}"))
        if self.before is not None and not isinstance(self.before, Rows | Fraction):
            raise MixtureError(f"source {self.name!r}: before={self.before!r} is neither Rows(n) nor Fraction(f)")
        if self.early_stop and not isinstance(self.take, Rows | Tokens):  # a selection needs all rows
            raise MixtureError(f"source {self.name!r}: early_stop=True needs take=Rows(n) or Tokens(n)")


@dataclass(frozen=True)
class MixtureSpec:
    """The declaration of a mixture; `curate.mixture.Mixture` documents its fields and builds it."""

    name: str
    sources: Sequence[Source]
    steps: Sequence[Step] = ()
    seed: int = field(default=0, kw_only=True)
    weights: Mapping[str, float] | Literal["size"] | None = field(default=None, kw_only=True)
    total: Rows | Tokens | None = field(default=None, kw_only=True)
    temperature: float = field(default=1.0, kw_only=True)
    on_shortage: Shortage = field(default="error", kw_only=True)
    max_repeat: int = field(default=MAX_REPEAT, kw_only=True)
    test: Rows | Fraction | None = field(default=None, kw_only=True)
    tokenizer: Tokenizer | None = field(default=None, kw_only=True)
    published: Mapping[str, Published] = field(default_factory=dict, kw_only=True, metadata={"fingerprint": False})
    use: Use | None = field(default=None, kw_only=True, metadata={"fingerprint": False})

    def __post_init__(self) -> None:
        check_name("mixture", self.name)
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "steps", _steps(self.steps, "the mixture"))
        self._check_sources()
        self._check_weights()
        self._check_caps()
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise MixtureError(f"seed={self.seed!r}: a whole number from 0 to 2**64 - 1")
        if self.on_shortage not in {"error", "repeat", "shrink"}:
            raise MixtureError(f"on_shortage={self.on_shortage!r} is none of 'error', 'repeat', 'shrink'")
        if not 1 <= self.max_repeat <= MAX_REPEAT:
            raise MixtureError(f"max_repeat={self.max_repeat!r}: a whole number from 1 to {MAX_REPEAT}")
        if self.test is not None and not isinstance(self.test, Rows | Fraction):
            raise MixtureError(f"test={self.test!r} is neither Rows(n) nor Fraction(f)")
        wrong = [name for name, one in self.published.items() if not isinstance(one, Published)]
        if wrong:
            raise MixtureError(f"published={{{wrong[0]!r}: ...}} is no Published(rows)")
        if self.use is not None and self.use not in get_args(Use):
            raise MixtureError(f"use={self.use!r}: {did_you_mean(str(self.use), get_args(Use))}")

    def _check_sources(self) -> None:
        wrong = [source for source in self.sources if not isinstance(source, Source)]
        if wrong or not self.sources:
            raise MixtureError(f"mixture {self.name!r} needs sources made by Source(...), not {wrong or 'none'}")
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise MixtureError(f"mixture {self.name!r} names {', '.join(twice)} twice; a source's name is its identity")
        for source in self.sources:
            if isinstance(source.take, Selection):
                own = [step.name for step in source.steps]
                check_selection(source.take, source.name, own, weighted=self.weights is not None)
            _check_pairings((*source.steps, *self.steps), f"source {source.name!r}, its steps and the mixture's")
            _check_early_stop(source, (*source.steps, *self.steps))

    def _check_weights(self) -> None:
        if (self.weights is None) != (self.total is None):
            raise MixtureError("weights and total go together: weights={'a': 2, 'b': 1}, total=Rows(n) or Tokens(n)")
        check_number(f"temperature={self.temperature!r}", self.temperature, above=0)
        if self.weights is None:
            return
        if not isinstance(self.total, Rows | Tokens):
            raise MixtureError(f"total={self.total!r} is neither Rows(n) nor Tokens(n)")
        taking = [source.name for source in self.sources if amount_of(source.take) != All()]
        if taking:
            raise MixtureError(f"weights decide how much of each source goes in; remove take= from {', '.join(taking)}")
        if isinstance(self.weights, Mapping):
            self._check_weight_names(self.weights)
        elif self.weights != "size":
            raise MixtureError(f"weights={self.weights!r} is neither 'size' nor a mapping")

    def _check_caps(self) -> None:
        """A share is of rows or of tokens, and those of all sources must leave room for the whole."""
        caps = [source.max_share for source in self.sources if source.max_share is not None]
        kinds = {isinstance(amount_of(source.take), Tokens) for source in self.sources}
        if caps and len(kinds) > 1:
            raise MixtureError("max_share= needs one unit: let every source take rows, or every source Tokens(n)")
        if len(caps) == len(self.sources) and sum(map(exact, caps)) < 1:
            raise MixtureError(
                f"max_share= of all sources add up to {float(sum(map(exact, caps))):.4g}, so no amounts keep within"
                " them; leave a source without one"
            )

    def _check_weight_names(self, weights: Mapping[str, float]) -> None:
        names = {source.name for source in self.sources}
        if set(weights) != names:
            unmatched = sorted(set(weights) ^ names)
            raise MixtureError(f"weights must name every source once; not in both: {', '.join(unmatched)}")
        low = sorted(name for name, weight in weights.items() if not is_number(weight) or weight <= 0)
        if low:
            raise MixtureError(f"the weight of {', '.join(low)} is no number over 0; leave a source out instead")


def exact(share: float) -> fractions.Fraction:
    """Return a share as it is written: 0.35 is 35 of 100, not the nearest binary number."""
    return fractions.Fraction(str(share))


def _steps(steps: Iterable[Step], where: str) -> tuple[Step, ...]:
    if isinstance(steps, Step):
        raise MixtureError(f"{where}: steps={steps.name} is one step; steps are a list of them: steps=[...]")
    found = tuple(steps)
    for step in found:
        if not isinstance(step, Step):
            hint = "; call it" if callable(step) else ""
            raise MixtureError(f"{where}: {step!r} is not a step{hint}")
    return found


def _check_pairings(steps: Iterable[Step], where: str) -> None:
    """Raise `MixtureError` when rows would be paired twice."""
    names = [step.name for step in steps if isinstance(step, Pairing)]
    if len(names) > 1:
        raise MixtureError(
            f"{where}: rows are paired once, and these are {len(names)} Pairings: {', '.join(names)}; keep one of them"
        )


def _check_early_stop(source: Source, steps: Iterable[Step]) -> None:
    """Raise `MixtureError` when a step needs all rows of a source that asks for as few as will do."""
    needing = [step.name for step in steps if isinstance(step, Group | Pairing)]
    if source.early_stop and needing:
        raise MixtureError(
            f"source {source.name!r}: early_stop=True, but {', '.join(needing)} must see every row; leave one of them "
            "out, or sample ahead of the steps: before=Rows(n)"
        )


def check_name(what: str, name: str) -> None:
    """Raise `MixtureError` for a name that cannot be that of a file."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > 100:
        raise MixtureError(
            f"{what} name {name!r}: letters, digits, '.', '_' and '-', starting with a letter or digit, at most 100"
        )
