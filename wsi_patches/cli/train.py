"""``wsi-patches train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.options import read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.recipe import settings_from

__all__ = ["command"]


@click.command("train", epilog="Example:  wsi-patches train configs/demo_cells.yaml -o trained/")
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=Path, required=True, metavar="DIR", help="The folder to write.")
@click.option("--epochs", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--cells", type=int, metavar="N", help="How many cells to learn from, instead of the recipe's.")
@click.option("--seed", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--overwrite", is_flag=True, help="Replace an output that is there.")
def command(recipe: str, out: Path, overwrite: bool, **flags: Any) -> None:
    """Train a model by a RECIPE: a YAML file, or the name of one that comes with the package."""
    from wsi_patches.workflows.train import TrainSettings, train

    settings = settings_from(TrainSettings, flags, read_command_recipe(recipe, "train"), recipe)
    with progress_bar("epochs") as progress:
        result = train(settings, out, overwrite=overwrite, progress=progress)
    for name, value in result.card.scores.items():
        click.echo(f"{name}: {value:.4g}")
    click.echo(f"weights: {result.weights}")
    click.echo(f"curve:   {result.curve}")
