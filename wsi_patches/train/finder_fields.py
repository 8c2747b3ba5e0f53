"""Fields to train a finder on: annotated photographs and painted smears, each at one scale and held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import boxes_of, read_annotations
from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.datasets import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.models.finder_network import FINDER_CLASSES
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import Smear, SmearSettings
from wsi_patches.synthetic.red_cells import RED_DIAMETER
from wsi_patches.train.finder_targets import FieldCells

__all__ = ["HELD_RED_CELL_PX", "FinderField", "paint_field", "read_field", "red_cell_px"]

HELD_RED_CELL_PX = 39.0
"""Diameter of a red cell in the fields that are held: half as fine again as the network's, so that crops may be of any
scale around it."""
WHITE_OVER_RED = 1.6
"""A white cell's diameter over a red cell's, for sets whose red cells nobody marked."""
LEAST_RED_CELLS = 3
EDGE_PX = 2
"""A box that ends so near to the image's border is that of a cut cell, whose size says nothing."""
UNSURE = 0.3
"""Weight of the places without red cell or platelet: annotators leave some of them out."""
PLATELET_DIAMETER = 0.21
"""Of a painted platelet, in diameters of a white cell."""


@dataclass(frozen=True)
class FinderField:
    """One image to cut crops from."""

    image: NDArray[np.uint8]
    """RGB ``(h, w, 3)``, red cells `HELD_RED_CELL_PX` wide."""
    cells: FieldCells
    empty_weight: NDArray[np.float32]
    """As `paint_targets` takes it."""


def read_field(item: SlideItem, usual_red_px: float) -> FinderField:
    """Read an annotated image.

    Parameters
    ----------
    item
        Its boxes name white cells, red cells and platelets as `FINDER_CLASSES` does; any other class is a white cell's.
    usual_red_px
        Diameter of a red cell in level-0 pixels, for an image in which too few are marked.

    Raises
    ------
    AnnotationError, SlideError, UsageError
        The image or its annotations cannot be read, or have no boxes.
    """
    with open_slide(item.path) as slide:
        size = slide.info.size
        marked = read_annotations(item.annotations, item.classes or None, size)
        scale = (_red_px(marked, size) or usual_red_px) / HELD_RED_CELL_PX
        image = slide.read_scaled(Box(0, 0, *size), scale) if scale > 1 else slide.read(Box(0, 0, *size), 0)
    if scale < 1:
        image = np.asarray(
            cv2.resize(image, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_LINEAR), np.uint8
        )
    x, y, radius = _whole_cells(marked, size)
    step = image.shape[1] / size.width
    cells = FieldCells((x + 0.5) * step - 0.5, (y + 0.5) * step - 0.5, radius * step, _kinds(marked))
    return FinderField(image, cells, _empty_weight(item.classes))


def _whole_cells(marked: Cells, size: Size) -> NDArray[np.float64]:
    """Return centre x and y and radius of each marked cell, level-0 pixels, as if no border had cut it, ``(3, n)``."""
    left, top, right, bottom = boxes_of(marked).T
    width, height = right - left + 1, bottom - top + 1
    # A border cuts one side of a cell; the other still says how large it is.
    whole = np.isfinite(_diameters(marked, size))
    radius = np.where(whole, np.sqrt(width * height), np.maximum(width, height)) / 2
    x = np.where(left < EDGE_PX, right - radius, np.where(right >= size.width - EDGE_PX, left + radius, marked.x))
    y = np.where(top < EDGE_PX, bottom - radius, np.where(bottom >= size.height - EDGE_PX, top + radius, marked.y))
    return np.stack([x, y, radius])


def paint_field(seed: int, side_px: int = 448, **look: float) -> FinderField:
    """Paint a smear whose every white cell, red cell and platelet is known.

    Parameters
    ----------
    seed
        Of look and layout.
    side_px
        Side of the image.
    **look
        Settings of the smear that are not to be drawn by chance.
    """
    diameter = HELD_RED_CELL_PX / RED_DIAMETER
    settings = SmearSettings.random(seed, cell_diameter_px=diameter, **look)
    smear = Smear(Size(side_px, side_px), settings)
    image, truth = smear.paint_window(Box(0, 0, side_px, side_px)), smear.cells
    xy = np.concatenate([truth.xy, smear.red.xy, smear.platelets.xy]).astype(np.float64)
    counts = (len(truth), len(smear.red.xy), len(smear.platelets.xy))
    usual = np.repeat([HELD_RED_CELL_PX / 2, PLATELET_DIAMETER * diameter / 2], counts[1:])
    radius = np.concatenate([truth.attributes["radius_px"], usual])
    seen = ((xy > -radius[:, None]) & (xy < side_px + radius[:, None])).all(axis=1)
    kinds = np.repeat(np.arange(3), counts)
    cells = FieldCells(xy[seen, 0], xy[seen, 1], radius[seen], kinds[seen])
    return FinderField(image, cells, np.array([1, 1, 1], np.float32))


def red_cell_px(items: Sequence[SlideItem]) -> float:
    """Return the usual diameter of a red cell of a set, level-0 pixels; from its white cells if no red one is marked.

    Raises
    ------
    UsageError
        No cell is marked in any of its images.
    """
    red: list[float] = []
    white: list[float] = []
    for item in items:
        with open_slide(item.path) as slide:
            size = slide.info.size
        marked = read_annotations(item.annotations, item.classes or None, size)
        diameter, kinds = _diameters(marked, size), _kinds(marked)
        for found, kind in ((white, 0), (red, 1)):
            found += diameter[(kinds == kind) & np.isfinite(diameter)].tolist()
    if not red and not white:
        msg = f"no cell is marked in any of {len(items)} images: a finder cannot learn how large cells are there"
        raise UsageError(msg)
    return float(np.median(red)) if len(red) >= LEAST_RED_CELLS else float(np.median(white)) / WHITE_OVER_RED


def _red_px(marked: Cells, size: Size) -> float | None:
    """Return the median diameter of an image's red cells, None where too few are marked."""
    diameter = _diameters(marked, size)[_kinds(marked) == FINDER_CLASSES.index("red_cell")]
    diameter = diameter[np.isfinite(diameter)]
    return float(np.median(diameter)) if len(diameter) >= LEAST_RED_CELLS else None


def _diameters(marked: Cells, size: Size) -> NDArray[np.float64]:
    """Return each cell's mean side of its box, NaN for one that the border cuts."""
    left, top, right, bottom = boxes_of(marked).T
    cut = (left < EDGE_PX) | (top < EDGE_PX) | (right >= size.width - EDGE_PX) | (bottom >= size.height - EDGE_PX)
    return np.where(cut, np.nan, (right - left + bottom - top) / 2 + 1)


def _kinds(marked: Cells) -> NDArray[np.int64]:
    """Return the index into `FINDER_CLASSES` of each cell."""
    known = {name: index for index, name in enumerate(FINDER_CLASSES)}
    kind_of = np.array([known.get(name, known[WHITE_CELL]) for name in marked.class_names], np.int64)
    return kind_of[marked.class_index]


def _empty_weight(classes: Sequence[str]) -> NDArray[np.float32]:
    return np.array([1, *(UNSURE if name in classes else 0 for name in FINDER_CLASSES[1:])], np.float32)
