"""``wsi-patches extract``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    as_paths,
    existing_options,
    group_options,
    output_options,
    read_command_recipe,
    shard_option,
    work_options,
)
from wsi_patches.cli.progress import progress_lines
from wsi_patches.cli.summary import finish
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches extract slides/ -o patches.zarr --patch-size 256 --overlap 0.25",
    "wsi-patches extract slide.svs -o patches.zarr --mpp 0.5 --foreground auto",
    "wsi-patches extract field.jpg -o patches.zarr --annotations marks/",
    note="An ALL-IDB1 folder (im/ xyc/ other/) is cut as published: 256 px, overlap 0.25, edge drop, tolerance 5.",
)


@click.command("extract", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("inputs", nargs=-1, type=click.Path(readable=False), metavar="INPUT...")
@click.option("-o", "--out", type=PATH, metavar="OUT.zarr", help="The store to write; needed, here or in the recipe.")
@click.option(
    "--patch-size",
    type=int,
    metavar="PX",
    help="Side of a patch, in pixels of the level, --mpp or --magnification that is read.  [default: 256]",
)
@click.option(
    "--overlap",
    type=float,
    metavar="SHARE",
    help="Share of a patch that its neighbour repeats, 0 to below 1.  [default: 0]",
)
@click.option(
    "--stride",
    type=int,
    metavar="PX",
    help="Distance between patches, in the same pixels, instead of --overlap.  [default: --patch-size]",
)
@click.option("--level", type=int, metavar="N", help="Read at this pyramid level; 0 is full resolution.  [default: 0]")
@click.option("--mpp", type=float, metavar="UM", help="Read at this many um per pixel.  [default: as the level is]")
@click.option(
    "--magnification",
    type=float,
    metavar="X",
    help="Read at this objective power, such as 40.  [default: as the level is]",
)
@click.option(
    "--edge",
    type=click.Choice(["drop", "shift", "pad"]),
    help="At the border: leave the rest out, move the last patch back inside, or pad it.  [default: shift]",
)
@click.option(
    "--annotations",
    type=PATH,
    metavar="DIR",
    help="Folder of annotation files named as the slides.  [default: as a dataset has them]",
)
@group_options
@click.option(
    "--tolerance",
    type=int,
    metavar="PX",
    help="How far outside a patch, in level-0 pixels, a cell's centre may lie and still count.  [default: 0]",
)
@click.option(
    "--foreground",
    type=click.Choice(["none", "auto"]),
    help="auto: leave out patches of bare glass, and keep a picture of what stayed.  [default: none]",
)
@click.option(
    "--codec",
    type=click.Choice(["auto", "zstd", "lz4", "none", "jpeg"]),
    help="Compression, all without loss; jpeg keeps the slide's own tiles.  [default: auto, jpeg where it applies]",
)
@click.option("--fsync/--no-fsync", default=None, help="Wait for the disk, against power cuts.  [default: fsync]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, how much, and whether the disk holds it.")
@existing_options
@shard_option
@work_options
@output_options
def command(
    inputs: tuple[str, ...],
    recipe: str | None,
    dry_run: bool,
    as_json: bool,
    strict: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Cut slides into labelled patches and keep them in one Zarr store.

    INPUT is a slide, a folder of slides, or a dataset's folder.
    """
    from wsi_patches.workflows.extract import ExtractSettings, extract

    flags = {"inputs": as_paths(inputs), **options}
    settings = settings_from(ExtractSettings, flags, read_command_recipe(recipe, "extract"), recipe or "extract")
    if dry_run:
        _dry_run(settings)
        return
    with progress_lines("patches", quiet=quiet or as_json) as watch:
        result = extract(settings, watch)
    lines = [f"patches: {result.patches}", f"store:   {result.out}"] if result.patches else []
    lines += [f"note:    {note}" for note in result.notes]
    blank = sum(outcome.blank for outcome in result.outcomes)
    if settings.foreground != "none" and result.patches:
        lines.append(f"glass:   {blank} places left out; see the pictures in {result.previews}")
    summary = {"out": str(result.out), "patches": result.patches, "blank": blank, "notes": result.notes}
    finish(result.outcomes, lines, summary, as_json=as_json, strict=strict, quiet=quiet, verbose=verbose)


def _dry_run(settings: Any) -> None:
    from wsi_patches.workflows.extract import plan_extract

    plan = plan_extract(settings)
    click.echo(f"slides:  {sum(len(task.jobs) for task in plan.tasks)} parts of slides to cut, {len(plan.kept)} kept")
    click.echo(f"patches: {plan.patches} of {plan.settings.spec.size_px} px in {len(plan.tasks)} parts")
    click.echo(f"disk:    about {_room(settings.out, plan.bytes_needed())}")
    for outcome in plan.failed:
        click.echo(f"would fail: {outcome.slide_id}: {outcome.error}", err=True)


def _room(out: Path, needed: int) -> str:
    """Say how many bytes are needed, and whether the disk has them: of an object store nobody knows."""
    from wsi_patches.locations import is_remote

    if is_remote(out):
        return f"{needed / 1e9:.2f} GB in {out}"
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    return f"{needed / 1e9:.2f} GB of {free / 1e9:.1f} GB free" + ("" if needed < free else ": NOT ENOUGH")
