"""What a classifier is shown of a single cell: all of its patch, or the cell or its nucleus alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import ModelError

__all__ = ["InputMask", "MaskBy", "MaskPart", "Paint", "painter_of"]

MaskPart = Literal["cell", "nucleus"]
MaskBy = Literal["otsu", "hue"]
Paint = Callable[[NDArray[np.uint8], MaskPart, MaskBy], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Paints patches, uint8 RGB ``(n, s, s, 3)``, black outside of a part of their cell, and says in which of them,
``(n,)``, no nucleus stood out: these are black all over. It is `wsi_patches.imaging.painted_outside`."""


@dataclass(frozen=True)
class InputMask:
    """What a card says of the part of a cell that its network was shown.

    Raises
    ------
    ModelError
        A value is unknown.
    """

    part: MaskPart
    by: MaskBy = "otsu"
    """How cell and nucleus are found; see `wsi_patches.imaging.cell_masks`."""

    def __post_init__(self) -> None:
        if self.part not in get_args(MaskPart) or self.by not in get_args(MaskBy):
            msg = f"a mask shows the cell or its nucleus, found by otsu or hue, got {self.part!r} by {self.by!r}"
            raise ModelError(msg)


def painter_of(
    name: str, mask: InputMask | None, paint: Paint | None
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return what patches go through before a network, None where it is shown all of them.

    Parameters
    ----------
    name
        Of the model.
    mask
        What its card says.
    paint
        What paints.

    Raises
    ------
    ModelError
        The model learnt from masked cells, and nothing was given that could mask them: it must never see others.
    """
    if mask is None:
        return None
    if paint is None:
        msg = (
            f"model {name} learnt from cells of which it was shown the {mask.part} alone: load it with "
            "paint=wsi_patches.imaging.painted_outside.paint_outside"
        )
        raise ModelError(msg)
    return lambda images: paint(images, mask.part, mask.by)[0]
