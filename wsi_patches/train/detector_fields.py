"""How large the marked cells of a field are: as their boxes or outlines say, else as a finder sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wsi_patches.annotations import BOX_COLUMNS, boxes_of, read_annotations
from wsi_patches.cells import Cells
from wsi_patches.counting import CellFinder, find_cells
from wsi_patches.models.cell_finder import RED_CELL_UM
from wsi_patches.models.cell_scale import WHITE_OVER_RED
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.train.counter_fields import CountedField, CountedFields
from wsi_patches.train.features import Progress
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX

__all__ = ["measured_fields"]

USUAL_PX = WHITE_OVER_RED * HELD_RED_CELL_PX / 2
"""Radius of a white cell of which nothing else is known, in a field that is held."""
SAME_PX = 1.5
"""A marked cell lies as near to itself, read once more."""
PLAUSIBLE = (0.3, 3.0)
"""Of `USUAL_PX`: a radius beyond is a slip of the mouse."""


def measured_fields(read: CountedFields, finder: CellFinder[Any], progress: Progress | None = None) -> CountedFields:
    """Give every marked cell of the fields its radius.

    Parameters
    ----------
    read
        Fields whose cells are points.
    finder
        Measures cells that are marked as points: each is as large as the found cell that it lies in, or as the field's
        usual one where it lies in none.
    progress
        Told how many fields are done, and of how many.

    Raises
    ------
    SlideError, AnnotationError
        A file that could be read can no longer be.
    """
    fields = []
    for done, one in enumerate(read.fields, 1):
        fields.append(_measured(one, read, finder))
        if progress is not None:
            progress(done, len(read.fields))
    return replace(read, fields=tuple(fields))


def _measured(one: CountedField, read: CountedFields, finder: CellFinder[Any]) -> CountedField:
    held = one.field.cells
    radius = _marked_radii(one, read)
    if not np.isfinite(radius).all():
        radius = np.where(np.isfinite(radius), radius, _found_radii(one, finder))
    return replace(one, field=replace(one.field, cells=replace(held, radius_px=radius)))


def _marked_radii(one: CountedField, read: CountedFields) -> NDArray[np.float64]:
    """Return the radius of each cell's box or outline in the held field's pixels, NaN where it is marked as a point."""
    item, held = read.slides[one.slide], one.field.cells
    with open_slide(item.path) as slide:
        size = slide.info.size
    marked = read_annotations(item.annotations, None, size)
    level0 = _radii(marked)
    if level0 is None or not len(held.x):
        return np.full(len(held.x), np.nan)
    height, width = one.field.image.shape[:2]
    step = np.array([width / size.width, height / size.height])
    away, row = cKDTree((marked.xy + 0.5) * step - 0.5).query(np.stack([held.x, held.y], axis=1))
    radius = level0[row] * step.mean()
    known = (away <= SAME_PX) & (radius >= PLAUSIBLE[0] * USUAL_PX) & (radius <= PLAUSIBLE[1] * USUAL_PX)
    return np.where(known, radius, np.nan)


def _radii(marked: Cells) -> NDArray[np.float64] | None:
    """Return the radius that marks say, level-0 pixels; None where they are points."""
    if "radius_px" in marked.attributes:
        return np.asarray(marked.attributes["radius_px"], np.float64)
    if not all(name in marked.attributes for name in BOX_COLUMNS):
        return None
    left, top, right, bottom = boxes_of(marked).T
    return np.asarray(np.sqrt((right - left + 1) * (bottom - top + 1)) / 2, np.float64)


def _found_radii(one: CountedField, finder: CellFinder[Any]) -> NDArray[np.float64]:
    """Return the radius of the found cell that each marked one lies in; the field's usual one where it lies in none."""
    held = one.field.cells
    # At a stated scale, so that nothing has to be calibrated anew.
    found = find_cells(ArraySlide(one.field.image, mpp=RED_CELL_UM / HELD_RED_CELL_PX), finder)
    sizes = found.attributes["radius_px"]
    if not len(found):
        return np.full(len(held.x), USUAL_PX)
    away, row = cKDTree(found.xy).query(np.stack([held.x, held.y], axis=1))
    return np.asarray(np.where(away <= sizes[row], sizes[row], np.median(sizes)), np.float64)
