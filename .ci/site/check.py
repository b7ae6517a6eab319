"""What must hold of the built site: it loads nothing from elsewhere, and every public name has its entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import curate

LOADS: Final = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*?\bhref=[\"']?(?:https?:)?//[^\"'\s>]*"
    r"|(?:@import\s+|url\()[\"']?(?:https?:)?//[^\"')\s]*",
    re.IGNORECASE,
)


def faults(site: Path) -> list[str]:
    """Return what is wrong with a built site, a line each."""
    texts = {path.relative_to(site).as_posix(): path.read_text("utf-8") for path in sorted(site.rglob("*.html"))}
    sheets = {path.relative_to(site).as_posix(): path.read_text("utf-8") for path in sorted(site.rglob("*.css"))}
    read = {**texts, **sheets}
    loaded = [f"{name}: loads {found[0][:120]}" for name, text in read.items() for found in LOADS.finditer(text)]
    entries = "".join(text for name, text in texts.items() if name.startswith("reference/"))
    missing = [f"curate.{name}: no entry" for name in curate.__all__ if f'id="curate.{name}"' not in entries]
    return [*loaded, *missing]
