"""The set that is learnt from beside the one that a network is for: many labels a picture, or the slide of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_patches.datasets import GroupRule, SlideItem, find_inputs, with_groups
from wsi_patches.datasets.label_folder import find_label_table
from wsi_patches.datasets.multi_labels import BEFORE_FIRST_DOT, read_multi_labels
from wsi_patches.errors import UsageError
from wsi_patches.slides import open_slide
from wsi_patches.train.classifier import Progress
from wsi_patches.train.fields import add_field
from wsi_patches.train.patch_set import PatchSet, PatchWriter

__all__ = ["SourceSet", "SourceSettings", "cut_source"]


@dataclass(frozen=True)
class SourceSettings:
    """Which other set is learnt from.

    Raises
    ------
    UsageError
        The pattern is no regular expression, or captures nothing.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    folder: Path | None = None
    """Pictures and, where labels are learnt, one CSV table beside them: an image's name, and a 0 or 1 for each label;
    must be given."""
    labels: tuple[str, ...] | None = None
    """Columns of the table; all of them if None."""
    slide_pattern: str = BEFORE_FIRST_DOT.pattern or ""
    """A regular expression whose first part is the slide in a picture's name; ADP's by default."""

    def __post_init__(self) -> None:
        GroupRule(self.slide_pattern)


@dataclass(frozen=True)
class SourceSet:
    """Pictures of the source, and what is taught of them."""

    patches: PatchSet
    """Their classes are the slides."""
    labels: Tensor
    """float32 ``(n, labels)`` of 0 and 1, or the slide of each, int64 ``(n,)``."""
    outputs: int
    """How many logits the labels take."""

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def tells_slides(self) -> bool:
        """Whether a picture's slide is taught, not its labels."""
        return self.labels.ndim == 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many pictures bear each label, or come from each slide."""
        if self.tells_slides:
            return np.bincount(self.labels.numpy(), minlength=self.outputs)
        counts: NDArray[np.int64] = self.labels.numpy().sum(axis=0).astype(np.int64)
        return counts


def cut_source(
    settings: SourceSettings, input_px: int, learns_slides: bool, folder: Path, progress: Progress | None = None
) -> SourceSet:
    """Read the pictures of the source, each as large as the network takes it.

    Parameters
    ----------
    settings
        Which set.
    input_px
        Side of the network's input.
    learns_slides
        Whether the slide of each picture is taught: a label that costs nothing.
    folder
        Gets the pixels, in a file without a name.
    progress
        Told how many pictures are done, as ``slides``.

    Raises
    ------
    UsageError
        No folder is given, the table cannot be read, or the pictures are of one slide.
    """
    if settings.folder is None:
        msg = (
            "this recipe learns from a second set beside --data: name its folder with --source, or in the recipe as "
            "source: {folder: FOLDER}"
        )
        raise UsageError(msg)
    rule = GroupRule(settings.slide_pattern)
    if learns_slides:
        found = find_inputs([settings.folder])
        patches = _cut(_of_slides(found.items, rule), input_px, folder, progress)
        patches = replace(patches, left_out=(*found.problems, *patches.left_out))
        return SourceSet(patches, torch.from_numpy(patches.truth.astype(np.int64)), len(patches.class_names))
    table, images = find_label_table(settings.folder)
    read = read_multi_labels(table, images, settings.labels, rule)
    items = [SlideItem(path, group=one, group_kind="slide") for path, one in zip(read.paths, read.slides, strict=True)]
    patches = _cut(items, input_px, folder, progress)
    labels = torch.from_numpy(read.values[patches.slide].astype(np.float32))
    return SourceSet(patches, labels, len(read.names))


def _of_slides(pictures: Sequence[SlideItem], rule: GroupRule) -> list[SlideItem]:
    items = with_groups(pictures, rule)
    untold = [item.path for item in items if item.group is None]
    if untold:
        msg = f"{len(untold)} of {len(items)} pictures name no slide, such as {untold[0]}: set source: slide_pattern"
        raise UsageError(msg)
    return items


def _cut(items: Sequence[SlideItem], input_px: int, folder: Path, progress: Progress | None) -> PatchSet:
    with PatchWriter(folder, input_px) as writer:
        for row, item in enumerate(items):
            with writer.slide(item.path), open_slide(item.path) as slide:
                add_field(writer, row, 0, slide)
            if progress is not None:
                progress("slides", row + 1, len(items))
        # Numbered only now: a slide of which no picture could be read is no class.
        slides = sorted({str(items[mark.slide].group) for mark in writer.marks})
        numbers = {slide: number for number, slide in enumerate(slides)}
        writer.marks = [replace(mark, truth=numbers[str(items[mark.slide].group)]) for mark in writer.marks]
        return writer.finished(slides, items)
