"""``wsi-patches evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.evaluated import as_json_text, told
from wsi_patches.cli.options import as_names, group_options, read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.recipe import settings_from

__all__ = ["command"]

EPILOG = """Examples:  wsi-patches evaluate counts/ --annotations marks/ -o evaluation/

wsi-patches evaluate cells.zarr --model weights.safetensors -o evaluation/

wsi-patches evaluate predictions.csv --patches cells.zarr -o evaluation/"""


@click.command("evaluate", epilog=EPILOG)
@click.argument("source", type=Path, required=False, metavar="COUNTS|STORE|FILE.csv")
@click.option("-o", "--out", type=Path, metavar="DIR", help="The folder to write.")
@click.option(
    "--annotations", type=Path, metavar="DIR", help="Of counts: a dataset's folder, or marks named as the slides."
)
@click.option("--radius", type=float, metavar="PX", help="Of counts: how far a found cell may lie from a marked point.")
@click.option(
    "--threshold", type=float, metavar="SCORE", help="Of counts: the least score that counts.  [default: all]"
)
@click.option(
    "--positive",
    metavar="LABEL[,LABEL]",
    callback=lambda _context, _option, names: as_names(names),
    help="Of counts: labels of leukemic slides.  [default: all but healthy, benign, control ...]",
)
@click.option(
    "--min-blasts", type=float, metavar="N", help="Of counts: a slide is called positive from N on.  [default: 1]"
)
@click.option(
    "--write-calibration",
    type=Path,
    metavar="FILE.json",
    help="Of counts of patches by a classifier: learn how many blasts a positive patch means, for infer's "
    "`--patch-calibration`.",
)
@click.option("--model", metavar="NAME|FILE", help="Of a store: the classifier to measure.")
@click.option(
    "--target", metavar="label|CLASS", help="Of a store: the slides' labels, or whether a patch holds a CLASS."
)
@click.option("--patches", type=Path, metavar="STORE", help="Of a table: where its patches are.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the model runs.  [default: auto]")
@click.option("--folds", type=int, metavar="K", help="Folds that colour alone is measured by.  [default: 5]")
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What its folds keep together.  [default: patient]",
)
@click.option(
    "--draws", type=int, metavar="N", help="Draws of patients (or slides) for the intervals.  [default: 1000]"
)
@click.option("--seed", type=int, metavar="N", help="Of the draws and folds.  [default: 0]")
@group_options
@click.option("--recipe", metavar="FILE", help="YAML file with any of these options; options given here win over it.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an evaluation that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure what was counted or predicted, with 95 % intervals over patients, or else slides.

    COUNTS is what infer wrote: its cells are held against marked ones, its blasts against the slides'. STORE is
    classified by --model. FILE.csv has the columns id, group, truth and p_CLASS. Beside each classifier stands what the
    patches' colours alone reach. Writes tables, pictures, a gallery of the worst errors, and a page.
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
