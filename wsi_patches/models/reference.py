"""What a model's training slides looked like, so that a slide that looks otherwise is told from them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_distribution

from wsi_patches.errors import ModelError

__all__ = ["InputReference", "patch_looks", "slide_look"]

SIDE_PX = 96
"""Patches are looked at in this size, so that a look does not hang on how large a network wants them."""
PARTS = ((0.0, 0.1), (0.35, 0.65), (0.9, 1.0))
"""Between these quantiles of its darkness a patch is glass, red cells and cytoplasm, and nucleus."""
COLOURS = ("red", "green", "blue")
WORDS = (
    "in sharpness",
    *(f"in the {one} of {part}" for part in ("the glass", "the cells", "the nuclei") for one in COLOURS),
)
DARKEST = 1 / 255
LEAST_SLIDES = 8
MPP_SLACK = 1.5
"""A slide's pixels may be so many times smaller or larger than those of all training slides."""


def patch_looks(patches: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what patches look like, float64 ``(n, 10)``: sharpness, then the stain of light, middle and dark parts.

    The first column is the logarithm of the share of a patch's contrast that its finest details hold; the others are
    mean optical densities of red, green and blue.

    Parameters
    ----------
    patches
        uint8 RGB ``(n, s, s, 3)``.
    """
    return np.array([_look(patch) for patch in patches], np.float64).reshape(len(patches), 10)


def _look(patch: NDArray[np.uint8]) -> NDArray[np.float64]:
    if patch.shape[0] != SIDE_PX:
        how = cv2.INTER_AREA if patch.shape[0] > SIDE_PX else cv2.INTER_LINEAR
        patch = np.asarray(cv2.resize(patch, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8)
    density = -np.log(np.maximum(patch / np.float32(255), DARKEST))
    grey = density.mean(axis=2)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    order = np.argsort(grey, axis=None, kind="stable")
    colours = density.reshape(-1, 3)[order]
    stains = [colours[int(low * len(order)) : int(high * len(order))].mean(axis=0) for low, high in PARTS]
    return np.concatenate([[np.log(fine.var() + 1e-6) - np.log(grey.var() + 1e-4)], *stains])


def slide_look(looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a slide looks like, ``(10,)``: the medians of its patches' looks ``(n, 10)``."""
    return np.asarray(np.median(looks, axis=0), np.float64)


@dataclass(frozen=True, kw_only=True)
class InputReference:
    """How the slides that a model was trained on look, kept in its card.

    Raises
    ------
    ModelError
        The numbers do not fit together.
    """

    centre: tuple[float, ...]
    """Mean of the slides' looks, ``(k,)``."""
    inverse: tuple[tuple[float, ...], ...]
    """Inverse of their covariance, ``(k, k)``."""
    limit: float
    """A slide further away than this is unlike them."""
    slides: int
    """How many they were."""
    mpp: tuple[float, float] | None = None
    """Smallest and largest level-0 pixel size in um of those that state it."""

    def __post_init__(self) -> None:
        square = {len(row) for row in self.inverse} == {len(self.centre)} == {len(self.inverse)}
        if not square or not self.limit > 0:
            msg = f"a reference takes k means, a k x k inverse and a limit above 0, got {len(self.centre)}, "
            raise ModelError(msg + f"{len(self.inverse)} rows and {self.limit}")

    @classmethod
    def fit(
        cls, looks: ArrayLike, mpp: tuple[float, float] | None = None, level: float = 0.99
    ) -> InputReference | None:
        """Learn from slides' looks ``(slides, k)``; None where they are too few to say what is usual.

        The limit is where a share ``level`` of slides of the same kind would lie within, were looks normal
        (Hotelling's T squared for one more slide), and not below what each slide has without itself in all but a
        few (their 97.5th percentile): looks have heavier tails.
        """
        found = np.asarray(looks, np.float64)
        n, k = found.shape
        if n < max(LEAST_SLIDES, k + 2):
            return None
        usual, inverse = _shape(found)
        scale = (n + 1) * (n - 1) * k / (n * (n - k))
        normal = np.sqrt(scale * float(f_distribution.ppf(level, k, n - k)))
        without = [_distance(found[row], *_shape(np.delete(found, row, axis=0))) for row in range(n)]
        return cls(
            centre=tuple(usual.tolist()),
            inverse=tuple(map(tuple, inverse.tolist())),
            limit=float(max(normal, np.quantile(without, 0.975))),
            slides=n,
            mpp=mpp,
        )

    def distance(self, look: NDArray[np.float64]) -> float:
        """Return how far a slide's look ``(k,)`` lies from the training slides' (Mahalanobis)."""
        return _distance(look, np.array(self.centre), np.array(self.inverse))

    def oddest(self, look: NDArray[np.float64]) -> str:
        """Return in words which part of a slide's look ``(k,)`` is furthest from the usual."""
        spread = np.sqrt(np.diag(np.linalg.inv(np.array(self.inverse))))
        odd = int(np.argmax(np.abs(look - np.array(self.centre)) / spread))
        return WORDS[odd] if len(look) == len(WORDS) else f"look {odd}"

    def knows(self, mpp: float | None) -> bool:
        """Tell whether slides of this pixel size were trained on, as far as anybody knows."""
        return mpp is None or self.mpp is None or self.mpp[0] / MPP_SLACK <= mpp <= self.mpp[1] * MPP_SLACK


def _shape(looks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and inverse covariance, of which a hundredth is that of looks without correlation."""
    covariance = np.cov(looks, rowvar=False)
    ridged = 0.99 * covariance + 0.01 * np.diag(np.diag(covariance)) + 1e-8 * np.eye(len(covariance))
    return looks.mean(axis=0), np.asarray(np.linalg.inv(ridged), np.float64)


def _distance(look: NDArray[np.float64], centre: NDArray[np.float64], inverse: NDArray[np.float64]) -> float:
    away = look - centre
    return float(np.sqrt(max(float(away @ inverse @ away), 0.0)))
