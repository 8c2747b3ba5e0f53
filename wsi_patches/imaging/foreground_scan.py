"""One pass over a slide in small windows: how light and how uneven each block of it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box, Size, round_half_up
from wsi_patches.slide import Level, Slide, SlideInfo, level_for

__all__ = ["BlockScan", "ScanSettings", "scan_blocks"]

BLOCK = 4
"""Side of a block in working pixels: smaller than a white cell, and large enough to have a contrast."""
LAMP_FALL = 0.015
"""Share of the light by which uneven light may fall from one working pixel to the next; an edge falls faster."""
PLANES = np.indices((BLOCK, BLOCK), np.float32).reshape(2, -1) - np.float32((BLOCK - 1) / 2)
"""How many working pixels below and to the right of its block's middle each pixel lies, shape ``(2, BLOCK ** 2)``."""
MOST_WORKING_PX = 512
"""Side of a window in working pixels at the most."""
LARGEST_TILE = 4
"""Tiles up to so many windows high are read whole; a file that is one tile is its reader's to cut."""
PICTURE_PX = 1200
"""Longer side that the kept picture has at the most, unless a pixel would be more than a block."""
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ScanSettings:
    """At what scale a slide is looked at.

    Parameters
    ----------
    pixel_um
        Working pixel on a slide that states its resolution: three or four of them are a lymphocyte.
    pixel_px
        Working pixel in level-0 pixels on a slide that does not.
    least_px
        Working pixels that the longer side of a small picture keeps, about: cells of a photograph may have any size.
    most_px
        Working pixels that the longer side of a large slide comes to, about.
    window_px
        Side of the windows that are read, in pixels of the level that is read.

    Raises
    ------
    UsageError
        A value is not greater than 0.
    """

    pixel_um: float = 2.0
    pixel_px: float = 8.0
    least_px: int = 256
    most_px: int = 8192
    window_px: int = 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                msg = f"{name} of a foreground scan must be greater than 0, found {value}"
                raise UsageError(msg)

    def downsample(self, info: SlideInfo) -> float:
        """Return how many level-0 pixels a working pixel should be wide."""
        longest = max(info.size)
        wanted = self.pixel_px if info.mpp is None else self.pixel_um / info.mpp
        return max(1.0, longest / self.most_px, min(wanted, longest / self.least_px))


@dataclass(frozen=True)
class BlockScan:
    """What one pass says of a slide's blocks; arrays of shape ``(h, w)``, a value a block."""

    light: Pixels
    """Mean colour, RGB of shape ``(h, w, 3)``."""
    spread: NDArray[np.uint8]
    """Grey levels between the lightest and the darkest working pixel, the fall of uneven light taken out, in the colour
    that shows most."""
    unreadable: NDArray[np.bool_]
    """Blocks whose pixels could not be read."""
    downsample: float
    """Level-0 pixels for each block."""
    picture: Pixels
    """The slide, RGB of shape ``(h, w, 3)``, whole blocks of it; white where it could not be read."""
    picture_downsample: float
    """Level-0 pixels for each pixel of the picture."""
    errors: list[str] = field(default_factory=list)
    """What each window that could not be read was refused for."""


def scan_blocks(slide: Slide, settings: ScanSettings) -> BlockScan:
    """Read a slide once, window by window, and measure its blocks.

    Memory is that of a window and of the block maps, whatever the size of the slide.

    Parameters
    ----------
    slide
        Any open slide. A window that cannot be read is written down; it is no error.
    settings
        At what scale.
    """
    plan = _Plan.of(slide.info, settings)
    scan = plan.empty_scan()
    for window_px in plan.windows(settings.window_px):
        blocks = plan.part(window_px, plan.unit)
        try:
            pixels = slide.read(_at_level_0(window_px, plan.level), plan.number)
        except SlideError as error:
            scan.unreadable[blocks] = True
            scan.errors.append(str(error))
            continue
        picture, working = plan.shrunk(pixels)
        scan.picture[plan.part(window_px, plan.picture_shrink)] = picture
        scan.light[blocks], scan.spread[blocks] = _measured(working)
    return scan


@dataclass(frozen=True)
class _Plan:
    """Which level is read, and how far its pixels are shrunk.

    Both factors are powers of two and windows begin at whole blocks, so that windows measured one by one give the same
    as the slide measured at once.
    """

    number: int
    level: Level
    shrink: int
    """Level pixels for each working pixel."""
    picture_shrink: int
    """Level pixels for each pixel of the picture."""

    @classmethod
    def of(cls, info: SlideInfo, settings: ScanSettings) -> _Plan:
        wanted = settings.downsample(info)
        # As much coarser as the nearest power of two may be.
        number = level_for(info.levels, wanted * math.sqrt(2))
        level = info.levels[number]
        shrink = 1 << max(0, round(math.log2(wanted / level.downsample)))
        to_picture = 1 << max(0, math.ceil(math.log2(max(level.size) / PICTURE_PX)))
        return cls(number, level, shrink, min(to_picture, shrink * BLOCK))

    @property
    def unit(self) -> int:
        """Level pixels for each block."""
        return self.shrink * BLOCK

    def empty_scan(self) -> BlockScan:
        width, height = (-(-side // self.unit) for side in self.level.size)
        finer = self.unit // self.picture_shrink
        return BlockScan(
            light=np.zeros((height, width, 3), np.uint8),
            spread=np.zeros((height, width), np.uint8),
            unreadable=np.zeros((height, width), np.bool_),
            downsample=self.unit * self.level.downsample,
            picture=np.full((height * finer, width * finer, 3), 255, np.uint8),
            picture_downsample=self.picture_shrink * self.level.downsample,
        )

    def windows(self, side_px: int) -> Iterator[Box]:
        """Yield boxes that cover the level, in its own pixels: whole tiles of the file where those are small enough."""
        tile = self.level.tile or Size(1, 1)
        # A strip is as wide as its slide; a window that is not would decode it again and again.
        side_px = min(side_px, MOST_WORKING_PX * self.shrink)
        width = tile.width if tile.width > side_px else _whole(side_px, tile.width, self.unit)
        width = _whole(width + self.unit - 1, self.unit)
        tallest = tile.height if tile.height <= LARGEST_TILE * side_px else 1
        height = _whole(max(tallest, side_px * side_px // width), tile.height, self.unit)
        for y in range(0, self.level.size.height, height):
            for x in range(0, self.level.size.width, width):
                yield Box(x, y, width, height).clipped(self.level.size)

    def part(self, window_px: Box, unit: int) -> tuple[slice, slice]:
        """Return where a window lies in a map whose pixels are ``unit`` level pixels wide: whole blocks."""
        finer = self.unit // unit
        left, top = window_px.x // unit, window_px.y // unit
        columns, rows = (-(-side // self.unit) * finer for side in (window_px.width, window_px.height))
        return slice(top, top + rows), slice(left, left + columns)

    def shrunk(self, pixels: Pixels) -> tuple[Pixels, Pixels]:
        """Return a window for the picture and at the working scale; a block that is cut repeats its last pixels."""
        height, width = pixels.shape[:2]
        whole = cv2.copyMakeBorder(pixels, 0, -height % self.unit, 0, -width % self.unit, cv2.BORDER_REPLICATE)
        first, second = sorted((self.shrink, self.picture_shrink))
        finer = _means(np.asarray(whole, np.uint8), first)
        coarser = _means(finer, second // first)
        return (finer, coarser) if self.picture_shrink == first else (coarser, finer)


def _whole(length: int, *units: int) -> int:
    """Return the largest multiple of all units up to ``length``; of the last one alone where there is none, above 0."""
    common = math.lcm(*units)
    step = common if common <= length else units[-1]
    return max(step, length // step * step)


def _at_level_0(box_px: Box, level: Level) -> Box:
    return Box(*(round_half_up(value * level.downsample) for value in box_px))


def _means(pixels: Pixels, side: int) -> Pixels:
    """Return the mean over each square of ``side`` pixels, a power of two: by halves, which is three times as fast."""
    while side > 1:
        size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        side //= 2
    return pixels


def _measured(working: Pixels) -> tuple[Pixels, NDArray[np.uint8]]:
    """Return mean colour and spread of each block."""
    light = _means(working, BLOCK)
    height, width = light.shape[:2]
    # A row for each of a block's pixels, so that sums and extremes run along memory.
    by_place = working.reshape(height, BLOCK, width, BLOCK, 3).transpose(1, 3, 0, 2, 4)
    pixels = by_place.reshape(BLOCK**2, -1).astype(np.float32)
    most = LAMP_FALL * light.reshape(-1).astype(np.float32)
    slopes = PLANES @ pixels / np.square(PLANES[0]).sum()
    pixels -= PLANES.T @ np.clip(slopes, -most, most)
    spread = (pixels.max(axis=0) - pixels.min(axis=0)).reshape(height, width, 3).max(axis=2)
    return light, np.clip(np.rint(spread), 0, 255).astype(np.uint8)
