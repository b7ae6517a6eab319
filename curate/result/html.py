"""The Jinja environment of all HTML: what is not markup of our templates is escaped."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(*packages: str) -> Environment:
    """Return an environment with the templates of this room and of `packages`; an unknown name is an error."""
    loaders = [PackageLoader(name, "") for name in ("curate.result", *packages)]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
