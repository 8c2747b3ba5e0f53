"""Patches of single cells, painted black outside of the cell or of its nucleus."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.cell_masks import MaskMethod, cell_masks
from wsi_patches.imaging.rgb import rgb_batch

__all__ = ["Painted", "paint_outside"]

BLACK = 0
"""As the published sets of cut-out cells have it (C-NMC, and the segmented half of the four-class set)."""


class Painted(NamedTuple):
    """What is left of patches."""

    images: NDArray[np.uint8]
    """RGB ``(n, s, s, 3)``."""
    blank: NDArray[np.bool_]
    """In which no nucleus stood out, ``(n,)``: these are black all over."""


def paint_outside(images: NDArray[np.uint8], part: Literal["cell", "nucleus"], by: MaskMethod = "otsu") -> Painted:
    """Paint patches black outside of the cell in their middle, or of its nucleus.

    Parameters
    ----------
    images
        uint8 RGB ``(n, h, w, 3)``, each around one white cell.
    part
        What stays.
    by
        How it is found; see `cell_masks`.

    Raises
    ------
    UsageError
        The images are of another shape or kind, or there is no such method.
    """
    painted = np.full_like(rgb_batch(images), BLACK)
    blank = np.zeros(len(images), np.bool_)
    for row, image in enumerate(images):
        masks = cell_masks(image, by)
        shown = masks.cell if part == "cell" else masks.nucleus
        painted[row][shown] = image[shown]
        blank[row] = not masks.nucleus.any()
    return Painted(painted, blank)
