"""``wsi-patches run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.options import existing_options
from wsi_patches.recipe import find_recipe, load_pipeline, read_runnable, settings_from

__all__ = ["command", "run_recipe"]


@click.command("run", epilog="Example:  wsi-patches run demo -o demo-out")
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=Path, metavar="DIR", help="Where the output goes, if the recipe does not say.")
@click.option("--workers", type=int, metavar="N", help="How many at a time.")
@existing_options
def command(recipe: str, **flags: Any) -> None:
    """Run a RECIPE: a YAML file, or the name of one that comes with the package.

    A recipe names a pipeline or a command, and holds what differs from its defaults.
    """
    run_recipe(recipe, flags)


def run_recipe(recipe: str, flags: dict[str, Any]) -> None:
    """Run what a recipe names: a pipeline here, a command through its own entry."""
    kind, name, settings = read_runnable(find_recipe(recipe), flags)
    if kind == "pipeline":
        settings_type, function = load_pipeline(name)
        function(settings_from(settings_type, {}, settings, recipe), click.echo)
        return
    context = click.get_current_context()
    root = context.find_root().command
    chosen = root.get_command(context, name) if isinstance(root, click.Group) else None
    if chosen is None or "recipe" not in {parameter.name for parameter in chosen.params}:
        msg = f"recipe {recipe} names the command {name!r}, which takes no recipe"
        raise click.UsageError(msg)
    arguments = ["--recipe", recipe] if name != "train" else [recipe]
    given = {key: value for key, value in flags.items() if value is not None}
    for key, value in given.items():
        arguments += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    code = chosen.main(arguments, prog_name=f"wsi-patches {name}", standalone_mode=False, parent=context)
    context.exit(code or 0)
