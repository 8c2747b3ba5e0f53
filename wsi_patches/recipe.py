"""Recipes: YAML files that hold only what differs from the defaults, checked against a command's settings."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from wsi_patches.errors import UsageError, WsiPatchesError

__all__ = ["find_recipe", "find_shipped", "load_pipeline", "read_recipe", "read_runnable", "settings_from"]

Settings = TypeVar("Settings")

PIPELINE_NAME = re.compile(r"[a-z][a-z0-9_]*")
MISSING = {
    "inputs": "no INPUT was given: name a slide, a folder of slides or a dataset's folder",
    "source": "no store or folder was given",
    "model": "no model was given: name it with --model",
    "store": "no store was given: name one that wsi-patches extract wrote",
    "out": "no output was given: say with -o where it goes",
}
EXCLUSIVE = (("overlap", "stride"), ("level", "mpp", "magnification"), ("resume", "overwrite"))
"""Options of which one at most is given: a flag takes the place of a recipe's other one."""


def find_shipped(kind: str) -> Path:
    """Return the folder of shipped ``configs`` or ``pipelines``: in the wheel as data, in a clone at its top."""
    package = Path(__file__).parent
    for folder in (package / "shipped" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    msg = f"the {kind} that belong to wsi-patches are not installed: reinstall it"
    raise UsageError(msg)


def find_recipe(name: str) -> Path:
    """Return a recipe's file, by its path or by the name of one that is shipped.

    Raises
    ------
    UsageError
        There is no such recipe.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = find_shipped("configs")
    stem = path.name.removesuffix(".yaml").removesuffix(".yml")
    shipped = folder / f"{stem}.yaml"
    if shipped.is_file() and path.parent in (Path(), Path("configs")):
        return shipped
    known = ", ".join(sorted(one.stem for one in folder.glob("*.yaml")))
    msg = f"no recipe {name}: give a YAML file, or the name of a shipped one ({known})"
    raise UsageError(msg)


def read_recipe(path: Path) -> dict[str, Any]:
    """Return a recipe's keys and values.

    Raises
    ------
    UsageError
        The file is no YAML mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"recipe {path} cannot be read: {' '.join(str(error).split())}"
        raise UsageError(msg) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        msg = f"recipe {path} must be a mapping of settings, such as `command: extract`; found {type(values).__name__}"
        raise UsageError(msg)
    return values


def settings_from(
    kind: type[Settings], flags: Mapping[str, Any], recipe: Mapping[str, Any] | None = None, where: str = "recipe"
) -> Settings:
    """Build a command's settings from a recipe and flags; flags win.

    Parameters
    ----------
    kind
        The settings' dataclass.
    flags
        What was given on the command line; None means not given.
    recipe
        What the recipe says.
    where
        The recipe's name, for messages.

    Raises
    ------
    UsageError
        A key is unknown, or a value is of the wrong kind or out of range; the dotted path is named.
    """
    from pydantic import TypeAdapter, ValidationError

    given = {name: value for name, value in flags.items() if value is not None}
    values = {**_without_rivals(recipe or {}, given), **given}
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise _usage(error, where) from error


def _without_rivals(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    rivals = {name for group in EXCLUSIVE if any(given.get(one) for one in group) for name in group}
    return {name: value for name, value in recipe.items() if name not in rivals and name not in ("command", "pipeline")}


def _usage(error: Any, where: str) -> UsageError:
    """Turn pydantic's report into one sentence, with the dotted path of each value."""
    told = []
    for one in error.errors():
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, WsiPatchesError):
            return UsageError(str(cause))
        path = ".".join(str(part) for part in one["loc"])
        if one["type"] == "missing":
            told.append(MISSING.get(path, f"{path} is missing"))
            continue
        found = "" if one["type"] == "unexpected_keyword_argument" else f", found {one['input']!r}"
        told.append(f"{path}: {one['msg'].lower()}{found}")
    return UsageError(f"{where}: {'; '.join(told)}")


def read_runnable(path: Path, flags: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return what a recipe runs, ``pipeline`` or ``command``, its name, and its settings with the flags over them.

    Raises
    ------
    UsageError
        The recipe names neither or both.
    """
    values = read_recipe(path)
    named = [kind for kind in ("pipeline", "command") if kind in values]
    if len(named) != 1:
        msg = f"recipe {path} must name one of `pipeline:` and `command:`, found {' and '.join(named) or 'neither'}"
        raise UsageError(msg)
    settings = {name: value for name, value in values.items() if name not in named}
    settings |= {name: value for name, value in flags.items() if value is not None}
    return named[0], str(values[named[0]]), settings


def load_pipeline(name: str) -> tuple[type[Any], Callable[..., Any]]:
    """Return the settings and the function of a shipped pipeline.

    A recipe names a pipeline, never a path: running somebody's recipe must not run somebody's code.

    Raises
    ------
    UsageError
        No pipeline of this name is shipped.
    """
    folder = find_shipped("pipelines")
    path = folder / f"{name}.py"
    if not PIPELINE_NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(one.stem for one in folder.glob("*.py")))
        msg = f"no pipeline {name!r}: shipped are {known}"
        raise UsageError(msg)
    module = _load(path)
    return module.Settings, module.run


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"wsi_patches_pipeline_{path.stem}", path)
    if spec is None or spec.loader is None:
        msg = f"{path} cannot be loaded as Python"
        raise UsageError(msg)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
