"""Masks of cells, as pictures, into cells: a place, a box and a radius for each region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wsi_patches.annotations.marks import Edges, Mark, cells_of
from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.errors import AnnotationError

__all__ = ["NUCLEUS_ABOVE", "cells_from_labels", "cells_from_mask"]

NUCLEUS_ABOVE = 127
"""Nuclei are white: in zxaoyou's masks, where cytoplasm is grey, and in BCCD's, whose edges are grey."""


def cells_from_mask(path: Path, class_name: str = WHITE_CELL, above: int = 0) -> Cells:
    """Read a cell for each 8-connected region of a mask.

    Parameters
    ----------
    path
        A picture; of a coloured one the brightest channel counts.
    class_name
        Of the cells.
    above
        Pixels brighter than this belong to cells: 0 takes whatever is not black, `NUCLEUS_ABOVE` white nuclei.

    Returns
    -------
    Cells at the centroids of the regions, from top to bottom, in pixels counted from 0, with boxes and ``radius_px``,
    the radius of a disc of the same area.

    Raises
    ------
    AnnotationError
        The file is no picture.
    """
    picture = _pixels(path, as_light=("1", "LA", "P"))
    brightness = picture if picture.ndim == 2 else picture[..., :3].max(axis=-1)
    regions, _ = ndimage.label(brightness > above, np.ones((3, 3)))
    return _cells(regions, class_name, path)


def cells_from_labels(path: Path, class_name: str = WHITE_CELL) -> Cells:
    """Read a cell for each value of a label picture, 0 being background; the cells may touch each other.

    Returns
    -------
    As `cells_from_mask` does, in the order of the values.

    Raises
    ------
    AnnotationError
        The file is no picture, or a coloured one.
    """
    labels = _pixels(path, as_light=("1", "LA"))
    if labels.ndim != 2:
        msg = f"{path}: expected a label picture of one channel, found {labels.shape[-1]} channels"
        raise AnnotationError(msg)
    values, regions = np.unique(labels, return_inverse=True)
    return _cells(regions.reshape(labels.shape) + (values[0] != 0), class_name, path)


def _pixels(path: Path, as_light: tuple[str, ...]) -> NDArray[Any]:
    """Return a picture as it is stored, or as grey if of some modes, shape ``(h, w)`` or ``(h, w, c)``."""
    try:
        with path.open("rb") as stream, Image.open(stream) as picture:
            return np.asarray(picture.convert("L") if picture.mode in as_light else picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        msg = f"{path} cannot be read as a mask: {error}"
        raise AnnotationError(msg) from error


def _cells(regions: NDArray[np.int64], class_name: str, path: Path) -> Cells:
    """Return a cell for each of the regions 1, 2 and so on, shape ``(h, w)``."""
    marks = []
    for number, place in enumerate(ndimage.find_objects(regions), start=1):
        rows, columns = place
        y, x = np.nonzero(regions[place] == number)
        box = Edges(columns.start, rows.start, columns.stop - 1, rows.stop - 1)
        radius = {"radius_px": float(np.sqrt(len(x) / np.pi))}
        marks.append(Mark(class_name, columns.start + x.mean(), rows.start + y.mean(), box, attributes=radius))
    return cells_of(marks, path)
