"""The length of each row in tokens, and how much of it a limit leaves to train on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from jinja2 import TemplateError

from curate.errors import CallError, PreflightError
from curate.io.parquet import parquet_file
from curate.preflight.changed_parts import AS_THEY_ARE, Changes, with_changes
from curate.preflight.chat_template import (
    ChatTokenizer,
    TokenIds,
    TokenizedAnswers,
    TokenizedChat,
    answered,
    conversations,
)
from curate.preflight.ignored_parts import PartCheck, TemplateParts, instead, named, together
from curate.preflight.template_input import NONE, Chat, Options, chat_of
from curate.result.build import Build, Split
from curate.rows.schema import MESSAGE, ROW_PARTS, Kind

Outcome: TypeAlias = Literal["whole", "cut", "lost", "equal"]
"""A row is trained whole, or cut at the limit, or left out: nothing trainable is left of it, or the sides of a pair are
equal up to the limit."""

BATCH: Final = 512
"""Rows tokenized at once: enough for the tokenizer's own threads, and about 3 MB of text."""

IGNORED: Final = -100
"""The label of a token that the loss leaves out (`ignore_index` of PyTorch)."""

LABELLED: Final = {"input_ids": pa.list_(pa.int32()), "labels": pa.list_(pa.int32())}
"""Conversations as `SFTTrainer` takes them, cut at the limit."""

PAIRED: Final = {name: pa.list_(pa.int32()) for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
"""Pairs as `DPOTrainer` prepares them; it cuts them at the limit itself."""

JUDGED: Final = {**{name: pa.list_(pa.int32()) for name in ("prompt_ids", "completion_ids")}, "label": pa.bool_()}
"""Unpaired rows as `KTOTrainer` prepares them; it cuts them at the limit itself."""

TOKENS: Final[dict[Kind, dict[str, pa.DataType]]] = {
    "conversation": LABELLED,
    "preference": PAIRED,
    "unpaired": JUDGED,
}


class Length(NamedTuple):
    """The tokens of one row, how many are `trainable`, and what the limit leaves of both (0 if the row is left out).

    Of a pair these are the tokens of both sides, each with the prompt; `longest` is the longer side. `sound`: the
    template shows as many answers as the row has.
    """

    tokens: int
    trainable: int
    longest: int
    left: int
    trained: int
    outcome: Outcome
    sound: bool


LENGTHS: Final = pa.schema(  # a `Length`, then `TemplateParts`, then the names of `Changes`
    [
        ("source", pa.string()),
        ("id", pa.string()),
        *((name, pa.int32()) for name in ("tokens", "trainable", "longest", "left", "trained")),
        ("outcome", pa.string()),
        ("sound", pa.bool_()),
        ("parts", pa.list_(pa.string())),
        ("ignored", pa.list_(pa.string())),
        ("changed", pa.list_(pa.string())),
    ]
)


def data_files(build: Build, split: Split = "train") -> list[Path]:
    """Return the data files of a split in the manifest's order; none for a split without files."""
    return [build.path / shard["file"] for shard in build.manifest["splits"].get(split, {"shards": []})["shards"]]


def measured(
    build: Build, tokenizer: ChatTokenizer, limit: int, split: Split = "train", changes: Changes = AS_THEY_ARE
) -> Iterator[pa.RecordBatch]:
    """Give one `Length` per row of a split, in the order of the data files, and its tokens.

    `tokenizer` is that of `chat_tokenizer`. Columns: those of `schema_of`; the tokens are empty lists for a row that is
    left out. `changes` are done to the rows first. Raises `CallError` for a limit below 1, `PreflightError` for a row
    that the chat template rejects, as some reject system turns.
    """
    if limit < 1:
        raise CallError(f"a limit of {limit} tokens leaves nothing to train on; give a whole number from 1")
    check = PartCheck(tokenizer)
    for path in data_files(build, split):
        for batch in parquet_file(path).iter_batches(batch_size=BATCH):
            rows, done = with_changes(batch, changes)
            try:
                yield _measure(rows, done, tokenizer, limit, check)
            except REJECTED as error:
                raise _rejected_row(rows, tokenizer, error) from error


REJECTED: Final = (TemplateError, TypeError, ValueError)
"""What a chat template, or transformers before it, raises for a row that it does not take."""


def _measure(
    batch: pa.RecordBatch, done: Sequence[list[str]], tokenizer: ChatTokenizer, limit: int, check: PartCheck
) -> pa.RecordBatch:
    options = _options(batch)
    if "messages" in batch.schema.names:
        chats = _chats(batch, "messages")
        parts = [check(*row) for row in zip(chats, options, strict=True)]
        rows = list(conversations(chats, tokenizer, options))
        lengths = [_of_chat(row, chat, limit) for row, chat in zip(rows, chats, strict=True)]
        return _batch(batch, lengths, parts, done, _labelled(rows, lengths))
    names = [name for name in ("chosen", "rejected", "completion") if name in batch.schema.names]
    prompts, *answers = (_chats(batch, name) for name in ("prompt", *names))
    sides = [[[*prompt, *answer] for prompt, answer in zip(prompts, own, strict=True)] for own in answers]
    parts = [together([check(one, own) for one in row]) for *row, own in zip(*sides, options, strict=True)]
    rows_of_batch = list(answered(prompts, sides, tokenizer, options))
    lengths = [_of_answers(row, limit) for row in rows_of_batch]
    return _batch(batch, lengths, parts, done, _split(batch, names, rows_of_batch, lengths))


def _options(batch: pa.RecordBatch) -> list[Options]:
    """Return the tools and template arguments of each row; a batch has these columns if some row of the build does."""
    names = batch.schema.names
    if all(field.name not in names for field in ROW_PARTS):
        return [NONE] * batch.num_rows
    columns = [batch[field.name].to_pylist() if field.name in names else [None] * batch.num_rows for field in ROW_PARTS]
    return list(map(Options._make, zip(*columns, strict=True)))


def _chats(batch: pa.RecordBatch, column: str) -> list[Chat]:
    plain = batch.schema.field(column).type.value_type.num_fields == len(MESSAGE)
    rows: list[Chat] = batch[column].to_pylist()
    return rows if plain else [chat_of(row) for row in rows]


def _rejected_row(batch: pa.RecordBatch, tokenizer: ChatTokenizer, error: Exception) -> PreflightError:
    """Return an error that names the first row of a batch that the chat template rejects."""
    for place in range(batch.num_rows):
        row, check = batch.slice(place, 1), PartCheck(tokenizer)
        try:
            _measure(row, [[]], tokenizer, 1, check)
        except REJECTED as own:
            name = f"{row['source'][0]}/{row['id'][0]}"
            if check.ignored:  # it asks for content where the row has a call
                return PreflightError(
                    f"the chat template ignores {named(check.ignored)} of {name}; {instead(check.ignored)}"
                )
            return PreflightError(f"the chat template rejects {name}: {own}; {instead()}")
    return PreflightError(f"the chat template cannot be rendered: {error}")


def schema_of(kind: Kind) -> pa.Schema:
    """Return the columns of `measured` for a build of rows of a kind: those of `LENGTHS`, and its tokens."""
    return pa.schema([*LENGTHS, *TOKENS[kind].items()])


def _of_chat(row: TokenizedChat, chat: Sequence[dict[str, str]], limit: int) -> Length:
    size, trained = len(row.ids), int(row.trained[:limit].sum())
    outcome: Outcome = "lost" if not trained else "cut" if size > limit else "whole"
    sound = row.spans == sum(turn["role"] == "assistant" for turn in chat)
    return Length(size, int(row.trained.sum()), size, min(size, limit) if trained else 0, trained, outcome, sound)


def _of_answers(row: TokenizedAnswers, limit: int) -> Length:
    start = len(row.prompt)
    sizes = [start + len(answer) for answer in row.answers]
    room = max(limit - start, 0)
    first, *others = (answer[:room] for answer in row.answers)
    equal = any(np.array_equal(first, other) for other in others)
    outcome: Outcome = "lost" if not room else "equal" if equal else "cut" if max(sizes) > limit else "whole"
    stays = outcome in {"cut", "whole"}
    left = sum(min(size, limit) for size in sizes) if stays else 0
    trainable = [len(answer) for answer in row.answers]
    trained = sum(min(size, room) for size in trainable) if stays else 0
    return Length(sum(sizes), sum(trainable), max(sizes), left, trained, outcome, all(trainable))


def _labelled(rows: Sequence[TokenizedChat], lengths: Sequence[Length]) -> dict[str, pa.Array]:
    ids = [row.ids[: length.left] for row, length in zip(rows, lengths, strict=True)]
    trained = [row.trained[: length.left] for row, length in zip(rows, lengths, strict=True)]
    labels = [np.where(mask, own, np.int32(IGNORED)) for own, mask in zip(ids, trained, strict=True)]
    return {"input_ids": _lists(ids), "labels": _lists(labels)}


def _split(
    batch: pa.RecordBatch, names: Sequence[str], rows: Sequence[TokenizedAnswers], lengths: Sequence[Length]
) -> dict[str, pa.Array]:
    none = TokenizedAnswers(NO_TOKENS, (NO_TOKENS,) * len(names))
    left = [row if length.left else none for row, length in zip(rows, lengths, strict=True)]
    columns = {"prompt_ids": _lists([row.prompt for row in left])}
    columns |= {f"{name}_ids": _lists([row.answers[i] for row in left]) for i, name in enumerate(names)}
    return columns | ({"label": batch["label"]} if "label" in batch.schema.names else {})


NO_TOKENS: Final = np.zeros(0, np.int32)


def _lists(rows: Sequence[TokenIds]) -> pa.ListArray:
    ends = np.cumsum([len(row) for row in rows], dtype=np.int32)
    return pa.ListArray.from_arrays(np.append(np.int32(0), ends), np.concatenate([NO_TOKENS, *rows]))


def _batch(
    batch: pa.RecordBatch,
    lengths: Sequence[Length],
    parts: Sequence[TemplateParts],
    done: Sequence[list[str]],
    more: dict[str, pa.Array],
) -> pa.RecordBatch:
    values = [batch["source"], batch["id"], *zip(*lengths, strict=True), *zip(*parts, strict=True), done]
    columns = {field.name: pa.array(column, field.type) for field, column in zip(LENGTHS, values, strict=True)}
    return pa.RecordBatch.from_pydict({**columns, **more})


def stored(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> Iterator[pa.RecordBatch]:
    """Write rows to a file in the first process, and give the rows of the file in every process."""
    from accelerate import PartialState

    state = PartialState()
    with state.main_process_first():
        if state.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
    with pa.memory_map(str(path)) as source:
        yield from pa.ipc.open_stream(source)
