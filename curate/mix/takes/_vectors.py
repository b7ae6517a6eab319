"""What selections over static embeddings share: the folder of a model, and the vectors of a batch."""

from __future__ import annotations

import os

from curate.errors import MixtureError
from curate.rows.embeddings import embed
from curate.rows.segments import On, Segments, select
from curate.rows.shingles import COMPARED
from curate.steps.vector_keys import VectorKeys, signed_vectors
from curate.text.embeddings.static_model import load_static_model


def check_folder(setting: str, folder: object) -> str:
    """Return a setting that names the folder of a model; raises `MixtureError` for anything else."""
    if isinstance(folder, str | os.PathLike) and os.fspath(folder):
        return os.fsdecode(folder)
    raise MixtureError(f"{setting}: name the folder of a static embedding model")


def row_vectors(segments: Segments, on: On, folder: str) -> VectorKeys:
    """Return the vectors of the selected text of rows, as the model in a folder has them."""
    return signed_vectors(embed(select(segments, on, COMPARED), load_static_model(folder)))
