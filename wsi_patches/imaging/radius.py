"""Radius normalisation: single-cell images cut to the size of their cell, as before "Adaptive unsharpening".

Genovese et al., "Acute lymphoblastic leukemia detection based on adaptive unsharpening and deep learning", ICASSP 2021,
10.1109/ICASSP39728.2021.9414362; numbers as in the code published with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging.active_contour import chan_vese
from wsi_patches.imaging.bicubic import resize_bicubic
from wsi_patches.imaging.cell_masks import MaskMethod, cell_masks
from wsi_patches.imaging.comprehensive import comprehensive
from wsi_patches.imaging.ellipse import fit_ellipse
from wsi_patches.imaging.fcm import fuzzy_c_means
from wsi_patches.imaging.otsu import otsu_threshold
from wsi_patches.imaging.regions import closed_and_opened, filled, largest
from wsi_patches.imaging.rgb import rgb_image

__all__ = ["RadiusSettings", "Registered", "normalise_radius", "segment_cell"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RadiusSettings:
    """How a cell is outlined and cut; lengths are pixels of the image, which held 257 x 257 of them when published.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    outline: Literal["published"] | MaskMethod = "published"
    """How the cell is found: as published, or by `cell_masks`, which red cells that touch mislead less."""
    otsu_offset: float = 0.0
    """Added to Otsu's threshold of the normalised grey image, 0..1."""
    clusters: int = 3
    """Clusters of hue, saturation and value together."""
    clusters_kept: int = 2
    """Of them, those with the largest centres may hold the cell."""
    cluster_offset: float = 0.2
    """Added to Otsu's threshold of a cluster's membership, 0..1."""
    disk_px: int = 5
    """Radius of the disc that masks are closed and opened with."""
    iterations: int = 500
    """Most rounds of the active contour."""
    contraction_bias: float = -0.3
    """Below 0 the active contour grows; see `chan_vese`."""
    axis_scale: float = 1.5
    """Side of the cut over the cell's short axis."""
    size_px: int = 256
    """Side of the result."""

    def __post_init__(self) -> None:
        if self.outline not in ("published", *get_args(MaskMethod)):
            msg = f"unknown outline {self.outline!r}: use published, {' or '.join(get_args(MaskMethod))}"
            raise UsageError(msg)
        if self.clusters < 2 or not 1 <= self.clusters_kept <= self.clusters:
            msg = f"1 <= clusters_kept <= clusters and 2 clusters or more are needed, found {self}"
            raise UsageError(msg)
        if min(self.disk_px, self.iterations) < 0 or self.size_px < 1 or not self.axis_scale > 0:
            msg = f"disk_px, iterations >= 0, size_px >= 1 and axis_scale > 0 are needed, found {self}"
            raise UsageError(msg)


class Registered(NamedTuple):
    """One image cut to its cell."""

    image: NDArray[np.uint8]
    """RGB ``(size_px, size_px, 3)``; where ``status`` is "failed", the whole image resized."""
    axis_px: float
    """Full length of the short axis of the cell's ellipse, pixels of the image; NaN where there was none."""
    status: Literal["ok", "smaller", "failed"]
    """"smaller" where only the cell itself fits into the image, without the margin of ``axis_scale``; "failed" where
    no cell was outlined or not even the cell fits."""
    mask: Mask
    """Where the cell lies, of the image's shape."""


def normalise_radius(image: NDArray[np.uint8], settings: RadiusSettings | None = None) -> Registered:
    """Cut an image around its middle so that its cell has a set size, and resize.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)`` with one white cell in the middle.
    settings
        The published ones if not given.

    Raises
    ------
    UsageError
        ``image`` is not one uint8 RGB image.

    Notes
    -----
    The published code drops images whose cell does not fit and ends with an error where no ellipse is found; here they
    are flagged. Its middle is floor(side / 2) counted from 1.
    """
    image, settings = rgb_image(image), settings or RadiusSettings()
    mask = segment_cell(image, settings)
    ellipse = fit_ellipse(mask)
    if ellipse is None:
        return Registered(_resized(image, settings.size_px), np.nan, "failed", mask)
    radius = ellipse.short_px / 2
    scales: tuple[tuple[Literal["ok", "smaller"], float], ...] = (("ok", settings.axis_scale), ("smaller", 1.0))
    for status, scale in scales:
        cut = _cut(image, int(np.floor(radius * scale + 0.5)))
        if cut is not None:
            return Registered(_resized(cut, settings.size_px), ellipse.short_px, status, mask)
    return Registered(_resized(image, settings.size_px), ellipse.short_px, "failed", mask)


def segment_cell(image: NDArray[np.uint8], settings: RadiusSettings | None = None) -> Mask:
    """Return where the white cell of a single-cell image lies, bool ``(h, w)``.

    As published: the union of a mask by colour (Otsu's threshold after comprehensive normalisation) and one by fuzzy
    c-means of hue, saturation and value, moved to the cell's edge by an active contour.
    """
    image, settings = rgb_image(image), settings or RadiusSettings()
    if settings.outline != "published":
        return closed_and_opened(largest(cell_masks(image, settings.outline).cell), settings.disk_px)
    start = filled(_otsu_mask(image, settings) | _cluster_mask(image, settings))
    start = closed_and_opened(start, settings.disk_px)
    moved = chan_vese(image, start, settings.iterations, settings.contraction_bias)
    return closed_and_opened(filled(largest(moved)), settings.disk_px)


def _otsu_mask(image: NDArray[np.uint8], settings: RadiusSettings) -> Mask:
    normalised = np.clip(comprehensive(image), 0, 1).astype(np.float32)
    grey = np.rint(255 * cv2.cvtColor(normalised, cv2.COLOR_RGB2GRAY)).astype(np.uint8)
    return filled(largest(grey < otsu_threshold(grey) + 255 * settings.otsu_offset))


def _cluster_mask(image: NDArray[np.uint8], settings: RadiusSettings) -> Mask:
    hsv = _hsv(image)
    kept = fuzzy_c_means(hsv, settings.clusters).membership[:, -settings.clusters_kept :]
    mask = np.zeros(image.shape[:2], bool)
    for membership in kept.T.astype(np.float32):
        mask |= _above_otsu(cv2.cvtColor(membership[hsv], cv2.COLOR_RGB2GRAY), settings.cluster_offset)
    return filled(largest(mask))


def _above_otsu(values: NDArray[np.float32], offset: float) -> Mask:
    """Return what exceeds Otsu's threshold by ``offset``, after a stretch of the 1st to the 99th percentile to 0..1."""
    low, high = np.quantile(values, [0.01, 0.99])
    stretched = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray(stretched > otsu_threshold(stretched) + offset)


def _hsv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return hue, saturation and value, each over 0..255."""
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV) * np.array([1 / 360, 1, 1], np.float32)
    return np.asarray(np.rint(255 * hsv), np.uint8)


def _cut(image: NDArray[np.uint8], half_px: int) -> NDArray[np.uint8] | None:
    """Return the square of ``2 half_px + 1`` around the middle, or None where it leaves the image."""
    row, column = (max(side // 2 - 1, 0) for side in image.shape[:2])
    if half_px > min(row, column, image.shape[0] - 1 - row, image.shape[1] - 1 - column):
        return None
    return image[row - half_px : row + half_px + 1, column - half_px : column + half_px + 1]


def _resized(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    resized: NDArray[np.uint8] = resize_bicubic(image[None], Size(size_px, size_px))[0]
    return resized
