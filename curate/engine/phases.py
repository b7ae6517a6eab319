"""The phases of a build: rated rows up to their Pairing, then the rows for the data files.

A mixture without a Pairing has only the final phase. In both phases, sources go by their place in the mixture, and
steps by their label in the whole pipeline of their source.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from curate.engine.pipeline import Stage, all_stages, stages
from curate.errors import MixtureError
from curate.io.inputs import Opened
from curate.mix.spec import MixtureSpec, Source
from curate.rows.schema import Kind
from curate.steps.base import Pairing


class Phase(NamedTuple):
    """The part of a mixture that runs between one reading and one barrier.

    `pipelines` has the stages of each source in this phase, `sources` the places of those that take part. `final` rows
    go into the data files; others are paired or dropped.
    """

    mixture: MixtureSpec
    opened: tuple[Opened, ...]
    pipelines: tuple[tuple[Stage, ...], ...]
    sources: tuple[int, ...]
    final: bool

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage of this phase once, in the order of the mixture."""
        here = {stage.label for pipeline in self.pipelines for stage in pipeline}
        return tuple(stage for stage in all_stages(self.mixture) if stage.label in here)


def pairing(mixture: MixtureSpec, source: Source) -> Stage | None:
    """Return the Pairing that the rows of `source` pass; None where they pass none."""
    return next((stage for stage in stages(mixture, source) if isinstance(stage.step, Pairing)), None)


def pairing_sources(mixture: MixtureSpec) -> tuple[int, ...]:
    """Return the places of the sources whose rows pass a Pairing."""
    return tuple(number for number, source in enumerate(mixture.sources) if pairing(mixture, source) is not None)


def rated_phase(mixture: MixtureSpec, opened: tuple[Opened, ...]) -> Phase:
    """Return the phase up to the Pairings, and with them."""
    cut = [_cut(mixture, source) for source in mixture.sources]
    return Phase(mixture, opened, tuple(before for before, _ in cut), pairing_sources(mixture), final=False)


def final_phase(mixture: MixtureSpec, opened: tuple[Opened, ...]) -> Phase:
    """Return the phase behind the Pairings; of a source without one, all of its pipeline.

    `opened` has the pairs in place of the rated rows that gave them.
    """
    cut = [_cut(mixture, source) for source in mixture.sources]
    return Phase(mixture, opened, tuple(after for _, after in cut), tuple(range(len(cut))), final=True)


def _cut(mixture: MixtureSpec, source: Source) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Cut the pipeline of a source behind its Pairing; places count from 0 in both parts."""
    whole, found = stages(mixture, source), pairing(mixture, source)
    end = 0 if found is None else found.place + 1
    return whole[:end], tuple(stage._replace(place=place) for place, stage in enumerate(whole[end:]))


def final_labels(mixture: MixtureSpec) -> frozenset[str]:
    """Return the labels of the stages that run in the final phase."""
    return frozenset(stage.label for source in mixture.sources for stage in _cut(mixture, source)[1])


def kind_of_rows(mixture: MixtureSpec, opened: Iterable[Opened]) -> Kind:
    """Return the kind of row that goes into the data files.

    Raises `MixtureError` when it is not the same for every source, or a Pairing gets rows that are not rated.
    """
    kinds: list[Kind] = []
    held: list[str] = []
    for source, found in zip(mixture.sources, opened, strict=True):
        stage = pairing(mixture, source)
        if stage is not None and found.kind != "rated":
            raise MixtureError(
                f"mixture {mixture.name!r}: step {stage.label!r} pairs rated rows, but source {source.name!r} holds "
                f"{found.kind} rows, read as {found.describe()}. If they have several scored completions each, name "
                "their format: rated(), ultrafeedback(). If they are pairs already, give the sources to be paired the "
                f"step of their own: Source(..., steps=[{stage.step.name}(...)])"
            )
        kinds.append(found.kind if stage is None else "preference")
        held.append(f"{source.name} holds {found.kind} rows" + (", paired" if stage is not None else ""))
    if len(set(kinds)) > 1:
        hint = "make a mixture of each kind"
        if set(kinds) == {"rated", "preference"}:
            hint += ", or pair the rated rows: steps=[binarize(...)] on their sources"
        raise MixtureError(f"mixture {mixture.name!r}: one build holds rows of one kind, but {', '.join(held)}; {hint}")
    return kinds[0]
