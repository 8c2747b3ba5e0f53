"""Batches of RGB images: the checks and the arithmetic that all colour methods share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["rgb_batch", "rgb_image", "sampled_pixels", "to_uint8"]

MOST_SAMPLED = 1_000_000
"""Pixels that a slide's look is read from; more of them move a percentile by less than a grey level."""


def rgb_batch(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one or more images as a batch ``(n, h, w, 3)``.

    Parameters
    ----------
    images
        uint8 RGB of shape ``(h, w, 3)`` or ``(n, h, w, 3)``.

    Raises
    ------
    UsageError
        The images are not uint8 RGB, or there is no pixel.
    """
    images = np.asarray(images)
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[-1] != 3 or batch.dtype != np.uint8 or batch.size == 0:
        msg = f"colour needs uint8 RGB of shape (h, w, 3) or (n, h, w, 3), found {images.dtype} of shape {images.shape}"
        raise UsageError(msg)
    return np.ascontiguousarray(batch)


def rgb_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one uint8 RGB image ``(h, w, 3)`` as it is.

    Raises
    ------
    UsageError
        It is anything else.
    """
    if np.ndim(image) == 4:
        msg = f"one image of shape (h, w, 3) is needed, found a batch of shape {np.shape(image)}: pass one at a time"
        raise UsageError(msg)
    return np.asarray(rgb_batch(image)[0])


def sampled_pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pixels of a batch, uint8 ``(m, 3)``: all of them, or a million drawn by a fixed seed."""
    pixels = rgb_batch(images).reshape(-1, 3)
    if len(pixels) <= MOST_SAMPLED:
        return np.asarray(pixels)
    return np.asarray(pixels[np.random.default_rng(0).integers(0, len(pixels), MOST_SAMPLED)])


def to_uint8(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round to the nearest grey level and clip to 0..255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
