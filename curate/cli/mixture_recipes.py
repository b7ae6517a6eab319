"""Recipes: mixtures that come with `curate`, each a file with a function of its name, whose arguments are settings."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace, UnionType
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from curate.cli.mixture_file import Running, run_file, split_place
from curate.errors import CallError, did_you_mean
from curate.io.hub.hub import HubFiles
from curate.mix.spec import Source
from curate.mixture import MAY_BUILD, Mixture

WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class MixtureRecipe(NamedTuple):
    """A recipe: the word that `curate build` takes, what its file says of it, and its mixture as published."""

    name: str
    says: str
    mixture: Mixture
    tokens: int | None

    @property
    def rows(self) -> int:
        """The rows of the published mixture; 0 if nothing was published."""
        return sum(one.expected for one in self.mixture.published.values())

    @property
    def licences(self) -> tuple[str, ...]:
        """The licences of its sources, each once."""
        return tuple(dict.fromkeys(source.licence or _of_card(source) for source in self.mixture.sources))


def _of_card(source: Source) -> str:
    return "as the card says" if isinstance(source.input, HubFiles) else "not stated"


def recipes_folder() -> Path:
    """Return the folder of the recipes: in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "mixtures"
    return installed if installed.is_dir() else package.parent / "mixtures"


def recipe_names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(file.stem for file in recipes_folder().glob("*.py"))


def mixtures_in(place: str, settings: Mapping[str, str] | None = None) -> list[Mixture]:
    """Return mixtures: those of a file (`path.py`), one of them (`path.py:name`), or a recipe (`tulu2`).

    What is named may also be a function that returns a mixture; `settings` are its arguments, as text. Raises
    `CallError` if there is no such file, recipe, mixture or setting.
    """
    path, name = _place(place)
    module = run_file(path)
    found = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    mixtures = {key: value for key, value in found.items() if isinstance(value, Mixture)}
    function = found.get(name or path.stem)
    if inspect.isfunction(function) and function.__module__ == module.__name__ and (name or settings or not mixtures):
        return [_called(path, function, settings or {})]
    if settings:
        wanted = name or path.stem
        raise CallError(f"--set goes with a function that returns a mixture; {path} has none named {wanted!r}")
    if not mixtures:
        raise CallError(f"{path} declares no mixture at its top level: mixture = c.Mixture(...)")
    if name is None:
        return list({id(mixture): mixture for mixture in mixtures.values()}.values())
    chosen = mixtures.get(name) or next((mixture for mixture in mixtures.values() if mixture.name == name), None)
    if chosen is None:
        known = {*mixtures, *(mixture.name for mixture in mixtures.values())}
        raise CallError(f"{path} declares no mixture {name!r}; {did_you_mean(name, known)}")
    return [chosen]


@contextmanager
def without_builds() -> Iterator[None]:
    """Refuse builds meanwhile: a file that is only checked may hold the call of one."""
    token = MAY_BUILD.set(False)
    try:
        yield
    finally:
        MAY_BUILD.reset(token)


def _place(place: str) -> tuple[Path, str | None]:
    """Return the file, and the name within it; a word that is no file is the name of a recipe."""
    head, _, name = place.partition(":")
    file = recipes_folder() / f"{head}.py"
    if head.isidentifier() and not Path(head).exists():
        if not file.is_file():
            hint = did_you_mean(head, recipe_names())
            raise CallError(f"there is no recipe {head!r}; {hint} A file of yours ends in .py")
        return file, name or None
    return split_place(place)


def _called(path: Path, function: Callable[..., Any], settings: Mapping[str, str]) -> Mixture:
    declared = inspect.signature(function).parameters
    given = {}
    for name, text in settings.items():
        if name not in declared:
            raise CallError(f"{path.stem} has no setting {name!r}; {did_you_mean(name, declared)}")
        given[name] = _value(name, text, _kind(function, name))
    needed = [one.name for one in declared.values() if one.default is one.empty and one.name not in given]
    if needed:
        raise CallError(f"{path.stem} needs --set {needed[0]}=...")
    with Running(path):
        made = function(**given)
    if not isinstance(made, Mixture):
        raise CallError(f"{path}: {function.__name__}() returns no mixture")
    return made


def _kind(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401
    """Return the type of an argument; None if only a type checker knows it, so that no text can be one."""
    annotation = SimpleNamespace(__annotations__={name: function.__annotations__.get(name, str)})
    try:
        return typing.get_type_hints(annotation, function.__globals__)[name]
    except NameError:
        return None


def _value(name: str, text: str, kind: Any) -> object:  # noqa: ANN401
    """Return a setting as a value of its type; raises `CallError` if it is none."""
    if get_origin(kind) in {typing.Union, UnionType}:
        kinds = [one for one in get_args(kind) if one is not type(None)]
        if text.lower() == "none" and len(kinds) < len(get_args(kind)):
            return None
        kind = kinds[0]
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise CallError(f"--set {name}={text}: {did_you_mean(text, get_args(kind))}")
        return text
    if kind is bool and text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        if kind in {int, float}:
            return kind(text)
    except ValueError as error:
        raise CallError(f"--set {name}={text}: a {'whole number' if kind is int else 'number'}") from error
    if kind is str:
        return text
    what = "true or false" if kind is bool else "no text or number: call the function in a Python file of yours"
    raise CallError(f"--set {name}={text}: {name} is {what}")


@cache
def recipes() -> tuple[MixtureRecipe, ...]:
    """Return all recipes with their mixtures as published, by name; nothing is read."""
    return tuple(recipe for name in recipe_names() for recipe in _recipes(name))


def _recipes(name: str) -> Iterator[MixtureRecipe]:
    """Give the recipe of a file, or each mixture that it declares, by the word that `curate build` takes."""
    file = recipes_folder() / f"{name}.py"
    module = run_file(file)
    declared = [key for key, value in vars(module).items() if isinstance(value, Mixture) and not key.startswith("_")]
    for place in [f"{name}:{key}" for key in declared] or [name]:
        yield MixtureRecipe(place, _first_line(module), mixtures_in(place)[0], getattr(module, "TOKENS", None))


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0]
