"""``wsi-patches evaluate``."""

from __future__ import annotations

from typing import Any

import click

from wsi_patches.cli.evaluated import as_json_text, told
from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    as_names,
    device_option,
    draws_option,
    group_options,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
    target_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import models, words
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = examples(
    "wsi-patches evaluate counts/ --annotations marks/ -o evaluation/",
    "wsi-patches evaluate cells.zarr --model weights.safetensors -o evaluation/",
    "wsi-patches evaluate cells.zarr --model one.safetensors --ensemble other.safetensors -o doubt/",
    "wsi-patches evaluate predictions.csv --patches cells.zarr -o evaluation/",
)


@click.command("evaluate", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("source", type=PATH, required=False, metavar="COUNTS|STORE|FILE.csv")
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@click.option(
    "--annotations",
    type=PATH,
    metavar="DIR",
    help="Of counts: a dataset's folder, or marks named as the slides.  [default: none, slides alone are measured]",
)
@click.option(
    "--radius",
    type=float,
    metavar="PX",
    help="Of counts: how far a found cell may lie from a marked point, in level-0 pixels.  [default: the cell's own]",
)
@click.option(
    "--attribute-columns",
    metavar="NAME[,NAME]",
    callback=lambda _context, _option, names: as_names(names),
    help="Of counts with attributes: what the numbers behind marked YOLO boxes are.  [default: what the files say]",
)
@click.option(
    "--threshold",
    type=float,
    metavar="SCORE",
    help="Of counts: the least score that counts, 0 to 1.  [default: all count]",
)
@click.option(
    "--positive",
    metavar="LABEL[,LABEL]",
    callback=lambda _context, _option, names: as_names(names),
    help="Of counts: labels of leukemic slides.  [default: all but healthy, benign, control ...]",
)
@click.option(
    "--min-blasts",
    type=float,
    metavar="N",
    help="Of counts: a slide is called positive from N blasts on.  [default: 1]",
)
@click.option(
    "--write-calibration",
    type=PATH,
    metavar="FILE.json",
    help="Of counts of patches by a classifier: learn how many blasts a positive patch means, for infer's "
    "`--patch-calibration`.  [default: not learnt]",
)
@click.option(
    "--model",
    metavar="NAME|FILE",
    shell_complete=models("classifier"),
    help="Of a store: the classifier to measure, which is needed then.  [default: none]",
)
@click.option(
    "--ensemble",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=models("classifier"),
    callback=lambda _context, _option, names: names or None,
    help="Of a store: a further classifier, whose probabilities are averaged with the model's (sum rule); may be "
    "repeated.  [default: none]",
)
@click.option(
    "--tta",
    type=int,
    metavar="1|2|4|8",
    shell_complete=words("1", "2", "4", "8"),
    help="Of a store: in how many mirrored and turned views each patch is classified.  [default: 1]",
)
@target_option
@click.option(
    "--patches", type=PATH, metavar="STORE", help="Of a table: where its patches are.  [default: none, no gallery]"
)
@device_option
@click.option("--folds", type=int, metavar="K", help="Folds that colour alone is measured by, 2 or more.  [default: 5]")
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What its folds keep together.  [default: patient]",
)
@draws_option
@seed_option
@group_options
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure what was counted or predicted, with 95 % intervals over patients, or else slides.

    COUNTS is what infer wrote: its cells are held against marked ones, its blasts against the slides'. STORE is
    classified by --model, with --ensemble by several, each of which stands beside their mean. FILE.csv has the columns
    id, group, truth and p_CLASS. Beside each classifier stands what the patches' colours alone reach. Writes tables,
    pictures, a gallery of the worst errors, what is gained by putting the most uncertain patches aside, and a page.
    """
    from wsi_patches.workflows.evaluate import evaluate
    from wsi_patches.workflows.evaluate_settings import EvaluateSettings

    settings = settings_from(EvaluateSettings, options, read_command_recipe(recipe, "evaluate"), recipe or "evaluate")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        done = evaluate(settings, progress)
    if as_json:
        click.echo(as_json_text(done.results, done.baselines, done.pages, done.notes))
    elif not quiet:
        for line in told(done.results, done.baselines, done.pages, done.notes):
            click.echo(line)
