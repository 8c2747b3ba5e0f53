"""Resizing as MATLAB's imresize does it: bicubic, and without aliasing where an image shrinks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size

__all__ = ["resize_bicubic"]


def resize_bicubic(images: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return images of another size.

    Keys' cubic convolution (IEEE Transactions on Acoustics, Speech, and Signal Processing 1981, a = -0.5), stretched by
    the factor by which an axis shrinks; beyond its border an image is mirrored, the edge pixel repeated.

    Parameters
    ----------
    images
        uint8 of shape ``(n, h, w)`` or ``(n, h, w, c)``.
    size
        The size to come to, pixels.

    Returns
    -------
    uint8 of shape ``(n, size.height, size.width)`` or ``(n, size.height, size.width, c)``; the images themselves where
    they have the size.

    Raises
    ------
    UsageError
        The images are not uint8 or have another shape, or a side is below 1.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or min(*images.shape[1:3], size.width, size.height) < 1:
        msg = (
            "images to resize must be uint8 of shape (n, h, w) or (n, h, w, c), and sizes at least 1 x 1; "
            f"found {images.dtype} of shape {images.shape} to become {size.width} x {size.height}"
        )
        raise UsageError(msg)
    if images.shape[1:3] == (size.height, size.width):
        return images
    down, across = (_weights(*sides) for sides in zip(images.shape[1:3], (size.height, size.width), strict=True))
    resized = np.empty((len(images), size.height, size.width, *images.shape[3:]), np.uint8)
    for index, image in enumerate(images):
        planes = np.atleast_3d(image).transpose(2, 0, 1).astype(np.float64)
        levels = (down @ planes @ across.T).transpose(1, 2, 0)
        resized[index] = np.floor(levels.clip(0, 255) + 0.5).reshape(resized.shape[1:])
    return resized


def _weights(source: int, target: int) -> NDArray[np.float64]:
    """Return what each source pixel adds to each target pixel of an axis, shape ``(target, source)``, rows of sum 1."""
    stretch = max(1.0, source / target)
    reach = int(np.ceil(2 * stretch))
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    places = np.arange(-reach, source + reach)
    distances = np.abs(centres[:, None] - places) / stretch
    near = 1.5 * distances**3 - 2.5 * distances**2 + 1
    far = -0.5 * distances**3 + 2.5 * distances**2 - 4 * distances + 2
    cubic = np.where(distances <= 1, near, np.where(distances <= 2, far, 0))
    weights = np.zeros((target, source))
    mirrored = np.pad(np.arange(source), reach, mode="symmetric")
    np.add.at(weights.T, mirrored, cubic.T)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
