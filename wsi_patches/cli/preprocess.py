"""``wsi-patches preprocess``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    cluster_option,
    json_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    workers_option,
)
from wsi_patches.cli.progress import progress_lines
from wsi_patches.cli.suggestions import COLOURS, words
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches preprocess patches.zarr --focus --sharpen 7.1",
    "wsi-patches preprocess patches.zarr --recipe adaptive_unsharpening",
    "wsi-patches preprocess patches.zarr --colour macenko --colour-reference good_stain.png",
)
SOFT_SHOWN = 5


@click.command("preprocess", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("store", type=PATH, required=False)
@click.option("--focus", is_flag=True, default=None, help="Score each patch (FQPath; higher is blurrier).")
@click.option(
    "--sharpen",
    metavar="SCORE|auto",
    shell_complete=words("auto"),
    help="Sharpen patches whose focus score is above this (7.1 as published); auto finds it from the labels.  "
    "[default: none, nothing is sharpened]",
)
@click.option(
    "--keep", type=click.Choice(["last", "best"]), help="Which try is kept: as published, or best.  [default: last]"
)
@click.option(
    "--amount",
    type=float,
    metavar="FACTOR",
    help="How much of what a blur takes away is added, 0 or more.  [default: 0.8]",
)
@click.option(
    "--colour",
    metavar="METHOD",
    shell_complete=words(*COLOURS),
    help="Normalise colours: comprehensive, reinhard or macenko.  [default: none, they stay]",
)
@click.option(
    "--colour-reference", type=PATH, metavar="PICTURE", help="The colours to have.  [default: each slide's own]"
)
@click.option(
    "--out-of-focus", type=float, metavar="SCORE", help="Above this a patch is reported as soft.  [default: 8]"
)
@recipe_option
@workers_option
@cluster_option
@click.option("--overwrite", is_flag=True, default=None, help="Replace what was derived with other settings.")
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, sharpen: str | None, **options: Any) -> None:
    """Score, sharpen and recolour the patches of STORE; what comes out lies beside them, in the store.

    What is there already with the same settings is not done again, so a run that was killed is simply repeated.
    """
    from wsi_patches.workflows.preprocess import PreprocessSettings, preprocess

    flags = {"sharpen": _score_or_auto(sharpen), **options}
    settings = settings_from(
        PreprocessSettings, flags, read_command_recipe(recipe, "preprocess"), recipe or "preprocess"
    )
    with progress_lines("patches", quiet=quiet or as_json) as watch:
        result = preprocess(settings, watch)
    if as_json:
        slides = [asdict(slide) for slide in result.slides]
        click.echo(json.dumps({"patches": result.patches, "threshold": result.threshold, "slides": slides}, indent=1))
    elif not quiet:
        for line in _told(result):
            click.echo(line)


def _score_or_auto(value: str | None) -> float | str | None:
    if value is None or value == "auto":
        return value
    try:
        return float(value)
    except ValueError as error:
        msg = f"--sharpen takes a focus score or auto, found {value!r}"
        raise click.UsageError(msg) from error


def _told(result: Any) -> list[str]:
    lines = [f"patches: {result.patches}"]
    if result.threshold is not None:
        lines.append(f"sharpened above a focus score of {result.threshold:g}")
    soft = [slide for slide in result.slides if slide.is_soft]
    for slide in soft[:SOFT_SHOWN]:
        lines.append(f"warning: {slide.slide_id}: {slide.out_of_focus} of {slide.foreground} patches are out of focus")
    if len(soft) > SOFT_SHOWN:
        lines.append(f"and {len(soft) - SOFT_SHOWN} more slides that are mostly out of focus")
    if result.uncoloured:
        lines.append(f"warning: no stain to fit to, left as they are: {', '.join(result.uncoloured[:SOFT_SHOWN])}")
    return [*lines, *([f"pictures: {result.pictures}"] if result.pictures else [])]
