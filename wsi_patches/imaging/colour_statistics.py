"""What stain and lamp alone tell of a picture: the score that a classifier of cells has to beat."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.rgb import rgb_batch

__all__ = ["STATISTICS", "colour_statistics"]

STATISTICS = ("mean_red", "mean_green", "mean_blue", "std_red", "std_green", "std_blue")
"""Names of the columns."""


def colour_statistics(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return mean and standard deviation of red, green and blue of each image.

    Parameters
    ----------
    images
        uint8 RGB ``(n, h, w, 3)``.

    Returns
    -------
    float32 ``(n, 6)``
        In grey levels of 0 to 255; columns as `STATISTICS`.

    Raises
    ------
    UsageError
        The images are not uint8 RGB, or there is none.
    """
    return np.array([np.concatenate(cv2.meanStdDev(image)).ravel() for image in rgb_batch(images)], np.float32)
