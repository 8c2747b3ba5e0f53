"""Labelled fields into a classifier: the whole picture is one patch, and its label is the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from wsi_patches.counting import find_cells
from wsi_patches.counting.centred import diameter_of
from wsi_patches.datasets import SlideItem
from wsi_patches.datasets.splits import By
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.models import LearnedCellFinder
from wsi_patches.slide import Slide
from wsi_patches.slides import open_slide
from wsi_patches.train.augment import HARD_COLOUR, Augmentation
from wsi_patches.train.checks import check_choices
from wsi_patches.train.classifier import Progress, TrainedClassifier, train_classifier
from wsi_patches.train.classifier_network import CardWords
from wsi_patches.train.classifier_settings import ClassifierSettings
from wsi_patches.train.features import Progress as Counted
from wsi_patches.train.middle import Padding, middle_px, middle_square
from wsi_patches.train.patch_set import CellMark, PatchSet, PatchWriter

__all__ = ["FieldSettings", "add_field", "cut_fields", "field_patches", "train_fields"]

LARGEST_FIELD_PX = 4096
MOST_MEASURED = 24
FOLDERS = ": give a folder for each class, in which plain pictures lie and nothing else, and which is not empty"
"""What is asked for where no picture has a class."""
LIMITS = (
    "says what whole fields of one data set look like, stain and lamp included; on fields of another lab it is to be "
    "measured before it is believed, and it counts no cells; for research use"
)


@dataclass(frozen=True, kw_only=True)
class FieldSettings(ClassifierSettings):
    """What a classifier of whole fields is, and how it is trained."""

    task: Literal["fields"] = "fields"
    """What the recipe trains."""
    name: str = "fields"
    crop_px: int | None = None
    """Side of the middle square that is shown of a picture, in its own pixels; all that fits if None."""
    padding: Padding = "none"
    """What is done about a picture that is smaller than ``crop_px``: ``none`` shows what fits, ``black`` is put around
    it, as torchvision's crop does in the released code of ALLNet and HistoTNet."""
    input_px: int = 224
    by: By = "block"
    """Fields of one patient often follow each other in name order, where nobody says whose they are."""
    classes: Mapping[str, str | None] = field(default_factory=dict)
    """What a label counts as, null to leave it out; a label that is not named here is a class of its own."""
    blasts: tuple[str, ...] | None = None
    """Of pictures of single cells: which of the classes are blasts, for ``infer``; by their names if None."""
    most_per_class: int | None = None
    """Pictures of a class that are learnt from and measured on, drawn by ``split_seed``; all of them if None."""
    patch_cell_diameters: float | None = None
    """Side of a field in diameters of a white cell, for the card; measured on some of the fields if None."""
    augmentation: Augmentation = HARD_COLOUR

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_per_class is not None and self.most_per_class < 1:
            msg = f"most_per_class of a training is a count of 1 or more, got {self.most_per_class}"
            raise UsageError(msg)
        self._check_crop()

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse classes that cannot be learnt, before any picture is read.

        Raises
        ------
        UsageError
            They cannot.
        """
        unknown = sorted(set(self.blasts or ()) - set(class_names))
        if unknown:
            msg = f"blasts: {', '.join(unknown)} are none of the classes of the pictures, {', '.join(class_names)}"
            raise UsageError(msg)

    def card_words(self, diameters: float) -> CardWords:
        """Return what the card says, of fields so many diameters of a white cell wide."""
        return CardWords(
            "Class of a whole field, trained on labelled pictures", LIMITS, None, diameters, blasts=self.blasts
        )

    def _check_crop(self) -> None:
        if self.crop_px is not None and not 1 <= self.crop_px <= LARGEST_FIELD_PX:
            msg = f"crop_px of a training must lie in 1..{LARGEST_FIELD_PX}, got {self.crop_px}"
            raise UsageError(msg)
        check_choices(self, {"padding": Padding})
        if self.padding != "none" and self.crop_px is None:
            msg = f"padding: {self.padding} is put around pictures smaller than crop_px: say crop_px too"
            raise UsageError(msg)


def train_fields(
    settings: FieldSettings,
    items: Sequence[SlideItem],
    folder: Path,
    progress: Progress | None = None,
    *,
    resume: bool = False,
) -> TrainedClassifier:
    """Train a classifier of whole fields on the labels of pictures.

    Parameters
    ----------
    settings
        What to train, and how.
    items
        Pictures with a label each.
    folder
        Gets ``weights.safetensors``, ``split.csv`` and what the training loop writes.
    progress
        Told how many pictures and epochs are done.
    resume
        Go on where a run with the same settings and pictures was killed.

    Raises
    ------
    UsageError
        There are fewer than two classes, too few pictures to be split, or the scale of the cells cannot be told.
    ModelError
        The training diverged.
    OutputExists
        The folder holds a training and ``resume`` is not set.
    """
    patches, words = cut_fields(settings, items, folder, progress)
    return train_classifier(settings, patches, words, folder, progress, resume=resume)


def cut_fields(
    settings: FieldSettings, items: Sequence[SlideItem], folder: Path, progress: Progress | None = None
) -> tuple[PatchSet, CardWords]:
    """Cut the patches that `train_fields` learns from; parameters and errors are its own.

    Returns
    -------
    The patches, and what they let the model's card say.
    """
    on_slide = None if progress is None else lambda done, total: progress("slides", done, total)
    patches = field_patches(items, settings, folder, on_slide)
    diameters = settings.patch_cell_diameters or _measured_diameters(patches, settings)
    return patches, settings.card_words(diameters)


def field_patches(
    items: Sequence[SlideItem], settings: FieldSettings, folder: Path, progress: Counted | None = None
) -> PatchSet:
    """Read the middle square of each labelled picture, scaled to what the network takes.

    Parameters
    ----------
    items
        Pictures; those without a label, or whose label is left out, are not read.
    settings
        Which label counts as what, and the network's input.
    folder
        Gets the pixels, in a file without a name.
    progress
        Told how many pictures are done, and of how many.

    Raises
    ------
    UsageError
        There are fewer than two classes.
    """
    named = [(item, name) for item in items if (name := _class_of(item, settings.classes)) is not None]
    labelled = _drawn(named, settings.most_per_class, settings.split_seed)
    class_names = tuple(sorted({name for _, name in labelled}))
    if class_names:
        settings.check_classes(class_names)
    with PatchWriter(folder, settings.input_px) as writer:
        for row, (item, name) in enumerate(labelled):
            with writer.slide(item.path), open_slide(item.path, mpp=settings.slide_mpp) as slide:
                add_field(writer, row, class_names.index(name), slide, settings.crop_px, settings.padding)
            if progress is not None:
                progress(row + 1, len(labelled))
        if len(named) < len(items):
            rule = "" if any(item.label for item in items) else FOLDERS
            writer.left_out.append(f"{len(items) - len(named)} of {len(items)} pictures have no class{rule}")
        writer.left_out += _of_one_set(labelled)
        if len(labelled) < len(named):
            writer.left_out.append(
                f"{len(named) - len(labelled)} pictures of classes that have more than {settings.most_per_class} were "
                "not drawn (most_per_class)"
            )
        return writer.finished(class_names, [item for item, _ in labelled])


def _class_of(item: SlideItem, classes: Mapping[str, str | None]) -> str | None:
    return classes.get(item.label, item.label) if item.label is not None else None


def _of_one_set(named: Sequence[tuple[SlideItem, str]]) -> list[str]:
    """Return a sentence on classes that one of several data sets has alone."""
    sets: dict[str, set[str]] = {}
    for item, name in named:
        sets.setdefault(name, set()).add(item.layout or "a plain folder")
    if len(set().union(*sets.values())) < 2:
        return []
    alone = [f"{name} (of {next(iter(of))})" for name, of in sorted(sets.items()) if len(of) == 1]
    if not alone:
        return []
    return [
        f"these classes come from one data set alone: {', '.join(alone)}. What tells them apart may be that set's "
        "scale, lamp and stain, and not the cell"
    ]


def _drawn(named: Sequence[tuple[SlideItem, str]], most: int | None, seed: int) -> Sequence[tuple[SlideItem, str]]:
    """Return so many pictures of each class at most, in their order."""
    if most is None:
        return named
    rank, seen = np.empty(len(named), np.int64), Counter[str]()
    for row in np.random.default_rng(seed).permutation(len(named)).tolist():
        rank[row] = seen[named[row][1]]
        seen[named[row][1]] += 1
    return [one for one, place in zip(named, rank.tolist(), strict=True) if place < most]


def add_field(
    writer: PatchWriter, row: int, truth: int, slide: Slide, crop_px: int | None = None, padding: Padding = "none"
) -> None:
    """Write the middle square of a picture, scaled to what the writer takes.

    Parameters
    ----------
    writer
        Of the set.
    row, truth
        Of the picture among the set's slides, and of its class among the class names.
    slide
        The picture.
    crop_px, padding
        As `FieldSettings` has them.

    Raises
    ------
    SlideError
        It is a whole slide, or cannot be read.
    """
    width, height = slide.info.size
    if max(width, height) > LARGEST_FIELD_PX:
        msg = f"{width} x {height} px is a whole slide and no field: extract patches of it first"
        raise SlideError(msg)
    mark = CellMark(row, truth, width / 2, height / 2)
    writer.add(mark, middle_square(slide, writer.side_px, crop_px, padding))


def _measured_diameters(patches: PatchSet, settings: FieldSettings) -> float:
    """Return how many diameters of a white cell a field is wide: the median of some fields.

    Raises
    ------
    UsageError
        No cell was found on any of them.
    """
    rows = np.unique(np.linspace(0, len(patches) - 1, min(len(patches), MOST_MEASURED)).round().astype(int))
    widths, finder = [], LearnedCellFinder.load(device=settings.training.device)
    for row in patches.slide[rows].tolist():
        with open_slide(patches.slides[row].path, mpp=settings.slide_mpp) as slide:
            diameter_px = diameter_of(find_cells(slide, finder))
            if diameter_px:
                widths.append(middle_px(slide, settings.crop_px, settings.padding) / diameter_px)
    if not widths:
        msg = f"no white cell was found on {len(rows)} fields to tell their scale: say patch_cell_diameters"
        raise UsageError(msg)
    return round(float(np.median(widths)), 2)
