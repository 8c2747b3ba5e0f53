"""Finding the cells of a slide of any size, window by window, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.counting.merge import REACH, merge_points
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Slide

__all__ = [
    "CellFinder",
    "Prepared",
    "Window",
    "calibrated",
    "cells_of",
    "circles_of",
    "find_cells",
    "prepare",
    "windows_of",
]

LARGE_CELL_PX, SHRUNK_CELL_PX = 64.0, 40.0
"""Where the slide's resolution is not known: a slide whose cells are larger than the first is shrunk until they measure
the second."""
WINDOW_PX = 1024
"""Longest side of a window's core, working pixels."""
SAMPLES, SAMPLE_PX = 16, 1024
"""How many windows a finder is calibrated on, and their side in working pixels."""
WHOLE_UP_TO = 4
"""A field of so many windows is one sample: a cell that is cut tells no scale, and it may be the only one."""
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


@dataclass(frozen=True)
class Prepared:
    """What is known of a slide before its windows are searched, so that several workers can share them out."""

    scale: float
    """Level-0 pixels for each working pixel."""
    calibration: Any
    """The finder's, for such pixels."""
    windows: int
    """How many there are; none where the calibration knows of no cell."""


@dataclass(frozen=True)
class Window:
    """What a finder found in one window of a slide."""

    found: Any
    """As the finder returned it: all cells, in the window's pixels."""
    rows: NDArray[np.int64]
    """Of the cells that the window answers for, maybe together with its neighbours: those whose centre lies in its core
    or next to it."""
    left: int
    """The window's first column, level-0 pixels."""
    top: int
    """Its first row."""
    step_x: float
    """Level-0 pixels for each of the window's pixels, across."""
    step_y: float
    """The same, down."""

    def circles(self) -> NDArray[np.float64]:
        """Return x, y, radius (level-0 pixels) and score of the cells that the window answers for, ``(4, n)``."""
        return _circles(self.found, self.left, self.top, self.step_x, self.step_y)[:, self.rows]


def find_cells(
    slide: Slide,
    finder: CellFinder[Any],
    downsample: float | None = None,
    window_px: int = WINDOW_PX,
    on_progress: Callable[[int, int], None] | None = None,
) -> Cells:
    """Find the cells of a slide with one calibration for all of it.

    Windows overlap by a margin, and a cell that several of them see is counted once. Memory is that of one window.

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
    return cells_of(circles_of(windows_of(slide, finder, downsample, window_px, on_progress)))


def circles_of(windows: Iterable[Window]) -> NDArray[np.float64]:
    """Return what windows answer for as rows of x, y, radius (level-0 pixels) and score, ``(n, 4)``."""
    return np.concatenate([np.empty((0, 4)), *(one.circles().T for one in windows)])


def cells_of(circles: NDArray[np.float64]) -> Cells:
    """Return the cells of a slide from what all its windows answer for, ``(n, 4)`` as `circles_of` returns it."""
    x, y, radius, score = circles.T
    kept = merge_points(x, y, score, radius)
    return Cells.at(circles[kept, :2], (WHITE_CELL,), score=score[kept], radius_px=radius[kept])


def prepare(
    slide: Slide, finder: CellFinder[Any], downsample: float | None = None, window_px: int = WINDOW_PX
) -> Prepared:
    """Calibrate a finder on a slide and lay the windows; parameters and errors are those of `find_cells`."""
    if window_px < 64 or (downsample is not None and downsample < 1):
        msg = f"downsample must be 1 or more and window_px 64 or more, found {downsample} and {window_px}"
        raise UsageError(msg)
    scale, calibration = calibrated(slide, finder, downsample)
    if calibration.cell_diameter_px is None:
        return Prepared(scale, calibration, 0)
    return Prepared(scale, calibration, len(_cores(slide.info.size, min(window_px * scale, READ_PX))))


def windows_of(
    slide: Slide,
    finder: CellFinder[Any],
    downsample: float | None = None,
    window_px: int = WINDOW_PX,
    on_progress: Callable[[int, int], None] | None = None,
    prepared: Prepared | None = None,
    part: range | None = None,
) -> Iterator[Window]:
    """Yield what a finder finds in each window of a slide; none where the calibration knows of no cell.

    Every cell is answered for by the window whose core holds its centre. Pixels are shrunk from where a window begins,
    and so a centre may move by a pixel from window to window: lest each of two leave a cell to the other, a window also
    answers for centres up to `REACH` radii outside of its core. Whoever joins windows keeps one of two centres that lie
    no further apart than that.

    Parameters
    ----------
    slide, finder, downsample, window_px, on_progress
        As of `find_cells`, and so are the errors.
    prepared
        What `prepare` returned for the same slide, finder, downsample and windows; found anew if not given.
    part
        The numbers of the windows that are wanted; all of them if not given.
    """
    known = prepared or prepare(slide, finder, downsample, window_px)
    if not known.windows:
        return
    scale, calibration = known.scale, known.calibration
    cores = _cores(slide.info.size, min(window_px * scale, READ_PX))
    wanted = cores if part is None else [cores[number] for number in part]
    margin = int(np.ceil(MARGIN_DIAMETERS * calibration.cell_diameter_px * scale))
    for done, core in enumerate(wanted, 1):
        window = core.grown(margin).clipped(slide.info.size)
        image = slide.read_scaled(window, scale)
        found = finder.find(image, calibration)
        if on_progress is not None:
            on_progress(done, len(wanted))
        # The pixels in hand may be a hair larger or smaller than asked: a window is a whole number of pixels wide.
        place = (window.x, window.y, window.width / image.shape[1], window.height / image.shape[0])
        x, y, radius, _ = _circles(found, *place)
        yield Window(found, _answered_for(x, y, radius, core, slide.info.size), *place)


def calibrated(slide: Slide, finder: CellFinder[Any], downsample: float | None = None) -> tuple[float, Any]:
    """Return how many level-0 pixels a working pixel is wide on a slide, and the finder's calibration for such pixels.

    Parameters and errors are those of `find_cells`.
    """
    mpp = slide.info.mpp
    finest = slide.info.levels[0].downsample
    scale = downsample or max(finest, finder.working_mpp / mpp if mpp is not None else 1.0)
    calibration = finder.calibrate(_samples(slide, scale), mpp=None if mpp is None else mpp * scale)
    diameter = calibration.cell_diameter_px
    if downsample is None and mpp is None and diameter is not None and diameter > LARGE_CELL_PX:
        shrink = diameter / SHRUNK_CELL_PX
        return scale * shrink, calibration.scaled(shrink)
    return scale, calibration


def _samples(slide: Slide, scale: float) -> list[NDArray[np.uint8]]:
    """Return windows spread over the slide at the working scale, those with most on them."""
    boxes = _cores(slide.info.size, SAMPLE_PX * scale)
    if len(boxes) <= WHOLE_UP_TO:
        boxes = [Box(0, 0, *slide.info.size)]
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


def _circles(found: Found, left: float, top: float, step_x: float, step_y: float) -> NDArray[np.float64]:
    """Return x, y, radius (level-0 pixels) and score of a window's cells, ``(4, n)``."""
    x = left + (found.x + 0.5) * step_x - 0.5
    y = top + (found.y + 0.5) * step_y - 0.5
    return np.stack([x, y, found.radius_px * (step_x + step_y) / 2, found.score])


def _answered_for(
    x: NDArray[np.float64], y: NDArray[np.float64], radius: NDArray[np.float64], core: Box, size: Size
) -> NDArray[np.int64]:
    """Return the rows of cells that lie in a core or next to it, and on the slide."""
    slack = REACH * radius
    inside = np.ones(len(x), bool)
    for at, first, end, length in ((x, core.x, core.right, size.width), (y, core.y, core.bottom, size.height)):
        inside &= (at >= np.maximum(first - slack, 0) - 0.5) & (at < np.minimum(end + slack, length) - 0.5)
    return np.flatnonzero(inside)
