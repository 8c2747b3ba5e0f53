"""What a model's training slides looked like, so that a slide that looks otherwise is told from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri

from wsi_patches.errors import ModelError

__all__ = ["SIDE_PX", "InputReference", "UsualLook", "look_of", "patch_looks"]

SIDE_PX = 96
"""Patches are looked at in this size, so that a look does not hang on how large a network wants them."""
BLURS_PX = (0.8, 1.6, 3.2, 6.4)
"""Details of neighbouring sizes are what one blur takes away from the one before."""
PARTS = ((0.0, 0.1), (0.35, 0.65), (0.9, 1.0))
"""Between these quantiles of its darkness a patch is glass, red cells and cytoplasm, and nucleus."""
COLOURS = ("red", "green", "blue")
STAINS = tuple(f"the {one} of {part}" for part in ("the glass", "the cells", "the nuclei") for one in COLOURS)
SHARPNESS = len(BLURS_PX) - 2
"""Columns of a look that are sharpness; the others are stain."""
DARKEST = 1 / 255
MOST_PATCHES = 64
"""Of a slide that are looked at."""
LEAST_SLIDES = 12
LEVEL, OWN_LEVEL = 0.99, 0.985
MPP_SLACK = 1.5
"""A slide's pixels may be so many times smaller or larger than those of all training slides."""


def patch_looks(patches: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what patches look like, float64 ``(n, 11)``: sharpness in two columns, then stain in nine.

    Sharpness is how much contrast fine details have beside ones twice as large, and those beside the next, as
    logarithms. Stain is the mean optical density, red, green and blue, of the light, the middle and the dark parts.

    Parameters
    ----------
    patches
        uint8 RGB ``(n, s, s, 3)``.
    """
    return np.array([_look(patch) for patch in patches], np.float64).reshape(len(patches), SHARPNESS + len(STAINS))


def _look(patch: NDArray[np.uint8]) -> NDArray[np.float64]:
    if patch.shape[0] != SIDE_PX:
        how = cv2.INTER_AREA if patch.shape[0] > SIDE_PX else cv2.INTER_LINEAR
        patch = np.asarray(cv2.resize(patch, (SIDE_PX, SIDE_PX), interpolation=how), np.uint8)
    density = -np.log(np.maximum(patch / np.float32(255), DARKEST))
    grey = density.mean(axis=2)
    blurred = [cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in BLURS_PX]
    contrast = np.log([(finer - coarser).var() + 1e-6 for finer, coarser in pairwise(blurred)])
    colours = density.reshape(-1, 3)[np.argsort(grey, axis=None, kind="stable")]
    stains = [colours[int(low * len(colours)) : int(high * len(colours))].mean(axis=0) for low, high in PARTS]
    return np.concatenate([-np.diff(contrast), *stains])


def look_of(
    rows: NDArray[np.int64] | range, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Return what a slide looks like, ``(11,)``: the medians of its patches' looks.

    Parameters
    ----------
    rows
        Of its patches, one or more; of many, `MOST_PATCHES` that are spread evenly are looked at.
    read
        Returns the patches of some rows, uint8 RGB ``(n, s, s, 3)``.
    """
    some = np.linspace(0, len(rows) - 1, min(len(rows), MOST_PATCHES)).astype(np.int64)
    return np.asarray(np.median(patch_looks(read(np.asarray(rows)[some])), axis=0), np.float64)


@dataclass(frozen=True, kw_only=True)
class UsualLook:
    """Where the looks of slides lie, of one kind.

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

    def __post_init__(self) -> None:
        square = {len(row) for row in self.inverse} == {len(self.centre)} == {len(self.inverse)}
        if not square or not self.limit > 0:
            msg = f"a usual look takes k means, a k x k inverse and a limit above 0, got {len(self.centre)}, "
            raise ModelError(msg + f"{len(self.inverse)} rows and {self.limit}")

    @classmethod
    def fit(cls, looks: NDArray[np.float64], level: float = LEVEL) -> UsualLook:
        """Learn from slides' looks ``(slides, k)``, at least k + 2 of them.

        The limit is where a share ``level`` of slides of the same kind would lie within, were looks normal
        (Hotelling's T squared for one more slide), and not below what each slide has without itself in all but a
        few (`OWN_LEVEL`): looks have heavier tails.
        """
        n, k = looks.shape
        centre, inverse = _shape(looks)
        scale = (n + 1) * (n - 1) * k / (n * (n - k))
        normal = np.sqrt(scale * float(fdtri(k, n - k, level)))
        without = [_distance(looks[row], *_shape(np.delete(looks, row, axis=0))) for row in range(n)]
        limit = float(max(normal, np.quantile(without, OWN_LEVEL)))
        return cls(centre=tuple(centre.tolist()), inverse=tuple(map(tuple, inverse.tolist())), limit=limit)

    def unlike(self, look: NDArray[np.float64]) -> float:
        """Return how far a look ``(k,)`` lies from these (Mahalanobis), in units of the limit."""
        return _distance(look, np.array(self.centre), np.array(self.inverse)) / self.limit

    def oddest(self, look: NDArray[np.float64]) -> int:
        """Return which column of a look ``(k,)`` is furthest from the usual."""
        spread = np.sqrt(np.diag(np.linalg.inv(np.array(self.inverse))))
        return int(np.argmax(np.abs(look - np.array(self.centre)) / spread))


@dataclass(frozen=True, kw_only=True)
class InputReference:
    """How the slides that a model was trained on look, kept in its card."""

    sharpness: UsualLook
    stain: UsualLook
    slides: int
    """How many they were."""
    mpp: tuple[float, float] | None = None
    """Smallest and largest level-0 pixel size in um of those that state it."""

    @classmethod
    def fit(cls, looks: ArrayLike, mpp: tuple[float, float] | None = None) -> InputReference | None:
        """Learn from slides' looks ``(slides, 11)``; None where they are too few to say what is usual."""
        found = np.asarray(looks, np.float64)
        if len(found) < LEAST_SLIDES:
            return None
        sharpness, stain = UsualLook.fit(found[:, :SHARPNESS]), UsualLook.fit(found[:, SHARPNESS:])
        return cls(sharpness=sharpness, stain=stain, slides=len(found), mpp=mpp)

    def unlike(self, look: NDArray[np.float64]) -> tuple[float, str]:
        """Return how unlike the training slides a slide's look ``(11,)`` is, 1 being the limit, and in what most."""
        sharpness, stain = self.sharpness.unlike(look[:SHARPNESS]), self.stain.unlike(look[SHARPNESS:])
        if sharpness >= stain:
            return sharpness, "sharpness"
        return stain, STAINS[self.stain.oddest(look[SHARPNESS:])]

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
