"""Reinhard's colour transfer: mean and spread of lightness and colour are moved to those of a reference.

Reinhard, Ashikhmin, Gooch and Shirley, "Color transfer between images", IEEE Computer Graphics and Applications 21(5),
2001; in CIE L*a*b*, as is usual for stained slides. A look is measured by torchstain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.fitted_colour import FittedColour
from wsi_patches.imaging.rgb import sampled_pixels, to_uint8

__all__ = ["FittedReinhard", "Reinhard"]

Triple = tuple[float, float, float]
LEAST_SPREAD = 0.1
"""Standard deviation in L*a*b* below which a channel is flat; stretching it would only show noise."""


@dataclass(frozen=True)
class Reinhard:
    """Reinhard's colour transfer.

    Parameters
    ----------
    target_mean, target_std
        Mean and standard deviation of L*, a* and b* that images are moved to; see `toward`. The defaults are those of
        usual smears: the mean, over the sets BCCD, PBC and Raabin-WBC, of the median over a set's fields.
    """

    target_mean: Triple = (71.4, 10.8, 2.6)
    target_std: Triple = (13.2, 9.3, 12.0)

    def toward(self, reference: NDArray[np.uint8]) -> Self:
        """Return the method with the look of a reference, uint8 RGB ``(h, w, 3)`` or ``(n, h, w, 3)``."""
        mean, std = _look(reference)
        return replace(self, target_mean=mean, target_std=std)

    def fit(self, images: NDArray[np.uint8]) -> FittedReinhard:
        """Learn a slide's look from samples of it, uint8 RGB ``(n, h, w, 3)``.

        Raises
        ------
        UsageError
            ``images`` are anything else.
        """
        return FittedReinhard(*_look(images), self.target_mean, self.target_std)


@dataclass(frozen=True)
class FittedReinhard(FittedColour):
    """The colour transfer of one slide; all values in units of L*, a*, b*."""

    method: ClassVar[str] = "reinhard"
    source_mean: Triple
    source_std: Triple
    target_mean: Triple
    target_std: Triple

    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
        spread = np.array(self.source_std)
        gain = np.where(spread > LEAST_SPREAD, self.target_std / np.maximum(spread, LEAST_SPREAD), 1)
        moved = (lab - np.array(self.source_mean)) * gain + np.array(self.target_mean)
        return to_uint8(255 * np.asarray(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB), np.float32))


def _look(images: NDArray[np.uint8]) -> tuple[Triple, Triple]:
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    normalizer = NumpyReinhardNormalizer()
    normalizer.fit(sampled_pixels(images)[None])
    mean, std = (tuple(map(float, values)) for values in (normalizer.target_means, normalizer.target_stds))
    return mean, std  # type: ignore[return-value] # three channels each
