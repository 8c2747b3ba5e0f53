"""One level of a TIFF: where its tiles or strips lie, in the picture and in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.slides.channels import as_rgb
from wsi_patches.slides.shared_file import SharedFile
from wsi_patches.slides.tiff_decode import decoder_of, jpeg_tiles_of
from wsi_patches.slides.tiff_samples import SampleView
from wsi_patches.slides.tiff_tags import IMAGE_LENGTH, IMAGE_WIDTH, segment_size

__all__ = ["ChannelLevel", "Segments", "TiffLevel"]

PLANES_APART = 2


class Segments:
    """The tiles or strips of one level, numbered by row, then column; those of further planes follow.

    Parameters
    ----------
    page
        tifffile's page.
    size
        Width and height of the level; less than the page's own where that was padded to whole tiles.
    """

    def __init__(self, page: Any, size: Size) -> None:
        self.size, self.segment = size, Size(*segment_size(page))
        # The tags, since tifffile corrects a padded page's attributes, and segments are numbered by the padded width.
        width, height = (int(page.tags.valueof(tag)) for tag in (IMAGE_WIDTH, IMAGE_LENGTH))
        self._columns, self._rows = -(-width // self.segment.width), -(-height // self.segment.height)
        self._planes = page.samplesperpixel if int(page.planarconfig) == PLANES_APART else 1
        self._offsets, self._counts = page.dataoffsets, page.databytecounts

    def number_of(self, box_px: Box) -> int | None:
        """Return the number of the tile that a box is exactly, or None where it is none or reaches over the level."""
        width, height = self.segment
        column, x = divmod(box_px.x, width)
        row, y = divmod(box_px.y, height)
        if x or y or box_px.width != width or box_px.height != height:
            return None
        inside = box_px.x >= 0 <= box_px.y and box_px.right <= self.size.width and box_px.bottom <= self.size.height
        return row * self._columns + column if inside else None

    def box_of(self, number: int) -> Box:
        """Return where a segment lies in the level; it may reach over the border."""
        row, column = divmod(number, self._columns)
        width, height = self.segment
        return Box(column * width, row * height, width, height)

    def touching(self, box_px: Box) -> Iterator[int]:
        """Yield the numbers of the segments that a box inside the level touches."""
        width, height = self.segment
        for row in range(box_px.y // height, (box_px.bottom - 1) // height + 1):
            for column in range(box_px.x // width, (box_px.right - 1) // width + 1):
                yield row * self._columns + column

    def pieces(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Return offset and byte count of segments of one plane; a count of 0 for those that the file leaves out."""
        return [(self._offsets[number], self._counts[number]) for number in numbers]

    def read(self, file: SharedFile, number: int) -> list[bytes] | None:
        """Return a segment's bytes in each plane, or None for one that the file leaves out as empty.

        Raises
        ------
        SlideError
            The file ends within it.
        """
        each = self._columns * self._rows
        pieces = self.pieces(range(number, each * self._planes, each))
        if not all(count for _, count in pieces):
            return None
        return [file.read(*piece) for piece in pieces]


class TiffLevel(Segments):
    """The segments of one level, and how they become RGB.

    Parameters
    ----------
    page, size
        As of `Segments`.
    path
        For messages.
    view
        How samples are shown.
    """

    def __init__(self, page: Any, size: Size, path: Path, view: SampleView) -> None:
        super().__init__(page, size)
        self._decode = decoder_of(page, path, view)
        self.samples: int = page.samplesperpixel
        self.jpeg: JpegTiles | None = jpeg_tiles_of(page)

    def load(self, file: SharedFile, number: int) -> NDArray[np.uint8] | None:
        """Return a segment's RGB ``(h, w, 3)``, or None for one that the file leaves out as empty.

        What lies beyond the level's border may be part of it.

        Raises
        ------
        SlideError
            The file ends within it.
        ValueError, RuntimeError and others of `TIFF_ERRORS`
            It cannot be decoded.
        """
        planes = self.read(file, number)
        return None if planes is None else self._decode(planes, number)


class ChannelLevel(TiffLevel):
    """A level whose channels are pages of their own, of which one to three are shown.

    Parameters
    ----------
    pages
        tifffile's pages, one a channel.
    size, path, view
        As of `TiffLevel`.

    Raises
    ------
    SlideError
        The channels are cut into tiles of several sizes.
    """

    def __init__(self, pages: Sequence[Any], size: Size, path: Path, view: SampleView) -> None:
        super().__init__(pages[0], size, path, view)
        self.jpeg = None  # no tile of the file is a picture of several channels
        self._shown = [TiffLevel(pages[channel], size, path, view) for channel in view.shown]
        if any(level.segment != self.segment for level in self._shown):
            msg = f"{path} keeps its channels in tiles of several sizes, not supported: export it as OME-TIFF"
            raise SlideError(msg)

    def load(self, file: SharedFile, number: int) -> NDArray[np.uint8] | None:
        """Return a segment's RGB, or None where all channels leave it out; one that is left out alone is 0."""
        planes = [None if grey is None else grey[..., 0] for grey in (one.load(file, number) for one in self._shown)]
        held = next((plane for plane in planes if plane is not None), None)
        if held is None:
            return None
        return as_rgb(np.stack([np.zeros_like(held) if plane is None else plane for plane in planes]))
