"""``wsi-patches train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from wsi_patches.cli.evaluated import told
from wsi_patches.cli.options import existing_options, group_options, read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.recipe import settings_from

__all__ = ["command"]

PAINTED = "painted"
EPILOG = """Examples:  wsi-patches train all_idb1_blasts --data ALL_IDB1/ -o trained/

wsi-patches train all_idb1_blasts --data slides/ --annotations marks/ -o trained/"""


@click.command("train", epilog=EPILOG)
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", type=Path, required=True, metavar="DIR", help="The folder to write.")
@click.option("--data", type=Path, multiple=True, metavar="FOLDER", help="What to learn from; may be given again.")
@click.option("--annotations", type=Path, metavar="DIR", help="Folder of annotation files named as the slides.")
@group_options
@click.option("--epochs", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--cells", type=int, metavar="N", help="Of painted cells: how many, instead of the recipe's.")
@click.option("--seed", type=int, metavar="N", help="Instead of the recipe's.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.  [default: auto]")
@existing_options
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(recipe: str, out: Path, quiet: bool, **options: Any) -> None:
    """Train a model by a RECIPE: a YAML file, or the name of one that comes with the package.

    With --data it learns from your own marked cells or labelled fields: whole patients (or else slides) are held back,
    the model is calibrated and measured on them, and weights.safetensors goes into `infer --model`. A run that was
    killed goes on with --resume.
    """
    values = read_command_recipe(recipe, "train")
    task = str(values.pop("task", PAINTED))
    if task == PAINTED:
        _painted(recipe, values, out, quiet=quiet, **options)
    else:
        _on_folder(recipe, task, values, out, quiet=quiet, **options)


def _painted(recipe: str, values: dict[str, Any], out: Path, *, quiet: bool, **options: Any) -> None:
    from wsi_patches.workflows.train import TrainSettings, train

    if options["data"] or options["resume"]:
        msg = f"recipe {recipe} paints its own cells in minutes: it takes neither --data nor --resume"
        raise click.UsageError(msg)
    flags = {name: options[name] for name in ("epochs", "cells", "seed", "device")}
    settings = settings_from(TrainSettings, flags, values, recipe)
    with progress_bar("epochs", quiet=quiet) as progress:
        result = train(settings, out, overwrite=bool(options["overwrite"]), progress=progress)
    lines = [f"{name}: {value:.4g}" for name, value in result.card.scores.items()]
    _say([*lines, f"weights: {result.weights}", f"curve:   {result.curve}"], quiet=quiet)


def _on_folder(recipe: str, task: str, values: dict[str, Any], out: Path, *, quiet: bool, **options: Any) -> None:
    from wsi_patches.datasets import GroupRule
    from wsi_patches.workflows.output import Existing
    from wsi_patches.workflows.train_folder import TRAINABLE, TrainingData, train_on_folder

    if task not in TRAINABLE:
        msg = f"recipe {recipe} trains {task!r}; known are {PAINTED}, {', '.join(TRAINABLE)}"
        raise click.UsageError(msg)
    if not options["data"]:
        msg = f"recipe {recipe} learns from your own pictures: name their folder with --data"
        raise click.UsageError(msg)
    kind: type[Any] = TRAINABLE[task]
    settings = settings_from(kind, {}, _with_flags(values, options), recipe)
    groups = GroupRule(options["group_pattern"], options["group_table"])
    data = TrainingData(options["data"], options["annotations"], groups)
    existing = Existing(bool(options["resume"]), bool(options["overwrite"]))
    with progress_bar("slides, then epochs", quiet=quiet) as progress:
        done = train_on_folder(settings, data, out, existing, progress)
    _say(told({"test_split": done.result}, done.baselines, {"test_split": done.evaluation}, done.notes), quiet=quiet)
    for warning in done.trained.warnings:
        click.echo(f"warning: {warning}", err=True)
    _say([f"training: {done.page}", f"weights: {done.trained.weights}"], quiet=quiet)


def _with_flags(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Put --epochs, --seed and --device where a recipe's training has them."""
    flags = {name: options[name] for name in ("epochs", "seed", "device") if options[name] is not None}
    return {**values, "training": {**values.get("training", {}), **flags}} if flags else dict(values)


def _say(lines: Any, *, quiet: bool) -> None:
    for line in () if quiet else lines:
        click.echo(line)
