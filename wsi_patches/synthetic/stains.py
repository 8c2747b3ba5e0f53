"""The colours of a May-Gruenwald-Giemsa smear: what one unit of each stain takes from red, green and blue light.

Vectors are natural-log optical densities, float32 of shape ``(3,)``, after Beer and Lambert: densities of stains that
lie on each other add, and light falls as ``exp(-density)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.synthetic.settings import SmearSettings

__all__ = ["Stains"]

NUCLEUS = np.array([[0.88, 0.85, 0.22], [0.72, 1.05, 0.30], [0.50, 1.08, 0.42]])
RED_CELL = np.array([[0.16, 0.40, 0.40], [0.27, 0.36, 0.24], [0.46, 0.38, 0.20]])
BLUE, PINK, ORANGE, GREY = (0.62, 0.50, 0.12), (0.10, 0.50, 0.22), (0.12, 0.62, 0.66), (0.5, 0.5, 0.42)


@dataclass(frozen=True)
class Stains:
    """What one unit of each stain absorbs on one slide, or in one cell of it."""

    chromatin: NDArray[np.float32]
    """Azure bound to chromatin: nuclei, platelet granules, basophil granules."""
    blue: NDArray[np.float32]
    """Methylene blue: cytoplasm full of RNA."""
    pink: NDArray[np.float32]
    """Neutral cytoplasm and its fine granules."""
    orange: NDArray[np.float32]
    """Eosinophil granules."""
    red: NDArray[np.float32]
    """Haemoglobin with eosin: red cells."""

    @classmethod
    def of(cls, settings: SmearSettings) -> Stains:
        """Return the stains of a slide."""
        strength = settings.stain_strength
        chromatin = _along(NUCLEUS, settings.nucleus_hue)
        tint = 0.12 * (chromatin - NUCLEUS.mean(axis=0))
        vectors = (chromatin, np.array(BLUE) + tint, np.array(PINK) + tint, ORANGE, _along(RED_CELL, settings.red_hue))
        return cls(*(np.asarray(strength * np.asarray(vector), np.float32) for vector in vectors))

    def jittered(self, rng: np.random.Generator, spread: float = 0.09) -> Stains:
        """Return the stains of one cell: no two cells of a slide take up the same."""
        common = rng.lognormal(0, 1.6 * spread)
        names = ("chromatin", "blue", "pink", "orange", "red")
        factors = common * rng.normal(1, spread, (len(names), 3))
        return Stains(*(np.float32(row) * getattr(self, name) for row, name in zip(factors, names, strict=True)))


def _along(colours: NDArray[np.float64], position: float) -> NDArray[np.float64]:
    """Return the colour at ``position`` 0..1 along a row of colours."""
    steps = np.linspace(0, 1, len(colours))
    return np.array([np.interp(position, steps, channel) for channel in colours.T])
