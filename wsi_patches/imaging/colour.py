"""The colour methods by name: fit on a slide's images (or a reference), apply to batches, save as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.imaging.comprehensive import Comprehensive
from wsi_patches.imaging.fitted_colour import FittedColour
from wsi_patches.imaging.flatten import FittedFlatten, Flatten
from wsi_patches.imaging.reinhard import FittedReinhard, Reinhard
from wsi_patches.imaging.stain import FittedMacenko, Macenko

__all__ = ["COLOUR_METHODS", "ColourMethod", "FittedColour", "fitted_from_dict"]


class ColourMethod(Protocol):
    """The knobs of a way to normalise colour.

    Methods that move images to a reference also have ``toward(reference)``, which returns the method with that look.
    """

    def fit(self, images: NDArray[np.uint8]) -> FittedColour:
        """Return the method fitted to samples of one slide, uint8 RGB ``(n, h, w, 3)``."""


COLOUR_METHODS: Mapping[str, type[ColourMethod]] = {
    "comprehensive": Comprehensive,
    "reinhard": Reinhard,
    "macenko": Macenko,
    "flatten": Flatten,
}
FITTED: tuple[type[FittedColour], ...] = (Comprehensive, FittedReinhard, FittedMacenko, FittedFlatten)


def fitted_from_dict(data: dict[str, Any]) -> FittedColour:
    """Return the fitted method that its ``to_dict`` described.

    Raises
    ------
    UsageError
        The method is unknown or its numbers are not all there.
    """
    for kind in FITTED:
        if kind.method == data.get("method"):
            return kind.from_dict(data)
    msg = f"unknown colour method {data.get('method')!r}: known are {', '.join(COLOUR_METHODS)}"
    raise UsageError(msg)
