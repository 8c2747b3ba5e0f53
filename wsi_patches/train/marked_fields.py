"""What all trainings on fields share in which every white cell is marked: their settings, and who is on which side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.counting import CellFinder
from wsi_patches.datasets import SlideItem, assign_ids
from wsi_patches.datasets.splits import By, Split, SplitRow, make_split
from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import RED_CELL_PX
from wsi_patches.train.checks import check_ranges
from wsi_patches.train.classifier_settings import SHARES, TRAIN
from wsi_patches.train.counter_fields import (
    CountedField,
    CountedFields,
    Counts,
    FieldReader,
    FieldReading,
    counted_classes,
)
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.finder_crops import CropLook
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX

__all__ = ["MarkedFieldSettings", "SplitField", "batches_held", "split_fields", "trained_on"]

RANGES = {"batch_size": (2, 4096), "crop_px": (64, 1024), "split_seed": (0, 10**9)}


@dataclass(frozen=True, kw_only=True)
class MarkedFieldSettings:
    """What is learnt from marked fields, and how.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    """The model's name on its card."""
    counts: Counts = "blasts"
    """``blasts`` and other white cells, or ``white_cells`` alone."""
    classes: Mapping[str, str | None] = field(default_factory=dict)
    """What an annotated class is, where its name does not say: blast, other, or null to leave it out."""
    by: By = "patient"
    """What the split keeps together: patients (else slides), slides, or blocks of files."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of ``train``, ``validation`` (chooses the epoch, calibrates) and ``test``."""
    split_seed: int = 0
    crop_px: int = 192
    """Side of the crops, in pixels of the network's input, in which a red cell is 26 wide."""
    batch_size: int = 8
    look: CropLook
    """What a crop is put through each time that it is shown."""
    training: EngineSettings
    """Without ``steps_per_epoch`` an epoch shows as much as the fields hold."""
    licence: str = "as its training data allow"
    """Of the weights, for the card."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""

    CROP_MULTIPLE: ClassVar[int] = 16

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        if self.crop_px % self.CROP_MULTIPLE:
            msg = f"crop_px of this training must be a multiple of {self.CROP_MULTIPLE}, got {self.crop_px}"
            raise UsageError(msg)
        if set(self.shares) != set(SHARES):
            msg = f"shares of a training name {', '.join(SHARES)}, found {', '.join(self.shares) or 'none'}"
            raise UsageError(msg)
        if self.by == "none":
            msg = "crops of one slide must not be learnt and measured: split by patient, slide or block"
            raise UsageError(msg)
        self._check_classes()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that are learnt, in the order of the network's outputs."""
        return counted_classes(self.counts)

    def reading(self, finder: CellFinder[Any]) -> FieldReader:
        """Return how fields and their marks are read; a finder measures what no file states."""
        return FieldReading(self.counts, self.classes, finder, self.slide_mpp)

    def _check_classes(self) -> None:
        wrong = sorted({str(said) for said in self.classes.values()} - {*ALL_IDB_CLASSES, "None"})
        if wrong:
            msg = f"classes: an annotated class is blast, other or null (left out), found {', '.join(wrong)}"
            raise UsageError(msg)


@dataclass(frozen=True)
class SplitField:
    """One field of a training, and the side that it is on."""

    id: str
    item: SlideItem
    group: str
    """Patient, else slide."""
    split: str
    """``train``, ``validation`` or ``test``."""
    marked: CountedField


def split_fields(settings: MarkedFieldSettings, read: CountedFields) -> tuple[tuple[SplitField, ...], Split]:
    """Put whole patients, or slides, on one side, with and without blasts on each.

    Raises
    ------
    UsageError
        There are too few patients or slides, or all that hold blasts fall on one side.
    """
    ids, rows = assign_ids([(item.path, "") for item in read.slides]), []
    for one in read.fields:
        item, label = read.slides[one.slide], None
        if settings.class_names == ALL_IDB_CLASSES:
            label = "with blasts" if (one.class_index == 0).any() else "without blasts"
        rows.append(SplitRow(ids[one.slide], item.path, item.group, item.group_kind, label, ids[one.slide]))
    split = make_split(rows, settings.by, settings.shares, settings.split_seed)
    fields = tuple(
        SplitField(row.id, read.slides[one.slide], row.group or row.id, name, one)
        for one, row, name in zip(read.fields, rows, split.names, strict=True)
    )
    return fields, split


def batches_held(fields: Sequence[SplitField], settings: MarkedFieldSettings) -> int:
    """Return how many batches of crops show about as much as the fields hold, 1 or more."""
    area = sum(one.marked.field.image.size / 3 for one in fields)
    crop_px = settings.crop_px * HELD_RED_CELL_PX / RED_CELL_PX
    return max(1, round(area / crop_px**2 / settings.batch_size))


def trained_on(fields: Sequence[SplitField], settings: MarkedFieldSettings) -> str:
    """Return what a model learnt from, in a line for its card."""
    learnt = [one for one in fields if one.split == TRAIN]
    classes = settings.class_names
    found = np.sum([np.bincount(one.marked.class_index, minlength=len(classes)) for one in learnt], axis=0)
    told = ", ".join(f"{count} {name}" for count, name in zip(found.tolist(), classes, strict=True))
    layouts = sorted({one.item.layout or "a plain folder" for one in learnt})
    licences = sorted({one.item.licence for one in learnt if one.item.licence})
    terms = f"; data: {'; '.join(licences)}" if licences else ""
    return f"{told} on {len(learnt)} slides or fields ({', '.join(layouts)}){terms}"
