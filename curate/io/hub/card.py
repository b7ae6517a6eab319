"""The card of a data set on the Hub: title, licence, citation, and what it says of configs and splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct, field

_YAML: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t\r]*$(.*)", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^# +(.+)$", re.MULTILINE)
_ENTRY: Final = re.compile(r"^[ \t>]*@[A-Za-z]+[ \t]*\{", re.MULTILINE)


@dataclass(frozen=True)
class DatasetCard:
    """What the card of a data set says of it; None where it says nothing.

    `licence` is an identifier such as "odc-by", several joined by ", ", or the name of another one, whose text is at
    `licence_link`; `citation` the BibTeX entries; `asks` what the form of a gated set asks for.
    """

    title: str | None = None
    licence: str | None = None
    licence_link: str | None = None
    citation: str | None = None
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where rows from the Hub are from: the repository, the commit that was read, and its card.

    `asked` is the revision that was asked for, `config` and `splits` what was chosen of it (None, none: files by name).
    `note` says what is worth to know of it; `cached` whether the Hub was not reached, so that the commit may be old.
    """

    repository: str
    commit: str
    asked: str | None
    config: str | None
    splits: tuple[str, ...]
    card: DatasetCard
    note: str | None = None
    cached: bool = False

    def describe(self) -> str:
        """Return it in one line.

        >>> Origin("lab/chat", "c" * 40, None, "default", ("train",), DatasetCard(licence="odc-by")).describe()
        'lab/chat at cccccccccccccccccccccccccccccccccccccccc (main), config default, split train; licence odc-by'
        """
        config = "" if self.config is None else f", config {self.config}, split {', '.join(self.splits)}"
        asked = "" if self.asked == self.commit else f" ({self.asked or 'main'}{', as cached' if self.cached else ''})"
        return f"{self.repository} at {self.commit}{asked}{config}; licence {self.card.licence or 'not stated'}"

    def facts(self) -> dict[str, Any]:
        """Return what a manifest keeps of it: what is not empty, and the same on every machine."""
        own = {"repository": self.repository, "commit": self.commit, "config": self.config, "splits": self.splits}
        return {name: value for name, value in {**own, **asdict(self.card)}.items() if value}


class SplitFiles(Struct):
    """The files of a split, as the card names them."""

    split: str
    path: str | list[str]


class CardConfig(Struct):
    """A config, as the card describes it."""

    config_name: str
    data_files: str | list[str | SplitFiles] | None = None
    data_dir: str | None = None
    default: bool = False


class _SplitInfo(Struct):
    name: str
    num_examples: int | None = None


class _Info(Struct):
    config_name: str = "default"
    splits: list[_SplitInfo] = []


class CardYaml(Struct):
    """The YAML of a card, as far as it says where the data is, and of whom."""

    configs: list[CardConfig] = []
    dataset_info: list[_Info] | _Info = []
    pretty_name: str | None = None
    license: str | list[str] | None = None
    license_name: str | None = None
    license_link: str | None = None
    extra_gated_fields: dict[str, Any] | None = None
    fault: str = field(default="", name="-")

    def rows(self) -> dict[str, dict[str, int]]:
        """Return the rows of each split of each config, where the card says them."""
        infos = self.dataset_info if isinstance(self.dataset_info, list) else [self.dataset_info]
        return {
            info.config_name: {one.name: one.num_examples for one in info.splits if one.num_examples is not None}
            for info in infos
        }


def read_card(text: str) -> tuple[DatasetCard, CardYaml]:
    r"""Return what a card says, and its metadata, with their `fault` where they cannot be read.

    >>> card, metadata = read_card("---\nlicense: other\nlicense_name: ai2\n---\n# Chats\n\n@misc{a, title={B}}\n")
    >>> card
    DatasetCard(title='Chats', licence='ai2', licence_link=None, citation='@misc{a, title={B}}', asks=())
    """
    import yaml  # type: ignore[import-untyped]  # comes with the client of the Hub

    found = _YAML.match(text.lstrip("\ufeff"))
    head, body = found.groups() if found else ("", text)
    try:
        said = msgspec.convert(yaml.safe_load(head) or {}, CardYaml, strict=False)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        said = CardYaml(fault=" ".join(str(error).split()))
    heading = _HEADING.search(body)
    licences = [said.license] if isinstance(said.license, str) else said.license or []
    named = [(one == "other" and said.license_name) or one for one in licences]
    return DatasetCard(
        title=said.pretty_name or (heading[1].strip() if heading else None),
        licence=", ".join(named) or None,
        licence_link=said.license_link,
        citation="\n\n".join(_entries(body)) or None,
        asks=tuple(said.extra_gated_fields or ()),
    ), said


def _entries(text: str) -> Iterator[str]:
    """Give the BibTeX entries of a text: each from its @ to the brace that closes it."""
    for start in _ENTRY.finditer(text):
        depth = 1
        for place in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if not depth:
                yield text[start.start() : place + 1].strip(" \t>")
                break
