"""``wsi-patches probe``."""

from __future__ import annotations

from typing import Any

import click

from wsi_patches.cli.evaluated import as_json_text, told
from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import (
    PATH,
    device_option,
    draws_option,
    json_option,
    overwrite_option,
    quiet_option,
    read_command_recipe,
    recipe_option,
    seed_option,
    target_option,
)
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import ENCODERS, words_or_files
from wsi_patches.recipe import settings_from

__all__ = ["command"]


@click.command(
    "probe",
    cls=HelpfulCommand,
    epilog=examples(
        "wsi-patches probe cells.zarr -o probe/ --by patient",
        "wsi-patches probe patches.zarr -o probe/ --target blast --folds 10",
        "wsi-patches probe cells.zarr -o hosvd/ --classifier hosvd --encoder lite0-map",
        "wsi-patches probe cells.zarr -o selected/ --classifier knn --select ga",
    ),
)
@click.argument("store", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, metavar="DIR", help="The folder to write; needed, here or in the recipe.")
@target_option
@click.option(
    "--encoder",
    metavar="NAME|FILE.yaml",
    shell_complete=words_or_files(*ENCODERS),
    help="Whose features; a file describes one of your own.  [default: lite0, of ImageNet]",
)
@device_option
@click.option("--folds", type=int, metavar="K", help="How many; each is predicted from the others.  [default: 5]")
@click.option(
    "--by",
    type=click.Choice(["patient", "slide", "block", "none"]),
    help="What a fold keeps together; block: neighbours in file-name order.  [default: patient]",
)
@click.option("--split", type=PATH, metavar="FILE.csv", help="Folds that wsi-patches split made.  [default: made here]")
@click.option(
    "--classifier",
    type=click.Choice(["linear", "knn", "hosvd"]),
    help="What is measured, the others beside it; hosvd: a basis a class.  [default: linear]",
)
@click.option("--rank", type=int, metavar="N", help="Vectors in a basis of hosvd.  [default: chosen in training folds]")
@click.option(
    "--select",
    type=click.Choice(["none", "ga", "pso"]),
    help="Keep some features, searched in the training folds.  [default: none]",
)
@click.option("--population", type=int, metavar="N", help="Of --select.  [default: 32]")
@click.option("--generations", type=int, metavar="N", help="Of --select.  [default: 25]")
@click.option(
    "--price",
    type=float,
    metavar="SHARE",
    help="Balanced accuracy that keeping all features costs with --select.  [default: 0.02]",
)
@draws_option
@seed_option
@recipe_option
@overwrite_option
@json_option
@quiet_option
def command(recipe: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Say how far frozen features alone tell the classes of a labelled STORE apart: what a trained model has to beat.

    A linear classifier on the features, their nearest neighbours, and the patches' colours alone are measured side by
    side on the same folds. The features stay in the store.
    """
    from wsi_patches.workflows.probe import ProbeSettings, probe_store

    settings = settings_from(ProbeSettings, options, read_command_recipe(recipe, "probe"), recipe or "probe")
    with progress_bar("patches", quiet=quiet or as_json) as progress:
        done = probe_store(settings, progress)
    name = f"{settings.classifier}_probe"
    results, pages = {name: done.result}, {name: done.page}
    if as_json:
        click.echo(as_json_text(results, done.baselines, pages, ()))
    elif not quiet:
        for line in told(results, done.baselines, pages, ()):
            click.echo(line)
