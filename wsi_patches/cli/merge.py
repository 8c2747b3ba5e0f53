"""``wsi-patches merge``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, existing_options, json_option, quiet_option, workers_option
from wsi_patches.cli.progress import progress_bar

__all__ = ["command"]


@click.command(
    "merge",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches merge monday.zarr tuesday.zarr -o both.zarr",
        "wsi-patches merge lab1.zarr lab2.zarr -o both.zarr --prefix",
        note="The stores have the same patch size, stride, edge, resolution, classes and tolerance.",
    ),
)
@click.argument("stores", nargs=-1, type=PATH, required=True, metavar="STORE...")
@click.option("-o", "--out", type=PATH, required=True, metavar="OUT.zarr", help="The store to write.")
@click.option("--prefix", is_flag=True, help="Put each store's name before its slides' ids, where stores share some.")
@click.option("--fsync/--no-fsync", default=True, show_default=True, help="Wait for the disk, against power cuts.")
@workers_option
@existing_options
@json_option
@quiet_option
def command(stores: tuple[Path, ...], out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Copy the patches of several STOREs into one, as they are coded.

    What later stages made comes along where all stores have it with equal settings; what does not is said.
    """
    from wsi_patches.locations import path_of
    from wsi_patches.workflows.merge_stores import MergeSettings, merge

    chosen = {name: value for name, value in options.items() if value is not None}
    settings = MergeSettings(tuple(map(path_of, stores)), path_of(out), **chosen)
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        result = merge(settings, progress)
    if as_json:
        click.echo(json.dumps({"out": str(out), **asdict(result)}))
    elif not quiet:
        click.echo(f"slides:  {result.slides}\npatches: {result.patches}\nstore:   {out}")
        for name, why in result.left_out.items():
            click.echo(f"left out: {name}: {why}")
