"""The middle square of a picture, which is what a network of whole pictures is shown of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsi_patches.counting.centred import centred_patch
from wsi_patches.geometry import Box
from wsi_patches.slide import Slide
from wsi_patches.slides import ArraySlide

__all__ = ["Padding", "middle_px", "middle_square"]

Padding = Literal["none", "black"]


def middle_px(slide: Slide, crop_px: int | None, padding: Padding = "none") -> int:
    """Return the side of what is shown of a picture, in its own pixels.

    Parameters
    ----------
    slide
        The picture.
    crop_px
        The side that is asked for; all that fits if None.
    padding
        Of a picture that is smaller: ``none`` shows what fits, ``black`` is put around it.
    """
    fits = min(slide.info.size)
    if crop_px is None:
        return fits
    return crop_px if padding == "black" else min(fits, crop_px)


def middle_square(
    slide: Slide, side_px: int, crop_px: int | None = None, padding: Padding = "none"
) -> NDArray[np.uint8]:
    """Return the middle square of a picture, uint8 RGB ``(side_px, side_px, 3)``.

    Parameters
    ----------
    slide, crop_px, padding
        As in `middle_px`.
    side_px
        Side of what is returned.

    Raises
    ------
    SlideError
        The picture cannot be read.
    """
    width, height = slide.info.size
    shown = middle_px(slide, crop_px, padding)
    if shown <= min(width, height):
        return centred_patch(slide, width / 2, height / 2, shown, side_px)
    return centred_patch(ArraySlide(_on_black(slide, shown)), shown / 2, shown / 2, shown, side_px)


def _on_black(slide: Slide, side: int) -> NDArray[np.uint8]:
    """Return the middle of a picture on a black square, as torchvision's CenterCrop, the odd pixel right and below."""
    width, height = slide.info.size
    shown = Box(_first(width, side), _first(height, side), min(width, side), min(height, side))
    x, y = (side - shown.width) // 2, (side - shown.height) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[y : y + shown.height, x : x + shown.width] = slide.read(shown, 0)
    return square


def _first(size: int, side: int) -> int:
    return max(0, round((size - side) / 2))
