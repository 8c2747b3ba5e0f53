"""``wsi-patches train``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_patches.cli.evaluated import told
from wsi_patches.cli.help import HelpfulCommand, examples
from wsi_patches.cli.options import PATH, existing_options, group_options, quiet_option, read_command_recipe
from wsi_patches.cli.progress import progress_bar
from wsi_patches.cli.suggestions import DEVICES, ENCODERS, recipes, words_or_files
from wsi_patches.recipe import read_recipe, settings_from

if TYPE_CHECKING:
    from wsi_patches.workflows.output import Existing
    from wsi_patches.workflows.train_folder import TrainingData
    from wsi_patches.workflows.train_tuned import Search
    from wsi_patches.workflows.trainable import Training

__all__ = ["command"]

PAINTED = "painted"
FLAGS = ("epochs", "seed", "device")
"""Options that stand for settings of a recipe's training."""
OWN = ("start", "labels", "encoder", "split")
"""Options that stand for settings of a recipe."""
EPILOG = examples(
    "wsi-patches train all_idb1_blasts --data ALL_IDB1/ -o trained/",
    "wsi-patches train all_idb1_blasts --data slides/ --annotations marks/ -o trained/",
    "wsi-patches train all_idb1_blasts --data ALL_IDB1/ -o tuned/ --tune 20",
    "wsi-patches train slide_bags --data patches.zarr -o trained/ --labels diagnoses.csv",
)


@click.command("train", cls=HelpfulCommand, epilog=EPILOG)
@click.argument("recipe", metavar="RECIPE", shell_complete=recipes)
@click.option("-o", "--out", type=PATH, required=True, metavar="DIR", help="The folder to write.")
@click.option(
    "--data",
    type=PATH,
    multiple=True,
    metavar="FOLDER",
    help="What to learn from; may be given again.  [default: none, for recipes that paint]",
)
@click.option(
    "--annotations",
    type=PATH,
    metavar="DIR",
    help="Folder of annotation files named as the slides.  [default: as --data has them]",
)
@click.option(
    "--source",
    type=PATH,
    metavar="FOLDER",
    help="A second set to learn from, for recipes that take one: pictures, with a table of their labels.  "
    "[default: the recipe's]",
)
@group_options
@click.option("--epochs", type=int, metavar="N", help="How often all data are gone through.  [default: the recipe's]")
@click.option("--cells", type=int, metavar="N", help="How many cells a recipe paints.  [default: the recipe's]")
@click.option("--seed", type=int, metavar="N", help="Start of the random numbers.  [default: the recipe's]")
@click.option(
    "--start",
    type=PATH,
    metavar="FILE",
    help="Weights to start from: a model that was trained here, or torchvision's NAME-HASH.pth.  [default: the "
    "recipe's, else none]",
)
@click.option(
    "--labels",
    type=PATH,
    metavar="FILE.csv",
    help="Labels of slides or patients, for recipes of slide bags and of counts.  [default: the recipe's, else as the "
    "stores have them]",
)
@click.option(
    "--encoder",
    metavar="NAME|FILE.yaml",
    shell_complete=words_or_files(*ENCODERS),
    help="Whose features, for recipes of slide bags.  [default: the recipe's]",
)
@click.option(
    "--split",
    type=PATH,
    metavar="FILE.csv",
    help="A split of the stores' slides, for recipes of slide bags and encoders.  [default: the recipe's, else made "
    "here]",
)
@click.option("--device", type=click.Choice(DEVICES), help="Where to train.  [default: the recipe's, else auto]")
@click.option(
    "--tune",
    type=int,
    metavar="N",
    help="Try N settings on the validation split, and keep the best model.  [default: none, the recipe's settings]",
)
@click.option(
    "--tune-space", type=PATH, metavar="FILE", help="What is tried, as a YAML file.  [default: the recipe's `tune:`]"
)
@existing_options
@quiet_option
def command(recipe: str, out: Path, quiet: bool, **options: Any) -> None:
    """Train a model by a RECIPE: a YAML file, or the name of one that comes with the package.

    With --data it learns from your own marked cells or labelled fields: whole patients (or else slides) are held back,
    the model is calibrated and measured on them, and weights.safetensors goes into `infer --model`. A run that was
    killed goes on with --resume.

    With --tune the recipe's `tune:` says what is tried, such as `training.learning_rate: {low: 0.0001, high: 0.01, log:
    true}` or `batch_size: [16, 32]`. Trials never see the test split; the best one's model is the result, its settings
    are in tuned.yaml, which is a RECIPE too, and all are in tuning/trials.csv.
    """
    values = read_command_recipe(recipe, "train")
    task = str(values.pop("task", PAINTED))
    if options["tune"] is None and options["tune_space"] is not None:
        msg = "--tune-space says what --tune N tries: give both"
        raise click.UsageError(msg)
    if task == PAINTED:
        _painted(recipe, values, out, quiet=quiet, **options)
    else:
        _on_folder(recipe, task, values, out, quiet=quiet, **options)


def _painted(recipe: str, values: dict[str, Any], out: Path, *, quiet: bool, **options: Any) -> None:
    from wsi_patches.workflows.train import TrainSettings, train

    given = [name for name in ("data", "resume", "tune", *OWN) if options[name] not in (None, ())]
    if given:
        msg = f"recipe {recipe} paints its own cells in minutes: it takes no {', '.join(f'--{name}' for name in given)}"
        raise click.UsageError(msg)
    flags = {name: options[name] for name in ("epochs", "cells", "seed", "device")}
    settings = settings_from(TrainSettings, flags, values, recipe)
    with progress_bar("epochs", quiet=quiet) as progress:
        result = train(settings, out, overwrite=bool(options["overwrite"]), progress=progress)
    lines = [f"{name}: {value:.4g}" for name, value in result.card.scores.items()]
    _say([*lines, f"weights: {result.weights}", f"curve:   {result.curve}"], quiet=quiet)


def _on_folder(recipe: str, task: str, values: dict[str, Any], out: Path, *, quiet: bool, **options: Any) -> None:
    from wsi_patches.workflows.trainable import TRAINABLE

    if task not in TRAINABLE:
        msg = f"recipe {recipe} trains {task!r}; known are {PAINTED}, {', '.join(TRAINABLE)}"
        raise click.UsageError(msg)
    if not options["data"]:
        msg = f"recipe {recipe} learns from your own pictures: name their folder with --data"
        raise click.UsageError(msg)
    trainable = TRAINABLE[task]
    if not trainable.searched and options["tune"] is not None:
        msg = f"recipe {recipe} trains by task: {task}, whose settings are not searched: leave --tune out"
        raise click.UsageError(msg)
    space, values = values.pop("tune", None), _with_flags({"task": task, **values}, options)
    build = partial(_settings, trainable.settings, recipe)
    if options["tune"] is None:
        with progress_bar("slides, then epochs", quiet=quiet) as progress:
            done = trainable.run(build(values), *_data(options, out), progress)
    else:
        done = _tuned(_search(recipe, space, values, build, options), out, quiet=quiet, **options)
    _say(told(done.results, done.baselines, done.evaluations, done.notes), quiet=quiet)
    for warning in done.warnings:
        click.echo(f"warning: {warning.removeprefix('WARNING: ')}", err=True)
    _say([f"training: {done.page}", f"weights: {done.weights}"], quiet=quiet)


def _data(options: Mapping[str, Any], out: Path) -> tuple[TrainingData, Path, Existing]:
    """Return what is learnt from, the output, and what to do with a training that is there."""
    from wsi_patches.datasets import GroupRule
    from wsi_patches.workflows.output import Existing
    from wsi_patches.workflows.train_folder import TrainingData

    groups = GroupRule(options["group_pattern"], options["group_table"])
    data = TrainingData(options["data"], options["annotations"], groups)
    return data, out, Existing(bool(options["resume"]), bool(options["overwrite"]))


def _tuned(search: Search, out: Path, *, quiet: bool, **options: Any) -> Training:
    """Search settings first; the best trial's training is the result."""
    from wsi_patches.workflows.train_tuned import format_trials, tune_on_folder

    with progress_bar("epochs of all trials", quiet=quiet) as progress:
        tuned = tune_on_folder(search, *_data(options, out), progress)
    _say([*format_trials(tuned), f"best settings: {tuned.recipe}", ""], quiet=quiet)
    return tuned.training


def _settings(kind: type[Any], where: str, values: Mapping[str, Any]) -> Any:
    return settings_from(kind, {}, values, where)


def _search(
    recipe: str,
    space: Any,
    values: Mapping[str, Any],
    build: Callable[[Mapping[str, Any]], Any],
    options: Mapping[str, Any],
) -> Search:
    """Return what --tune searches: the recipe's ``tune:``, or the file of --tune-space."""
    from wsi_patches.train.tune_space import read_space
    from wsi_patches.workflows.train_tuned import Search

    if options["tune_space"] is not None:
        space = read_recipe(options["tune_space"])
    if space is None:
        msg = f"recipe {recipe} does not say what to try: give it a `tune:` section, or --tune-space FILE"
        raise click.UsageError(msg)
    entries = read_space(space)
    for flag in FLAGS:
        if options[flag] is not None and f"training.{flag}" in entries:
            msg = f"--{flag} sets what tune.training.{flag} searches: leave one of them out"
            raise click.UsageError(msg)
    return Search(options["tune"], entries, values, build)


def _with_flags(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Put OWN and --source where a recipe has them, and --epochs, --seed and --device where its training does."""
    values = {**values, **{name: options[name] for name in OWN if options[name] is not None}}
    source = values.get("source", {})
    if options["source"] is not None and isinstance(source, Mapping):
        values = {**values, "source": {**source, "folder": options["source"]}}
    flags = {name: options[name] for name in FLAGS if options[name] is not None}
    training = values.get("training", {})
    if not flags or not isinstance(training, Mapping):  # what is no mapping is refused with the recipe
        return dict(values)
    return {**values, "training": {**training, **flags}}


def _say(lines: Any, *, quiet: bool) -> None:
    for line in () if quiet else lines:
        click.echo(line)
