"""``wsi-patches train RECIPE --data FOLDER --tune N``: the settings that suit a lab's own pictures, then the model."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import replacing, write_whole
from wsi_patches.train.checkpoint import CHECKPOINT
from wsi_patches.train.classifier import fit_classifier, train_classifier
from wsi_patches.train.patch_set import patch_side_px
from wsi_patches.train.tune import Tried, Tuned, best_of, trial_folder, tune
from wsi_patches.train.tune_space import Setting, Space, applied, ends, standing
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import (
    TUNING,
    Cut,
    FolderSettings,
    FolderTraining,
    TrainingData,
    cut_patches,
    measured_training,
    open_training,
)

__all__ = ["Search", "TunedTraining", "format_trials", "tune_on_folder"]

TRIALS, RECIPE = "trials.csv", "tuned.yaml"
SHARED = (
    "task", "name", "by", "shares", "split_seed", "watched", "classes", "calibration", "licence", "slide_mpp", "tree",
    "levels", "level_weights",
)  # fmt: skip
"""What trials must have in common to be compared, or what makes no difference to them."""


@dataclass(frozen=True)
class Search:
    """What is searched, and around which recipe."""

    trials: int
    space: Space
    recipe: Mapping[str, Any]
    """Keys and values, those of the command line included."""
    build: Callable[[Mapping[str, Any]], FolderSettings]
    """Turns a recipe into settings; raises `UsageError` where it cannot."""

    def settings(self, chosen: Mapping[str, Setting]) -> FolderSettings:
        """Return the settings of a trial."""
        return self.build(applied(self.recipe, chosen))


@dataclass(frozen=True)
class TunedTraining:
    """What a search came to, and its best model."""

    tuned: Tuned
    figure: str
    """What the trials were judged by."""
    recipe: Path
    """The best settings, as ``train`` takes them."""
    training: FolderTraining


def tune_on_folder(
    search: Search, data: TrainingData, out: Path, existing: Existing, progress: Progress | None = None
) -> TunedTraining:
    """Search the settings that are best on the validation split, and finish the model that was trained with them.

    The test split is asked once, about that model. It is not trained again: it is the best trial's.

    Parameters
    ----------
    search
        What is tried, and how often; the recipe as it stands is the first trial where it lies in the space.
    data
        What is learnt from.
    out
        The folder to write: what `train_on_folder` writes, ``tuned.yaml``, and ``tuning/`` with ``trials.csv`` and a
        folder for each trial.
    existing
        What to do with a search that is there.
    progress
        Told how many epochs of all trials are done.

    Raises
    ------
    UsageError
        What was asked cannot be done, or the space holds what the recipe cannot bear.
    ModelError
        Every trial diverged.
    OutputExists
        There is a training, and it is neither to be resumed nor replaced.
    """
    settings = _checked(search)
    items, notes = open_training(data, out, existing, tuned=True)
    trials = _Trials(search, settings, items, out, progress)
    tuned = tune(
        trials.run,
        search.space,
        search.trials,
        out / TUNING,
        settings.training.seed,
        higher_is_better=trials.higher_is_better,
        first=standing(asdict(settings), search.space),
        depends_on={"recipe": search.recipe, "pictures": _identity(items)},
        progress=trials.tell,
    )
    trials.tell(tuned.tried)
    recipe = _write_recipe(out / RECIPE, search, tuned, trials.figure)
    best = search.settings(tuned.best.settings)
    _take_over(trial_folder(out / TUNING, tuned.best.number), out)
    trained = train_classifier(best, *trials.cut(best), out, resume=True)
    told = (
        f"{trials.figure} {tuned.best.value:.4g}, the best of {len(tuned.tried)} trials: {_words(tuned.best.settings)}"
    )
    training = measured_training(best, trained, out, notes, {"Search of settings": told})
    return TunedTraining(tuned, trials.figure, recipe, training)


def format_trials(done: TunedTraining) -> list[str]:
    """Return a table of the trials for a terminal, the best one marked."""
    lines = [f"TRIALS, by {done.figure}"]
    for one in done.tuned.tried:
        value = "diverged" if one.value is None else f"{one.value:.4g}"
        mark = "*" if one == done.tuned.best else " "
        lines.append(f"{mark} {one.number:>4}  {value:>9}  {_words(one.settings)}")
    return lines


@dataclass
class _Trials:
    """Trainings on the same pictures, in folders of their own."""

    search: Search
    settings: FolderSettings
    """Of the recipe as it stands."""
    items: Sequence[SlideItem]
    out: Path
    progress: Progress | None
    done: int = field(default=0, init=False)
    last: tuple[object, Cut] | None = field(default=None, init=False)

    @property
    def figure(self) -> str:
        return f"validation {self.settings.watched.replace('_', ' ')}"

    @property
    def higher_is_better(self) -> bool:
        return self.settings.watched != "loss"

    def run(self, chosen: Mapping[str, Setting], folder: Path) -> float:
        """Train one trial, or go on with it; return its figure on validation."""
        try:
            settings = self.search.settings(chosen)
            fitted = fit_classifier(settings, *self.cut(settings), folder, self._told(folder), resume=True)
        except UsageError as error:
            msg = f"trial {folder.name} ({_words(chosen)}): {error}"
            raise UsageError(msg) from error
        return fitted.figure

    def cut(self, settings: FolderSettings) -> Cut:
        """Return the patches of a trial: those of the last one, if they were cut alike."""
        side_px = patch_side_px(settings.input_px, settings.augmentation.margin)
        names = ("patch_um", "patch_cell_diameters")
        key = (settings.input_px, side_px, *(getattr(settings, name, None) for name in names))
        if self.last is None or self.last[0] != key:
            self.last = key, cut_patches(settings, self.items, self.out / TUNING)
        return self.last[1]

    def tell(self, tried: Sequence[Tried]) -> None:
        """Write the table of trials, and keep the checkpoint of the best one alone."""
        _write_trials(self.out / TUNING / TRIALS, tried, self.figure, self.search.space)
        best = best_of(tried, higher_is_better=self.higher_is_better)
        for one in tried:
            if one != best:
                (trial_folder(self.out / TUNING, one.number) / CHECKPOINT).unlink(missing_ok=True)

    def _told(self, folder: Path) -> Callable[[str, int, int], None] | None:
        if self.progress is None:
            return None
        report, number, epochs = self.progress, int(folder.name), self.settings.training.epochs
        whole = self.search.trials * epochs
        return lambda _what, done, total: report(number * epochs + round(done * epochs / total), whole)


def _checked(search: Search) -> FolderSettings:
    """Return the settings of the recipe as it stands; refuse a space that it cannot bear before anything is read."""
    if search.trials < 1 or not search.space:
        msg = f"tuning needs a trial and a setting to try, got {search.trials} trials of {len(search.space)} settings"
        raise UsageError(msg)
    for name in search.space:
        if name.split(".")[0] in SHARED:
            msg = (
                f"tune.{name} cannot be searched: trials share their pictures, split, classes and what is watched, and "
                "differ in the network, the patches, the augmentation and the training"
            )
            raise UsageError(msg)
    settings = search.settings({})
    for one in ends(search.space):
        search.settings(one)
    return settings


def _identity(items: Sequence[SlideItem]) -> str:
    """Return a hash of the pictures' names, patients and marks, wherever they lie."""
    digest = hashlib.sha256()
    marks = sorted({file.path for item in items for file in item.annotations})
    for item in items:
        digest.update(f"{Path(item.path).name}\n{item.group}\n{item.label}\n".encode("utf-8", "surrogateescape"))
    for path in marks:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _take_over(trial: Path, out: Path) -> None:
    """Put the best trial's training where a training without a search would be."""
    with replacing(out / CHECKPOINT) as partial:
        shutil.copyfile(trial / CHECKPOINT, partial)
    if (trial / "tensorboard").is_dir():
        shutil.rmtree(out / "tensorboard", ignore_errors=True)
        shutil.copytree(trial / "tensorboard", out / "tensorboard")


def _write_trials(path: Path, tried: Sequence[Tried], figure: str, space: Space) -> None:
    """Write a row a trial: its number, whether it diverged, its figure, and its settings."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["trial", "status", figure.replace(" ", "_"), *space])
        for one in tried:
            status = "diverged" if one.value is None else "done"
            writer.writerow([one.number, status, one.value, *(one.settings[name] for name in space)])


def _write_recipe(path: Path, search: Search, tuned: Tuned, figure: str) -> Path:
    import yaml

    head = (
        f"# Trial {tuned.best.number} of {len(tuned.tried)}, {figure} {tuned.best.value:.4g}; found by train --tune.\n"
    )
    values = {"command": "train", **applied(search.recipe, tuned.best.settings)}
    body = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    write_whole(path, (head + body).encode(), durable=False)
    return path


def _words(settings: Mapping[str, Setting]) -> str:
    told = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items())
