"""``wsi-patches bags``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    as_paths,
    device_option,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import ENCODERS, words_or_files
from wsi_patches.recipe import settings_from

__all__ = ["command"]


@click.command(
    "bags",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches bags patches.zarr --model trained/weights.safetensors -o labels/",
        "wsi-patches bags new.zarr --model trained/weights.safetensors --encoder encoder/encoder.yaml -o labels/",
    ),
)
@click.argument("stores", type=PATH, nargs=-1, metavar="STORE...")
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--model",
    type=PATH,
    metavar="FILE",
    help="Weights that `train slide_bags` wrote; needed, here or in the recipe.",
)
@click.option(
    "--encoder",
    metavar="NAME|FILE.yaml",
    shell_complete=words_or_files(*ENCODERS),
    help="The encoder that the model learnt with.  [default: the model's, where it comes with the package]",
)
@click.option(
    "--labels", type=PATH, metavar="FILE.csv", help="True labels of slides or patients.  [default: as the stores have]"
)
@click.option(
    "--top",
    type=int,
    metavar="N",
    help="How many patches of the highest attention are shown, up to 48; 0 draws no pictures.  [default: 12]",
)
@device_option
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(stores: tuple[Path, ...], recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Say the label of each slide or patient of STOREs by its patches, and show which of them it went by.

    labels.csv has a row for each, with a probability a label; bags/NAME holds the attention of its patches, as a table,
    on the overview of each slide, and as an album. Where labels are known, `evaluate labels.csv` measures them.
    """
    from wsi_patches.workflows.bags import BagsSettings, label_bags

    options["stores"] = as_paths(tuple(map(str, stores)))
    settings = settings_from(BagsSettings, options, read_command_recipe(recipe, "bags"), recipe or "bags")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        done = label_bags(settings, progress)
    names = done.card.classes
    if as_json:
        said = {
            one.bag.id: {name: float(p) for name, p in zip(names, one.probabilities, strict=True)} for one in done.said
        }
        click.echo(json.dumps({"labels": str(done.table), "probabilities": said, "notes": list(done.notes)}))
    elif not quiet:
        for name in names:
            count = sum(names[int(one.probabilities.argmax())] == name for one in done.said)
            click.echo(f"{name}: {count} of {len(done.said)}")
        for note in done.notes:
            click.echo(f"note: {note}")
        click.echo(f"labels: {done.table}")
