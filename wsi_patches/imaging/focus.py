"""How sharp a patch is: the FQPath score, and a cheap measure to screen with.

FQPath: Hosseini et al., "Focus quality assessment of high-throughput whole slide imaging in digital pathology", IEEE
Transactions on Medical Imaging 2019, arXiv 1811.06038. Scores are those of the authors' code, on which the thresholds
of Genovese et al., ICASSP 2021 (10.1109/ICASSP39728.2021.9414362) rest.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Container
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.focus_taps import filter_blocks

__all__ = ["FLAT_SCORE", "PlaneScorer", "Precision", "fqpath", "grey", "laplacian_variance"]

Precision = Literal["float64", "float32"]

FLAT_SCORE = 120.0
"""The score of what shows nothing to judge; every picture with detail scores far lower."""

GREY_WEIGHTS = (0.298936021293775, 0.587043074451121, 0.114020904255103)
"""MATLAB's rgb2gray."""

LEAST_RESPONSE = 1e-12
"""A filtered value nearer to zero than this, of a picture in 0 to 1, is none."""

DEPTHS = {"uint8": 1, "uint16": 257}
"""Kinds of samples that are scored, and how many of their levels are one of 0 to 255."""

BINS = 50
"""Bins of the histogram of the responses."""


def fqpath(images: NDArray[np.uint8] | NDArray[np.uint16], *, precision: Precision = "float64") -> NDArray[np.float64]:
    """Return the FQPath focus score: the higher, the blurrier.

    Real smears score from about 5 (sharp) to 12 (badly blurred). The score hangs on the size and the content of the
    picture: compare patches of one size only.

    Parameters
    ----------
    images
        uint8, or uint16 of which 65535 is white; grey or RGB: one of shape ``(h, w)`` or ``(h, w, 3)``, or a batch of
        shape ``(n, h, w)`` or ``(n, h, w, 3)``. Three axes of which the last has 3 are one RGB image. Any height and
        width. Grey is rounded to whole levels of its own depth, as MATLAB's rgb2gray does.
    precision
        Of the filters; "float32" is twice as fast and differs by some 1e-6.

    Returns
    -------
    float64 of shape ``()`` for one image or ``(n,)`` for a batch, always finite. `FLAT_SCORE` where there is nothing to
    judge: a flat picture, or fewer than six pixels with a response. Flat areas (saturated, or padding) are left out, so
    such a patch is scored by what it shows, and by the edge of the padding, which looks as sharp as its contrast.

    Raises
    ------
    UsageError
        The images are of another kind or shape, or have no pixel.
    """
    if precision not in ("float64", "float32"):
        message = f'precision is "float64" or "float32", not {precision!r}'
        raise UsageError(message)
    batch, shape = _batch(images, DEPTHS)
    scorer = PlaneScorer(batch.shape[1], batch.shape[2], precision)
    spare = np.empty(batch.shape[1:], np.int32)
    levels = (_grey_levels(image, spare) for image in batch)
    step = DEPTHS[str(images.dtype)]
    scores = [scorer.score(plane if step == 1 else plane / step) for plane in levels]
    return np.array(scores, np.float64).reshape(shape)


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return MATLAB's grey of uint8 images, rounded to whole levels; grey images are returned as they are.

    Parameters
    ----------
    images
        As for `fqpath`.

    Returns
    -------
    uint8 of shape ``(h, w)`` or ``(n, h, w)``.

    Raises
    ------
    UsageError
        As for `fqpath`.
    """
    batch, shape = _batch(images)
    if batch.ndim == 3:
        return images
    rows = batch.reshape(-1, batch.shape[2], 3)
    levels = _grey_levels(rows, np.empty(rows.shape, np.int32))
    return levels.astype(np.uint8).reshape(*shape, *batch.shape[1:3])


def _grey_levels(image: NDArray[Any], spare: NDArray[np.int32]) -> NDArray[Any]:
    """Return the grey levels of an RGB or grey image; ``spare``, of its shape, is written to."""
    if image.ndim == 2:
        return image
    np.copyto(spare, image)
    # From int32 OpenCV computes in float64 and rounds; no colour lies halfway between two levels.
    return np.asarray(cv2.transform(spare, np.array([GREY_WEIGHTS])))


def laplacian_variance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the variance of the Laplacian of the grey levels, a screen several times cheaper than `fqpath`.

    The higher, the sharper. It grows with contrast and with noise as much as with focus: good for putting patches of
    one slide in order, not for a threshold that holds on another slide.

    Parameters
    ----------
    images
        As for `fqpath`.

    Returns
    -------
    float64 of shape ``()`` or ``(n,)``, in squared grey levels; 0 for a flat picture.

    Raises
    ------
    UsageError
        As for `fqpath`.
    """
    batch, shape = _batch(images)
    edges = (cv2.Laplacian(grey(image), cv2.CV_16S, borderType=cv2.BORDER_REFLECT) for image in batch)
    return np.array([cv2.meanStdDev(edge)[1].item() ** 2 for edge in edges], np.float64).reshape(shape)


def said_of(shape: tuple[int, ...], dtype: str, depths: Container[str] = ("uint8",)) -> tuple[int, ...]:
    """Return the shape of what is said about images: ``()`` for one image, ``(n,)`` for a batch.

    Raises
    ------
    UsageError
        The images are not of one of these kinds, have another shape than `fqpath` takes, or have no pixel.
    """
    if dtype not in depths:
        message = (
            f"focus is scored on uint8 images, not on {dtype}: bring them to 0..255 first"
            " (full-range 16-bit levels: `(image // 257).astype('uint8')`)"
        )
        raise UsageError(message)
    sides = shape[:-1] if len(shape) in (3, 4) and shape[-1] == 3 else shape
    if len(sides) not in (2, 3) or 0 in sides[-2:]:
        message = f"focus is scored on images of shape (h, w), (h, w, 3), (n, h, w) or (n, h, w, 3), not {shape}"
        raise UsageError(message)
    return sides[:-2]


def _batch(images: NDArray[Any], depths: Container[str] = ("uint8",)) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return images as a batch, and the shape of what is said about them."""
    shape = said_of(images.shape, str(images.dtype), depths)
    return images if shape else images[None], shape


class PlaneScorer:
    """Scores grey planes of one size, one after the other, in memory that is taken once.

    Parameters
    ----------
    height, width
        Of the planes, in pixels.
    precision
        Of what is computed, but for the moment of the highest features, which is always float64.
    """

    def __init__(self, height: int, width: int, precision: Precision = "float64") -> None:
        self.precision = precision
        self._levels, self._steps, self._across, self._down = np.empty((4, height, width), precision)

    def score(self, levels: NDArray[Any]) -> float:
        """Return the FQPath score of one plane of grey levels from 0 to 255, fractions allowed, shape ``(h, w)``."""
        np.copyto(self._levels, levels)
        self._filter()
        lower = np.minimum(self._across, self._down, out=self._steps)
        higher = np.maximum(self._across, self._down, out=self._across)
        both = np.flatnonzero(_responding(lower, higher, self._levels))
        if len(both) == 0:
            return FLAT_SCORE
        return _score(np.maximum(lower.ravel().take(both), 0), higher.ravel().take(both))

    def _filter(self) -> None:
        """Filter the plane along its rows and along its columns."""
        levels, (height, width) = self._levels, self._levels.shape
        steps = np.subtract(levels[:, 1:], levels[:, :-1], out=self._steps[:, 1:])
        for block in filter_blocks(width, self.precision):
            np.matmul(steps[:, block.steps], block.matrix.T, out=self._across[:, block.rows])
        steps = np.subtract(levels[1:], levels[:-1], out=self._steps[1:])
        for block in filter_blocks(height, self.precision):
            np.matmul(block.matrix, steps[block.steps], out=self._down[block.rows])


def _score(lower: NDArray[Any], higher: NDArray[Any]) -> float:
    """Return the score of the pixels with a response, from the lower and the higher of each one's two responses."""
    kept = math.floor(_kept_share(lower, higher) * len(lower) + 0.5)
    if kept == 0:
        return FLAT_SCORE
    features = (np.sqrt(lower) + np.sqrt(higher)) ** 2
    top = np.partition(features, len(features) - kept)[-kept:].astype(np.float64)
    return score_of_moment(float(np.mean(np.square(np.square(top - top.mean())))))


def _responding(lower: NDArray[Any], higher: NDArray[Any], levels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels whose two responses are both positive.

    Along a flat line the authors' filter answers level * 8e-17, the sum of its taps, which is positive unless the line
    is black; here it answers exactly zero, which counts the same where the other axis has a response. Pixels in a flat
    area, with none along either axis, are left out: the authors' code takes or leaves them by an accident of rounding.
    """
    flat_one_way = (lower > -LEAST_RESPONSE) & (higher > LEAST_RESPONSE) & (levels > 0)
    return np.asarray(flat_one_way | (lower > LEAST_RESPONSE))


def _kept_share(lower: NDArray[Any], higher: NDArray[Any]) -> float:
    """Return the share of the features to keep, from the histogram of the responses: nearly always 0.09.

    The histogram is never made: its cumulative sum is all that is asked for, at the few bins that a bisection visits.
    """
    least = float(lower.min())
    width = (float(higher.max()) - least) / BINS

    def cumulated(bins: int) -> float:
        upto = least + bins * width
        return (np.count_nonzero(lower <= upto) + np.count_nonzero(higher <= upto)) / (2 * len(lower))

    first = cumulated(1)
    below = bisect_left(range(1, BINS), first + 0.95 * (1 - first), key=cumulated)
    spread = (least + (below - 0.5) * width) / (least + (BINS - 0.5) * width)
    return (1 - math.tanh(60 * (spread - 0.095))) / 4 + 0.09


def score_of_moment(moment: float) -> float:
    """Return the score that a fourth central moment comes to; none but rounding is flat, one past all bounds is 0."""
    if moment <= LEAST_RESPONSE**4:
        return FLAT_SCORE
    return -math.log10(moment) if math.isfinite(moment) else 0.0
