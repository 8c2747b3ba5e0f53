"""``wsi-patches train RECIPE --data FOLDER``: a lab's own pictures into weights, and how good they are on others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.datasets import GroupRule, find_inputs, with_groups
from wsi_patches.datasets.splits import make_folds
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.gallery import classification_gallery
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_json
from wsi_patches.train.blasts import BlastSettings, train_blasts
from wsi_patches.train.classifier import TestPatches, TrainedClassifier
from wsi_patches.train.curves import write_training_page
from wsi_patches.train.fields import FieldSettings, train_fields
from wsi_patches.train.logs import HISTORY
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.output import Existing, check_output
from wsi_patches.workflows.probe import Folded, colour_alone

__all__ = ["TRAINABLE", "FolderTraining", "TrainingData", "train_on_folder"]

TRAINABLE = {"blasts": BlastSettings, "fields": FieldSettings}
"""What a recipe's ``task`` may be, beside ``painted``."""
FOLDS = 5
DRAWS = 1000


@dataclass(frozen=True)
class TrainingData:
    """What is learnt from."""

    inputs: tuple[Path, ...]
    """Slides, folders of slides, or datasets' folders."""
    annotations: Path | None = None
    """A folder of annotation files named as the slides."""
    groups: GroupRule = field(default_factory=GroupRule)


@dataclass(frozen=True)
class FolderTraining:
    """What was trained, and how good it is."""

    trained: TrainedClassifier
    page: Path
    """Curves and settings."""
    result: ClassificationResult
    """On the test split."""
    baselines: dict[str, ClassificationResult]
    evaluation: Path
    """The page of the test split."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _HeldBack:
    """The patches of the test split, as measuring them needs it."""

    class_names: tuple[str, ...]
    ids: NDArray[np.str_]
    truth: NDArray[np.int32]
    read: Callable[[ArrayLike], NDArray[np.uint8]]

    @classmethod
    def of(cls, test: TestPatches) -> _HeldBack:
        return cls(test.class_names, test.ids, test.truth, test.images.read)

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        patch: NDArray[np.uint8] = self.read([row])[0]
        return patch


def train_on_folder(
    settings: BlastSettings | FieldSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> FolderTraining:
    """Train a classifier on annotated or labelled pictures, and measure it on the test split.

    Parameters
    ----------
    settings
        Of cells, blast or other, or of whole fields.
    data
        What is learnt from.
    out
        The folder to write: ``weights.safetensors``, ``card.json``, the split, the curves, and ``test/``.
    existing
        What to do with a training that is there.
    progress
        Told how many slides are read, then how many epochs are done.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    ModelError
        The training diverged.
    OutputExists
        There is a training, and it is neither to be resumed nor replaced.
    """
    ours = any((out / name).exists() for name in (HISTORY, "weights.safetensors", "checkpoint.pt"))
    there = check_output(out, existing, ours=ours, what="a training")
    found = find_inputs(data.inputs, data.annotations)
    items = with_groups(found.items, data.groups)
    if there and existing.overwrite:
        shutil.rmtree(out)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    if isinstance(settings, BlastSettings):
        trained = train_blasts(settings, items, out, told, resume=existing.resume)
    else:
        trained = train_fields(settings, items, out, told, resume=existing.resume)
    write_json(out / "card.json", trained.card.to_dict(), durable=False)
    result, baselines, notes = _measured(trained.test, settings.split_seed)
    title = f"{trained.card.name} on its test split"
    gallery = classification_gallery(_HeldBack.of(trained.test), result.predictions)
    details = {"Model": trained.card.title, "Trained on": trained.card.trained_on, "Limits": trained.card.limits}
    evaluation = write_evaluation(out / "test", title, result, gallery, baselines=baselines, details=details)
    page = _write_page(out, settings, trained)
    return FolderTraining(trained, page, result, baselines, evaluation, (*found.problems, *notes))


def _measured(
    test: TestPatches, seed: int
) -> tuple[ClassificationResult, dict[str, ClassificationResult], tuple[str, ...]]:
    """Measure the test split, with what colour alone tells of the same patches where their groups make folds."""
    held_back = _HeldBack.of(test)
    try:
        count = min(FOLDS, len(set(test.groups.tolist())))
        folds = make_folds([test.class_names[one] for one in test.truth], test.groups.tolist(), count, seed)
        folded = Folded(held_back, folds, test.groups, test.group_kind, ())
        baselines, notes = colour_alone(folded, DRAWS, seed), ()
    except UsageError as error:
        folded = Folded(held_back, np.zeros(len(test.truth), np.int64), test.groups, test.group_kind, ())
        return folded.measured(test.probabilities, DRAWS, seed), {}, (f"Colour alone could not be measured: {error}",)
    return folded.measured(test.probabilities, DRAWS, seed), baselines, notes


def _write_page(out: Path, settings: BlastSettings | FieldSettings, trained: TrainedClassifier) -> Path:
    page = out / "training.html"
    card = trained.card
    details = {
        "Model": f"{card.name}: {card.title}",
        "Trained on": card.trained_on,
        "Scores on the test split": ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items()),
        **{name: json.dumps(value, default=str) for name, value in asdict(settings).items()},
    }
    best = int(card.scores["best_epoch"])
    write_training_page(page, f"Training of {card.name}", trained.history, best, details, trained.warnings)
    return page
