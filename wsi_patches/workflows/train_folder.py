"""``wsi-patches train RECIPE --data FOLDER``: a lab's own pictures into weights, and how good they are on others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.datasets import GroupRule, SlideItem, find_inputs, with_groups
from wsi_patches.datasets.splits import make_folds
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.gallery import classification_gallery
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.taxonomy import TaxonomyResult
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_json
from wsi_patches.train.blasts import BlastSettings, cut_blasts
from wsi_patches.train.cell_types import TypeSettings, cut_types
from wsi_patches.train.classifier import Progress as ToldProgress
from wsi_patches.train.classifier import TestPatches, TrainedClassifier, train_classifier
from wsi_patches.train.classifier_network import CardWords
from wsi_patches.train.curves import write_training_page
from wsi_patches.train.fields import FieldSettings, cut_fields
from wsi_patches.train.logs import HISTORY
from wsi_patches.train.patch_set import PatchSet
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.folded import Folded, colour_alone
from wsi_patches.workflows.levels import write_levels
from wsi_patches.workflows.output import Existing, check_output

__all__ = [
    "DRAWS",
    "PAGE",
    "TEST_SPLIT",
    "TUNING",
    "Cut",
    "FolderSettings",
    "FolderTraining",
    "TrainingData",
    "cut_patches",
    "measured_test",
    "measured_training",
    "open_training",
    "plain",
    "train_on_folder",
]

FolderSettings = BlastSettings | FieldSettings
Cut = tuple[PatchSet, CardWords]
"""What is learnt from, and what it lets the model's card say."""
TUNING = "tuning"
"""Where a search for settings keeps its trials."""
TEST_SPLIT = "test_split"
PAGE = "training.html"
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
    levels: Mapping[str, tuple[TaxonomyResult, Path]] = field(default_factory=dict)
    """Of classes in a tree: the result and the page of its levels, by name."""

    @property
    def results(self) -> dict[str, Result]:
        """On the test split."""
        return {TEST_SPLIT: self.result, **{name: result for name, (result, _) in self.levels.items()}}

    @property
    def evaluations(self) -> dict[str, Path]:
        """The page of each result."""
        return {TEST_SPLIT: self.evaluation, **{name: page for name, (_, page) in self.levels.items()}}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.trained.warnings

    @property
    def weights(self) -> Path:
        """The weight file, its card within."""
        return self.trained.weights


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
    settings: FolderSettings,
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
    items, notes = open_training(data, out, existing)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    patches, words = cut_patches(settings, items, out, told)
    trained = train_classifier(settings, patches, words, out, told, resume=existing.resume)
    return measured_training(settings, trained, out, notes)


def open_training(
    data: TrainingData, out: Path, existing: Existing, *, tuned: bool = False
) -> tuple[list[SlideItem], tuple[str, ...]]:
    """Return the pictures to learn from and what is wrong with others; an earlier training is removed, if it is to be.

    Parameters
    ----------
    data, out, existing
        As in `train_on_folder`.
    tuned
        Whether settings are searched, so that only a search can be gone on with; without, only a training without one.

    Raises
    ------
    UsageError
        There is nothing to learn from, or the output holds the other kind of training.
    OutputExists
        There is a training, and it is neither to be resumed nor replaced.
    """
    searched = (out / TUNING).is_dir()
    ours = searched or any((out / name).exists() for name in (HISTORY, "weights.safetensors", "checkpoint.pt", PAGE))
    there = check_output(out, existing, ours=ours, what="a training")
    if there and existing.resume and searched != tuned:
        how = "was searched with --tune: give it again" if searched else "was begun without --tune: leave it out"
        msg = f"the training in {out} {how}, or give another -o"
        raise UsageError(msg)
    found = find_inputs(data.inputs, data.annotations)
    items = with_groups(found.items, data.groups)
    if there and existing.overwrite:
        shutil.rmtree(out)
    return items, tuple(found.problems)


def cut_patches(
    settings: FolderSettings, items: Sequence[SlideItem], folder: Path, told: ToldProgress | None = None
) -> Cut:
    """Return the patches that a training learns from, their pixels in a file without a name in a folder."""
    if isinstance(settings, TypeSettings):
        return cut_types(settings, items, folder, told)
    if isinstance(settings, BlastSettings):
        return cut_blasts(settings, items, folder, told)
    return cut_fields(settings, items, folder, told)


def measured_training(
    settings: FolderSettings,
    trained: TrainedClassifier,
    out: Path,
    notes: Sequence[str],
    details: Mapping[str, str] | None = None,
) -> FolderTraining:
    """Measure a model on its test split, and write its card and pages; ``details`` go onto the training's page."""
    write_json(out / "card.json", trained.card.to_dict(), durable=False)
    title = f"{trained.card.name} on its test split"
    card = {"Model": trained.card.title, "Trained on": trained.card.trained_on, "Limits": trained.card.limits}
    result, baselines, evaluation, more = measured_test(trained.test, settings.split_seed, out / "test", title, card)
    levels = write_levels(out / "test", trained.card, result, details=card)
    page = _write_page(out, settings, trained, details or {})
    return FolderTraining(trained, page, result, baselines, evaluation, (*notes, *more), levels)


def measured_test(
    test: TestPatches, seed: int, folder: Path, title: str, details: Mapping[str, str]
) -> tuple[ClassificationResult, dict[str, ClassificationResult], Path, tuple[str, ...]]:
    """Measure what is said of a test split, beside what colour alone tells, and write the page of it.

    Returns
    -------
    The result, the simpler classifiers, the page, and what could not be measured.
    """
    result, baselines, notes = _measured(test, seed)
    gallery = classification_gallery(_HeldBack.of(test), result.predictions)
    page = write_evaluation(folder, title, result, gallery, baselines=baselines, details=details)
    return result, baselines, page, notes


def _measured(
    test: TestPatches, seed: int
) -> tuple[ClassificationResult, dict[str, ClassificationResult], tuple[str, ...]]:
    """Measure the test split, with what colour alone tells of the same patches where their groups make folds."""
    held_back = _HeldBack.of(test)
    try:
        count = min(FOLDS, len(set(test.groups.tolist())))
        if count == 1:
            msg = f"its folds keep a {test.group_kind} together, and all test patches are of one"
            raise UsageError(msg)
        folds = make_folds([test.class_names[one] for one in test.truth], test.groups.tolist(), count, seed)
        folded = Folded(held_back, folds, test.groups, test.group_kind, ())
        baselines, notes = colour_alone(folded, DRAWS, seed), ()
    except UsageError as error:
        folded = Folded(held_back, np.zeros(len(test.truth), np.int64), test.groups, test.group_kind, ())
        return folded.measured(test.probabilities, DRAWS, seed), {}, (f"Colour alone could not be measured: {error}",)
    return folded.measured(test.probabilities, DRAWS, seed), baselines, notes


def _write_page(out: Path, settings: FolderSettings, trained: TrainedClassifier, more: Mapping[str, str]) -> Path:
    page = out / PAGE
    card = trained.card
    details = {
        "Model": f"{card.name}: {card.title}",
        "Trained on": card.trained_on,
        "Scores on the test split": ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items()),
        **more,
        **{name: plain(value) for name, value in asdict(settings).items()},
    }
    best = int(card.scores["best_epoch"])
    write_training_page(page, f"Training of {card.name}", trained.history, best, details, trained.warnings)
    return page


def plain(value: object) -> str:
    """Return a setting as text: nested ones in a line, None as what it means."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items()) or "none"
    return "none" if value is None else str(value)
