"""An ellipse through the edge of a mask."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Ellipse", "fit_ellipse"]

LEAST_POINTS = 5
"""An ellipse has five unknowns."""


class Ellipse(NamedTuple):
    """An ellipse in pixels of its mask, 0-based."""

    x: float
    y: float
    short_px: float
    """Full length of the short axis."""
    long_px: float
    """Full length of the long axis."""


def fit_ellipse(mask: NDArray[np.bool_]) -> Ellipse | None:
    """Fit an ellipse to the edge of a mask by least squares.

    Fitzgibbon, Pilu and Fisher, "Direct least square fitting of ellipses", IEEE PAMI 21(5), 1999. The edge are the
    pixels where Sobel's operator answers, on both sides of the border, so that the ellipse runs between them.

    Parameters
    ----------
    mask
        bool of shape ``(h, w)``.

    Returns
    -------
    None where the edge makes no ellipse: too few pixels, or all in a line.
    """
    values = mask.astype(np.float32)
    across, down = (cv2.Sobel(values, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    rows, columns = np.nonzero((across != 0) | (down != 0))
    if len(rows) < LEAST_POINTS or min(np.ptp(rows), np.ptp(columns)) < 2:
        return None
    (x, y), sides, _ = cv2.fitEllipseDirect(np.stack([columns, rows], axis=1).astype(np.float32))
    short, long = sorted(sides)
    return Ellipse(x, y, short, long) if np.isfinite([x, y, short, long]).all() and short > 0 else None
