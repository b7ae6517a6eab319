"""The tokenizer with the chat template that training will use: the model's own, or one of the three here."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from curate.errors import CallError, did_you_mean
from curate.preflight.hardware import check_extra, shortened

ChatTokenizer: TypeAlias = Any
"""A `PreTrainedTokenizerFast` of transformers, which needs the extra `curate[train]`."""

Template: TypeAlias = Literal["tulu", "zephyr", "chatml"]
"""The templates of this room; each marks the assistant's turns, with their end token, as trained."""

NEEDED: Final[dict[str, tuple[str, str]]] = {"chatml": ("<|im_start|>", "<|im_end|>")}
"""Tokens that a template needs, added to a tokenizer without them; the last one ends an answer."""

CHOICE: Final = (
    "choose one: chat_template='tulu' or 'zephyr' (they need no new token), 'chatml' (adds <|im_start|> and <|im_end|> "
    "if they are missing), or the path of a Jinja file that marks the assistant's turns with {% generation %}"
)


def chat_tokenizer(name: str, chat_template: str | None = None) -> ChatTokenizer:
    """Return the tokenizer `name` (a folder, or an id on the Hub) with a chat template that marks the trained part.

    Default: the model's own template, or TRL's training variant if that has no marks. Code shipped with a tokenizer is
    never run. Raises `CallError` for a tokenizer that cannot be loaded, or has no template that marks the trained part.
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
    loaded.chat_template = _marked(loaded, name)
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


def _marked(tokenizer: ChatTokenizer, name: str) -> str:
    """Return the tokenizer's template if it marks the trained part, else TRL's variant that does."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    if has_generation_markers(tokenizer.chat_template):
        return _default(tokenizer.chat_template)
    try:
        found = get_training_chat_template(tokenizer)
    except ValueError:
        found = None
    if found is None:
        raise CallError(
            f"the chat template of {name} does not mark the assistant's turns with {{% generation %}}, so the trained "
            f"part is unknown; {CHOICE}"
        )
    return str(found)


def _default(template: str | dict[str, str]) -> str:
    return template if isinstance(template, str) else template["default"]
