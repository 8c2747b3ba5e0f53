"""Patches centred on painted white cells, from many differently stained smears: what a first classifier learns from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.synthetic.settings import SmearSettings
from wsi_patches.synthetic.smear import paint_smear

__all__ = ["paint_cell_patches"]

CELLS_EACH = 16
"""White cells on each small smear: few enough that a set of patches has many stains."""
FIELD_DIAMETERS = 6.5
SCALE_SPREAD = 0.15
CENTRE_SPREAD = 0.06


def paint_cell_patches(
    count: int, seed: int, size_px: int = 64, cell_diameters: float = 2.0
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Paint patches of white cells in their surroundings, blasts and others in equal numbers on average.

    Each patch is cut around a cell's centre and resized. A finder is not exact: the centre is moved by about 0.06 cell
    diameters and the side drawn within 15 %.

    Parameters
    ----------
    count
        How many patches.
    seed
        Equal seeds give equal patches.
    size_px
        Side of a patch, pixels.
    cell_diameters
        What the side covers, in the smear's typical white cell diameters.

    Returns
    -------
    images
        RGB uint8, shape ``(count, size_px, size_px, 3)``.
    class_index
        Index into `ALL_IDB_CLASSES`, int32, shape ``(count,)``: 0 for blasts, 1 for others.

    Raises
    ------
    UsageError
        A value is out of range.
    """
    if count < 0 or size_px < 1 or not 0.2 <= cell_diameters <= 8:
        msg = (
            f"count >= 0, size_px >= 1, cell_diameters in 0.2..8 are needed, found {count}, {size_px}, {cell_diameters}"
        )
        raise UsageError(msg)
    images = np.empty((count, size_px, size_px, 3), np.uint8)
    class_index = np.empty(count, np.int32)
    for smear, first in enumerate(range(0, count, CELLS_EACH)):
        last = min(first + CELLS_EACH, count)
        rng = np.random.default_rng([seed, 7601, smear])
        patches, classes = _patches_of_one_smear(rng, size_px, cell_diameters)
        images[first:last], class_index[first:last] = patches[: last - first], classes[: last - first]
    return images, class_index


def _patches_of_one_smear(
    rng: np.random.Generator, size_px: int, cell_diameters: float
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    blasts = int(rng.binomial(CELLS_EACH, 0.5))
    margin = 0.6 * cell_diameters * (1 + SCALE_SPREAD)
    settings = SmearSettings.random(
        int(rng.integers(1 << 31)),
        blasts=blasts,
        others=CELLS_EACH - blasts,
        margin_diameters=margin,
        cell_diameter_px=float(rng.uniform(34, 66)),
    )
    side = int(settings.cell_diameter_px * (FIELD_DIAMETERS + 2 * margin))
    pixels, cells = paint_smear(Size(side, side), settings)
    side_px = cell_diameters * settings.cell_diameter_px
    return np.stack([_cut(rng, pixels, cells, row, side_px, size_px) for row in range(len(cells))]), cells.class_index


def _cut(
    rng: np.random.Generator, pixels: NDArray[np.uint8], cells: Cells, row: int, side_px: float, size_px: int
) -> NDArray[np.uint8]:
    moved = np.clip(rng.normal(0, CENTRE_SPREAD, 2), -0.15, 0.15) * side_px / 2
    half = round(side_px / 2 * rng.uniform(1 - SCALE_SPREAD, 1 + SCALE_SPREAD))
    x, y = np.clip(np.floor(cells.xy[row] + moved + 0.5).astype(int), half, np.array(pixels.shape[1::-1]) - half)
    shrinks = 2 * half > size_px
    return np.asarray(
        cv2.resize(
            pixels[y - half : y + half, x - half : x + half],
            (size_px, size_px),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        ),
        np.uint8,
    )
