"""At which focus score to sharpen, tuned on labelled patches of single cells.

Genovese et al., "Acute Lymphoblastic Leukemia Detection Based on Adaptive Unsharpening and Deep Learning", ICASSP 2021
(10.1109/ICASSP39728.2021.9414362): first the threshold after which focus says least about the class, then, near it, the
one after which neighbours in PCANet's space most often agree. Which of an image's sharpened versions a threshold picks
follows from the scores of all of them, so each image is sharpened and scored once for all thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.imaging.bicubic import resize_bicubic
from wsi_patches.imaging.focus import FLAT_SCORE, fqpath, grey
from wsi_patches.imaging.pcanet import PCANet
from wsi_patches.imaging.sharpen import SharpenSettings, unsharp

__all__ = ["THRESHOLDS", "ThresholdCurve", "leave_one_out_accuracy", "tune_by_accuracy", "tune_by_correlation"]

THRESHOLDS = tuple(round(9 - step / 10, 1) for step in range(30))
"""What `tune_by_correlation` tries: 9.0, 8.9 ... 6.1."""
CANDIDATES = 11
"""How many `tune_by_accuracy` tries, 0.1 apart."""
SMALL = Size(128, 128)
"""The size that the reference tunes at, pixels."""
IMAGES_AT_ONCE = 64
"""How many images are held sharpened, to save memory."""

Sharpen = Callable[[NDArray[np.uint8], int, float], NDArray[np.uint8]]
"""RGB image, radius in pixels and amount to RGB image, as `unsharp`."""
Score = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""RGB images of shape ``(n, h, w, 3)`` to scores of shape ``(n,)``, as `fqpath`."""


@dataclass(frozen=True)
class ThresholdCurve:
    """What was tried and what came of it."""

    thresholds: tuple[float, ...]
    """Focus scores above which an image was sharpened."""
    values: tuple[float, ...]
    """For each threshold |Pearson's correlation| of score and class, NaN where all scores are equal; or the share of
    images whose nearest neighbour is of their class."""
    chosen: float
    """The threshold of the least correlation, or of the highest accuracy; the highest of several."""
    how: Literal["correlation", "accuracy"]
    """What the values are."""

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; NaN becomes None."""
        values = [None if math.isnan(value) else value for value in self.values]
        return {"thresholds": list(self.thresholds), "values": values, "chosen": self.chosen, "how": self.how}


def tune_by_correlation(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    settings: SharpenSettings | None = None,
    *,
    parity: bool = False,
    sharpen: Sharpen = unsharp,
    score: Score = fqpath,
) -> ThresholdCurve:
    """Find the threshold after which the focus score says least about the class.

    Images are brought to 128 x 128 and sharpened there, as in the reference. Leave flat images out: they score 120, and
    a few of them rule any correlation.

    Parameters
    ----------
    images
        RGB uint8 of shape ``(n, h, w, 3)``, a cell each.
    labels
        Class of each image, shape ``(n,)``; exactly two classes.
    settings
        How images are sharpened; the threshold in it is not used. The reference's if not given.
    parity
        Subtract each image's mean from it before all else, where uint8 ends at 0, as the reference's code happens to
        do: half of the light is lost. In float the subtraction would change no score, since FQPath does not respond to
        a constant; so by default nothing is subtracted.
    sharpen, score
        What sharpens an image and what scores a batch.

    Raises
    ------
    UsageError
        Images or labels are not as above, or the score is the same for all images at every threshold.
    """
    classes = _classes(images, labels)
    if classes.max() != 1:
        msg = f"a threshold is tuned by correlation on exactly two classes, found {classes.max() + 1}"
        raise UsageError(msg)
    small = resize_bicubic(_less_their_means(images) if parity else images, SMALL)
    tried = _Tried.of(small, _lowest(settings, THRESHOLDS), sharpen, score)
    values = [abs(_correlation(tried.kept(tried.scores, threshold), classes)) for threshold in THRESHOLDS]
    if np.isnan(values).all():
        msg = "a threshold cannot be tuned by correlation: the focus score is the same for all images"
        raise UsageError(msg)
    return ThresholdCurve(THRESHOLDS, tuple(values), THRESHOLDS[int(np.nanargmin(values))], "correlation")


def tune_by_accuracy(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    th0: float,
    settings: SharpenSettings | None = None,
    *,
    sharpen: Sharpen = unsharp,
    score: Score = fqpath,
) -> ThresholdCurve:
    """Find the threshold near another after which nearest neighbours most often are of one class.

    Images are sharpened in their own size, then made grey and 128 x 128; PCANet's filters are learnt anew for each
    threshold.

    Parameters
    ----------
    images
        RGB uint8 of shape ``(n, h, w, 3)``, a cell each.
    labels
        Class of each image, shape ``(n,)``; two or more classes.
    th0
        Where to look: from ``th0 - 0.5`` to ``th0 + 0.5``; what `tune_by_correlation` chose.
    settings
        How images are sharpened; the threshold in it is not used. The reference's if not given.
    sharpen, score
        What sharpens an image and what scores a batch.

    Raises
    ------
    UsageError
        Images, labels or th0 are not as above, or PCANet cannot learn from the images (no contrast, or only noise).
    """
    classes = _classes(images, labels)
    if not math.isfinite(th0):
        msg = f"th0 must be a focus score, found {th0}"
        raise UsageError(msg)
    start = round(float(th0) - 0.5, 1)
    thresholds = tuple(round(start + step / 10, 1) for step in range(CANDIDATES))
    tried = _Tried.of(images, _lowest(settings, thresholds), sharpen, score)
    found: dict[bytes, float] = {}
    values = []
    for threshold in thresholds:
        # Neighbouring thresholds often pick the very same versions.
        picked = tried.steps(threshold).tobytes()
        if picked not in found:
            small = tried.kept(tried.greys, threshold)
            found[picked] = leave_one_out_accuracy(PCANet.fit(small).features(small), classes)
        values.append(found[picked])
    _, chosen = max(zip(values, thresholds, strict=True))
    return ThresholdCurve(thresholds, tuple(values), chosen, "accuracy")


def leave_one_out_accuracy(features: sparse.csr_array, labels: ArrayLike) -> float:
    """Return the share of images whose nearest neighbour, by Euclidean distance, has their label.

    An image is left out of its own neighbours by its index; of equally near ones the first counts. (The reference takes
    the second smallest distance and the first image at it, which may be the image itself where another one equals it.)

    Parameters
    ----------
    features
        Sparse array of shape ``(n, d)``.
    labels
        Shape ``(n,)``.

    Raises
    ------
    UsageError
        There are fewer than two images, or not as many labels.
    """
    names = np.asarray(labels)
    if features.shape[0] < 2 or names.shape != features.shape[:1]:
        msg = f"two images or more and a label for each are needed, found {features.shape[0]} and {names.shape}"
        raise UsageError(msg)
    # Most of the 2**k codes never occur, and a transposed array would need memory for each of them.
    seen, columns = np.unique(features.indices, return_inverse=True)
    parts = (features.data.astype(np.float64), columns, features.indptr)
    compact = sparse.csr_array(parts, shape=(len(names), len(seen)))
    products = (compact @ compact.T).toarray()
    squares = products.diagonal()
    distances = squares[:, None] + squares - 2 * products
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(names[distances.argmin(axis=1)] == names))


@dataclass(frozen=True, eq=False)
class _Tried:
    """Images as they are, and sharpened with every radius that any threshold may ask for."""

    settings: SharpenSettings
    scores: NDArray[np.float64]
    """Shape ``(n, 1 + tries)``, the images' own first; NaN where an earlier one is low enough for every threshold."""
    greys: NDArray[np.uint8]
    """Shape ``(n, 1 + tries, 128, 128)``; 0 where the score is NaN."""

    @classmethod
    def of(cls, images: NDArray[np.uint8], lowest: SharpenSettings, sharpen: Sharpen, score: Score) -> _Tried:
        """Sharpen images until they are not above the lowest threshold."""
        versions = (len(images), 1 + lowest.tries)
        # Zeros take memory only where they are overwritten.
        tried = cls(lowest, np.full(versions, np.nan), np.zeros((*versions, SMALL.height, SMALL.width), np.uint8))
        for first in range(0, len(images), IMAGES_AT_ONCE):
            tried._fill(images, np.arange(first, min(first + IMAGES_AT_ONCE, len(images))), sharpen, score)
        return tried

    def _fill(self, images: NDArray[np.uint8], which: NDArray[np.intp], sharpen: Sharpen, score: Score) -> None:
        version = images[which]
        for step in range(self.scores.shape[1]):
            if step > 0:
                which = which[_soft(self.scores[which, step - 1], self.settings.threshold)]
                if len(which) == 0:
                    return
                version = np.stack([sharpen(images[index], 2 * step - 1, self.settings.amount) for index in which])
            self.scores[which, step] = score(version)
            self.greys[which, step] = resize_bicubic(grey(version), SMALL)

    def steps(self, threshold: float) -> NDArray[np.intp]:
        """Return which version of each image a threshold keeps, shape ``(n,)``: the first that is not soft."""
        soft = _soft(self.scores, threshold)
        if self.settings.keep == "best":
            otherwise = np.nanargmin(self.scores, axis=1)
        else:
            otherwise = np.full(len(soft), soft.shape[1] - 1)
        return np.asarray(np.where(soft.all(axis=1), otherwise, soft.argmin(axis=1)))

    def kept(self, versions: NDArray[Any], threshold: float) -> NDArray[Any]:
        """Return one version of each image of ``scores`` or ``greys``."""
        return versions[np.arange(len(versions)), self.steps(threshold)]


def _soft(scores: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Say which scores ask for more sharpening; flat images have nothing to sharpen, as in `sharpen_adaptively`."""
    return (scores > threshold) & (scores < FLAT_SCORE)


def _lowest(settings: SharpenSettings | None, thresholds: tuple[float, ...]) -> SharpenSettings:
    return replace(settings, threshold=min(thresholds)) if settings else SharpenSettings(min(thresholds))


def _classes(images: NDArray[np.uint8], labels: ArrayLike) -> NDArray[np.intp]:
    """Return the labels as 0, 1 ... or say what is wrong with images or labels."""
    names = np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or names.shape != images.shape[:1]:
        msg = (
            "a threshold is tuned on RGB uint8 images of shape (n, h, w, 3) and a label for each, "
            f"found {images.dtype} of shape {images.shape} and labels of shape {names.shape}"
        )
        raise UsageError(msg)
    found, classes = np.unique(names, return_inverse=True)
    if len(found) < 2:
        msg = f"a threshold is tuned on images of two classes or more, found {len(names)} images of {len(found)}"
        raise UsageError(msg)
    return classes


def _less_their_means(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each image less the mean of all its values, rounded as MATLAB rounds, nothing below 0."""
    less = np.empty_like(images)
    for index, image in enumerate(images):
        less[index] = np.floor((image - image.mean()).clip(0) + 0.5)
    return less


def _correlation(scores: NDArray[np.float64], classes: NDArray[np.intp]) -> float:
    """Return Pearson's correlation, NaN where all scores are equal."""
    if np.ptp(scores) == 0:
        return math.nan
    return float(np.corrcoef(scores, classes)[0, 1])
