"""``wsi-patches caption``."""

from __future__ import annotations

import json
from dataclasses import asdict
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
from wsi_patches.recipe import settings_from

__all__ = ["command"]


@click.command(
    "caption",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches caption cells.zarr --model blip/ -o captions/",
        "wsi-patches caption pictures/ --model blip/ --lora trained/adapter/ -o captions/",
    ),
)
@click.argument("inputs", nargs=-1, type=PATH, metavar="STORE|PICTURE...")
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--model",
    type=PATH,
    metavar="DIR",
    help="BLIP on this machine, as transformers saves it, in safetensors; needed, here or in the recipe.",
)
@click.option(
    "--lora", type=PATH, metavar="DIR", help="Adapters that belong to it, as train hemblip writes them. [default: none]"
)
@device_option
@click.option("--batch-size", type=int, metavar="N", help="Pictures at a time.  [default: 16]")
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(inputs: tuple[str, ...], recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write what the patches of a STORE, or PICTURES, look like, in the words of a captioner.

    The model and its adapters are folders on this machine: nothing is fetched, and pickled weights are refused. The
    captions are those of the model, for research use only, never a diagnosis.
    """
    from wsi_patches.workflows.caption import CaptionRequest, caption

    flags = {**options, "inputs": as_paths(inputs)}
    request = settings_from(CaptionRequest, flags, read_command_recipe(recipe, "caption"), recipe or "caption")
    with progress_bar("pictures", quiet=quiet or as_json) as progress:
        done = caption(request, progress)
    if as_json:
        told = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(done).items()}
        click.echo(json.dumps(told))
    elif not quiet:
        click.echo(f"captions: {done.captions}")
        click.echo(f"model:    {done.model_sha256[:16]}  adapters: {(done.lora_sha256 or 'none')[:16]}")
        click.echo(f"table:    {done.out / 'captions.csv'}")
