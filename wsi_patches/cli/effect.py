"""``wsi-patches effect``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    device_option,
    draws_option,
    existing_options,
    group_options,
    json_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
    target_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import words, words_or_files
from wsi_patches.recipe import settings_from

if TYPE_CHECKING:
    from wsi_patches.workflows.effect import EffectResult

__all__ = ["command"]

NETWORKS = ("lite0", "alexnet", "vgg16", "vgg19", "resnet18", "resnet50", "resnet101", "densenet201")


@click.command(
    "effect",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches effect cells.zarr -o effect/ --repetitions 10",
        "wsi-patches effect class-folders/ -o effect/ --sharpen 7.1 --network resnet18 --weights resnet18-f37072fd.pth",
        "wsi-patches effect class-folders/ -o effect/ --step nucleus-mask --mask-by hue",
    ),
)
@click.argument("source", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--sharpen",
    type=float,
    metavar="SCORE",
    help="Sharpen patches here whose focus score is above this.  [default: take the step that the store holds]",
)
@click.option(
    "--step",
    metavar="NAME",
    shell_complete=words("sharpened", "colour", "cell-mask", "nucleus-mask"),
    help="Which step that the store holds: sharpened or colour; or one that is done here: cell-mask or nucleus-mask.  "
    "[default: sharpened]",
)
@click.option(
    "--mask-by",
    type=click.Choice(["otsu", "hue"]),
    help="How a mask finds cell and nucleus: Otsu's thresholds, or the violet hue of their stain.  [default: otsu]",
)
@click.option(
    "--network",
    metavar="NAME|FILE.yaml",
    shell_complete=words_or_files(*NETWORKS),
    help="Which network, or a file that describes an encoder.  [default: lite0]",
)
@click.option(
    "--how",
    type=click.Choice(["frozen", "tuned"]),
    help="Frozen features and their nearest neighbour, or a network that is fine-tuned.  [default: frozen]",
)
@click.option(
    "--weights", type=PATH, metavar="FILE", help="Weights of the network.  [default: those of lite0's package]"
)
@click.option(
    "--layer",
    type=click.Choice(["published", "pooled"]),
    help="What is taken of a frozen network: fc6 or the logits, as published, or the average of the last map.  "
    "[default: published, or pooled for lite0]",
)
@click.option(
    "--patch-px", type=int, metavar="PX", help="Side to which a folder's pictures are brought first.  [default: 256]"
)
@target_option
@click.option("--repetitions", type=int, metavar="N", help="How often patches are halved.  [default: 10]")
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What a half keeps together; none: nothing, as published.  [default: patient where all are known, else block]",
)
@group_options
@device_option
@draws_option
@seed_option
@recipe_option
@existing_options
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Say what a preprocessing step does for a classifier: same patches, same halves, same network, with and without.

    SOURCE is a store that holds the step, or a folder of labelled pictures to be sharpened or masked here. The paired
    difference has a 95 % interval.
    """
    from wsi_patches.workflows.effect import measure_step
    from wsi_patches.workflows.effect_settings import EffectSettings

    settings = settings_from(EffectSettings, options, read_command_recipe(recipe, "effect"), recipe or "effect")
    with progress_bar("patches" if settings.how == "frozen" else "epochs", quiet=quiet or as_json) as progress:
        done = measure_step(settings, progress)
    if as_json:
        click.echo(_as_json(done))
    elif not quiet:
        _tell(done)


def _tell(done: EffectResult) -> None:
    from wsi_patches.evaluate.effect_page import format_effect

    for line in format_effect(done.figures, done.warnings):
        click.echo(line)
    click.echo(f"{done.changed} of {done.patches} patches were changed by the step. {done.page}")


def _as_json(done: EffectResult) -> str:
    from wsi_patches.outcome import defined

    figures = {
        one.name: {
            "means": [defined(mean) for mean in one.means],
            "stds": [defined(std) for std in one.stds],
            **one.difference.plain,
        }
        for one in done.figures
    }
    told = {"changed": done.changed, "patches": done.patches, "page": str(done.page), "warnings": done.warnings}
    return json.dumps({"figures": figures, **told}, indent=2)
