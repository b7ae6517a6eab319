"""The steps of a finished build with bounds moved: what `recut` decides by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple, TypeAlias

from curate.engine.manifest import canonical, fingerprint
from curate.engine.pipeline import all_stages
from curate.errors import CallError, check_number, did_you_mean, is_number
from curate.evalsets.registry import SETS
from curate.mix.spec import MixtureSpec
from curate.result.folder import BuildFolder, check_known
from curate.steps.base import Bound, Edit, Group
from curate.steps.decontaminate.decontaminate import Decontaminate
from curate.steps.dedup.dedup import Dedup
from curate.steps.dedup.exact_dedup import ExactDedup
from curate.steps.filters.secrets_and_pii import MaskSecretsAndPii
from curate.steps.filters.truecase import Truecase
from curate.steps.pairs.balance_length import BalanceLength
from curate.steps.pairs.contradictions import Contradictions
from curate.steps.refusals.cut_refusals import CutRefusals
from curate.steps.refusals.refusals import RefusalShare

Limit: TypeAlias = "float | tuple[float | None, float | None] | None"
"""A limit in place of the declared one: a number, a lower and an upper limit, or None for no limit."""

Moved: TypeAlias = "float | Mapping[str, Any] | Group | None"
"""A step moved: a number for its only bound, limits by reason, settings of a group, or a group; None: left out."""

KNOWN: Final[tuple[type[Group | Edit], ...]] = (
    BalanceLength,
    Contradictions,
    CutRefusals,
    Decontaminate,
    Dedup,
    ExactDedup,
    MaskSecretsAndPii,
    RefusalShare,
    Truecase,
)
"""Groups and edits that a manifest may declare in full."""

SETS_OF: Final = frozenset({"on", "parts"})
"""Fields of steps that are frozensets; other sequences are tuples."""


class RecutStep(NamedTuple):
    """A step of a build at its `place`, as it was and as it is moved.

    `bounds` and `before` are those of a filter. `group` is a group with its settings moved, `declared` without, and
    `edit` an edit; they are None where the folder does not say how it works.
    """

    label: str
    place: int
    kind: str
    before: tuple[Bound, ...] = ()
    bounds: tuple[Bound, ...] = ()
    declared: Group | None = None
    group: Group | None = None
    edit: Edit | None = None
    out: bool = False

    @property
    def moved(self) -> bool:
        """Whether it decides by something else than it did."""
        return self.out or self.bounds != self.before or self.group != self.declared

    def of(self, source: str) -> bool:
        """Return whether rows of `source` pass it."""
        return ":" not in self.label or self.label.partition(":")[0] == source


def recut_steps(made: BuildFolder, moved: Mapping[str, Moved], mixture: MixtureSpec | None) -> tuple[RecutStep, ...]:
    """Return the steps of the last phase of a build, with those named in `moved` moved."""
    for label in moved:
        check_known("step", label, made.steps)
        if made.kind_of_step(label) != made.kind:
            raise CallError(
                f"step {label!r} decides before the Pairing: which pairs other rows would give is not known; change it "
                "in the mixture and build again"
            )
    declared: Mapping[str, object] = {}
    if mixture is not None:
        takes = {source["name"]: source["take"].get("against", ()) for source in made.manifest["mixture"]["sources"]}
        if fingerprint(mixture, takes) != made.manifest["fingerprint"]:
            raise CallError(f"mixture= is not the one that {made.path} was built from: its settings differ")
        declared = {stage.label: stage.step for stage in all_stages(mixture)}
    found = []
    for place, step in enumerate(made.manifest["steps"]):
        one = _step(place, step, declared.get(step["label"]) or _declared_step(step["step"]))
        if one.label in moved:
            one = _moved(one, moved[one.label], known="bounds" in step)
        if made.kind_of_step(one.label) == made.kind:
            found.append(one)
    return tuple(found)


def _step(place: int, step: Mapping[str, Any], declared: object) -> RecutStep:
    bounds = tuple(Bound(**bound) for bound in step.get("bounds", ()))
    one = RecutStep(step["label"], place, step["kind"], bounds, bounds)
    match declared:
        case Group():
            return one._replace(declared=declared, group=declared)
        case Edit():
            return one._replace(edit=declared)
    return one


def _moved(step: RecutStep, given: Moved, *, known: bool) -> RecutStep:
    if given is None and step.kind == "filter":
        return step._replace(out=True, bounds=())
    if given is None and step.kind == "group":
        return step._replace(out=True)
    if step.kind == "group":
        return step._replace(group=_moved_group(step, given))
    if step.kind != "filter":
        raise CallError(f"step {step.label!r} changes texts and has no bound: change it in the mixture and build again")
    if not known:
        raise CallError(f"the build does not say by which bounds {step.label!r} decides; build it again")
    return step._replace(bounds=_moved_bounds(step, given))


def _moved_bounds(step: RecutStep, given: Moved) -> tuple[Bound, ...]:
    """Return the bounds of a filter with other limits."""
    if not isinstance(given, Mapping):
        if not is_number(given):
            raise CallError(f"{step.label}={given!r}: a number, {{{_reasons(step)}}}, or None, which leaves it out")
        held = [bound.reason for bound in step.bounds if (bound.at_least is None) != (bound.at_most is None)]
        if len(held) != 1:
            raise CallError(f"step {step.label!r} has {len(held)} bounds: name one, as in {{{_reasons(step)}}}")
        given = {held[0]: given}
    bounds = list(step.bounds)
    for name, limit in given.items():
        at = [i for i, bound in enumerate(bounds) if bound.reason == name]
        at = at or [i for i, bound in enumerate(bounds) if bound.score == name]
        if len(at) != 1:
            hint = did_you_mean(name, [bound.reason for bound in bounds])
            raise CallError(f"step {step.label!r} drops no row as {name!r}; {hint}")
        bounds[at[0]] = _limited(step.label, bounds[at[0]], limit)
    return tuple(bounds)


def _reasons(step: RecutStep) -> str:
    return ", ".join(f"{bound.reason!r}: ..." for bound in step.bounds)


def _limited(label: str, bound: Bound, limit: Limit) -> Bound:
    """Return a bound with another limit."""
    if limit is None:
        return bound._replace(at_least=None, at_most=None)
    if isinstance(limit, tuple):
        low, high = limit
        for one in (low, high):
            if one is not None:
                check_number(f"{label}={{{bound.reason!r}: {limit!r}}}", one, error=CallError)
        return bound._replace(at_least=low, at_most=high)
    check_number(f"{label}={{{bound.reason!r}: {limit!r}}}", limit, error=CallError)
    if (bound.at_least is None) == (bound.at_most is None):
        raise CallError(
            f"step {label!r}: say on which side {limit!r} limits {bound.reason!r}: (lower, upper), either may be None"
        )
    return bound._replace(at_least=limit) if bound.at_most is None else bound._replace(at_most=limit)


def _moved_group(step: RecutStep, given: Moved) -> Group:
    """Return a group with other settings; raises `CallError` where it is not known how it decides."""
    if isinstance(given, Group):
        return given
    declared = step.declared
    if declared is None:
        raise CallError(
            f"the build folder does not hold all that {step.label!r} decides by (files of its own): give the mixture, "
            "mixture=..., or the step itself with the new setting"
        )
    settings = given if isinstance(given, Mapping) else {"threshold": given}
    names = [field.name for field in fields(declared)]
    for name, value in settings.items():
        if name not in names:
            raise CallError(f"step {step.label!r} has no setting {name!r}; {did_you_mean(name, names)}")
        if name == "threshold":
            check_number(f"{step.label}={value!r}", value, above=0, most=1, error=CallError)
    return replace(declared, **settings)


def _declared_step(step: Mapping[str, Any]) -> Group | Edit | None:
    """Return the group or edit that a manifest declares; None if it is more than plain values and known eval sets.

    What is made is compared with the declaration, so that nothing is lost on the way.
    """
    kind = next((each for each in KNOWN if each.__name__ == step["type"]), None)
    if kind is None or kind.version != step["version"]:
        return None
    known = {field.name for field in fields(kind)} & step.keys()
    try:
        found = kind(**{name: _plain(name, step[name]) for name in known})
    except (TypeError, KeyError):
        return None
    return found if canonical(found) == step else None


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401  a setting
    if isinstance(value, dict):
        return SETS[value["name"]]
    if isinstance(value, list):
        items = [_plain("", item) for item in value]
        return frozenset(items) if name in SETS_OF else tuple(items)
    return value


def settings(step: RecutStep, declared: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give what moved in a step, a line for each limit: `setting` is what to write in the mixture."""
    line = {"step": step.label, "before": None, "after": None}
    name = step.label.rpartition(":")[2]
    if step.out:
        yield line | {"bound": "all", "setting": f"leave out {name}()"}
        return
    if step.group is not None and step.declared is not None:
        for field in fields(step.group):
            before, after = getattr(step.declared, field.name, None), getattr(step.group, field.name)
            if before != after:
                text = f"{name}({field.name}={after!r})"
                yield line | {"bound": field.name, "before": str(before), "after": str(after), "setting": text}
    for old, new in zip(step.before, step.bounds, strict=True):
        for side in ("at_least", "at_most"):
            before, after = getattr(old, side), getattr(new, side)
            if before == after:
                continue
            own = argument(declared, old, before)
            text = f"{name}({own}={after!r})" if own else ""
            shown = {"before": None if before is None else str(before), "after": None if after is None else str(after)}
            yield line | {"bound": f"{new.reason} {side}"} | shown | {"setting": text}


def argument(declared: Mapping[str, Any], bound: Bound, limit: float | None) -> str:
    """Return the argument of a step that sets a limit of a bound; empty where that is not known.

    It is the only one of this value, or of several the one with the name of the reason or the score.

    >>> declared = {"type": "Shape", "version": 4, "min_words": 4, "max_words": None}
    >>> argument(declared, Bound("too_few_words", "words", at_least=4), 4)
    'min_words'
    """
    own = [name for name, value in declared.items() if name != "version" and is_number(value) and value == limit]
    named = [name for name in own if name in {bound.reason, bound.score}]
    return named[0] if len(named) == 1 else own[0] if len(own) == 1 else ""
