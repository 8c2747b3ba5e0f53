"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsi_patches.recipe import find_recipe, read_recipe

if TYPE_CHECKING:
    from wsi_patches.workflows.shards import Shard

__all__ = [
    "Command",
    "as_names",
    "as_paths",
    "cluster_option",
    "existing_options",
    "group_options",
    "output_options",
    "read_command_recipe",
    "shard_option",
    "work_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def cluster_option(command: Command) -> Command:
    """Add where the work runs."""
    return click.option(
        "--cluster",
        metavar="local|slurm|tcp://HOST:PORT",
        help="Run on Dask: processes on this machine, jobs of a SLURM site (a recipe's `site:` says which), or a "
        "scheduler's address.  [default: threads]",
    )(command)


def work_options(command: Command) -> Command:
    """Add how and where the work runs."""
    for option in (
        click.option(
            "--recipe",
            metavar="FILE",
            help="YAML file with any of these options; options given here win over it.",
        ),
        click.option("--workers", type=int, metavar="N", help="How many at a time.  [default: all processors]"),
        cluster_option,
        click.option(
            "--slide-mpp",
            type=float,
            metavar="UM",
            help="State the slides' level-0 pixel size, where their files do not.",
        ),
        click.option(
            "--reader",
            metavar="NAME",
            callback=lambda _context, _option, name: None if name == "auto" else name,
            help="Force a reader that inspect names.  [default: auto, by each file's content]",
        ),
        click.option(
            "--channels",
            metavar="A[,B[,C]]",
            callback=lambda _context, _option, names: as_names(names),
            help="Of fluorescence, the channels to show: one as grey, two or three as red, green, blue.",
        ),
    ):
        command = option(command)
    return command


def existing_options(command: Command) -> Command:
    """Add what to do with an output that is already there."""
    command = click.option("--resume", is_flag=True, default=None, help="Keep what is complete, do the rest.")(command)
    return click.option("--overwrite", is_flag=True, default=None, help="Replace an output that is there.")(command)


def shard_option(command: Command) -> Command:
    """Add which share of the work is done, for job arrays."""
    return click.option(
        "--shard",
        metavar="K/N",
        callback=lambda _context, _option, text: None if text is None else _shard(text),
        help="Do the K-th of N shares of the slides, as a job of a job array; what is there is kept, as by --resume.",
    )(command)


def _shard(text: str) -> Shard:
    from wsi_patches.workflows.shards import Shard

    return Shard.parse(text)


def group_options(command: Command) -> Command:
    """Add where patients and slides come from that no known layout states."""
    for option in (
        click.option(
            "--group-table",
            type=Path,
            metavar="FILE.csv",
            help="Patient of each image: a column image and a column patient (or group).",
        ),
        click.option(
            "--group-pattern",
            metavar="REGEX",
            help="Take the patient or slide out of each file's name, such as '(?P<patient>P[0-9]+)_'.",
        ),
    ):
        command = option(command)
    return command


def output_options(command: Command) -> Command:
    """Add how the command tells what it did."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary on stdout."),
        click.option("--strict", is_flag=True, help="Exit with 1 also if a slide is only partly readable."),
        click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
        click.option("-v", "--verbose", is_flag=True, help="Print a line for every slide."),
    ):
        command = option(command)
    return command


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
