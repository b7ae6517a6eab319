"""Rows as the tokens that training sees, with what of them is trained.

Text of users is never taken for a token of the template: an answer that quotes `</s>` holds these four letters, as
plain text, and does not end there. (transformers calls this `sanitize_control_tokens`; its mask of what the assistant
says cannot be had together with it, so conversations are cut into pieces here.)
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
"""Of the package tokenizers, for the same reason as `ChatTokenizer`."""

Tokens: TypeAlias = NDArray[np.int32]
Chat: TypeAlias = list[dict[str, str]]


class Spoken(NamedTuple):
    """One conversation in tokens. `trained` says which of them the loss counts; `spans` how often that begins."""

    ids: Tokens
    trained: NDArray[np.bool_]
    spans: int


class Pair(NamedTuple):
    """One pair in tokens: what both sides begin with, and what each goes on with, whole."""

    prompt: Tokens
    chosen: Tokens
    rejected: Tokens


def conversations(chats: Sequence[Chat], tokenizer: ChatTokenizer) -> Iterator[Spoken]:
    """Give each conversation in tokens, its answers and the tokens that end them marked as trained.

    `tokenizer` is that of `chat_tokenizer`. A token is trained where a letter of it is inside a mark of the template.
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
        yield _marked(next(encodings), spans) if is_plain else _in_pieces(text, spans, tokenizer)


def _marked(encoding: Encoding, spans: Sequence[tuple[int, int]]) -> Spoken:
    ids = np.array(encoding.ids, np.int32)
    trained = np.zeros(len(ids), np.bool_)
    for start, end in spans:
        first, last = _token(encoding, range(start, end)), _token(encoding, range(end - 1, start - 1, -1))
        if first is not None and last is not None:
            trained[first : last + 1] = True
    return Spoken(ids, trained, len(spans))


def _token(encoding: Encoding, letters: range) -> int | None:
    """Return the token of the first of these letters that has one: a tokenizer may drop spaces."""
    return next((token for at in letters if (token := encoding.char_to_token(at)) is not None), None)


def control_tokens(tokenizer: ChatTokenizer) -> re.Pattern[str]:
    """Return what finds the tokens in a text that only a template may write, the longest first."""
    added = tokenizer.added_tokens_decoder.values()
    names = {token.content for token in added if token.special or token.content in tokenizer.chat_template}
    names = {name for name in names if not name.isspace()}
    longest = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest)) or "(?!)")


OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Stand around a control token in the text of a user while the template is filled in: code points that Unicode keeps
for such use inside a program, and no text should hold."""


def _hidden(chat: Chat, control: re.Pattern[str]) -> Chat:
    """Put marks around what looks like a control token, and take out such marks that were there."""
    return [
        {
            **turn,
            "content": control.sub(
                lambda found: f"{OPEN}{found[0]}{CLOSE}", re.sub(f"[{OPEN}{CLOSE}]", "", turn["content"])
            ),
        }
        for turn in chat
    ]


def _in_pieces(text: str, spans: Sequence[tuple[int, int]], tokenizer: ChatTokenizer) -> Spoken:
    """Encode a rendered text piece by piece: what stands between marks of our own as plain text, without the marks."""
    quoted = [(found.start(), found.end()) for found in re.finditer(f"{OPEN}[^{CLOSE}]*{CLOSE}", text)]
    cuts = sorted(
        {0, len(text), *(edge for span in spans for edge in span), *(edge for span in quoted for edge in span)}
    )
    ids: list[int] = []
    trained: list[bool] = []
    for start, end in pairwise(cuts):
        as_text = any(first <= start < last for first, last in quoted)
        piece = _encode(text[start:end].strip(OPEN + CLOSE), tokenizer, as_text=as_text)
        ids += piece
        trained += [any(first <= start < last for first, last in spans)] * len(piece)
    return Spoken(np.array(ids, np.int32), np.array(trained, np.bool_), len(spans))


def _encode(piece: str, tokenizer: ChatTokenizer, *, as_text: bool) -> list[int]:
    """Encode behind a line break, which is taken off again: SentencePiece puts a space before what begins a text."""
    own = {"add_special_tokens": False, "split_special_tokens": as_text}
    head, whole = tokenizer.encode("\n", **own), tokenizer.encode(f"\n{piece}", **own)
    return list(whole[len(head) :]) if whole[: len(head)] == head else list(tokenizer.encode(piece, **own))


def pairs(
    prompts: Sequence[Chat], chosen: Sequence[Chat], rejected: Sequence[Chat], tokenizer: ChatTokenizer
) -> Iterator[Pair]:
    """Give each pair in tokens, as TRL's `DPOTrainer` tells prompt and answers apart.

    An answer begins where the tokens of the prompt alone and those of prompt and answer part, on either side.
    """
    both = zip((*prompts, *prompts), (*chosen, *rejected), strict=True)
    told = _ids(prompts, tokenizer, add_generation_prompt=True)
    whole = _ids([[*prompt, *answer] for prompt, answer in both], tokenizer, add_generation_prompt=False)
    for prompt, first, second in zip(told, whole[: len(prompts)], whole[len(prompts) :], strict=True):
        start = min(_shared(prompt, first), _shared(prompt, second))
        yield Pair(prompt[:start], first[start:], second[start:])


def _ids(chats: Sequence[Chat], tokenizer: ChatTokenizer, *, add_generation_prompt: bool) -> list[Tokens]:
    if not chats:
        return []
    found = tokenizer.apply_chat_template(
        list(chats), add_generation_prompt=add_generation_prompt, return_dict=True, sanitize_control_tokens=True
    )
    return [np.array(ids, np.int32) for ids in found["input_ids"]]


def _shared(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two rows begin with alike."""
    length = min(len(one), len(other))
    apart = np.flatnonzero(one[:length] != other[:length])
    return int(apart[0]) if len(apart) else length
