"""Comprehensive colour normalisation: what light and lamp colour do to an image is divided out.

Finlayson, Schiele and Crowley, "Comprehensive colour image normalization", ECCV 1998: pixels are divided by their own
sum, which takes shading out, then channels by their own mean, which takes the lamp's colour out, in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fitted_colour import FittedColour
from wsi_patches.imaging.rgb import rgb_batch, rgb_image, to_uint8

__all__ = ["Comprehensive", "comprehensive"]


def comprehensive(
    image: NDArray[np.uint8], *, tolerance: float = 1e-12, iterations: int = 100, signed: bool = True
) -> NDArray[np.float64]:
    """Return the normalised image, unclipped: every channel has mean 1.

    Black pixels have no colour; they stay 0 and count for nothing, and neither does a channel that is 0 all over.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)``.
    tolerance
        It stops when the 2-norm of the image falls by no more than this.
    iterations
        It stops after so many rounds in any case.
    signed
        Stop also when the norm grows, as the code published with "Adaptive unsharpening" (ICASSP 2021) does, which
        ends it after about two rounds; else go on to the fixed point.

    Returns
    -------
    float64 of shape ``(h, w, 3)``.

    Raises
    ------
    UsageError
        ``image`` is not one uint8 RGB image.
    """
    colours = rgb_image(image).astype(np.float64)
    norm = cv2.norm(colours)
    for _ in range(iterations):
        colours = _one_round(colours)
        before, norm = norm, cv2.norm(colours)
        fall = before - norm
        if (fall if signed else abs(fall)) <= tolerance:
            break
    return colours


def _one_round(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = colours.sum(axis=2, keepdims=True)
    colours = colours / np.where(sums > 0, sums, 1)
    lit = np.count_nonzero(sums)
    totals = colours.sum(axis=(0, 1))
    return np.asarray(colours * np.where(totals > 0, lit / np.where(totals > 0, totals, 1), 0))


@dataclass(frozen=True)
class Comprehensive(FittedColour):
    """Comprehensive normalisation of each image by itself; there is nothing to learn from a slide.

    Parameters
    ----------
    white
        Normalised value that is written as 255; what is above is clipped. The published code writes 1 as 255, which
        clips about half of all values; 2 clips hardly any.
    signed
        See `comprehensive`.

    Raises
    ------
    UsageError
        ``white`` is not greater than 0.
    """

    method: ClassVar[str] = "comprehensive"
    white: float = 2.0
    signed: bool = True

    def __post_init__(self) -> None:
        if not self.white > 0:
            msg = f"white must be greater than 0, found {self.white}"
            raise UsageError(msg)

    def fit(self, images: NDArray[np.uint8]) -> Self:
        """Return the method itself, after a check that ``images`` are uint8 RGB."""
        rgb_batch(images)
        return self

    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return to_uint8(comprehensive(image, signed=self.signed) * (255 / self.white))
