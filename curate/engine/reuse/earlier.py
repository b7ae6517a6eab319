"""An earlier build, from which a new one takes what it need not make again.

Rows are recognised by id and content, so it does not matter where they lie now, and a source may have new rows. All is
taken from the ledger, which the manifest vouches for; whatever is not there is made anew, and a note says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curate.engine.manifest import FORMAT, VERSIONS, file_hash
from curate.engine.pipeline import Stage
from curate.engine.reuse.matching import Match, earlier_steps, matches
from curate.engine.reuse.stored_lines import StoredSource
from curate.engine.workspace import MANIFEST
from curate.errors import BuildFolderError

HINT = "from_ takes a finished build or its folder; leave it out to build from nothing"


@dataclass(frozen=True)
class Earlier:
    """A finished build to take from: its folder and manifest; `notes` say what is not taken, and why."""

    path: Path
    manifest: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Earlier:
        """Open a build folder; raises `BuildFolderError` if there is no build."""
        place = path / MANIFEST
        try:
            manifest = json.loads(place.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BuildFolderError(f"no build at {path}: it has no {MANIFEST}; {HINT}") from error
        except (OSError, ValueError) as error:
            raise BuildFolderError(f"{place} cannot be read: {error}; {HINT}") from error
        if not isinstance(manifest, dict) or not {"format", "sources", "steps", "versions"} <= manifest.keys():
            raise BuildFolderError(f"{place} is not the manifest of a build of curate; {HINT}")
        return cls(path, manifest)

    def stored(self, source: str, stages: Sequence[Stage]) -> tuple[StoredSource, list[Match]] | None:
        """Return the ledger of a source, and which stages of its pipeline are as they were; None if it is of no use."""
        declared: Mapping[str, Any] = next((one for one in self.manifest["sources"] if one["name"] == source), {})
        why = self._missing(declared) or self.changed(declared["ledger"][0])
        if why:
            self.notes.append(f"{self.path}: {why}; all steps run on all rows of source {source!r}")
            return None
        path = self.path / declared["ledger"][0]["file"]
        steps = earlier_steps(self.manifest["steps"], source)
        schema = pq.read_schema(path)
        found = matches(stages, steps, dict(zip(schema.names, schema.types, strict=True)))
        return StoredSource.read(path, steps, protect=bool(declared["protect"])), found

    def changed(self, file: Mapping[str, str]) -> str:
        """Say what is wrong with a file of the build; empty if it is as the build wrote it."""
        path = self.path / file["file"]
        try:
            return "" if file_hash(path) == file["sha256"] else f"{path.name} is not as the build wrote it"
        except OSError as error:
            return f"{path.name} cannot be read ({error.strerror})"

    def _missing(self, declared: Mapping[str, Any]) -> str:
        """Say why nothing is known of a source; empty if something is."""
        if self.manifest["format"] != FORMAT or self.manifest["versions"] != VERSIONS:
            return "other versions of curate or its libraries made it"
        if not declared:
            return "it has no source of this name"
        if "pairs" in declared:
            return "rows of this source were paired"
        return "" if declared.get("ledger") else "its manifest does not vouch for its ledger"
