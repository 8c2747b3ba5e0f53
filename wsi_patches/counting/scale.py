"""How large cells are on a slide."""

from __future__ import annotations

from typing import Any

from wsi_patches.counting.windows import CellFinder, calibrated
from wsi_patches.slide import Slide

__all__ = ["red_cell_px"]


def red_cell_px(slide: Slide, finder: CellFinder[Any], red_cell_um: float) -> float | None:
    """Return the diameter of a red cell in level-0 pixels; None where it can be told neither from file nor picture.

    Parameters
    ----------
    slide
        The open slide.
    finder
        Measures the cells of a slide that does not state its resolution: one whose calibration has a ``red_cell_px``.
    red_cell_um
        How large a red cell is, for a slide that does.

    Raises
    ------
    SlideError
        Pixels cannot be read.
    """
    if slide.info.mpp is not None:
        return red_cell_um / slide.info.mpp
    scale, calibration = calibrated(slide, finder)
    return None if calibration.red_cell_px is None else scale * float(calibration.red_cell_px)
