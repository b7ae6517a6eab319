"""A build from beginning to end: read, settle, write, move into place.

A mixture with a Pairing goes through the first two twice: rated rows become pairs, and these the rows that are built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.barrier import Verdicts, Written
from curate.engine.executor import run_all
from curate.engine.fingerprint import Json, canonical
from curate.engine.group_results import PieceOf, numbered_columns, row_names, table_path, write_table
from curate.engine.guards import check_clashes, check_delivery, check_drops, check_unchanged
from curate.engine.ledger import Books, check_conservation, write_source
from curate.engine.manifest import VERSIONS, Counts, file_hash, manifest
from curate.engine.pair_input import PairsOf, check_pairs
from curate.engine.partition import FILE, piece_paths
from curate.engine.phases import Half, final_half, pairing_sources, rated_half
from curate.engine.pipeline import all_stages, score_columns
from curate.engine.progress import Watch, watching
from curate.engine.reading import Reading, open_sources, read
from curate.engine.resolve import Fate, Standing, choose, delivered, lifting, moved, order, stand
from curate.engine.row_store import Pile, Stockroom, move
from curate.engine.shards import Shard, cut, write_shard
from curate.engine.source_lines import InPlace
from curate.engine.workspace import MANIFEST, Workspace, check_target, workspace
from curate.io.atomic import read_ipc, write_text
from curate.io.inputs import Opened
from curate.kernels.hashing import Hashes
from curate.mix.spec import Mixture
from curate.rows.identity import content_hash
from curate.rows.schema import BODIES, Kind


def build(
    mixture: Mixture,
    target: Path,
    *,
    threads: int,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    finish: Callable[[Path], None],
) -> None:
    """Make the build folder `target`; `finish` adds what is a function of the finished folder: page and card.

    Raises the errors that `curate.mixture.Mixture.build` names.
    """
    check_target(target, overwrite=overwrite)
    kind, opened = open_sources(mixture)
    target = target.resolve()  # a link to a build stays, and so does what "." means
    with (
        watching(quiet=quiet) as watch,
        workspace(target, _recipe(mixture, opened), resume=resume, overwrite=overwrite) as space,
    ):
        _make(mixture, kind, opened, space, threads, watch)
        finish(space.out)


def _recipe(mixture: Mixture, opened: tuple[Opened, ...]) -> Json:
    """Return what an interrupted build must share with this one for its pieces to be taken up; it stays on the disk."""
    return {
        "curate": VERSIONS["curate"],
        "mixture": canonical(mixture),
        "held": {stage.label: dict(stage.step.data_hashes()) for stage in all_stages(mixture)},
        "files": [[str(part.path) for part in found.parts] for found in opened],
        "stamps": [[list(stamp) for stamp in found.stamp()] for found in opened],
    }


class Settled(NamedTuple):
    """One half of a build, read and settled; `contents` are hashes of what the sources hold, `prompt` of each row's."""

    half: Half
    reading: Reading
    pieces: tuple[PieceOf, ...]
    standing: Standing
    verdicts: Verdicts
    contents: list[str]
    lines: InPlace
    prompt: NDArray[np.uint64] | None


class Rated(NamedTuple):
    """What the rated half leaves: pairs in place of the sources that pair, what these held, and their rows' fates."""

    opened: tuple[Opened, ...]
    contents: list[str]
    fates: dict[int, dict[str, int]]
    held: dict[str, list[str]]


def _make(
    mixture: Mixture, kind: Kind, opened: tuple[Opened, ...], space: Workspace, threads: int, watch: Watch
) -> None:
    rated = _pair(mixture, opened, space, threads, watch) if pairing_sources(mixture) else Rated(opened, [], {}, {})
    done = _settle(final_half(mixture, rated.opened), space.pieces, threads, watch)
    shares = choose(mixture, done.standing, done.prompt)
    books = _books(done)
    _write_tables(books, space.out)
    fates, splits = _write(mixture, kind, books, rated, space, threads, watch)
    counts = [_counts(done, rated, number, found) for number, found in enumerate(fates)]
    check_unchanged(opened)
    check_delivery(done.standing, splits)
    held = {**rated.held, **done.verdicts.held}
    text = manifest(mixture, kind, opened, counts, delivered(shares, done.standing), splits, held)
    write_text(space.out / MANIFEST, text)


def _pair(mixture: Mixture, opened: tuple[Opened, ...], space: Workspace, threads: int, watch: Watch) -> Rated:
    """Read the sources that pair up to their pairs, and write the ledger of their rated rows."""
    half = rated_half(mixture, opened)
    done = _settle(half, space.pieces / "rated", threads, watch)
    done.standing.fate[done.standing.fate == Fate.KEPT] = Fate.PAIRED
    books = _books(done)
    _write_tables(books, space.out)
    for folder in ("rated", "pairs"):
        (space.out / folder).mkdir()
    written = run_all(partial(write_source, books, "rated", space.out), half.sources, threads)
    fates = dict(zip(half.sources, written, strict=True))
    for number, found in fates.items():
        check_conservation(books.names[number], done.reading.counts[number].rows, found)
    pairs = tuple(
        PairsOf.of(found, (piece for piece in done.pieces if piece.source == number), done.standing)
        if number in fates
        else found
        for number, found in enumerate(opened)
    )
    return Rated(pairs, done.contents, fates, done.verdicts.held)


def _settle(half: Half, folder: Path, threads: int, watch: Watch) -> Settled:
    """Make the pieces of one half, and settle what only all of its rows together can tell."""
    folder.mkdir(exist_ok=True)
    reading = read(half, folder, threads, watch)
    pieces = _pieces(folder, reading)
    keys = load_keys(pieces)
    sheets = [Written(piece.rows, piece.paths.signed) for piece in pieces]
    standing, verdicts = stand(half, keys, np.repeat(*_sources(pieces)), sheets)
    check_clashes(half, standing, reading)
    check_drops(half, standing)
    return Settled(
        half,
        reading,
        pieces,
        standing,
        verdicts,
        _contents(half.mixture, standing, keys),
        _in_place(half.opened, pieces, standing, keys),
        keys["prompt"].to_numpy() if "prompt" in keys.columns else None,
    )


def _books(done: Settled) -> Books:
    mixture = done.half.mixture
    names = tuple(source.name for source in mixture.sources)
    kept = row_names(done.standing.kept, names, done.standing, done.pieces, done.verdicts)
    types = score_columns(all_stages(mixture))
    return Books(names, done.half.pipelines, done.standing, done.pieces, done.lines, done.verdicts, kept, types)


def _counts(done: Settled, rated: Rated, number: int, fates: dict[str, int]) -> Counts:
    """Return what became of one source; raises `ConservationError` where something of it has no fate."""
    name, found = done.half.mixture.sources[number].name, done.half.opened[number]
    if not isinstance(found, PairsOf):
        check_conservation(name, done.reading.counts[number].rows, fates)
        return Counts(done.contents[number], fates, None)
    of_rows = rated.fates[number]
    check_pairs(name, found.taken(), of_rows["paired"], fates)
    return Counts(rated.contents[number], of_rows, fates)


def _pieces(folder: Path, reading: Reading) -> tuple[PieceOf, ...]:
    """Return the pieces in order, with the number of their first row in the build."""
    found: list[PieceOf] = []
    first = 0
    for source, count in enumerate(reading.pieces):
        for block in range(count):
            place = piece_paths(folder, source, block)
            keys = pa.ipc.open_file(pa.OSFile(str(place.keys), "rb"))
            rows, file = keys.get_batch(0).num_rows, keys.schema.metadata[FILE].decode()
            found.append(PieceOf(place, source, first, rows, file))
            first += rows
    return tuple(found)


def _in_place(
    opened: tuple[Opened, ...], pieces: tuple[PieceOf, ...], standing: Standing, keys: pl.DataFrame
) -> InPlace:
    paths = [(number, file.name, file.path) for number, found in enumerate(opened) for file in found.parts]
    numbers = {(source, name): number for number, (source, name, _) in enumerate(paths)}
    return InPlace(
        opened=opened,
        source=standing.source,
        start=keys["start"].to_numpy(),
        length=keys["length"].to_numpy(),
        first=np.array([piece.first for piece in pieces], np.int64),
        files=np.array([numbers.get((piece.source, piece.file), -1) for piece in pieces], np.int64),
        paths=tuple(path for *_, path in paths),
    )


def _sources(pieces: tuple[PieceOf, ...]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    return np.array([piece.source for piece in pieces], np.int16), np.array([piece.rows for piece in pieces], np.int64)


def load_keys(pieces: tuple[PieceOf, ...]) -> pl.DataFrame:
    """Bring the keys of all pieces together; a column that only some sources sign is null for the others."""
    tables = [pa.Table.from_batches([read_ipc(piece.paths.keys)]) for piece in pieces]
    return pl.DataFrame(pa.concat_tables(tables, promote_options="default"))


def _contents(mixture: Mixture, standing: Standing, keys: pl.DataFrame) -> list[str]:
    high, low = keys["content_high"].to_numpy(), keys["content_low"].to_numpy()
    own = [standing.source == number for number in range(len(mixture.sources))]
    return [content_hash(Hashes(high[rows], low[rows])) for rows in own]


def _write(
    mixture: Mixture, kind: Kind, books: Books, rated: Rated, space: Workspace, threads: int, watch: Watch
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """Write ledger, dropped rows and shards; returns the fates of each source, and the splits for the manifest."""
    standing = books.standing
    lifted = moved(standing) & (books.lines.start < 0)
    splits = {"train": order(mixture, standing, test=False)}
    if mixture.test is not None:
        splits["test"] = order(mixture, standing, test=True)
    piles = [Pile(piece.paths.rows, piece.first, piece.rows) for piece in books.pieces if piece.paths.rows.is_file()]
    watch.start("writing", None)
    lift = partial(move, moving=lifting(splits.values(), lifted), size=standing.bytes)
    piles += [pile for found in run_all(lift, piles if lifted.any() else [], threads) for pile in found]
    names = pa.array(books.names, pa.string())
    stock = Stockroom(books.lines, tuple(piles), BODIES[kind], names, standing.source, standing.occurrence, lifted)
    shards = {name: cut(name, found, standing.bytes[found.row]) for name, found in splits.items() if len(found.row)}
    shards = shards or {"train": cut("train", splits["train"], standing.bytes[:0])}
    out = space.out
    tasks: list[Callable[[], Any]] = [
        partial(write_source, books, "pairs" if number in rated.fates else "rows", out, number)
        for number in range(len(books.names))
    ]
    tasks += [partial(_write_shard, shard, stock, out / "data") for found in shards.values() for shard in found]
    done = list(run_all(_call, tasks, threads))
    watch.done("writing")
    told = iter(done[len(books.names) :])
    return done[: len(books.names)], {
        name: {"rows": len(found.row), "shards": [next(told) for _ in shards.get(name, ())]}
        for name, found in splits.items()
    }


def _write_tables(books: Books, out: Path) -> None:
    for (label, name), table in books.verdicts.tables.items():
        rows = [table[column].fill_null(-1).to_numpy() for column in numbered_columns(table)]
        known = row_names(np.concatenate([[-1], *rows]), books.names, books.standing, books.pieces, books.verdicts)
        write_table(table, known, out / table_path(label, name))


def _call(task: Callable[[], Any]) -> Any:  # noqa: ANN401  each task has its own answer
    return task()


def _write_shard(shard: Shard, stock: Stockroom, folder: Path) -> dict[str, Any]:
    path = folder / shard.name
    write_shard(shard, stock, path)
    return {"file": f"data/{shard.name}", "rows": pq.read_metadata(path).num_rows, "sha256": file_hash(path)}
