"""Training a classifier on labelled patches: split, network, training, calibration, test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wsi_patches.datasets.split_file import write_split
from wsi_patches.datasets.splits import Split
from wsi_patches.errors import UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.classifier import choose_device, meant
from wsi_patches.models.weights import save_weights
from wsi_patches.train.calibrate import calibration_error, fit_isotonic, fit_slide_shift, fit_temperature, tempered
from wsi_patches.train.class_scores import class_scores
from wsi_patches.train.classifier_network import CardWords, first_card, first_network
from wsi_patches.train.classifier_settings import SHARES, TEST, TRAIN, VALIDATION, ClassifierSettings
from wsi_patches.train.engine import Epoch, fit
from wsi_patches.train.head_first import freeze_all_but_head, learn_head_first
from wsi_patches.train.looks import reference_of
from wsi_patches.train.masked import masked_patches
from wsi_patches.train.patch_set import PatchSet, PatchSplit, split_patches
from wsi_patches.train.patch_task import PatchTask, PatchView, TaskMaker, logits_of
from wsi_patches.train.refit import refit_head
from wsi_patches.train.sampling import check_smote

__all__ = [
    "WEIGHTS",
    "FittedClassifier",
    "Progress",
    "TestPatches",
    "TrainedClassifier",
    "class_scores",
    "fit_classifier",
    "train_classifier",
]

Progress = Callable[[str, int, int], None]
"""Told what is counted, ``slides`` or ``epochs``, how many are done, and of how many."""
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class TestPatches:
    """What a trained classifier says of the patches of the test split."""

    __test__ = False  # it is no test case, whatever its name begins with

    class_names: tuple[str, ...]
    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    """Patient or slide of each."""
    group_kind: str
    """``patient`` if all are, else ``slide``."""
    truth: NDArray[np.int32]
    """Index into ``class_names``, ``(n,)``."""
    probabilities: NDArray[np.float32]
    """Calibrated, ``(n, classes)``."""
    images: PatchView
    """Reads the patches as the network saw them."""

    @classmethod
    def of(cls, view: PatchView, class_names: tuple[str, ...], probabilities: NDArray[np.float32]) -> TestPatches:
        """Return what is said of some patches, ``(n, classes)``, with what is known of them."""
        patches = view.patches
        kinds = {patches.slides[row].group_kind for row in np.unique(patches.slide[view.rows]).tolist()}
        return cls(
            class_names=class_names,
            ids=patches.ids[view.rows],
            groups=patches.groups[view.rows],
            group_kind="patient" if kinds == {"patient"} else "slide",
            truth=view.truth,
            probabilities=probabilities,
            images=view,
        )


@dataclass(frozen=True)
class TrainedClassifier:
    """What training a classifier came to."""

    card: ModelCard
    weights: Path
    """The weight file, its card within."""
    history: tuple[Epoch, ...]
    split: Split
    """A row a slide."""
    test: TestPatches
    left_out: tuple[str, ...]
    """What could not be read or learnt from, in sentences."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return (*self.split.warnings, *self.left_out)


@dataclass(frozen=True)
class FittedClassifier:
    """A network at its best epoch, before it is calibrated and asked about the test split."""

    network: nn.Module
    """In evaluation mode, on the device that it was trained on."""
    card: ModelCard
    views: Mapping[str, PatchView]
    """The patches of each split."""
    history: tuple[Epoch, ...]
    best_epoch: int
    figure: float
    """What the settings watch, on validation, of this network."""
    split: Split


def train_classifier(
    settings: ClassifierSettings,
    patches: PatchSet,
    words: CardWords,
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    made: PatchSplit | None = None,
    make_task: TaskMaker | None = None,
) -> TrainedClassifier:
    """Train a classifier on labelled patches, calibrate it, and ask it about patients that it never saw.

    Parameters
    ----------
    settings
        What to train, and how.
    patches
        What to learn from.
    words
        What else the card says.
    folder
        Gets ``weights.safetensors``, ``split.csv`` and what the training loop writes.
    progress
        Told after each epoch.
    resume
        Go on where a run with the same settings and patches was killed.
    made
        A split that several trainings share, in place of one that the settings make; patches whose split is none of
        theirs are left aside.
    make_task
        Makes what the training loop learns, where that takes more than these patches; the settings do if None.

    Raises
    ------
    UsageError
        The patches cannot be split, the network cannot be built, or a resumed run differs.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    fitted = fit_classifier(settings, patches, words, folder, progress, resume=resume, made=made, make_task=make_task)
    card, test = _judged(settings, fitted, patches)
    save_weights(folder / WEIGHTS, fitted.network, card)
    left_out = fitted.views[TRAIN].patches.left_out
    return TrainedClassifier(card, folder / WEIGHTS, fitted.history, fitted.split, test, left_out)


def fit_classifier(
    settings: ClassifierSettings,
    patches: PatchSet,
    words: CardWords,
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    made: PatchSplit | None = None,
    make_task: TaskMaker | None = None,
) -> FittedClassifier:
    """Train a classifier on labelled patches; its test split is left untouched.

    Parameters and errors are those of `train_classifier`; the folder gets no weight file.
    """
    split, names = made or split_patches(patches, settings.by, settings.shares, settings.split_seed)
    mask = settings.input_mask
    if mask is not None:
        patches = masked_patches(patches, mask, settings.input_px, folder)
    views = {name: PatchView(patches, np.flatnonzero(names == name), settings.input_px) for name in SHARES}
    _check(settings, views)
    network, training = first_network(settings, len(patches.class_names)), settings.training
    card = replace(first_card(settings, patches, views[TRAIN], words), mask=mask)
    if settings.frozen:
        freeze_all_but_head(network, settings.architecture)
    task = (make_task or settings.patch_task)(network, card, views[TRAIN], views[VALIDATION])
    depends_on = {"classifier": _identity(settings, patches, names), **task.depends_on}
    if not resume:
        write_split(split, folder)
    learn_head_first(PatchTask(network, card, views[TRAIN], views[VALIDATION], settings), settings, folder, depends_on)
    fitted = fit(
        task,
        training,
        folder,
        resume=resume,
        progress=_told(training.epochs, progress),
        depends_on=depends_on,
    )
    task.network.load_state_dict(fitted.best_state)
    network = task.finished().to(choose_device(training.device)).eval()
    if settings.balance == "smote":
        refit_head(network, card, views[TRAIN], training.seed)
        card = replace(card, changes=f"{card.changes}; last layer learnt anew on features grown by SMOTE")
    if resume:
        write_split(split, folder, overwrite=True)
    figure = task.validate(network, choose_device(training.device))[settings.watched]
    return FittedClassifier(network, card, views, fitted.history, fitted.best_epoch, figure, split)


def _check(settings: ClassifierSettings, views: Mapping[str, PatchView]) -> None:
    class_names = views[TRAIN].patches.class_names
    for name, view in views.items():
        counts = np.bincount(view.truth, minlength=len(class_names)).tolist()
        absent = [one for one, count in zip(class_names, counts, strict=True) if not count]
        if absent:
            msg = (
                f"the split's {name} holds no {', '.join(absent)}: few slides have it; try another split_seed, or give "
                "more slides"
            )
            raise UsageError(msg)
    if settings.balance == "smote":
        check_smote(views[TRAIN].truth, class_names)
    if settings.calibration == "isotonic" and len(class_names) != 2:
        msg = f"isotonic calibration is for two classes, found {', '.join(class_names)}: use temperature"
        raise UsageError(msg)


def _told(epochs: int, progress: Progress | None) -> Callable[[Epoch], None] | None:
    return None if progress is None else lambda epoch: progress("epochs", epoch.epoch, epochs)


def _identity(settings: ClassifierSettings, patches: PatchSet, names: NDArray[np.str_]) -> str:
    """Return a hash of what a resumed run must share beside the training loop's own settings."""
    kept: dict[str, Any] = {name: value for name, value in asdict(settings).items() if name not in ("name", "training")}
    digest = hashlib.sha256(repr(sorted(kept.items())).encode())
    for column in (patches.ids, patches.truth, names):
        digest.update("\n".join(map(str, column.tolist())).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _judged(
    settings: ClassifierSettings, fitted: FittedClassifier, unmasked: PatchSet
) -> tuple[ModelCard, TestPatches]:
    """Calibrate a trained network on validation, and measure it on the test split."""
    network, views = fitted.network, fitted.views
    device = next(network.parameters()).device
    held_out = logits_of(network, fitted.card, views[VALIDATION], device)
    card = _calibrated(settings, fitted.card, held_out, views[VALIDATION])
    # Of patches as slides have them: others will be held against it before they are masked.
    card = replace(card, reference=reference_of(*(replace(views[of], patches=unmasked) for of in (TRAIN, VALIDATION))))
    view = views[TEST]
    logits = logits_of(network, card, view, device)
    probabilities = meant(tempered(logits, card.temperature), card)
    scores = {
        **class_scores(card.classes, probabilities, view.truth),
        "test_calibration_error_before": calibration_error(tempered(logits, 1.0), view.truth),
        "test_patches": float(len(view)),
        "best_epoch": float(fitted.best_epoch),
    }
    return replace(card, scores=scores), TestPatches.of(view, card.classes, probabilities)


def _calibrated(
    settings: ClassifierSettings, card: ModelCard, logits: NDArray[np.float32], view: PatchView
) -> ModelCard:
    """Fit what the settings ask for on patches that were held out, and, of two classes, how slides differ beside."""
    if len(card.classes) > 2:
        card = replace(card, confusion=_confusion(logits.argmax(axis=1), view.truth, len(card.classes)))
    if settings.calibration == "none":
        return card
    card = replace(card, temperature=fit_temperature(logits, view.truth))
    probabilities = tempered(logits, card.temperature)
    if settings.calibration == "isotonic":
        card = replace(card, isotonic=fit_isotonic(probabilities[:, 0], view.truth == 0))
    if len(card.classes) != 2 and not card.blasts:
        return card
    blasts = [card.classes.index(name) for name in card.blasts or card.classes[:1]]
    is_blast, chance = np.isin(view.truth, blasts), meant(probabilities, card)[:, blasts].sum(axis=1)
    slides = view.patches.slide_ids[view.patches.slide[view.rows]]
    return replace(card, slide_shift=fit_slide_shift(chance, is_blast, slides))


def _confusion(said: NDArray[np.int64], truth: NDArray[np.int32], classes: int) -> tuple[tuple[int, ...], ...]:
    """Return how many patches of each class (row) were taken for each (column)."""
    counts = np.bincount(truth.astype(np.int64) * classes + said, minlength=classes**2).reshape(classes, classes)
    return tuple(tuple(row) for row in counts.tolist())
