"""``wsi-patches import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    existing_options,
    group_options,
    output_options,
    read_command_recipe,
    recipe_option,
    workers_option,
)
from wsi_patches.cli.progress import progress_lines
from wsi_patches.cli.summary import finish
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches import folders/ -o patches.zarr",
    "wsi-patches import shards/ -o patches.zarr --group-pattern '(?P<patient>P[0-9]+)_'",
    note="Pictures are square and of one size; `wsi-patches extract` cuts and pads others.",
)


@click.command("import", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("folder", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, metavar="OUT.zarr", help="The store to write; needed, here or in the recipe.")
@click.option(
    "--layout",
    type=click.Choice(["auto", "imagefolder", "webdataset"]),
    help="Folders of classes, or tar files.  [default: auto, by what is there]",
)
@click.option(
    "--patch-size", type=int, metavar="PX", help="Side of the pictures, in pixels.  [default: that of the first]"
)
@click.option(
    "--slide-mpp",
    type=float,
    metavar="UM",
    help="State the pictures' pixel size, in um per pixel.  [default: as each file says]",
)
@group_options
@click.option(
    "--codec",
    type=click.Choice(["zstd", "lz4", "none"]),
    help="Compression, without loss.  [default: zstd]",
)
@click.option("--fsync/--no-fsync", default=None, help="Wait for the disk, against power cuts.  [default: fsync]")
@workers_option
@existing_options
@recipe_option
@output_options
def command(
    folder: Path | None, recipe: str | None, as_json: bool, strict: bool, quiet: bool, verbose: bool, **options: Any
) -> None:
    """Make a store of patches that lie as single pictures in FOLDER.

    FOLDER is an export of wsi-patches (imagefolder, csv, webdataset), whose slides, places, cells and splits come back;
    or anybody's folders of classes (CLASS/NAME.png, train/CLASS/NAME.png) or tar files of WebDataset, of which each
    picture becomes a slide of one patch. A broken picture is named, and the others go on.
    """
    from wsi_patches.workflows.import_patches import ImportSettings, import_patches

    flags = {"folder": folder, **options}
    settings = settings_from(ImportSettings, flags, read_command_recipe(recipe, "import"), recipe or "import")
    with progress_lines("patches", quiet=quiet or as_json) as watch:
        result = import_patches(settings, watch)
    lines = [f"patches: {result.patches}", f"store:   {result.out}", *(f"note:    {note}" for note in result.notes)]
    summary = {"out": str(result.out), "patches": result.patches, "exported": result.exported, "notes": result.notes}
    finish(result.outcomes, lines, summary, as_json=as_json, strict=strict, quiet=quiet, verbose=verbose)
