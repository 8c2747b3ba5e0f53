"""Images that bear many labels: pixels in a file, so that memory stays flat however many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets import assign_ids
from wsi_patches.datasets.multi_labels import MultiLabels
from wsi_patches.datasets.splits import Split, SplitRow, group_warning, make_label_shares
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.slides import open_slide
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.middle import middle_square
from wsi_patches.train.patch_set import patch_side_px

__all__ = ["LabelSet", "LabelView", "cut_labels", "split_labels"]

Counted = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelSet:
    """Images that were read, and the labels that they bear."""

    labels: MultiLabels
    images: NDArray[np.uint8]
    """RGB ``(n, s, s, 3)``, read from a file as needed."""
    left_out: tuple[str, ...] = ()
    """Sentences: images that could not be read."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ids(self) -> NDArray[np.str_]:
        """A name for each image, shape ``(n,)``."""
        return np.array(assign_ids([(path, "") for path in self.labels.paths]), str)


@dataclass(frozen=True)
class LabelView:
    """Some images of a set, as the network sees them: without the margin that augmentation needs."""

    patches: LabelSet
    rows: NDArray[np.int64]
    input_px: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def values(self) -> NDArray[np.uint8]:
        """1 where an image bears a label, else 0; shape ``(n, labels)``."""
        return self.patches.labels.values[self.rows]

    def read(self, positions: object) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, input_px, input_px, 3)``."""
        first = (self.patches.images.shape[1] - self.input_px) // 2
        inner = slice(first, first + self.input_px)
        return np.asarray(self.patches.images[self.rows[np.asarray(positions, np.int64)]][:, inner, inner])


def cut_labels(settings: LabelSettings, labels: MultiLabels, folder: Path, progress: Counted | None = None) -> LabelSet:
    """Read the middle square of each image, as large as the network takes it.

    Parameters
    ----------
    settings
        How much of an image is shown, and the network's input.
    labels
        The images.
    folder
        Gets the pixels, in a file without a name; made if absent.
    progress
        Told how many images are done, and of how many.

    Raises
    ------
    UsageError
        No image can be read.
    """
    side_px = patch_side_px(settings.input_px, settings.augmentation.margin)
    folder.mkdir(parents=True, exist_ok=True)
    kept, left_out = list[int](), list[str]()
    with TemporaryFile(dir=folder) as stream:
        for row, path in enumerate(labels.paths):
            try:
                with open_slide(path, mpp=settings.slide_mpp) as slide:
                    stream.write(middle_square(slide, side_px, settings.crop_px).tobytes())
                kept.append(row)
            except SlideError as error:
                left_out.append(f"{path} was left out: {error}")
            if progress is not None:
                progress(row + 1, len(labels))
        if not kept:
            msg = f"none of {len(labels)} images can be read: {left_out[0]}"
            raise UsageError(msg)
        stream.flush()
        images = np.memmap(stream, np.uint8, "r", shape=(len(kept), side_px, side_px, 3))
    read = MultiLabels(
        tuple(labels.paths[row] for row in kept), labels.names, labels.values[kept],
        tuple(labels.slides[row] for row in kept),
    )  # fmt: skip
    return LabelSet(read, images, tuple(left_out))


def split_labels(patches: LabelSet, settings: LabelSettings) -> tuple[Split, NDArray[np.str_]]:
    """Deal whole slides, or images, to splits, so that each gets its share of the images that bear each label.

    Returns
    -------
    The split, a row an image, and the name of each image's split, shape ``(n,)``.

    Raises
    ------
    UsageError
        There are too few slides.
    """
    labels, ids = patches.labels, patches.ids.tolist()
    groups = labels.slides if settings.by == "slide" else ids
    dealt = make_label_shares(labels.values, groups, settings.shares, settings.split_seed)
    names = np.array(list(settings.shares), str)[dealt]
    rows = tuple(
        SplitRow(one, path, slide, "slide", None, slide)
        for one, path, slide in zip(ids, labels.paths, labels.slides, strict=True)
    )
    warnings = (
        group_warning(rows, settings.by),
        _torn(labels.slides, names),
        _unlearnt(labels, names, settings.shares),
    )
    told = tuple(one for one in warnings if one)
    split = Split(rows, tuple(names.tolist()), settings.by, settings.split_seed, dict(settings.shares), told)
    return split, names


def _torn(slides: tuple[str, ...], names: NDArray[np.str_]) -> str | None:
    """Return a sentence where patches of a slide lie in several splits."""
    places: dict[str, set[str]] = {}
    for slide, name in zip(slides, names.tolist(), strict=True):
        places.setdefault(slide, set()).add(name)
    torn = sum(len(found) > 1 for found in places.values())
    if not torn:
        return None
    return f"patches of {torn} of {len(places)} slides lie on both sides of the split: its figures flatter"


def _unlearnt(labels: MultiLabels, names: NDArray[np.str_], shares: Mapping[str, float]) -> str | None:
    """Return a sentence where a split has no image of some labels."""
    told = []
    for one in shares:
        absent = [labels.names[i] for i in np.flatnonzero(~labels.values[names == one].any(axis=0)).tolist()]
        told += [f"{one} has no image with {', '.join(absent)}"] if absent else []
    return "; ".join(told) or None
