"""The lengths of a model's answers, to compare with the length bias of the pairs it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from curate.errors import CallError
from curate.io.inputs import files
from curate.preflight.chat_template import chat_tokenizer
from curate.preflight.hardware import check_extra
from curate.rows.joined_text import row_texts
from curate.rows.segments import segments

BATCH: Final = 8


def answer_lengths(prompts: str | Path, models: Sequence[str], *, limit: int = 512) -> pl.DataFrame:
    """Answer prompts with models, greedily, and measure the answers.

    Args:
        prompts: A file of rows, of which the first user turns are used; a `.txt` file has one prompt per line.
        models: Folders, or ids on the Hub.
        limit: Tokens per answer. The default leaves most answers uncut.

    Returns:
        One line per model, in the order given: `model`, `prompts`, `mean_tokens`, `median_tokens`, `mean_words` (split
        at spaces), `cut` (the share of answers that did not end within `limit`).

    Raises:
        CallError: The file has no prompts, or a model cannot be downloaded.
    """
    check_extra()
    asked = _prompts(Path(prompts))
    if not asked:
        raise CallError(f"no prompts in {prompts}")
    lines = []
    for name in models:
        lengths = pl.DataFrame(_answers(name, asked, limit), {"tokens": pl.Int64, "words": pl.Int64}, orient="row")
        of_tokens = {"mean_tokens": pl.mean("tokens"), "median_tokens": pl.median("tokens")}
        cut = (pl.col("tokens") >= limit).mean()
        own = pl.lit(name).alias("model")
        lines.append(lengths.select(own, prompts=pl.len(), **of_tokens, mean_words=pl.mean("words"), cut=cut))
    return pl.concat(lines)


def _prompts(path: Path) -> list[str]:
    if path.suffix == ".txt":
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    opened = files(path).open()
    bodies = (opened.parse(block).body for block in opened.blocks())
    return [text for body in bodies for text in pl.Series(row_texts(segments(body, "first_user"), "plain")) if text]


def _answers(name: str, prompts: Sequence[str], limit: int) -> Iterator[tuple[int, int]]:
    """Give the tokens and the words of each answer; the token that ends an answer does not count."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = chat_tokenizer(name)
    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.pad_token or tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    for start in range(0, len(prompts), BATCH):
        chats = [[{"role": "user", "content": text}] for text in prompts[start : start + BATCH]]
        given = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
        ).to(model.device)
        with torch.inference_mode():
            made = model.generate(**given, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        for ids in made[:, given["input_ids"].shape[1] :].tolist():
            end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
            yield end, len(tokenizer.decode(ids[:end], skip_special_tokens=True).split())
