"""``wsi-patches probe``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.evaluated import as_json_text, told
from wsi_patches.cli.options import read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.recipe import settings_from

__all__ = ["command"]


@click.command("probe", epilog="Example:  wsi-patches probe cells.zarr -o probe/ --by patient")
@click.argument("store", type=Path, required=False)
@click.option("-o", "--out", type=Path, metavar="DIR", help="The folder to write.")
@click.option("--target", metavar="label|CLASS", help="The slides' labels, or whether a patch holds a CLASS.")
@click.option("--encoder", metavar="NAME", help="Whose features.  [default: lite0, trained on ImageNet]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs.  [default: auto]")
@click.option("--folds", type=int, metavar="K", help="Each is predicted from the others.  [default: 5]")
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What a fold keeps together; block: neighbours in file-name order.  [default: patient]",
)
@click.option("--split", type=Path, metavar="FILE.csv", help="Folds that wsi-patches split made, instead.")
@click.option(
    "--draws", type=int, metavar="N", help="Draws of patients (or slides) for the intervals.  [default: 1000]"
)
@click.option("--seed", type=int, metavar="N", help="Of the folds and draws.  [default: 0]")
@click.option("--recipe", metavar="FILE", help="YAML file with any of these options; options given here win over it.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an evaluation that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Say how far frozen features alone tell the classes of a labelled STORE apart: what a trained model has to beat.

    A linear classifier on the features, their nearest neighbours, and the patches' colours alone are measured side by
    side on the same folds. The features stay in the store.
    """
    from wsi_patches.workflows.probe import ProbeSettings, probe_store

    settings = settings_from(ProbeSettings, options, read_command_recipe(recipe, "probe"), recipe or "probe")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        done = probe_store(settings, progress)
    results, pages = {"linear_probe": done.result}, {"linear_probe": done.page}
    if as_json:
        click.echo(as_json_text(results, done.baselines, pages, ()))
    elif not quiet:
        for line in told(results, done.baselines, pages, ()):
            click.echo(line)
