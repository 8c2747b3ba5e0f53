"""``wsi-patches run``: a recipe's own pipeline or command, with everything that the recipe says."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from wsi_patches.errors import UsageError
from wsi_patches.recipe import find_shipped, read_recipe

__all__ = ["load_pipeline", "read_runnable"]

NAME = re.compile(r"[a-z][a-z0-9_]*")


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
    if not NAME.fullmatch(name) or not path.is_file():
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
