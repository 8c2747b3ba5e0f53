"""``wsi-patches run``."""

from __future__ import annotations

from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import cluster_option, existing_options, quiet_option, workers_option
from wsi_patches.cli.progress import progress_lines
from wsi_patches.cli.suggestions import recipes
from wsi_patches.recipe import find_recipe, load_pipeline, read_runnable, settings_from

__all__ = ["command", "run_recipe"]


EPILOG = examples(
    "wsi-patches run demo -o demo-out",
    "wsi-patches run all_idb1 ALL_IDB1/ -o out --cluster slurm",
)


@click.command("run", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("recipe", metavar="RECIPE", shell_complete=recipes)
@click.argument("inputs", nargs=-1, type=click.Path(readable=False), metavar="[INPUT...]")
@click.option(
    "-o",
    "--out",
    type=click.Path(readable=False),
    metavar="DIR",
    help="Where the output goes.  [default: as the recipe says]",
)
@workers_option
@cluster_option
@existing_options
@quiet_option
def command(recipe: str, inputs: tuple[str, ...], quiet: bool, **flags: Any) -> None:
    """Run a RECIPE: a YAML file, or the name of one that comes with the package.

    A recipe names a pipeline or a command, and holds what differs from its defaults. INPUT are slides, folders of
    slides or datasets, where the recipe does not name them.
    """
    run_recipe(recipe, {**flags, "inputs": inputs or None}, quiet=quiet)


def run_recipe(recipe: str, flags: dict[str, Any], *, quiet: bool = False) -> None:
    """Run what a recipe names: a pipeline here, a command through its own entry."""
    kind, name, settings = read_runnable(find_recipe(recipe), flags)
    context = click.get_current_context()
    if kind == "pipeline":
        settings_type, function = load_pipeline(name)
        asked = settings_from(settings_type, {}, settings, recipe)
        with progress_lines("work", quiet=quiet) as watch:
            code = function(asked, click.echo, watch)
        context.exit(code)
    root = context.find_root().command
    chosen = root.get_command(context, name) if isinstance(root, click.Group) else None
    if chosen is None or "recipe" not in {parameter.name for parameter in chosen.params}:
        msg = f"recipe {recipe} names the command {name!r}, which takes no recipe"
        raise click.UsageError(msg)
    code = chosen.main(
        [*_arguments(recipe, name, flags), *(["-q"] if quiet else [])],
        prog_name=f"wsi-patches {name}",
        standalone_mode=False,
        parent=context,
    )
    context.exit(code or 0)


def _arguments(recipe: str, name: str, flags: dict[str, Any]) -> list[str]:
    """Return the command line of a recipe's command."""
    arguments = ["--recipe", recipe] if name != "train" else [recipe]
    for key, value in flags.items():
        if key == "inputs":
            arguments += value or ()
        elif value is not None:
            arguments += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return arguments
