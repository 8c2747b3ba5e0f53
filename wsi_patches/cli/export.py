"""``wsi-patches export``."""

from __future__ import annotations

import json
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    existing_options,
    json_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
    workers_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import words
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches export patches.zarr -o tiffs/ --format all-idb",
    "wsi-patches export patches.zarr -o folders/ --format imagefolder --split 0.7/0.15/0.15",
    "wsi-patches export counts/ -o H_100x_C1/ --format leukemia-attri",
    'wsi-patches export patches.zarr -o shards/ --format webdataset --where "focus < 8 and blast > 0"',
    note="Columns of --where: slide, group, split, label, slide_label, index, x, y (level-0 pixels), focus, "
    "foreground, and each class of cells by its name (how many a patch holds).",
)
NAMES = (
    "all-idb",
    "imagefolder",
    "csv",
    "webdataset",
    "hdf5",
    "parquet",
    "captions",
    "coco",
    "yolo",
    "spatialdata",
    "leukemia-attri",
)
KEPT = ("store", "published", "none")
SHARES = ("train", "validation", "test")


@click.command("export", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("store", type=PATH, required=False, metavar="STORE|COUNTS")
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option("--format", type=click.Choice(NAMES), help="What for; needed, here or in the recipe.")
@click.option(
    "--where",
    metavar="EXPR",
    help="Only patches that fulfil a condition, such as 'focus < 8 and blast > 0'.  [default: none, all patches]",
)
@click.option(
    "--label-by",
    metavar="cells|slide|CLASS",
    shell_complete=words("cells", "slide"),
    help="A patch's class: the first class of its cells; its slide's label; or whether it holds a CLASS.  "
    "[default: cells where cells were marked]",
)
@click.option(
    "--split",
    metavar="A/B[/C]|store|published|none",
    shell_complete=words(*KEPT),
    help="Shares of train, validation and test, 0 to 1 each, such as 0.7/0.15/0.15, or a split that is there.  "
    "[default: the store's, else the published one, else none]",
)
@click.option(
    "--group-by", type=click.Choice(["patient", "slide"]), help="What --split keeps whole.  [default: patient]"
)
@seed_option
@click.option("--image", type=click.Choice(["png", "jpeg", "webp"]), help="How patches are kept.  [default: png]")
@click.option(
    "--quality",
    type=int,
    metavar="1-100",
    help="Of JPEG; higher is larger and nearer the patch.  [default: 95, and the JPEG of a store of JPEGs as it is]",
)
@click.option(
    "--shard-patches", type=int, metavar="N", help="Patches in a file, for formats of many in one.  [default: 1000]"
)
@click.option(
    "--features",
    metavar="NAME",
    help="With hdf5 and spatialdata: the features of this name that probe left in the store.  [default: none, pixels]",
)
@click.option(
    "--box-px", type=float, metavar="PX", help="With coco and yolo: side of a cell's box, patch pixels.  [default: 80]"
)
@click.option(
    "--attributes",
    type=PATH,
    metavar="FILE.csv|DIR",
    help="With captions: what cells look like, a table with the columns image, x, y (of fields) and attributes, or a "
    "folder that infer wrote.  [default: as the store's dataset says]",
)
@workers_option
@existing_options
@recipe_option
@click.option("--strict", is_flag=True, help="Exit with 1 if places that could not be read were left out.")
@json_option
@quiet_option
def command(recipe: str | None, split: str | None, strict: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write patches of STORE as other trainers read them, with a card (README.md) that says what they are.

    Of COUNTS, which infer wrote, whole fields with the boxes, types and attributes of their cells: `leukemia-attri`.
    Places that could not be read are left out. For research use only, never a diagnosis.
    """
    from wsi_patches.workflows.export import ExportSettings, export

    flags = {**options, "split": None if split is None else _split(split)}
    settings = settings_from(ExportSettings, flags, read_command_recipe(recipe, "export"), recipe or "export")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        result = export(settings, progress)
    if as_json:
        left_out = {why: count for count, why in result.left_out}
        told = {"splits": result.splits, "left_out": left_out, "warnings": list(result.warnings)}
        click.echo(json.dumps({"out": str(result.out), "patches": result.patches, **told}))
    elif not quiet:
        for line in _told(result):
            click.echo(line)
    for warning in result.warnings:
        click.echo(warning, err=True)
    click.get_current_context().exit(1 if strict and result.unreadable else 0)


def _split(text: str) -> dict[str, float] | str:
    if text in KEPT:
        return text
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= len(SHARES):
        msg = f"--split takes two or three shares, such as 0.7/0.15/0.15, or {', '.join(KEPT)}; found {text!r}"
        raise click.UsageError(msg)
    names = SHARES if len(numbers) == len(SHARES) else ("train", "test")
    return dict(zip(names, numbers, strict=True))


def _told(result: Any) -> list[str]:
    lines = [
        f"{name:<12} {sum(labels.values()):6}  ({', '.join(f'{count} {label}' for label, count in _named(labels))})"
        for name, labels in result.splits.items()
    ]
    left = [f"left out: {count} patches {why}" for count, why in result.left_out]
    return [*lines, *left, f"patches: {result.patches}", f"export:  {result.out}"]


def _named(labels: dict[str, int]) -> list[tuple[str, int]]:
    return [(label or "without a label", count) for label, count in labels.items() if count]
