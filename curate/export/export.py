"""Writes a build for a trainer: its files, settings, and a ledger of what became of each row; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.engine.manifest import file_hash
from curate.errors import CallError, ExportError, did_you_mean
from curate.export.axolotl import AXOLOTL
from curate.export.flat import FlatRows, Mask
from curate.export.json_rows import json_lines, meta_names
from curate.export.jsonl import JSONL
from curate.export.llama_factory import LLAMA_FACTORY
from curate.export.open_instruct import OPEN_INSTRUCT
from curate.export.openai import OPENAI
from curate.export.parts import EMPTIED, FLATTENED, FOUND, MEANING, REMOVABLE, changed, changes, check_choices
from curate.export.target import KindLayout, Target, settings_text
from curate.export.trl import TRL
from curate.io.atomic import replacing_folder, write_text
from curate.io.parquet import parquet_file, parquet_options
from curate.rows.schema import Kind

Trainer: TypeAlias = Literal["trl", "axolotl", "llama-factory", "open-instruct", "openai", "jsonl"]

TARGETS: Final = {target.name: target for target in (TRL, AXOLOTL, LLAMA_FACTORY, OPEN_INSTRUCT, OPENAI, JSONL)}

RECORD, LEDGER = "export.json", "ledger/rows.parquet"
"""The file that marks a folder as an export, written last; and the fate of every row."""

EXPORTED, CHANGED, LEFT_OUT = "exported", "changed", "left out"
"""The fates of a row."""

BATCH: Final = 16_384
"""Rows at a time, of one row group: at most 32 MB of text."""

NAMED: Final = 3
"""Rows that an error names for each part."""

_FATES: Final = pa.schema(
    [
        ("source", pa.string()),
        ("id", pa.string()),
        ("split", pa.string()),
        ("line", pa.int64()),
        ("fate", pa.string()),
        ("reason", pa.string()),
    ]
)


class Choices(NamedTuple):
    """What the user says about parts that a trainer cannot hold."""

    drop_rows_with: tuple[str, ...]
    without: tuple[str, ...]
    flatten: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """A finished export: its folder, and how many rows came to what.

    Args:
        path: The folder.
        record: What `export.json` says: the target, the choices, the counts, the files and their hashes.

    Example:
        >>> counts = [{"split": "train", "fate": "exported", "reason": None, "rows": 3}]
        >>> Export(Path("export/mine"), {"target": "trl", "counts": counts}).counts["rows"].sum()
        3
    """

    path: Path
    record: dict[str, Any]

    @property
    def counts(self) -> pl.DataFrame:
        """How many rows of each split have which fate and for which reason: `split`, `fate`, `reason`, `rows`."""
        schema = {"split": pl.String, "fate": pl.String, "reason": pl.String, "rows": pl.Int64}
        return pl.DataFrame(self.record["counts"], schema=schema)

    @property
    def ledger(self) -> pl.LazyFrame:
        """A line for each row of the data files: `source`, `id`, `split`, `line` in the file, `fate` and `reason`."""
        return pl.scan_parquet(self.path / LEDGER)

    @property
    def notes(self) -> list[str]:
        """What is in the files and not read by the trainer, and what is not in them."""
        target = self.record["target"]
        said = (("unread", f"in the files, and not read by {target}"), ("left", "not in the files"))
        return [
            f"{what}: {', '.join(f'{part} of {_rows(count)}' for part, count in self.record[name].items())}"
            for name, what in said
            if self.record[name]
        ]


@dataclass
class _Tally:
    """Counts over all batches: rows with a part, and the first of those that stop the export."""

    carried: dict[str, int] = field(default_factory=dict)
    stops: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def stop(self, part: str, rows: FlatRows, found: Mask) -> None:
        count, first = self.stops.get(part, (0, []))
        for row in np.flatnonzero(found)[: NAMED - len(first)].tolist():
            first = [*first, f"{rows.batch['source'][row]}/{rows.batch['id'][row]}"]
        if found.any():
            self.stops[part] = (count + int(found.sum()), first)


def export(
    folder: Path,
    manifest: Mapping[str, Any],
    to: str,
    out: Path,
    *,
    splits: Sequence[str],
    choices: Choices,
    overwrite: bool,
) -> Export:
    """Write the rows of a build for a trainer; see `Build.export`."""
    target, layout = _layout(to, manifest["kind"])
    check_choices(choices._asdict())
    check_folder(out, overwrite=overwrite)
    tally = _Tally()
    shards = {split: [folder / shard["file"] for shard in manifest["splits"][split]["shards"]] for split in splits}
    with replacing_folder(out) as draft:
        files, columns = _write(draft, shards, target, layout, choices, tally)
        if tally.stops:
            raise ExportError(_stopped(target, folder, layout, tally))
        settings = layout.settings(files, columns)
        if settings:
            write_text(draft / target.settings_file, settings_text(target, settings))
        record = _record(draft, manifest, target, choices, tally, layout)
        write_text(draft / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return Export(out, record)


def _layout(to: str, kind: Kind) -> tuple[Target, KindLayout]:
    if to not in TARGETS:
        raise CallError(f"no export to {to!r}; {did_you_mean(to, TARGETS)}")
    target = TARGETS[to]
    if kind not in target.kinds:
        takers = [name for name, other in TARGETS.items() if kind in other.kinds]
        raise CallError(f"{to} takes no {kind} rows ({', '.join(target.kinds)}); {', '.join(takers)} would")
    return target, target.kinds[kind]


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Raise `ExportError` if a folder exists and may not be replaced, or holds files that no export wrote."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise ExportError(
            f"{out} exists; choose another folder, or say --overwrite (overwrite=True) to replace the export in it"
        )
    there = (
        {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()} if out.is_dir() else set()
    )
    if RECORD not in there:
        raise ExportError(f"{out} exists and is no export of curate (it has no {RECORD}); it will not be replaced")
    try:
        written = {RECORD, *json.loads((out / RECORD).read_text(encoding="utf-8"))["files"]}
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(f"{out / RECORD} is not the record of an export; {out} will not be replaced") from error
    if there - written:
        raise ExportError(
            f"{out} holds files that no export wrote: {', '.join(sorted(there - written)[:5])}; nothing was deleted. "
            "Move them elsewhere, or choose another folder"
        )


def _write(
    draft: Path,
    shards: Mapping[str, Sequence[Path]],
    target: Target,
    layout: KindLayout,
    choices: Choices,
    tally: _Tally,
) -> tuple[dict[str, str], list[str]]:
    """Write the files and the ledger; return the file of each split, and their columns."""
    paths = [path for split in shards.values() for path in split]
    meta = meta_names(batch["meta"] for batch in _batches(paths, ["meta"])) if target.expands_meta else []
    files: dict[str, str] = {}
    columns: list[str] = []
    (draft / "ledger").mkdir()
    with pq.ParquetWriter(draft / LEDGER, _FATES, **parquet_options(_FATES, ("split", "fate", "reason"))) as ledger:
        for split, sources in shards.items():
            files[split] = f"{split}.{target.suffix}"
            line = 0
            with ExitStack() as stack:
                write = _writer(draft / files[split], stack)
                for batch in _batches(sources):
                    rows = FlatRows(batch)
                    kept, fates = _decide(rows, layout, choices, tally)
                    ledger.write_batch(_lines(rows, split, line, fates))
                    line += len(kept)
                    if not tally.stops:
                        columns = write(layout.columns(kept, meta))
    return files, columns


def _batches(paths: Sequence[Path], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of data files; a batch without rows where there are none, so that a file has its columns."""
    count = 0
    for path in paths:
        with parquet_file(path) as file:
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(batch_size=BATCH, row_groups=[group], columns=columns):
                    count += batch.num_rows
                    yield batch
    if not count:
        yield pa.RecordBatch.from_pylist([], pq.read_schema(paths[0]))


def _writer(path: Path, stack: ExitStack) -> Callable[[Any], list[str]]:
    """Return a function that appends columns to a file, and gives their names."""
    if path.suffix == ".jsonl":
        lines = stack.enter_context(path.open("wb"))

        def write_lines(columns: Mapping[str, Sequence[Any]]) -> list[str]:
            lines.write(json_lines(columns))
            return list(columns)

        return write_lines
    open_writer: list[pq.ParquetWriter] = []

    def write_table(columns: Mapping[str, pa.Array]) -> list[str]:
        table = pa.table(dict(columns))
        if not open_writer:
            options = parquet_options(table.schema, ("from", "type"))
            open_writer.append(stack.enter_context(pq.ParquetWriter(path, table.schema, **options)))
        open_writer[0].write_table(table)
        return list(columns)

    return write_table


def _decide(
    rows: FlatRows, layout: KindLayout, choices: Choices, tally: _Tally
) -> tuple[FlatRows, tuple[pa.Array, pa.Array]]:
    """Return the rows that are exported, as they are to be, and the fate and reason of each row."""
    after = changed(
        rows, choices.without, choices.flatten
    )  # which may bring a part: reasoning as text is text with calls
    dropped = {part: FOUND[part](rows) | FOUND[part](after) for part in choices.drop_rows_with}
    out = np.logical_or.reduce([np.zeros(len(rows), bool), *dropped.values()])
    edited = changes(rows, choices.without, choices.flatten)
    left = FlatRows(rows.batch.filter(pa.array(~out)))
    kept = FlatRows(after.batch.filter(pa.array(~out)))
    for part in layout.cannot:
        tally.stop(part, kept, FOUND[part](kept))
    for part, option in EMPTIED:
        if "reasoning" in getattr(choices, option):
            tally.stop(part, left, FOUND[part](left))
    for part in (*layout.unread, *layout.left):
        tally.carried[part] = tally.carried.get(part, 0) + int(FOUND[part](kept).sum())
    return kept, _fates(out, dropped, edited)


def _fates(out: Mask, dropped: Mapping[str, Mask], edited: Mapping[str, Mask]) -> tuple[pa.Array, pa.Array]:
    """Return the fate of each row, and the reason: the parts for which it is left out, or what was done to it."""
    reason = pa.array([""] * len(out), pa.string())
    for found in (dropped, {what: mask & ~out for what, mask in edited.items()}):
        for what, mask in found.items():
            gap = pc.if_else(pc.equal(reason, ""), "", ", ")
            reason = pc.if_else(pa.array(mask), pc.binary_join_element_wise(reason, gap, what, ""), reason)
    fate = pc.if_else(pa.array(out), LEFT_OUT, pc.if_else(pc.equal(reason, ""), EXPORTED, CHANGED))
    return fate, pc.if_else(pc.equal(reason, ""), None, reason)


def _lines(rows: FlatRows, split: str, line: int, fates: tuple[pa.Array, pa.Array]) -> pa.RecordBatch:
    """Return lines of the ledger; a row that is left out has no line in the file."""
    stays = np.asarray(pc.not_equal(fates[0], LEFT_OUT))
    number = pa.array(line + np.cumsum(stays), pa.int64(), mask=~stays)
    names = (rows.batch["source"], rows.batch["id"], pa.array([split] * len(rows), pa.string()))
    return pa.RecordBatch.from_arrays([*names, number, *fates], schema=_FATES)


def _stopped(target: Target, folder: Path, layout: KindLayout, tally: _Tally) -> str:
    """Say which parts stop an export, in how many rows and in which first, and what to do about each."""
    lines = [f"{target.name} cannot hold what rows of {folder} have; nothing was written:"]
    for part, (count, first) in tally.stops.items():
        names = ", ".join([*first, *(["..."] if count > len(first) else [])])
        ways = [f"--drop-rows-with {part}"]
        ways += [f"--without {part}"] if part in REMOVABLE else []
        ways += [f"--flatten {part}"] if part in FLATTENED else []
        why = f": it {layout.cannot[part]}" if part in layout.cannot else ""
        lines.append(f"{part}, in {_rows(count)} ({names}): {MEANING[part]}{why}")
        lines.append(f"  say {' or '.join(ways)}")
    lines.append("In Python: drop_rows_with=[...], without=[...], flatten=[...]")
    return "\n  ".join(lines)


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _record(
    draft: Path, manifest: Mapping[str, Any], target: Target, choices: Choices, tally: _Tally, layout: KindLayout
) -> dict[str, Any]:
    """Return what `export.json` says."""
    counts = pl.scan_parquet(draft / LEDGER).group_by("split", "fate", "reason").agg(rows=pl.len().cast(pl.Int64))
    paths = sorted(path for path in draft.rglob("*") if path.is_file())
    return {
        "target": target.name,
        "kind": manifest["kind"],
        "build": manifest["name"],
        "fingerprint": manifest["fingerprint"],
        "choices": {name: sorted(parts) for name, parts in choices._asdict().items()},
        "counts": counts.sort("split", "fate", "reason", descending=[True, False, False]).collect().to_dicts(),
        "unread": {part: tally.carried[part] for part in layout.unread if tally.carried[part]},
        "left": {part: tally.carried[part] for part in layout.left if tally.carried[part]},
        "files": {path.relative_to(draft).as_posix(): file_hash(path) for path in paths},
    }
