"""Recipes: YAML files that hold only what differs from the defaults, checked against a command's settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from wsi_patches.errors import UsageError, WsiPatchesError

__all__ = ["SHIPPED", "find_recipe", "find_shipped", "read_recipe", "settings_from"]

Settings = TypeVar("Settings")

SHIPPED = ("configs", "pipelines")
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
        found = "" if one["type"] in ("missing", "unexpected_keyword_argument") else f", found {one['input']!r}"
        told.append(f"{path}: {one['msg'].lower()}{found}")
    return UsageError(f"{where}: {'; '.join(told)}")
