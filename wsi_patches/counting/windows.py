"""Finding the cells of a slide of any size, window by window, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.counting.merge import merge_points
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Slide

__all__ = ["CellFinder", "find_cells"]

LARGE_CELL_PX, SHRUNK_CELL_PX = 64.0, 40.0
"""Where the slide's resolution is not known: a slide whose cells are larger than the first is shrunk until they measure
the second."""
SAMPLES, SAMPLE_PX = 16, 1024
"""How many windows a finder is calibrated on, and their side in working pixels."""
MARGIN_DIAMETERS = 1.5
"""What a window sees beyond its core, in cell diameters: a whole cell on the border and its neighbour."""
OVERVIEW_PX = 4096
"""A level is an overview if neither side is longer."""


READ_PX = 2560
"""Longest side of a core in level-0 pixels: what is read at full resolution before it is shrunk is held as RGBA too."""


class Calibration(Protocol):
    """What a finder knows of a slide."""

    @property
    def cell_diameter_px(self) -> float | None:
        """Diameter of a cell at the samples' scale, None where there are no cells."""

    def scaled(self, downsample: float) -> Any:
        """Return the same for images ``downsample`` times smaller."""


class Found(Protocol):
    """Cells of one image in its own pixels, columns of shape ``(n,)``."""

    @property
    def x(self) -> NDArray[np.float64]: ...
    @property
    def y(self) -> NDArray[np.float64]: ...
    @property
    def radius_px(self) -> NDArray[np.float64]: ...
    @property
    def score(self) -> NDArray[np.float32]: ...


C = TypeVar("C", bound=Calibration)


class CellFinder(Protocol[C]):
    """Finds cells in an image once it was calibrated on samples of the slide."""

    @property
    def working_mpp(self) -> float:
        """Where the slide's resolution is known, cells are looked for at this many um per pixel."""

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> C:
        """Learn the slide's background, stain and scale."""

    def find(self, image: NDArray[np.uint8], calibration: C) -> Found:
        """Return the cells of a uint8 RGB image at the calibration's scale."""


def find_cells(
    slide: Slide,
    finder: CellFinder[Any],
    downsample: float | None = None,
    window_px: int = 2048,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cells:
    """Find the cells of a slide with one calibration for all of it.

    Windows overlap by a margin; a cell belongs to the window whose core holds its centre, and centres that fell into
    two cores because they moved by less than a pixel are merged. Memory is that of one window.

    Parameters
    ----------
    slide
        The open slide.
    finder
        How cells are found.
    downsample
        Level-0 pixels for each working pixel; chosen from the slide's resolution, or from its cells, if not given.
    window_px
        Longest side of a window's core, working pixels.
    on_progress
        Called with windows done and windows in all.

    Returns
    -------
    Cells of class ``white_cell`` in level-0 pixels, with the attribute ``radius_px`` in level-0 pixels.

    Raises
    ------
    SlideError
        Pixels cannot be read.
    UsageError
        ``downsample`` is below 1 or ``window_px`` below 64.
    """
    if window_px < 64 or (downsample is not None and downsample < 1):
        msg = f"downsample must be 1 or more and window_px 64 or more, found {downsample} and {window_px}"
        raise UsageError(msg)
    scale, calibration = _calibrated(slide, finder, downsample)
    diameter = calibration.cell_diameter_px
    if diameter is None:
        return _as_cells(np.empty((4, 0)))
    cores = _cores(slide.info.size, min(window_px * scale, READ_PX))
    margin = int(np.ceil(MARGIN_DIAMETERS * diameter * scale))
    found = []
    for done, core in enumerate(cores, 1):
        found.append(_in_core(slide, finder, calibration, core, margin, scale))
        if on_progress is not None:
            on_progress(done, len(cores))
    cells = np.concatenate(found, axis=1)
    return _as_cells(cells[:, merge_points(*cells[[0, 1, 3, 2]])])


def _calibrated(slide: Slide, finder: CellFinder[Any], downsample: float | None) -> tuple[float, Any]:
    """Return the working downsample and the finder's calibration for it."""
    mpp = slide.info.mpp
    finest = slide.info.levels[0].downsample
    scale = downsample or max(finest, finder.working_mpp / mpp if mpp is not None else 1.0)
    calibration = finder.calibrate(_samples(slide, scale), mpp=None if mpp is None else mpp * scale)
    diameter = calibration.cell_diameter_px
    if downsample is None and mpp is None and diameter is not None and diameter > LARGE_CELL_PX:
        scale = diameter / SHRUNK_CELL_PX
        calibration = calibration.scaled(scale)
    return scale, calibration


def _samples(slide: Slide, scale: float) -> list[NDArray[np.uint8]]:
    """Return windows spread over the slide at the working scale, those with most on them."""
    boxes = _cores(slide.info.size, SAMPLE_PX * scale)
    if len(boxes) > SAMPLES:
        boxes = _fullest(slide, boxes)
    return [slide.read_scaled(box, scale) for box in boxes]


def _fullest(slide: Slide, boxes: list[Box]) -> list[Box]:
    """Return the boxes with most contrast: all are compared on an overview level, else a few at full resolution."""
    level = len(slide.info.levels) - 1
    if max(slide.info.levels[level].size) > OVERVIEW_PX:
        spread = np.linspace(0, len(boxes) - 1, min(len(boxes), 4 * SAMPLES)).round().astype(int)
        boxes = [_middle(boxes[index]) for index in spread]
        level = 0
    contrast = [float(slide.read(box, level)[:, :, 1].std()) for box in boxes]
    fullest = np.sort(np.argsort(contrast, kind="stable")[-SAMPLES:])
    return [boxes[index] for index in fullest]


def _middle(box: Box) -> Box:
    """Return the middle ninth of a box."""
    return Box(box.x + box.width // 3, box.y + box.height // 3, max(1, box.width // 3), max(1, box.height // 3))


def _cores(size: Size, side: float) -> list[Box]:
    """Return equal boxes, none longer than ``side``, that cover the slide once."""
    columns, rows = (
        np.linspace(0, length, max(1, int(np.ceil(length / side))) + 1).round().astype(int).tolist() for length in size
    )
    return [Box(x, y, right - x, bottom - y) for y, bottom in pairwise(rows) for x, right in pairwise(columns)]


def _in_core(
    slide: Slide, finder: CellFinder[Any], calibration: Any, core: Box, margin: int, scale: float
) -> NDArray[np.float64]:
    """Return the cells whose centre lies in a core: rows x, y, radius (level-0 pixels) and score."""
    window = core.grown(margin).clipped(slide.info.size)
    image = slide.read_scaled(window, scale)
    found = finder.find(image, calibration)
    # The pixels in hand may be a hair larger or smaller than asked: a window is a whole number of pixels wide.
    step_x, step_y = window.width / image.shape[1], window.height / image.shape[0]
    x = window.x + (found.x + 0.5) * step_x - 0.5
    y = window.y + (found.y + 0.5) * step_y - 0.5
    inside = (x >= core.x - 0.5) & (x < core.right - 0.5) & (y >= core.y - 0.5) & (y < core.bottom - 0.5)
    return np.stack([x, y, found.radius_px * (step_x + step_y) / 2, found.score])[:, inside]


def _as_cells(columns: NDArray[np.float64]) -> Cells:
    x, y, radius, score = columns
    return Cells.at(np.stack([x, y], axis=1), (WHITE_CELL,), score=score, radius_px=radius)
