"""Rows as the tokens that training sees, with a mask of the trained ones.

Text of the data never becomes a token of the template: an answer that quotes `</s>` contains four characters of plain
text, and does not end there. (transformers calls this `sanitize_control_tokens`, which it cannot combine with its mask
of the assistant's turns, so conversations with control tokens are encoded in segments here.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.preflight.chat_template import ChatTokenizer

Encoding: TypeAlias = Any
"""Of the package tokenizers, untyped for the same reason as `ChatTokenizer`."""

TokenIds: TypeAlias = NDArray[np.int32]
Chat: TypeAlias = list[dict[str, str]]


class TokenizedChat(NamedTuple):
    """One conversation in tokens. `trained` masks those that the loss counts, in `spans` runs."""

    ids: TokenIds
    trained: NDArray[np.bool_]
    spans: int


class TokenizedPair(NamedTuple):
    """One pair in tokens: the shared prompt, and the rest of each side, uncut."""

    prompt: TokenIds
    chosen: TokenIds
    rejected: TokenIds


def conversations(chats: Sequence[Chat], tokenizer: ChatTokenizer) -> Iterator[TokenizedChat]:
    """Give each conversation in tokens, with its answers and their end tokens marked as trained.

    `tokenizer` is that of `chat_tokenizer`. A token is trained if a character of it is inside a mark of the template.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    control = control_tokens(tokenizer)
    plain = [not any(control.search(turn["content"]) for turn in chat) for chat in chats]
    given = [chat if safe else _hidden(chat, control) for chat, safe in zip(chats, plain, strict=True)]
    texts, marks = render_jinja_template(
        given,
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    safe = [text for text, is_plain in zip(texts, plain, strict=True) if is_plain]
    encodings = iter(tokenizer.backend_tokenizer.encode_batch(safe, add_special_tokens=False))
    for text, spans, is_plain in zip(texts, marks, plain, strict=True):
        yield _marked(next(encodings), spans) if is_plain else _encode_segments(text, spans, tokenizer)


def _marked(encoding: Encoding, spans: Sequence[tuple[int, int]]) -> TokenizedChat:
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


OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Enclose a control token in the text of the data while the template is rendered: noncharacters that Unicode reserves
for use inside a program, which no text should contain."""


def _hidden(chat: Chat, control: re.Pattern[str]) -> Chat:
    """Enclose quoted control tokens in marks, and remove marks that were already in the text."""
    return [
        {
            **turn,
            "content": control.sub(
                lambda found: f"{OPEN}{found[0]}{CLOSE}", re.sub(f"[{OPEN}{CLOSE}]", "", turn["content"])
            ),
        }
        for turn in chat
    ]


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
    own = {"add_special_tokens": False, "split_special_tokens": as_text}
    head, whole = tokenizer.encode("\n", **own), tokenizer.encode(f"\n{text}", **own)
    return list(whole[len(head) :]) if whole[: len(head)] == head else list(tokenizer.encode(text, **own))


def pairs(
    prompts: Sequence[Chat], chosen: Sequence[Chat], rejected: Sequence[Chat], tokenizer: ChatTokenizer
) -> Iterator[TokenizedPair]:
    """Give each pair in tokens, split into prompt and answers as by TRL's `DPOTrainer`.

    An answer begins where the tokens of the prompt alone and those of prompt and answer differ, on either side.
    """
    both = zip((*prompts, *prompts), (*chosen, *rejected), strict=True)
    alone = _ids(prompts, tokenizer, add_generation_prompt=True)
    whole = _ids([[*prompt, *answer] for prompt, answer in both], tokenizer, add_generation_prompt=False)
    for prompt, first, second in zip(alone, whole[: len(prompts)], whole[len(prompts) :], strict=True):
        start = min(_shared(prompt, first), _shared(prompt, second))
        yield TokenizedPair(prompt[:start], first[start:], second[start:])


def _ids(chats: Sequence[Chat], tokenizer: ChatTokenizer, *, add_generation_prompt: bool) -> list[TokenIds]:
    if not chats:
        return []
    found = tokenizer.apply_chat_template(
        list(chats), add_generation_prompt=add_generation_prompt, return_dict=True, sanitize_control_tokens=True
    )
    return [np.array(ids, np.int32) for ids in found["input_ids"]]


def _shared(one: TokenIds, other: TokenIds) -> int:
    """Return the length of the common prefix of two rows."""
    length = min(len(one), len(other))
    apart = np.flatnonzero(one[:length] != other[:length])
    return int(apart[0]) if len(apart) else length
