"""How the docstrings of this house are read: a griffe extension, which `zensical.toml` names.

griffe knows the section `Examples`, not `Example` and no example without a heading, and the fields of a dataclass as
arguments, not those of a NamedTuple.
"""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any, Final

import griffe

EXAMPLE: Final = re.compile(r"^>>> .*?(?=^[A-Z][a-z]+:$|\Z)", re.DOTALL | re.MULTILINE)


class HouseDocstrings(griffe.Extension):
    """Rewrites docstrings and classes after they are read, before they are shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401
        """Name the section of examples as griffe knows it, and give one to examples without a heading."""
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = EXAMPLE.sub(lambda found: "Examples:\n" + indent(found[0], "    "), text)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:  # noqa: ANN401
        """Give a NamedTuple the arguments that its fields are."""
        if not any(str(base) in {"NamedTuple", "typing.NamedTuple"} for base in cls.bases):
            return
        itself = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        fields = [
            griffe.Parameter(
                one.name, annotation=one.annotation, kind=griffe.ParameterKind.positional_or_keyword, default=one.value
            )
            for one in cls.members.values()
            if isinstance(one, griffe.Attribute) and "property" not in one.labels
        ]
        made = griffe.Function("__init__", parameters=griffe.Parameters(itself, *fields), lineno=cls.lineno)
        cls.set_member("__init__", made)
