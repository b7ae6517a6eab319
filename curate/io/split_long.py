"""`split_long`: rows of an input whose long conversations are split."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

from curate.errors import MixtureError, check_whole, did_you_mean
from curate.io.formats.exchanges import Like, LongSplit
from curate.io.inputs import Input
from curate.rows.tokens import Tokenizer

PER_TURN: Final[dict[Like | None, int]] = {None: 0, "tulu2": 7}
"""Tokens beside those of its text that a message counts for, where none are given."""


def split_long(
    input: Input,  # noqa: A002
    max_tokens: int,
    *,
    tokenizer: Tokenizer | str | None = None,
    like: Like | None = None,
) -> Input:
    """Rows of `input`, whose conversations of more than `max_tokens` become several, split between exchanges.

    An exchange is what the user says and all up to when the user speaks again. Each part holds as many as fit, their
    text byte for byte, with the row's system turn, tools and `meta`. An exchange that alone is too long is in no part:
    it is quarantined with its line, message and tokens, so `max_quarantine` of the source says how many may be. All
    parts have the line of their conversation in the ledger. A row's own id becomes `id_n` with the number of the first
    message, from 0, not counting the system's; without one, each part has a hash of its content.

    Args:
        input: Rows that are conversations, in any format.
        max_tokens: The most tokens of a part, from 1.
        tokenizer: Counts tokens exactly, each text alone, and adds its `per_turn` for what a template puts around a
            turn; a path of a tokenizer.json is one that adds none. None estimates: a token for every four bytes, and
            four a turn.
        like: "tulu2" splits as open-instruct's script did for Tulu 2: two messages are an exchange; the last of an odd
            number, a last exchange that would be a part by itself, and parts in which the user and the assistant do
            not take turns, are quarantined. A tokenizer that is a path, Llama's, then adds seven a turn: six of the
            script, and `<s>`.

    Returns:
        An input. Opening it raises `MixtureError` if its rows are no conversations.

    Raises:
        MixtureError: `max_tokens` is no whole number from 1, `like` is unknown, or the tokenizer is not there.

    Example:
        >>> from curate.io.inputs import files
        >>> split_long(files("sharegpt.json", "sharegpt"), 4096).long_split
        LongSplit(max_tokens=4096, tokenizer=None, like=None)

    References:
        FastChat 0f49fe7, fastchat/data/split_long_conversation.py; open-instruct e6c3044,
        scripts/data/sft_v1_v2/split_sharegpt_conversations.py.
    """
    check_whole(f"split_long(max_tokens={max_tokens!r})", max_tokens, least=1)
    if like is not None and like not in get_args(Like):
        raise MixtureError(f"split_long(like={like!r}): {did_you_mean(str(like), get_args(Like))}")
    counted = Tokenizer(tokenizer, PER_TURN[like]) if isinstance(tokenizer, str) else tokenizer
    return replace(input, long_split=LongSplit(max_tokens, counted, like))
