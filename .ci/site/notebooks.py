"""A notebook as a page: its texts, its code, and the outputs that it was committed with. Nothing is run."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any, Final

from text import OUTPUT

PICTURES: Final = {"image/png": "png", "image/jpeg": "jpg"}
LOADED: Final = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", re.IGNORECASE)


def notebook(path: Path, images: Path) -> str:
    """Return the Markdown of a notebook; its pictures are written into a folder beside the page."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    parts: list[str] = []
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            for place, output in enumerate(cell["outputs"]):
                shown = _output(output, f"{path.stem}-{number}-{place}", images)
                parts += [f'{OUTPUT[0]}\n<div class="output">\n{shown}\n</div>\n{OUTPUT[1]}'] if shown else []
    return "\n\n".join(parts) + "\n"


def title(path: Path) -> str:
    """Return the first heading of a notebook."""
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"])
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{path.name}: a notebook begins with a heading, which is the title of its page")
    return found[1]


def _output(output: dict[str, Any], name: str, images: Path) -> str:
    """Return one output as HTML: what loads nothing and says the most."""
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    held = {kind: "".join(value) for kind, value in output.get("data", {}).items() if isinstance(value, str | list)}
    if "text/html" in held and not LOADED.search(held["text/html"]):
        return held["text/html"]
    if "image/svg+xml" in held:
        return held["image/svg+xml"]
    for kind in PICTURES.keys() & held.keys():
        images.mkdir(parents=True, exist_ok=True)
        file = images / f"{name}.{PICTURES[kind]}"
        file.write_bytes(base64.b64decode(held[kind]))
        said = html.escape(held.get("text/plain", "output"), quote=True)
        return f'<img src="{images.name}/{file.name}" alt="{said}">'
    return _text(held.get("text/plain", ""))


def _text(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip("\n")
    return f"<pre>{html.escape(text)}</pre>" if text else ""
