"""`split_long`: rows of an input whose long conversations are split."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from curate.errors import MixtureError, check_whole, did_you_mean
from curate.io.formats.exchanges import Like, LongSplit
from curate.io.inputs import Input
from curate.rows.tokens import Tokenizer


def split_long(
    input: Input,  # noqa: A002
    max_tokens: int,
    *,
    tokenizer: Tokenizer | None = None,
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
        tokenizer: Counts tokens exactly, each text alone; its `per_turn` is for what a template puts around a turn.
            None estimates: a token for every four bytes, and four a turn.
        like: "tulu2" splits as open-instruct's script did for Tulu 2 (with the Llama tokenizer and `per_turn=7`): two
            messages are an exchange; the last of an odd number, a last exchange that would be a part by itself, and
            parts in which the user and the assistant do not take turns, are quarantined.

    Returns:
        An input. Opening it raises `MixtureError` if its rows are no conversations.

    Raises:
        MixtureError: `max_tokens` is no whole number from 1, or `like` is unknown.

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
    return replace(input, long_split=LongSplit(max_tokens, tokenizer, like))
