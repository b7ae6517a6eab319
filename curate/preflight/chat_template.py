"""The tokenizer with the chat template that training will use, and rows as the tokens that training sees.

Text of the data never becomes a token of the template: an answer that quotes `</s>` contains four characters of plain
text, and does not end there. (transformers calls this `sanitize_control_tokens`, which it cannot combine with its mask
of the assistant's turns, so rows with control tokens are encoded in segments here. The tags of reasoning and calls
that an answer has as text are the model's own, and stay tokens.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from curate.errors import CallError, did_you_mean
from curate.preflight.hardware import check_extra, shortened
from curate.preflight.marks import marked
from curate.preflight.template_input import CLOSE, NONE, OPEN, Chat, Options, decoded, has_control, hidden

ChatTokenizer: TypeAlias = Any
"""A `PreTrainedTokenizerFast` of transformers, which needs the extra `curate[train]`."""

Template: TypeAlias = Literal["tulu", "zephyr", "chatml"]
"""The templates of this room; each marks the assistant's turns, with their end token, as trained."""

NEEDED: Final[dict[str, tuple[str, str]]] = {"chatml": ("<|im_start|>", "<|im_end|>")}
"""Tokens that a template needs, added to a tokenizer without them; the last one ends an answer."""

RESERVED: Final = frozenset(
    {
        "conversations", "messages", "tools", "chat_template", "add_generation_prompt", "continue_final_message",
        "return_assistant_tokens_mask", "tokenize", "sanitize_control_tokens",
    }
)  # fmt: skip
"""Names that `chat_template_kwargs` of a row cannot give: they are decided for all rows."""

CHOICE: Final = (
    "choose one: chat_template='tulu' or 'zephyr' (they need no new token), 'chatml' (adds <|im_start|> and <|im_end|> "
    "if they are missing), or the path of a Jinja file that marks the assistant's turns with {% generation %}"
)


def chat_tokenizer(name: str, chat_template: str | None = None) -> ChatTokenizer:
    """Return the tokenizer `name` (a folder, or an id on the Hub) with a chat template that marks the trained part.

    Default: the model's own template; if that has no marks, TRL's training variant of it, or Llama's with marks. Code
    shipped with a tokenizer is never run. Raises `CallError` for a tokenizer that cannot be loaded, or has no template
    that marks the trained part.
    """
    loaded = load(name)
    if chat_template is not None:
        _give(loaded, chat_template)
    if not loaded.chat_template:
        raise CallError(f"the tokenizer {name} has no chat template; {CHOICE}")
    if loaded.eos_token is None:
        raise CallError(
            f"the tokenizer {name} has no eos_token, so no answer could end; set one in its tokenizer_config.json"
        )
    loaded.chat_template = marked(loaded, name, CHOICE)
    return loaded


def load(name: str) -> ChatTokenizer:
    """Return the tokenizer `name` unchanged."""
    check_extra()
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CallError(f"no tokenizer could be loaded from {name!r}: {shortened(error)}") from error
    if not loaded.is_fast:
        raise CallError(f"the tokenizer {name} has no tokenizer.json, so tokens cannot be mapped to characters")
    return loaded


def _give(tokenizer: ChatTokenizer, chat_template: str) -> None:
    """Set the template, and add the tokens it needs."""
    known = get_args(Template)
    if chat_template in known:
        tokenizer.chat_template = (files("curate.preflight") / "templates" / f"{chat_template}.jinja").read_text(
            "utf-8"
        )
    elif Path(chat_template).is_file():
        try:
            tokenizer.chat_template = Path(chat_template).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise CallError(f"the chat template {chat_template} cannot be read: {error}") from error
    else:
        raise CallError(f"no chat template {chat_template!r}, and no such file; {did_you_mean(chat_template, known)}")
    needed = NEEDED.get(chat_template, ())
    missing = [token for token in needed if token not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    if needed:
        tokenizer.eos_token = needed[-1]


Encoding: TypeAlias = Any
"""Of the package tokenizers, untyped for the same reason as `ChatTokenizer`."""

TokenIds: TypeAlias = NDArray[np.int32]


class TokenizedChat(NamedTuple):
    """One conversation in tokens. `trained` masks those that the loss counts, in `spans` runs."""

    ids: TokenIds
    trained: NDArray[np.bool_]
    spans: int


class TokenizedAnswers(NamedTuple):
    """One prompt in tokens, and the answers to it, uncut: two of a pair, one of an unpaired row."""

    prompt: TokenIds
    answers: tuple[TokenIds, ...]


def conversations(
    chats: Sequence[Chat], tokenizer: ChatTokenizer, options: Sequence[Options] = (), *, asked: bool = False
) -> Iterator[TokenizedChat]:
    """Give each conversation in tokens, with its answers and their end tokens marked as trained.

    `tokenizer` is that of `chat_tokenizer`, `options` has those of each conversation (none: no conversation has any),
    `asked` adds the start of an answer. A token is trained if a character of it is inside a mark of the template.
    """
    control = control_tokens(tokenizer)
    given = list(zip(chats, options or [NONE] * len(chats), strict=True))
    plain = [not has_control(*one, control) for one in given]
    shown = [one if safe else hidden(*one, control) for one, safe in zip(given, plain, strict=True)]
    rendered = render(shown, tokenizer, asked=asked)
    safe = [text for (text, _), is_plain in zip(rendered, plain, strict=True) if is_plain]
    encodings = iter(tokenizer.backend_tokenizer.encode_batch(safe, add_special_tokens=False))
    for (text, spans), is_plain in zip(rendered, plain, strict=True):
        yield _with_mask(next(encodings), spans) if is_plain else _encode_segments(text, spans, tokenizer)


Spans: TypeAlias = Sequence[tuple[int, int]]


def render(
    rows: Sequence[tuple[Chat, Options]], tokenizer: ChatTokenizer, *, asked: bool = False
) -> list[tuple[str, Spans]]:
    """Return each row as text, with the spans that the template marks; rows with the same options are rendered at once.

    Raises `ValueError`, `TypeError` or an error of Jinja for a row that the template rejects.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    places: dict[Options, list[int]] = {}
    for place, (_, options) in enumerate(rows):
        places.setdefault(options, []).append(place)
    found: dict[int, tuple[str, Spans]] = {}
    for options, own in places.items():
        texts, marks = render_jinja_template(
            [rows[place][0] for place in own],
            decoded(options.tools),
            chat_template=tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            add_generation_prompt=asked,
            **tokenizer.special_tokens_map | _arguments(options),
        )
        found.update(zip(own, zip(texts, marks, strict=True), strict=True))
    return [found[place] for place in range(len(rows))]


def _arguments(options: Options) -> dict[str, Any]:
    """Return the arguments of a row for the template; raises `ValueError` for one that transformers itself takes."""
    given: dict[str, Any] = decoded(options.kwargs) or {}
    taken = sorted(given.keys() & RESERVED)
    if taken:
        raise ValueError(f"chat_template_kwargs gives {', '.join(taken)}, which a row cannot choose")
    return given


def _with_mask(encoding: Encoding, spans: Sequence[tuple[int, int]]) -> TokenizedChat:
    ids = np.array(encoding.ids, np.int32)
    trained = np.zeros(len(ids), np.bool_)
    for start, end in spans:
        first, last = _token(encoding, range(start, end)), _token(encoding, range(end - 1, start - 1, -1))
        if first is not None and last is not None:
            trained[first : last + 1] = True
    return TokenizedChat(ids, trained, len(spans))


def _token(encoding: Encoding, characters: range) -> int | None:
    """Return the token of the first of these characters that has one: a tokenizer may drop spaces."""
    return next((token for at in characters if (token := encoding.char_to_token(at)) is not None), None)


def control_tokens(tokenizer: ChatTokenizer) -> re.Pattern[str]:
    """Return a pattern of the tokens that only a template may write, the longest first."""
    added = tokenizer.added_tokens_decoder.values()
    names = {token.content for token in added if token.special or token.content in tokenizer.chat_template}
    names = {name for name in names if not name.isspace()}
    longest = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest)) or "(?!)")


def _encode_segments(text: str, spans: Sequence[tuple[int, int]], tokenizer: ChatTokenizer) -> TokenizedChat:
    """Encode a rendered text in segments: those between our marks as plain text, without the marks."""
    quoted = [(found.start(), found.end()) for found in re.finditer(f"{OPEN}[^{CLOSE}]*{CLOSE}", text)]
    cuts = sorted(
        {0, len(text), *(edge for span in spans for edge in span), *(edge for span in quoted for edge in span)}
    )
    ids: list[int] = []
    trained: list[bool] = []
    for start, end in pairwise(cuts):
        as_text = any(first <= start < last for first, last in quoted)
        tokens = _encode(text[start:end].strip(OPEN + CLOSE), tokenizer, as_text=as_text)
        ids += tokens
        trained += [any(first <= start < last for first, last in spans)] * len(tokens)
    return TokenizedChat(np.array(ids, np.int32), np.array(trained, np.bool_), len(spans))


def _encode(text: str, tokenizer: ChatTokenizer, *, as_text: bool) -> list[int]:
    """Encode after a line break, then remove it: SentencePiece puts a space before the start of a text."""
    encode = _without_added_tokens if as_text else _with_added_tokens
    head, whole = encode("\n", tokenizer), encode(f"\n{text}", tokenizer)
    found = whole[len(head) :] if whole[: len(head)] == head else encode(text, tokenizer)
    if as_text and len(text) > 1 and tokenizer.convert_tokens_to_ids(text) in found:  # in the vocabulary of a Unigram
        return [token for part in (text[0], text[1:]) for token in _encode(part, tokenizer, as_text=True)]
    return found


def _with_added_tokens(text: str, tokenizer: ChatTokenizer) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _without_added_tokens(text: str, tokenizer: ChatTokenizer) -> list[int]:
    """Encode by the tokenizer's model alone: `split_special_tokens` would still find added tokens such as `<think>`."""
    backend = tokenizer.backend_tokenizer
    text = backend.normalizer.normalize_str(text) if backend.normalizer else text
    words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)] if backend.pre_tokenizer else [text]
    return [token.id for word in words for token in backend.model.tokenize(word)]


def answered(
    prompts: Sequence[Chat],
    sides: Sequence[Sequence[Chat]],
    tokenizer: ChatTokenizer,
    options: Sequence[Options] = (),
) -> Iterator[TokenizedAnswers]:
    """Give each prompt and its answers in tokens, split as by TRL: an answer begins where a side and the prompt differ.

    `sides` has whole conversations, each with its prompt.
    """
    alone = conversations(prompts, tokenizer, options, asked=True)
    whole = (conversations(chats, tokenizer, options) for chats in sides)
    for prompt, *rows in zip(alone, *whole, strict=True):
        start = min(_shared(prompt.ids, row.ids) for row in rows)
        yield TokenizedAnswers(prompt.ids[:start], tuple(row.ids[start:] for row in rows))


def _shared(one: TokenIds, other: TokenIds) -> int:
    """Return the length of the common prefix of two rows."""
    length = min(len(one), len(other))
    apart = np.flatnonzero(one[:length] != other[:length])
    return int(apart[0]) if len(apart) else length
