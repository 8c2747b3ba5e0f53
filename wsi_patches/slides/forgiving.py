"""A slide with places that cannot be read, looked at all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size, round_half_up
from wsi_patches.slide import SlideBase

__all__ = ["ForgivingSlide"]

BLOCK = Size(256, 256)
"""What is lost around an unreadable pixel where the file's own tiles are not known."""


class ForgivingSlide(SlideBase):
    """Reads as another slide does, but fills what cannot be read with background and remembers where that was.

    Parameters
    ----------
    slide
        The open slide; closing this one closes it.
    """

    def __init__(self, slide: SlideBase) -> None:
        super().__init__(slide.info, slide.background)
        self.slide = slide
        self.first_error: SlideError | None = None
        self._holes: set[Box] = set()
        self._readable = False
        self._lock = threading.Lock()

    @property
    def holes(self) -> list[Box]:
        """What could not be read so far, level-0 pixels, in reading order."""
        return sorted(self._holes, key=lambda box: (box.y, box.x))

    def add_holes(self, holes: Iterable[Box]) -> None:
        """Remember what others could not read of the same slide, level-0 pixels."""
        with self._lock:
            self._holes |= set(holes)

    def coverage(self) -> float:
        """Return the share of the slide's area that no hole takes, 0 to 1; holes of two levels may overlap."""
        width, height = self.info.size
        return max(0.0, 1 - sum(hole.width * hole.height for hole in self._holes) / (width * height))

    def check(self) -> None:
        """Refuse a slide of which nothing at all could be read.

        Raises
        ------
        SlideError
            What the first failed read said.
        """
        if self.first_error is not None and not self._readable:
            raise self.first_error

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        try:
            pixels = self.slide._read_level(box_px, level)
        except SlideError as error:
            with self._lock:
                self.first_error = self.first_error or error
            return self._block_by_block(box_px, level)
        self._readable = True
        return pixels

    def _block_by_block(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        """Read a box one tile of the file at a time, so that a damaged tile costs that tile."""
        out = np.full((box_px.height, box_px.width, 3), self.background, np.uint8)
        for block in _blocks(box_px, self.info.levels[level].tile or BLOCK):
            try:
                pixels = self.slide._read_level(block, level)
            except SlideError:
                with self._lock:
                    self._holes.add(self._at_level_0(block, level))
                continue
            self._readable = True
            top, left = block.y - box_px.y, block.x - box_px.x
            out[top : top + block.height, left : left + block.width] = pixels
        return out

    def _at_level_0(self, block: Box, level: int) -> Box:
        """Return the whole tile around a block, so that two reads of one damaged tile are one hole."""
        of_level = self.info.levels[level]
        width, height = of_level.tile or BLOCK
        tile = Box(block.x // width * width, block.y // height * height, width, height).clipped(of_level.size)
        return Box(*(round_half_up(value * of_level.downsample) for value in tile)).clipped(self.info.size)

    def close(self) -> None:
        """Close the slide."""
        self.slide.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return ForgivingSlide, (self.slide,)


def _blocks(box_px: Box, tile: Size) -> Iterator[Box]:
    """Yield the parts of a box that lie in one tile each."""
    for row in range(box_px.y // tile.height, (box_px.bottom - 1) // tile.height + 1):
        for column in range(box_px.x // tile.width, (box_px.right - 1) // tile.width + 1):
            left, top = max(box_px.x, column * tile.width), max(box_px.y, row * tile.height)
            right = min(box_px.right, (column + 1) * tile.width)
            bottom = min(box_px.bottom, (row + 1) * tile.height)
            yield Box(left, top, right - left, bottom - top)
