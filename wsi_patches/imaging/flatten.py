"""Flattening the light of whole fields: a microscope's lamp leaves corners darker than the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.fitted_colour import FittedColour
from wsi_patches.imaging.illumination import LOG, surface
from wsi_patches.imaging.rgb import rgb_batch, to_uint8

__all__ = ["FittedFlatten", "Flatten"]

BLOCKS = 64
"""Blocks along the longer side that light is read from."""
Surface = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Flatten:
    """Division by a smooth surface (second order in x and y, each channel its own) through the empty glass.

    Parameters
    ----------
    glass_quantile
        Share of a field that lies below the surface; glass is the brightest of a field.
    white
        Grey level that glass is brought to in every channel, or None to keep each channel's mean.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    glass_quantile: float = 0.9
    white: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.glass_quantile < 1 or (self.white is not None and not 1 <= self.white <= 255):
            msg = (
                f"glass_quantile in 0..1 and white in 1..255 or None are needed, found "
                f"{self.glass_quantile}, {self.white}"
            )
            raise UsageError(msg)

    def fit(self, images: NDArray[np.uint8]) -> FittedFlatten:
        """Learn the light from whole fields of one lens and lamp.

        Parameters
        ----------
        images
            uint8 RGB of shape ``(n, h, w, 3)``: whole fields, not patches cut from one, or one field ``(h, w, 3)``.

        Raises
        ------
        UsageError
            ``images`` are anything else.
        """
        each = np.array([[self._light(image[..., channel]) for channel in range(3)] for image in rgb_batch(images)])
        # The median of many fields passes by one that is all cells.
        light = np.median(each, axis=0)
        red, green, blue = (tuple(map(float, coefficients)) for coefficients in light)
        return FittedFlatten(red, green, blue, self.white)  # type: ignore[arg-type] # six numbers each

    def _light(self, channel: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the six coefficients of the log light."""
        height, width = channel.shape
        scale = min(1.0, BLOCKS / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        logs = cv2.LUT(np.ascontiguousarray(channel), LOG)
        coarse = np.asarray(cv2.resize(logs, size, interpolation=cv2.INTER_AREA), np.float32)
        light = surface(coarse, self.glass_quantile, BLOCKS).ravel().astype(np.float64)
        return np.asarray(np.linalg.lstsq(_terms(size[1], size[0]), light, rcond=None)[0])


@dataclass(frozen=True)
class FittedFlatten(FittedColour):
    """The light of one microscope: coefficients of 1, x, y, x^2, xy, y^2 of its natural logarithm, x and y in -1..1."""

    method: ClassVar[str] = "flatten"
    red: Surface
    green: Surface
    blue: Surface
    white: float | None

    def light(self, height: int, width: int) -> NDArray[np.float64]:
        """Return the grey level of empty glass, float64 ``(height, width, 3)``."""
        coefficients = np.array([self.red, self.green, self.blue]).T
        return np.asarray(np.exp(_terms(height, width) @ coefficients).reshape(height, width, 3))

    def _normalised(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        light = self.light(*image.shape[:2])
        white = light.mean(axis=(0, 1)) if self.white is None else self.white
        return to_uint8(image * (white / light))


def _terms(height: int, width: int) -> NDArray[np.float64]:
    """Return the terms of a second-order surface at pixel centres, ``(height * width, 6)``."""
    y, x = np.meshgrid(*((2 * np.arange(side) + 1) / side - 1 for side in (height, width)), indexing="ij")
    x, y = x.ravel(), y.ravel()
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
