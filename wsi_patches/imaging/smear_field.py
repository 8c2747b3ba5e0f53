"""What a sample of a smear says of stain and scale: red cells are the yardstick of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.granulometry import foreground_mask, typical_diameter
from wsi_patches.imaging.illumination import log_green, nuclear_absorbance, surface

__all__ = [
    "CELL_OVER_NUCLEUS",
    "WORKING_DIAMETER_PX",
    "SmearField",
    "first_diameter",
    "nuclear_signal",
    "nuclei_mask",
    "shrunk",
    "stain_threshold",
    "surroundings",
    "white_cell_diameter",
]

WORKING_DIAMETER_PX = 28.0
"""A white cell is looked at this large: finer pixels add time, not cells."""
WHITE_OVER_RED = 2.1
"""A white cell's diameter over a red cell's typical thickness, which overlaps and pale middles make a bit too small."""
RED_LOST = 0.4
"""Quantile of the size distribution that stands for red cells; above it lie heaps of them."""
LEAST_RED_CELLS = 2
"""Red cells that a scale can be read from."""
LEAST_OVER_NUCLEUS = 1.1
"""A white cell is larger than its nucleus is thick by this at least, a blast being nearly all nucleus."""
CELL_OVER_NUCLEUS = 1.25
"""A white cell's diameter over that of its nucleus' hull."""
THINNEST_LOBE = 0.18
"""Thickness of the thinnest lobe of a nucleus, in white-cell diameters."""
NUCLEAR_HUE = 0.6
"""Nuclear absorbance over that of green: what is above is chromatin, what is below are red cells or cytoplasm."""
LEAST_REDS = 0.1
"""Share of what lies on the glass that must be red for a comparison with red cells."""
NUCLEUS_OVER_RED = 0.8
"""A nucleus' absorbance of green beyond blue, over a pale red cell's of green: at least this much."""
LEVEL_QUANTILE = 0.25
"""Glass and red cells together cover more of a field than this, even among leukemic blasts."""
GLASS_QUANTILE = 0.9
"""Log green below which cells lie; glass is the brightest of a field."""
GLASS_NOISE = 0.04
"""Absorbance that glass itself may show, natural-log units."""
TRIED_DIAMETERS_PX = np.geomspace(5.0, 180.0, 20)
"""Sizes of disc for the size distribution, from a red cell of a 0.8 um pixel to one of an immersion objective."""


@dataclass(frozen=True)
class SmearField:
    """One sample, measured; arrays of shape ``(h, w)``."""

    nuclear: NDArray[np.float32]
    """Nuclear absorbance above the surroundings."""
    green: NDArray[np.float32]
    """Absorbance of green over the glass."""
    cells: NDArray[np.uint8]
    """Where anything lies, 0 or 255."""
    level: NDArray[np.float32]
    """Nuclear absorbance of the surroundings."""

    @classmethod
    def of(cls, sample: NDArray[np.uint8]) -> SmearField:
        """Measure a uint8 RGB sample of shape ``(h, w, 3)``."""
        nuclear = nuclear_signal(sample)
        level = surroundings(nuclear)
        green = _green(sample)
        return cls(nuclear - level, green, foreground_mask(green, GLASS_NOISE), level)


def shrunk(image: NDArray[np.uint8], shrink: float) -> NDArray[np.uint8]:
    """Return an image with sides ``shrink`` times smaller, by area averaging."""
    height, width = image.shape[:2]
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def nuclear_signal(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the nuclear absorbance, smoothed over a pixel."""
    return _smooth(nuclear_absorbance(image))


def surroundings(nuclear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smooth level that nuclei rise from."""
    return surface(nuclear, LEVEL_QUANTILE)


def nuclei_mask(signal: NDArray[np.float32], threshold: float, diameter_px: float) -> NDArray[np.uint8]:
    """Return where nucleus is, 0 or 255, without what is thinner than any lobe, such as the fringes of rims."""
    mask = np.where(signal > threshold, 255, 0).astype(np.uint8)
    side = max(3, 2 * int(THINNEST_LOBE * diameter_px / 2) + 1)  # odd: an even one would move the nuclei
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.uint8)


def first_diameter(samples: Sequence[NDArray[np.uint8]]) -> float | None:
    """Return a first guess of a white cell's diameter, all that lies on the glass taken for red cells."""
    whole = typical_diameter([foreground_mask(_green(one), GLASS_NOISE) for one in samples], TRIED_DIAMETERS_PX)
    return None if whole is None else WHITE_OVER_RED * whole


def stain_threshold(fields: Sequence[SmearField], contrast: float) -> tuple[float, float]:
    """Return the threshold half way between red cells and nuclei, and the nuclei's typical absorbance.

    Parameters
    ----------
    fields
        Samples at the working scale.
    contrast
        Least distance between the two.
    """
    nuclear = np.concatenate([field.nuclear[field.cells > 0] for field in fields])
    green = np.concatenate([field.green[field.cells > 0] for field in fields])
    is_red = nuclear < NUCLEAR_HUE * green
    red, floor = 0.0, contrast
    # A field of blasts alone has no red cells to compare with.
    if np.count_nonzero(is_red) > LEAST_REDS * len(is_red):
        low, red = np.quantile(nuclear[is_red], [0.05, 0.25])
        faint = NUCLEUS_OVER_RED * np.quantile(green[is_red], 0.25)
        floor = float(max(red + contrast, red + 3 * (red - low), faint))
    above = nuclear[(nuclear > floor) & ~is_red]
    typical = float(np.quantile(above, 0.75)) if len(above) else floor
    return float(max(floor, (red + typical) / 2)), typical


def white_cell_diameter(fields: Sequence[SmearField], threshold: float, guess_px: float) -> float | None:
    """Return a white cell's diameter: from the red cells, or from the nuclei where there are hardly any.

    Parameters
    ----------
    fields
        Samples at the working scale.
    threshold
        What `stain_threshold` returned.
    guess_px
        The diameter that the working scale was chosen by.

    Returns
    -------
    Working pixels, or None where there is no nucleus.
    """
    nuclei = [nuclei_mask(field.nuclear, threshold, guess_px) for field in fields]
    nucleus = typical_diameter(nuclei, TRIED_DIAMETERS_PX)
    if nucleus is None:
        return None
    grown = [cv2.dilate(mask, np.ones((5, 5), np.uint8)) for mask in nuclei]
    reds = [np.where(mask > 0, 0, field.cells).astype(np.uint8) for field, mask in zip(fields, grown, strict=True)]
    red = typical_diameter(reds, TRIED_DIAMETERS_PX, lost=RED_LOST)
    area = sum(np.count_nonzero(mask) for mask in reds)
    if red is None or area < LEAST_RED_CELLS * np.pi / 4 * red**2:
        return CELL_OVER_NUCLEUS * nucleus
    return max(WHITE_OVER_RED * red, LEAST_OVER_NUCLEUS * nucleus)


def _green(sample: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the absorbance of green over the glass."""
    light = _smooth(log_green(sample))
    return surface(light, GLASS_QUANTILE) - light


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1.0), np.float32)
