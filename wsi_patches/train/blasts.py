"""A lab's own blasts: annotated slides into a classifier of cells, blast or other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem
from wsi_patches.models import LearnedCellFinder
from wsi_patches.train.annotated import CellCut, cell_patches
from wsi_patches.train.checks import check_ranges
from wsi_patches.train.classifier import Progress, TrainedClassifier, train_classifier
from wsi_patches.train.classifier_network import CardWords
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.patch_set import PatchSet

__all__ = ["LIMITS", "BlastSettings", "cut_blasts", "patches_of", "train_blasts"]

LIMITS = (
    "learnt from the slides of one data set: on slides of another lab, stain or scanner it is to be measured before it "
    "is believed; for research use"
)
RANGES = {"patch_cell_diameters": (0.5, 5), "patch_um": (1, 200)}


@dataclass(frozen=True, kw_only=True)
class BlastSettings(ClassifierSettings):
    """What a classifier of blasts and other white cells is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    task: Literal["blasts"] = "blasts"
    """What the recipe trains."""
    name: str = "blasts"
    patch_cell_diameters: float = 1.75
    """Side of a patch in typical diameters of a white cell, on slides that do not state their resolution."""
    patch_um: float | None = 21.0
    """Side of a patch on slides that do; None goes by the diameter there too."""
    classes: Mapping[str, str | None] = field(default_factory=dict)
    """What an annotated class is, where its name does not say: blast, other, or null to leave it out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, RANGES, optional=RANGES)


def train_blasts(
    settings: BlastSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
    finder: CellFinder[Any] | None = None,
) -> TrainedClassifier:
    """Train a classifier of blasts and other white cells on annotated slides.

    Parameters
    ----------
    settings
        What to train, and how.
    items
        Slides with the annotations of their cells.
    folder
        Gets ``weights.safetensors``, ``split.csv`` and what the training loop writes.
    progress
        Told how many slides and epochs are done.
    resume
        Go on where a run with the same settings and slides was killed.
    finder
        Measures cells that are marked as points; should be the one that will find the cells to be classified. The
        shipped one if not given.

    Raises
    ------
    UsageError
        Nothing is annotated, a class of cells is unclear, or the slides are too few to be split.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    patches, words = cut_blasts(settings, items, folder, progress, finder=finder)
    return train_classifier(settings, patches, words, folder, progress, resume=resume)


def cut_blasts(
    settings: BlastSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    finder: CellFinder[Any] | None = None,
) -> tuple[PatchSet, CardWords]:
    """Cut the patches that `train_blasts` learns from; parameters and errors are its own.

    Returns
    -------
    The patches, and what they let the model's card say.
    """
    patches = patches_of(settings, items, folder, progress, finder=finder)
    return patches, _words(settings, patches)


def patches_of(
    settings: BlastSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    types: tuple[str, ...] = (),
    finder: CellFinder[Any] | None = None,
) -> PatchSet:
    """Cut one patch for each marked cell: blast or other white cell, or each of ``types`` if some are given.

    Further parameters and errors are those of `train_blasts`.
    """
    cut = CellCut(
        scale=settings,
        input_px=settings.input_px,
        margin=settings.augmentation.margin,
        finder=LearnedCellFinder.load(device=settings.training.device) if finder is None else finder,
        classes=settings.classes,
        slide_mpp=settings.slide_mpp,
        types=types,
    )
    on_slide = None if progress is None else lambda done, total: progress("slides", done, total)
    return cell_patches(items, cut, folder, on_slide)


def _words(settings: BlastSettings, patches: PatchSet) -> CardWords:
    # A size in um that no training slide could be cut by is no promise that the card may give.
    patch_um = settings.patch_um if patches.mpp is not None else None
    title = "Blast or other white cell, trained on annotated slides"
    return CardWords(title, LIMITS, patch_um, settings.patch_cell_diameters)
