"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsi_patches.cli.suggestions import DEVICES, READERS, recipes, words
from wsi_patches.recipe import find_recipe, read_recipe

if TYPE_CHECKING:
    from wsi_patches.workflows.shards import Shard

__all__ = [
    "PATH",
    "Command",
    "all_of",
    "as_names",
    "as_paths",
    "cluster_option",
    "device_option",
    "draws_option",
    "existing_options",
    "group_options",
    "json_option",
    "output_options",
    "overwrite_option",
    "quiet_option",
    "read_command_recipe",
    "recipe_option",
    "seed_option",
    "shard_option",
    "target_option",
    "work_options",
    "workers_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


PATH = click.Path(readable=False, path_type=Path)
"""A file or folder, or an object's address; the shell completes it. What it must be, and be there, workflows check."""

recipe_option = click.option(
    "--recipe",
    metavar="NAME|FILE",
    shell_complete=recipes,
    help="Any of these options from a YAML file, or from a shipped recipe by its name; options given here win.  "
    "[default: none]",
)
workers_option = click.option(
    "--workers",
    type=int,
    metavar="N",
    help="How many slides, parts or patches are worked on at a time, 1 or more.  [default: all processors]",
)
cluster_option = click.option(
    "--cluster",
    metavar="local|slurm|tcp://HOST:PORT",
    shell_complete=words("local", "slurm"),
    help="Run on Dask: processes on this machine, jobs of a SLURM site (a recipe's `site:` says which), or a "
    "scheduler's address.  [default: none, threads of this process]",
)
device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where networks run; auto takes a GPU if there is one.  [default: auto]",
)
draws_option = click.option(
    "--draws", type=int, metavar="N", help="Draws of patients (or slides) for the intervals.  [default: 1000]"
)
target_option = click.option(
    "--target",
    metavar="label|CLASS",
    shell_complete=words("label"),
    help="Of a store: the slides' labels, or whether a patch holds a CLASS.  [default: what the store has]",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Start of the random numbers: equal seeds give equal draws.  [default: 0]",
)
overwrite_option = click.option("--overwrite", is_flag=True, default=None, help="Replace an output that is there.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only, and show no progress.")


def all_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds several options."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


work_options = all_of(
    recipe_option,
    workers_option,
    cluster_option,
    click.option(
        "--slide-mpp",
        type=float,
        metavar="UM",
        help="State the slides' level-0 pixel size, in um per pixel, where their files do not.  "
        "[default: as each file says]",
    ),
    click.option(
        "--reader",
        metavar="NAME",
        shell_complete=words(*READERS),
        callback=lambda _context, _option, name: None if name == "auto" else name,
        help="Force a reader that inspect names.  [default: auto, by each file's content]",
    ),
    click.option(
        "--channels",
        metavar="A[,B[,C]]",
        callback=lambda _context, _option, names: as_names(names),
        help="Of fluorescence, the channels to show, by name or 0-based number: one as grey, two or three as red, "
        "green, blue.  [default: none; a slide of several channels is refused]",
    ),
)
"""How and where the work runs, and how slides are opened."""

existing_options = all_of(
    click.option("--resume", is_flag=True, default=None, help="Keep what is complete, do the rest."), overwrite_option
)
"""What to do with an output that is already there."""

shard_option = click.option(
    "--shard",
    metavar="K/N",
    callback=lambda context, _option, text: None if text is None or context.resilient_parsing else _shard(text),
    help="Do the K-th of N shares of the slides, as a job of a job array; what is there is kept, as by --resume.  "
    "[default: all of them]",
)


def _shard(text: str) -> Shard:
    from wsi_patches.workflows.shards import Shard

    return Shard.parse(text)


group_options = all_of(
    click.option(
        "--group-table",
        type=PATH,
        metavar="FILE.csv",
        help="Patient of each image: a column image and a column patient (or group).  [default: as a dataset says]",
    ),
    click.option(
        "--group-pattern",
        metavar="REGEX",
        help="Take the patient or slide out of each file's name, such as '(?P<patient>P[0-9]+)_'.  "
        "[default: as a dataset says]",
    ),
)
"""Where patients and slides come from that no known layout states."""

output_options = all_of(
    json_option,
    click.option("--strict", is_flag=True, help="Exit with 1 also if a slide is only partly readable."),
    quiet_option,
    click.option("-v", "--verbose", is_flag=True, help="Print a line for every slide."),
)
"""How the command tells what it did."""


def read_command_recipe(name: str | None, command: str) -> dict[str, Any]:
    """Return a recipe's settings for a command; an empty one if there is no recipe.

    Raises
    ------
    click.UsageError
        The recipe is for something else.
    """
    if name is None:
        return {}
    path = find_recipe(name)
    values = read_recipe(path)
    kind = values.pop("command", command)
    if kind != command or "pipeline" in values:
        msg = f"recipe {path} is for {values.get('pipeline', kind)}, not for {command}: use wsi-patches run {name}"
        raise click.UsageError(msg)
    return values


def as_names(value: str | None) -> tuple[str, ...] | None:
    """Return the names in a comma-separated list, or None where none was given."""
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def as_paths(values: tuple[str, ...]) -> tuple[Path, ...] | None:
    """Return paths, or None where none was given, so that a recipe's own count."""
    return tuple(Path(value) for value in values) or None
