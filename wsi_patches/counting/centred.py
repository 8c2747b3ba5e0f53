"""The patch around one cell: how wide it is on a slide, and its pixels, for training and for counting alike."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import ResolutionUnknown
from wsi_patches.geometry import Box
from wsi_patches.slide import Slide

__all__ = ["PatchScale", "centred_patch", "diameter_of", "patch_side"]


class PatchScale(Protocol):
    """How much of a slide a model sees around a cell; a model's card says it."""

    @property
    def name(self) -> str:
        """The model's."""

    @property
    def patch_um(self) -> float | None:
        """Side of the patch on the slide in um, for slides that state their resolution."""

    @property
    def patch_cell_diameters(self) -> float | None:
        """Side of the patch in diameters of a white cell, for slides that do not."""


def patch_side(slide: Slide, scale: PatchScale, diameter_px: float) -> float:
    """Return how many level-0 pixels a model's patch is wide on a slide.

    Parameters
    ----------
    slide
        Where the patches lie.
    scale
        What the model takes: in um where the slide states its resolution, else in cell diameters.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.

    Raises
    ------
    ResolutionUnknown
        The model takes um alone, and the slide does not state its resolution.
    """
    mpp = slide.info.mpp
    if scale.patch_um is not None and mpp is not None:
        return scale.patch_um / mpp
    if scale.patch_cell_diameters is None:
        msg = (
            f"model {scale.name} takes patches of {scale.patch_um} um, and {slide.info.path} does not state its "
            "resolution: state it with --slide-mpp"
        )
        raise ResolutionUnknown(msg)
    return scale.patch_cell_diameters * diameter_px


def centred_patch(slide: Slide, x: float, y: float, side: float, input_px: int) -> NDArray[np.uint8]:
    """Return the patch around a level-0 point, ``side`` level-0 pixels wide, uint8 RGB ``(input_px, input_px, 3)``.

    Raises
    ------
    SlideError
        The pixels cannot be read.
    """
    whole = max(1, round(side))
    box = Box(round(x - whole / 2), round(y - whole / 2), whole, whole)
    patch = slide.read_scaled(box, max(whole / input_px, slide.info.levels[0].downsample))
    if patch.shape[:2] != (input_px, input_px):
        patch = np.asarray(cv2.resize(patch, (input_px, input_px), interpolation=cv2.INTER_LINEAR), np.uint8)
    return patch


def diameter_of(cells: Cells) -> float:
    """Return the typical diameter of cells, level-0 pixels; 0 where none has a radius."""
    radii = np.asarray(cells.attributes.get("radius_px", ()), np.float64)
    known = radii[np.isfinite(radii) & (radii > 0)]
    return 2 * float(np.median(known)) if len(known) else 0.0
