"""What a finder of cells in a test says that it saw."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SeenCells:
    """Middles and radii of cells, pixels of the image."""

    x: np.ndarray
    y: np.ndarray
    radius_px: np.ndarray
    score: np.ndarray
