"""``wsi-patches convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, existing_options, json_option, quiet_option, workers_option
from wsi_patches.cli.progress import progress_bar

__all__ = ["command"]


@click.command(
    "convert",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches convert patches.zarr -o plain.zarr", "wsi-patches convert patches.zarr -o fast.zarr --codec lz4"
    ),
)
@click.argument("store", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, metavar="OUT.zarr", help="The store to write.")
@click.option(
    "--codec",
    type=click.Choice(["zstd", "lz4", "none"]),
    default="zstd",
    show_default=True,
    help="Compression, without loss: zstd is smallest, none fastest to read and largest.",
)
@workers_option
@existing_options
@json_option
@quiet_option
def command(store: Path, out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write STORE anew in one of zarr's own codecs, without loss.

    A store of a slide's own JPEG tiles needs wsi-patches where it is read; what this writes does not.
    """
    from wsi_patches.locations import path_of
    from wsi_patches.workflows.convert import ConvertSettings, convert

    store, out = path_of(store), path_of(out)
    chosen = {name: value for name, value in options.items() if value is not None}
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        patches = convert(ConvertSettings(store, out, **chosen), progress)
    if as_json:
        click.echo(json.dumps({"out": str(out), "patches": patches}))
    elif not quiet:
        click.echo(f"patches: {patches}\nstore:   {out}")
