"""TIFFs, of which only the tiles or strips that a box touches are read and decoded.

tifffile says where they lie; from there on bytes go from the file to the decoder and no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.jpeg_tile import JpegTiles, check_jpeg_tile
from wsi_patches.locations import path_of
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.ome_xml import OmePicture
from wsi_patches.slides.resolution import UNSTATED
from wsi_patches.slides.segment_cache import CACHE_BYTES, SegmentCache
from wsi_patches.slides.shared_file import SharedFile
from wsi_patches.slides.tiff_level import ChannelLevel, TiffLevel
from wsi_patches.slides.tiff_mpp import tiff_pixel_size
from wsi_patches.slides.tiff_pages import check_page, level_pages, level_sizes
from wsi_patches.slides.tiff_samples import SampleView, ome_picture, view_of
from wsi_patches.slides.tiff_tags import (
    compression_of,
    objective_power,
    opened_tiff,
    tiff_errors,
    vendor_of,
)

__all__ = ["TiffSlide"]


class TiffSlide(SlideBase):
    """A tiled or stripped TIFF, its pyramid in pages or in SubIFDs.

    Pixels are those of OpenSlide wherever both read a file, level by level from its corner; elsewhere in a level whose
    downsample is no whole number OpenSlide interpolates, since it places its reads by level-0 pixels.

    Parameters
    ----------
    path
        The file.
    options
        A resolution that replaces the file's own, and which channels are meant.

    Raises
    ------
    SlideError
        The file is damaged or truncated, or does not hold one picture of colours or of some channels.
    UsageError
        A channel was asked for that is not there.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options = path_of(path), options
        identity = fingerprint(self._path)
        with opened_tiff(self._path) as tiff:
            channels = level_pages(tiff, self._path)
            for page in chain.from_iterable(channels):
                check_page(page, self._path, len(channels[0]))
            pages = [of_level[0] for of_level in channels]
            ome = ome_picture(tiff, pages[0], self._path)
            view = view_of(channels[0], ome, options.channels, self._path)
            sizes = level_sizes(pages)
            self._levels = [
                _level(of_level, size, self._path, view) for of_level, (size, _) in zip(channels, sizes, strict=True)
            ]
            info = _describe(tiff, pages, sizes, str(self._path), identity)
            super().__init__(_complete(info, ome, view, options), view.background)
            self._file: SharedFile | None = SharedFile(self._path)
        self._cache = SegmentCache(CACHE_BYTES)

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        file, of_level = self._open_file(), self._levels[level]
        with tiff_errors(self._path, f"read at {tuple(box_px)} of level {level}"):
            number = of_level.number_of(box_px)
            if number is not None:
                tile = of_level.load(file, number)
                if tile is None:
                    return self._empty(box_px)
                return tile if tile.flags.writeable else tile.copy()  # lossless samples may lie in the decoder's bytes
            out = np.empty((box_px.height, box_px.width, 3), np.uint8)
            for number in of_level.touching(box_px):
                self._paste(out, box_px, file, level, number)
        return out

    def _paste(self, out: NDArray[np.uint8], box_px: Box, file: SharedFile, level: int, number: int) -> None:
        """Fill the part of a box that lies in one segment; the file is passed, since the slide may be closed by now."""
        of_level = self._levels[level]
        segment = self._cache.get((level, number), lambda: of_level.load(file, number))
        x, y, width, height = of_level.box_of(number)
        x, y = x - box_px.x, y - box_px.y
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, box_px.width), min(y + height, box_px.height)
        inside = slice(top - y, bottom - y), slice(left - x, right - x)
        out[top:bottom, left:right] = self.background if segment is None else segment[inside]

    def _empty(self, box_px: Box) -> NDArray[np.uint8]:
        return np.full((box_px.height, box_px.width, 3), self.background, np.uint8)

    def jpeg_tiles(self, level: int) -> JpegTiles | None:
        """Return what the JPEG tiles of a level share; None where it is stored otherwise.

        Raises
        ------
        UsageError
            There is no such level.
        """
        return self._level(level).jpeg

    def encoded(self, boxes_px: Sequence[Box], level: int) -> list[bytes | None]:
        """Return the JPEG bytes, as they lie in the file, of the tiles that boxes are exactly.

        Parameters
        ----------
        boxes_px
            In the level's own pixels.
        level
            Which level.

        Returns
        -------
        One for each box: None for a box that is not one whole tile inside the level, for a tile that the file leaves
        out, and everywhere in a level without JPEG tiles.

        Raises
        ------
        SlideError
            A tile cannot be a JPEG, by its markers: it is not decoded.
        UsageError
            There is no such level.
        """
        of_level, file = self._level(level), self._open_file()
        jpeg = of_level.jpeg
        if jpeg is None:
            return [None] * len(boxes_px)
        numbers = [of_level.number_of(box_px) for box_px in boxes_px]
        tiles = iter(file.read_pieces(of_level.pieces([number for number in numbers if number is not None])))
        found = [None if number is None else next(tiles) or None for number in numbers]
        for box_px, tile in zip(boxes_px, found, strict=True):
            if tile is not None:
                self._check_tile(tile, jpeg, of_level, box_px, level)
        return found

    def _check_tile(self, tile: bytes, jpeg: JpegTiles, of_level: TiffLevel, box_px: Box, level: int) -> None:
        try:
            check_jpeg_tile(tile, jpeg.size, of_level.samples, jpeg.tables)
        except ValueError as error:
            msg = (
                f"{self._path} holds a damaged tile at {tuple(box_px)} of level {level} ({error}): leave this place "
                "out, or copy the file again from its source"
            )
            raise SlideError(msg) from error

    def _level(self, level: int) -> TiffLevel:
        if not 0 <= level < len(self._levels):
            msg = f"level {level} was asked of {self._path}, which has levels 0 to {len(self._levels) - 1}"
            raise UsageError(msg)
        return self._levels[level]

    def _open_file(self) -> SharedFile:
        file = self._file
        if file is None:
            msg = f"{self._path} is closed: open it again to read it"
            raise SlideError(msg)
        return file

    def close(self) -> None:
        """Let the file and the decoded segments go; a read that another thread has begun still ends well."""
        self._file, self._cache = None, SegmentCache(0)

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffSlide, (str(self._path), self._options)


def _level(pages: Sequence[Any], size: Size, path: Path, view: SampleView) -> TiffLevel:
    return TiffLevel(pages[0], size, path, view) if len(pages) == 1 else ChannelLevel(pages, size, path, view)


def _describe(
    tiff: Any, pages: Sequence[Any], sizes: Sequence[tuple[Size, float]], path: str, identity: str
) -> SlideInfo:
    page = pages[0]
    levels = tuple(
        Level(size, downsample, _tile_size(page), compression_of(page))
        for page, (size, downsample) in zip(pages, sizes, strict=True)
    )
    own, power = tiff_pixel_size(page, tiff), objective_power(page)
    return SlideInfo(
        path, identity, levels[0].size, levels, own.mpp, vendor_of(page), power, reader="tifffile", notes=own.notes
    )


def _complete(info: SlideInfo, ome: OmePicture | None, view: SampleView, options: ReadOptions) -> SlideInfo:
    """Return what the tags say, overruled by OME-XML, and that by the user."""
    mpp, notes, power = info.mpp, info.notes, info.objective_power
    if ome is not None:
        power = ome.objective_power or power
        if ome.pixel_size != UNSTATED:
            mpp, notes = ome.pixel_size.mpp, ome.pixel_size.notes
    if options.mpp is not None:
        mpp, notes = options.mpp, ()
    return replace(info, mpp=mpp, objective_power=power, channels=view.channels, notes=(*notes, *view.notes))


def _tile_size(page: Any) -> Size | None:
    return Size(int(page.tilewidth), int(page.tilelength)) if page.is_tiled else None
