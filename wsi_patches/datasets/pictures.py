"""Pictures of single cells and cut patches: how large a patch must be to hold each of them whole."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from wsi_patches.datasets.item import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.locations import path_of
from wsi_patches.slides.image import IMAGE_ERRORS

__all__ = ["LARGEST_PX", "picture_side", "picture_size"]

LARGEST_PX = 1024
"""A single cell's picture is smaller; what is larger is a field, or a scan that strayed among cells."""


def picture_side(items: Sequence[SlideItem]) -> int:
    """Return the longest side among pictures, in pixels; their headers alone are read.

    Pictures that cannot be read are left out: opening them says what is wrong with each.

    Raises
    ------
    UsageError
        A picture is larger than a picture of one cell can be, or none can be read.
    """
    sides = {item.path: max(size) for item in items if (size := picture_size(item.path)) is not None}
    if not sides:
        msg = f"none of the {len(items)} pictures can be read, such as {items[0].path}: give --patch-size to go on"
        raise UsageError(msg)
    path = max(sides, key=lambda name: sides[name])
    if sides[path] > LARGEST_PX:
        msg = (
            f"the pictures of this dataset show one cell or patch each, and {Path(path).name} is {sides[path]} px wide "
            f"or high, more than {LARGEST_PX}: say with --patch-size how large patches are to be"
        )
        raise UsageError(msg)
    return sides[path]


def picture_size(path: str) -> Size | None:
    """Return a picture's size by its header alone; None where that does not tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is in the pixels, which are not read
            with path_of(path).open("rb") as stream, Image.open(stream) as picture:
                return Size(*picture.size)
    except IMAGE_ERRORS:
        return None
