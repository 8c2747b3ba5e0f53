"""Unsharp masking of lightness, and the loop that sharpens soft patches until they score as sharp.

Genovese et al., "Acute lymphoblastic leukemia detection based on adaptive unsharpening and deep learning", ICASSP 2021,
10.1109/ICASSP39728.2021.9414362.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.focus import FLAT_SCORE, PlaneScorer, Precision, fqpath, grey

__all__ = ["SharpenSettings", "Sharpened", "sharpen_adaptively", "unsharp"]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ under D65 (IEC 61966-2-1)."""
_TO_TRISTIMULUS = _TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)
"""The same, over the white point: L*a*b* uses nothing else."""
_FROM_TRISTIMULUS = np.linalg.inv(_TO_TRISTIMULUS).astype(np.float32)

_KNEE = 6 / 29
"""Below this cube root, L*a*b* goes on as a straight line."""
_SLOPE = 3 * _KNEE**2

_STEPS = 65536
"""Steps of linear light at which the sRGB curve is tabulated: at most 0.05 of a level apart."""


def _srgb_to_linear(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear light, 0 to 1, of sRGB values, 0 to 1."""
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB values, 0 to 1, of linear light, 0 to 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = _srgb_to_linear(np.arange(256) / 255).astype(np.float32)
_LEVEL = np.floor(255 * _linear_to_srgb((np.arange(_STEPS) + 0.5) / _STEPS) + 0.5).astype(np.uint8)


def unsharp(image: NDArray[np.uint8], radius_px: float, amount: float = 0.8) -> NDArray[np.uint8]:
    """Return an RGB image with its lightness sharpened, as MATLAB's and Octave's imsharpen do.

    ``L* + amount * (L* - blurred L*)`` in CIE L*a*b* under D65, a* and b* untouched. The blur is a Gaussian of standard
    deviation ``radius_px``, cut to ``4 * radius_px + 1`` pixels, over an edge pixel repeated outwards.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)``.
    radius_px
        Standard deviation of the blur, in pixels, above 0.
    amount
        How much of what the blur takes away is added, 0 or more.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``.

    Raises
    ------
    UsageError
        The image is not uint8 RGB, or a number is out of its range.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        message = f"sharpening takes a uint8 RGB image of shape (h, w, 3), not {image.dtype} of shape {image.shape}"
        raise UsageError(message)
    if not (math.isfinite(radius_px) and radius_px > 0 and math.isfinite(amount) and amount >= 0):
        message = f"sharpening takes a radius above 0 and an amount of 0 or more, not {radius_px} and {amount}"
        raise UsageError(message)
    lightness = _Lightness(*image.shape[:2])
    lightness.take_apart(image)
    return lightness.sharpened(radius_px, amount)


class _Lightness:
    """Images of one size, one after the other, each taken apart once to be sharpened at many radii.

    L*a*b* is made of three cube roots, ``L* = 116 y - 16``, ``a* = 500 (x - y)``, ``b* = 200 (y - z)``: to change L*
    alone is to add one number to all three. Memory is taken once: fresh memory costs more than the arithmetic.
    """

    def __init__(self, height: int, width: int) -> None:
        self._roots, self._spare, self._light = np.empty((3, height, width, 3), np.float32)
        self._y, self._added = np.empty((2, height, width), np.float32)

    def take_apart(self, image: NDArray[np.uint8]) -> None:
        """Make an RGB image, uint8 of shape ``(h, w, 3)``, the one to sharpen."""
        cv2.LUT(np.ascontiguousarray(image), _LINEAR, dst=self._light)
        tristimulus = cv2.transform(self._light, _TO_TRISTIMULUS, dst=self._spare)
        np.cbrt(tristimulus, out=self._roots)
        dark = tristimulus < _KNEE**3
        if dark.any():
            self._roots[dark] = tristimulus[dark] / np.float32(_SLOPE) + np.float32(4 / 29)
        np.copyto(self._y, self._roots[..., 1])

    def sharpened(self, radius_px: float, amount: float) -> NDArray[np.uint8]:
        """Return the image sharpened, uint8 of shape ``(h, w, 3)``."""
        side = 2 * math.ceil(2 * radius_px) + 1
        cv2.GaussianBlur(self._y, (side, side), radius_px, dst=self._added, borderType=cv2.BORDER_REPLICATE)
        added = np.subtract(self._y, self._added, out=self._added)
        added *= np.float32(amount)
        cv2.merge((added, added, added), dst=self._light)
        return self._to_rgb(np.add(self._roots, self._light, out=self._light))

    def _to_rgb(self, roots: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the colour of three cube roots, uint8 RGB; what sRGB cannot show is clipped."""
        tristimulus = np.multiply(roots, roots, out=self._spare)
        tristimulus *= roots
        dark = roots < _KNEE
        if dark.any():
            tristimulus[dark] = (roots[dark] - np.float32(4 / 29)) * np.float32(_SLOPE)
        light = cv2.transform(tristimulus, _FROM_TRISTIMULUS * _STEPS, dst=self._light)
        return _LEVEL.take(np.clip(light, 0, _STEPS - 1, out=self._light).astype(np.uint16))


@dataclass(frozen=True)
class SharpenSettings:
    """When a patch is soft, and how hard to try.

    Raises
    ------
    UsageError
        A number is out of its range.
    """

    threshold: float
    """A patch whose FQPath score is above this is soft. Scores hang on the size of the patch; the paper's 7.1 is for
    cells of ALL-IDB2 at 256 px."""
    amount: float = 0.8
    """How much of what the blur takes away is added."""
    tries: int = 9
    """How many radii are tried, in pixels: 1, 3, 5, ..."""
    keep: Literal["last", "best"] = "last"
    """What is kept where no radius brings the score down to the threshold: the last try, as in the reference, or the
    sharpest of the tries and the original. Scores bottom out near a radius of 9 to 11 px and rise again."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            message = f"the threshold of sharpening is a number, not {self.threshold}"
            raise UsageError(message)
        if not (math.isfinite(self.amount) and self.amount > 0):
            message = f"the amount of sharpening is above 0, not {self.amount}"
            raise UsageError(message)
        if not 1 <= self.tries <= 128:
            message = f"sharpening tries 1 to 128 radii, not {self.tries}"
            raise UsageError(message)
        if self.keep not in ("last", "best"):
            message = f'sharpening keeps "last" or "best", not {self.keep!r}'
            raise UsageError(message)


@dataclass(frozen=True)
class Sharpened:
    """Patches of which the soft ones were sharpened."""

    images: NDArray[np.uint8]
    """uint8 RGB of shape ``(n, h, w, 3)``."""
    radius_px: NDArray[np.uint8]
    """The radius that each was sharpened with, shape ``(n,)``; 0 for one left as it was."""
    score_before: NDArray[np.float64]
    """FQPath score of the originals, shape ``(n,)``."""
    score_after: NDArray[np.float64]
    """FQPath score of ``images``, shape ``(n,)``."""


def sharpen_adaptively(
    images: NDArray[np.uint8], settings: SharpenSettings, *, precision: Precision = "float32"
) -> Sharpened:
    """Sharpen the soft ones among patches, each with the first radius that brings its score down to the threshold.

    Every try starts from the original. Patches with nothing to judge (`FLAT_SCORE`) have nothing to sharpen and are
    left as they are; the reference runs them through all radii, which leaves flat ones flat.

    Parameters
    ----------
    images
        uint8 RGB of shape ``(n, h, w, 3)``; not changed.
    settings
        When a patch is soft, and how hard to try.
    precision
        Of the scores, as for `fqpath`.

    Raises
    ------
    UsageError
        The images are not a batch of uint8 RGB.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        message = f"adaptive sharpening takes uint8 RGB patches (n, h, w, 3), not {images.dtype} {images.shape}"
        raise UsageError(message)
    before = fqpath(images, precision=precision)
    radius, after, sharpened = np.zeros(len(images), np.uint8), before.copy(), images.copy()
    loop = _Loop(images.shape[1], images.shape[2], settings, precision)
    for soft in np.flatnonzero((before > settings.threshold) & (before < FLAT_SCORE)):
        sharpened[soft], radius[soft], after[soft] = loop.run(images[soft], before[soft])
    return Sharpened(sharpened, radius, before, after)


class _Loop:
    """The tries on one soft patch after the other, all of one size."""

    def __init__(self, height: int, width: int, settings: SharpenSettings, precision: Precision) -> None:
        self._settings = settings
        self._lightness = _Lightness(height, width)
        self._scorer = PlaneScorer(height, width, precision)

    def run(self, image: NDArray[np.uint8], score: float) -> tuple[NDArray[np.uint8], int, float]:
        """Return what is kept of the tries on a patch of this score: image, radius in pixels, score."""
        kept = (image, 0, score)
        self._lightness.take_apart(image)
        for radius in range(1, 2 * self._settings.tries, 2):
            tried = self._lightness.sharpened(radius, self._settings.amount)
            score = self._scorer.score(grey(tried))
            if self._settings.keep == "last" or score < kept[2]:
                kept = (tried, radius, score)
            if score <= self._settings.threshold:
                break
        return kept
