"""The lines of a build in memory, while its page is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

IN_MEMORY: Final = 2**26
"""Bytes: lines of the ledger take about six times as much memory as their files (a million rows: 60 MB)."""

FEW: Final = 10_000
"""Lines of which a query takes less time than the start of one that reads them in parts, 0.4 milliseconds."""

TAKEN: Final = ("fate", "copies", "split", "prompt")
"""The columns that takes and splits decide: builds of the same rows and steps have the others in common."""


class HeldLines:
    """Lines of the ledger and of pairs in memory: `frames` has those of each folder, in a block of `reading`.

    `last` has those of the last block, here or in a build of the same rows and steps.
    """

    def __init__(self, last: Mapping[str, pl.DataFrame] = MappingProxyType({})) -> None:
        self.frames: dict[str, pl.DataFrame] = {}
        self.last = last

    @contextmanager
    def reading(self, build: Path, folders: Sequence[str]) -> Iterator[None]:
        """Hold the lines of these folders of a build.

        Files of more than `IN_MEMORY` bytes stay where they are. Few lines go to Polars' engine that starts fast.
        """
        self.frames = {name: found for name in folders if (found := self._read(build / name, name)) is not None}
        few = "ledger" in self.frames and len(self.frames["ledger"]) <= FEW
        try:
            with pl.Config(apply_on_context_enter=True, engine_affinity="in-memory") if few else nullcontext():
                yield
        finally:
            self.frames, self.last = {}, self.frames

    def _read(self, folder: Path, name: str) -> pl.DataFrame | None:
        if sum(path.stat().st_size for path in folder.glob("*.parquet")) > IN_MEMORY:
            return None
        if name in self.last:
            own, last = pl.read_parquet(folder / "*.parquet", columns=["key_low", *TAKEN]), self.last[name]
            if own["key_low"].equals(last["key_low"]):
                return last.with_columns(own)
        return pl.read_parquet(folder / "*.parquet")
