"""Masks of the white cell and its nucleus in an image of one cell, from colour alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.illumination import nuclear_absorbance
from wsi_patches.imaging.otsu import otsu_threshold, otsu_thresholds
from wsi_patches.imaging.regions import filled, opened, touching
from wsi_patches.imaging.rgb import rgb_image

__all__ = ["CellMasks", "MaskMethod", "cell_masks"]

Mask = NDArray[np.bool_]
MaskMethod = Literal["otsu", "hue"]
LEAST_ABSORBANCE = 0.1
"""Nuclear absorbance above the rest of the image from which there is a nucleus, natural-log units."""
LEAST_SATURATION = 15.0
"""The same for saturation, 0..255."""
LEAST_LIGHT = 32.0
"""Green light of glass, 0..255, below which colours are the camera's noise."""
GLASS_SHARE = 0.1
"""The brightest tenth of an image stands for glass."""
GLASS_LEVEL = 250.0
"""What glass is brought to, so that hue is that of the stain and not of the lamp."""
VIOLET_DEG = (200.0, 330.0)
"""Hue of azure: blue cytoplasm to purple nuclei. Red cells and eosin lie above."""
PALE_CYTOPLASM = 0.25
"""Saturation of the palest cytoplasm over that at which nuclei begin."""
REACH = 0.3
"""How far from its nucleus a cell goes, in diameters of the disc that is as large as the nucleus."""
SPECK = 0.015
"""Radius of what is no nucleus, over the shorter side of the image."""
THINNEST_CELL = 0.15
"""Radius of the disc that fits into a cell, but not between it and a red cell, in diameters of the nucleus."""
MIDDLE = 0.2
"""How far from the middle of the image a nucleus may begin, over the shorter side."""


class CellMasks(NamedTuple):
    """Where a cell and its nucleus lie."""

    cell: Mask
    """Nucleus and cytoplasm, bool ``(h, w)``."""
    nucleus: Mask
    """bool ``(h, w)``, inside ``cell``."""


def cell_masks(image: NDArray[np.uint8], method: MaskMethod = "otsu") -> CellMasks:
    """Return where the white cell of a single-cell image and its nucleus lie.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)`` around one white cell, which is about a third to all of its sides wide.
    method
        "otsu": the nucleus by Otsu's threshold of nuclear absorbance, the cell by the upper of two of green light.
        "hue": both by the violet hues of azure, more saturated in the nucleus, against the colour of glass.

    Returns
    -------
    Both empty where nothing stands out as a nucleus.

    Raises
    ------
    UsageError
        The method is unknown, or ``image`` is not one uint8 RGB image.
    """
    if method not in METHODS:
        msg = f"unknown method of masks {method!r}: use one of {', '.join(METHODS)}"
        raise UsageError(msg)
    image = rgb_image(image)
    if np.quantile(image[..., 1], 1 - GLASS_SHARE) < LEAST_LIGHT:
        return CellMasks(np.zeros(image.shape[:2], bool), np.zeros(image.shape[:2], bool))
    nucleus, stained = METHODS[method](image)
    nucleus = _in_the_middle(opened(nucleus, max(1, round(SPECK * min(image.shape[:2])))))
    diameter = 2 * np.sqrt(np.count_nonzero(nucleus) / np.pi)
    near = (stained | nucleus) & _within(nucleus, REACH * diameter)
    cell = filled(touching(opened(near, round(THINNEST_CELL * diameter)) | nucleus, nucleus))
    return CellMasks(cell, nucleus)


def _by_otsu(image: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Return where chromatin and where any stain is."""
    nucleus = _standing_out(_smooth(nuclear_absorbance(image)), LEAST_ABSORBANCE)
    green = _smooth(image[..., 1])
    thresholds = otsu_thresholds(green)
    return nucleus, np.zeros_like(nucleus) if thresholds is None else np.asarray(green <= thresholds[-1])


def _by_hue(image: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Return where chromatin and where azure is."""
    hsv = cv2.cvtColor(_smooth(_on_clear_glass(image)).astype(np.float32), cv2.COLOR_RGB2HSV)
    hue, saturation = hsv[..., 0], np.asarray(255 * hsv[..., 1], np.float32)
    violet = (hue > VIOLET_DEG[0]) & (hue < VIOLET_DEG[1])
    nucleus = violet & _standing_out(saturation, LEAST_SATURATION)
    return nucleus, violet & (saturation > PALE_CYTOPLASM * otsu_threshold(saturation))


METHODS: Mapping[str, Callable[[NDArray[np.uint8]], tuple[Mask, Mask]]] = {"otsu": _by_otsu, "hue": _by_hue}


def _standing_out(values: NDArray[np.float32], least: float) -> Mask:
    """Return what lies above Otsu's threshold; nothing where the two classes' means differ by less than ``least``."""
    above = values > otsu_threshold(values)
    if not above.any() or values[above].mean() - values[~above].mean() < least:
        return np.zeros_like(above)
    return np.asarray(above)


def _on_clear_glass(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with the colour of its brightest parts made white."""
    bright = image[..., 1] >= np.quantile(image[..., 1], 1 - GLASS_SHARE)
    glass = np.maximum(np.median(image[bright], axis=0), 1)
    return np.asarray(np.clip(image * (GLASS_LEVEL / glass), 0, 255), np.uint8)


def _in_the_middle(nucleus: Mask) -> Mask:
    """Return the pieces that reach into the middle of the image; all of them where none does."""
    height, width = nucleus.shape
    y, x = np.ogrid[:height, :width]
    middle = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) <= MIDDLE * min(height, width)
    central = touching(nucleus, middle)
    return central if central.any() else nucleus


def _within(mask: Mask, distance_px: float) -> Mask:
    if not mask.any():
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= distance_px)


def _smooth(values: NDArray[Any]) -> NDArray[Any]:
    return cv2.GaussianBlur(values, (0, 0), 1.0)
