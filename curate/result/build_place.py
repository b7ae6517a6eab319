"""Where a finished build is, and its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.engine.workspace import MANIFEST
from curate.errors import BuildFolderError
from curate.io.stores.urls import shown, text_of
from curate.result.bucket import folder_of, is_in_store


class BuildPlace:
    """The folder of a build, `path`, and its `manifest`; `url` is where it was opened from, if that is a store.

    Of a build in a store, `path` is a copy on this machine. Raises `BuildFolderError` when there is no build, or not a
    whole one.
    """

    def __init__(self, path: str | Path) -> None:
        given = text_of(path)
        self.url = shown(given) if is_in_store(given) else None
        self.path = folder_of(given)
        place = self.path / MANIFEST
        if not place.is_file():
            raise BuildFolderError(f"no build at {self.path}: it has no {MANIFEST}")
        try:
            self.manifest: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BuildFolderError(f"{place} cannot be read: {error}") from error
        fields = {"kind", "mixture", "sources", "splits", "steps"}
        if not isinstance(self.manifest, dict) or not fields <= self.manifest.keys():
            raise BuildFolderError(f"{place} is not the manifest of a build of curate")

    @property
    def place(self) -> str:
        """Where the build is, as messages name it: its folder, or its URL."""
        return self.url or str(self.path)
