"""One centred patch for each cell, and what a model says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.counting.centred import centred_patch, patch_side
from wsi_patches.errors import ModelError
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier

__all__ = ["FINDER_SCORE", "classify_cells", "load_classifier"]

CELLS_AT_ONCE = 256
FINDER_SCORE = "finder_score"
"""The attribute that keeps how sure the finder was, when the score becomes that of the class."""


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
    card, side = classifier.card, patch_side(slide, classifier.card, diameter_px)
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
    attributes = {**cells.attributes, FINDER_SCORE: cells.score}
    told = replace(cells, class_index=is_other, score=score, class_names=ALL_IDB_CLASSES, attributes=attributes)
    return told, blast
