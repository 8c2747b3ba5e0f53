"""One centred patch for each cell, and what a model says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import ModelError, ResolutionUnknown
from wsi_patches.geometry import Box
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier

__all__ = ["centred_patch", "classify_cells", "load_classifier"]

CELLS_AT_ONCE = 256


@lru_cache(maxsize=2)
def load_classifier(model: str, device: str) -> CellClassifier:
    """Return a cell classifier; each process loads it once.

    Raises
    ------
    ModelError
        There is no such model, or it does not tell blasts from other white cells.
    """
    from wsi_patches.models import CellClassifier

    classifier = CellClassifier.load(model, device)
    if tuple(classifier.card.classes) != ALL_IDB_CLASSES:
        found = ", ".join(classifier.card.classes)
        msg = f"model {model} tells {found}; counting blasts needs one that tells {', '.join(ALL_IDB_CLASSES)}"
        raise ModelError(msg)
    return classifier


def classify_cells(
    slide: Slide,
    cells: Cells,
    classifier: CellClassifier,
    diameter_px: float,
    progress: Callable[[int, int], None] | None = None,
    sharpen: SharpenSettings | None = None,
) -> tuple[Cells, NDArray[np.float64]]:
    """Classify one centred patch for each cell.

    Parameters
    ----------
    slide
        Where the cells were found.
    cells
        Their centres, level-0 pixels.
    classifier
        Its card says how large a patch is: in um where the slide states its resolution, else in cell diameters.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.
    progress
        Told how many cells are done.
    sharpen
        Sharpen soft patches first.

    Returns
    -------
    The cells with the classes ``blast`` and ``other`` and the probability of their class as score, and the
    probability of being a blast for each.
    """
    card, side = classifier.card, _patch_side(classifier, slide, diameter_px)
    blast = np.empty(len(cells), np.float64)
    for start in range(0, len(cells), CELLS_AT_ONCE):
        rows = range(start, min(start + CELLS_AT_ONCE, len(cells)))
        patches = np.stack([centred_patch(slide, cells.x[row], cells.y[row], side, card.input_px) for row in rows])
        if sharpen is not None:
            patches = sharpen_adaptively(patches, sharpen).images
        blast[start : rows.stop] = classifier.probabilities(patches)[:, ALL_IDB_CLASSES.index("blast")]
        if progress is not None:
            progress(rows.stop, len(cells))
    is_other = (blast < 0.5).astype(np.int32)
    score = np.where(is_other, 1 - blast, blast).astype(np.float32)
    return replace(cells, class_index=is_other, score=score, class_names=ALL_IDB_CLASSES), blast


def _patch_side(classifier: CellClassifier, slide: Slide, diameter_px: float) -> float:
    """Return how many level-0 pixels a model's patch is wide on this slide."""
    card, mpp = classifier.card, slide.info.mpp
    if card.patch_um is not None and mpp is not None:
        return card.patch_um / mpp
    if card.patch_cell_diameters is None:
        msg = (
            f"model {card.name} takes patches of {card.patch_um} um, and {slide.info.path} does not state its "
            "resolution: state it with --slide-mpp"
        )
        raise ResolutionUnknown(msg)
    return card.patch_cell_diameters * diameter_px


def centred_patch(slide: Slide, x: float, y: float, side: float, input_px: int) -> NDArray[np.uint8]:
    """Return the patch around a level-0 point, ``side`` level-0 pixels wide, at the size that the model takes."""
    whole = max(1, round(side))
    box = Box(round(x - whole / 2), round(y - whole / 2), whole, whole)
    patch = slide.read_scaled(box, max(whole / input_px, slide.info.levels[0].downsample))
    if patch.shape[:2] != (input_px, input_px):
        patch = np.asarray(cv2.resize(patch, (input_px, input_px), interpolation=cv2.INTER_LINEAR), np.uint8)
    return patch
