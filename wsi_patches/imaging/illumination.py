"""How much of the light a smear takes away, and how much of the light there was."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["log_green", "nuclear_absorbance", "surface"]

LOG = np.log(np.maximum(np.arange(256), 0.5)).astype(np.float32)
"""Natural logarithm of a pixel value; an absorbed value of 0 counts as half a step, so that it stays finite."""


def log_green(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logarithm of the green channel, float32 ``(h, w)``: both red cells and nuclei absorb green."""
    return np.asarray(cv2.LUT(np.ascontiguousarray(image[:, :, 1]), LOG), np.float32)


def nuclear_absorbance(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much more a pixel absorbs of green than of blue, in natural-log units.

    Romanowsky stains give nuclei a blue-violet colour: they take green and leave blue. Haemoglobin takes blue (its
    Soret band) as much as green, so red cells stay near the glass. A change of brightness cancels in the difference.

    Parameters
    ----------
    image
        uint8 RGB of shape ``(h, w, 3)``.

    Returns
    -------
    float32 of shape ``(h, w)``: ``ln(blue) - ln(green)``.
    """
    blue = cv2.LUT(np.ascontiguousarray(image[:, :, 2]), LOG)
    return np.asarray(blue - log_green(image), np.float32)


def surface(values: NDArray[np.float32], quantile: float, blocks: int = 32) -> NDArray[np.float32]:
    """Return a smooth surface (second order in x and y) that runs through a quantile of ``values``.

    Quantile regression by reweighted least squares on block means: cells that lie off the background on one side only
    do not pull it, as long as they cover less than the other share of the field.

    Parameters
    ----------
    values
        float32 of shape ``(h, w)``.
    quantile
        Share of the field that lies below the surface.
    blocks
        Blocks along the longer side.

    Returns
    -------
    float32 of shape ``(h, w)``.
    """
    height, width = values.shape
    scale = min(1.0, blocks / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    coarse = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    fitted = _quantile_fit(coarse, quantile)
    return np.asarray(cv2.resize(fitted, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _quantile_fit(values: NDArray[np.float32], quantile: float) -> NDArray[np.float32]:
    height, width = values.shape
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    target = values.ravel().astype(np.float64)
    fitted = np.full_like(target, np.quantile(target, quantile))
    for _ in range(20):
        residual = target - fitted
        weight = np.where(residual > 0, quantile, 1 - quantile) / np.maximum(np.abs(residual), 1e-3)
        # A little ridge keeps a field of very few blocks solvable.
        normal = terms.T @ (terms * weight[:, None]) + 1e-6 * np.eye(6)
        fitted = terms @ np.linalg.solve(normal, terms.T @ (target * weight))
    return fitted.reshape(height, width).astype(np.float32)
