"""Pages with a script of their own, shown in a notebook cell or saved as a file, and the parts they are made of."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from markupsafe import Markup

from curate.io.atomic import write_text


class ScriptParts(NamedTuple):
    """What a script adds to a page beside its data: style, script, and how a policy names the script."""

    style: Markup
    script: Markup
    hash: str


def script_parts(place: Path) -> ScriptParts:
    """Read the style and script at `place`, which has no ending: `.css` and `.js` are added."""
    style, script = (Markup(place.with_suffix(kind).read_text("utf-8")) for kind in (".css", ".js"))  # noqa: S704
    digest = hashlib.sha256(script.encode()).digest()
    return ScriptParts(style, script, f"sha256-{b64encode(digest).decode()}")


UNTRUSTED: Final = "Run this cell, or trust the notebook, to see what is here."


@dataclass(frozen=True, repr=False)
class CellPage:
    """A page that a notebook shows in a cell, and that `save` writes as a file.

    Attributes:
        html: The page.
    """

    title: ClassVar[str]
    height: ClassVar[int]
    html: str

    def _repr_html_(self) -> str:
        """Show the page in a frame of its own that may run its script, and nothing else.

        A notebook that is not trusted shows the words within in place of the frame.
        """
        style = f"width: 100%; height: {self.height}px; border: 1px solid #8888; border-radius: 8px"
        source = escape(self.html, quote=True)
        frame = f'<iframe sandbox="allow-scripts" title="{self.title}" style="{style}" srcdoc="{source}">'
        return f"{frame}{UNTRUSTED}</iframe>"

    def save(self, path: str | Path) -> Path:
        """Write the page: one file that opens offline.

        Args:
            path: The file, as in "rows.html".

        Returns:
            The path of the file.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, self.html)
        return place
