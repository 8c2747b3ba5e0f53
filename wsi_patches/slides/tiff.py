"""TIFFs through tifffile, of which only the tiles or strips that a box touches are read and decoded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.pixels import cmyk_to_rgb, guard_size, over
from wsi_patches.slides.tiff_tags import (
    alpha_kind,
    check_samples,
    check_segments,
    objective_power,
    segment_size,
    stated_mpp,
    tiff_errors,
    vendor_of,
)

__all__ = ["TiffSlide"]

CACHE_BYTES = 64 << 20
"""Decoded segments kept for each open slide: patches overlap tiles, and some files are one single strip."""
JPEG, APERIO_YCBCR = 7, 33003
JPEG_FAMILY = frozenset({6, 7, 33007, 34892})
"""Compressions whose YCbCr tifffile turns into RGB."""
MIN_IS_WHITE, PALETTE, SEPARATED, YCBCR = 0, 3, 5, 6
PREMULTIPLIED = 1
END_OF_JPEG = b"\xff\xd9"
SHAPE_TOLERANCE = 0.05
"""Largest relative difference between a level's two downsamples; beyond it the page is another picture."""


class _Segment(NamedTuple):
    """A tile or strip, and where it lies in its level."""

    number: int
    """Which of the page's offsets."""
    plane: int
    """First sample that it holds."""
    box_px: Box


class TiffSlide(SlideBase):
    """A tiled or stripped TIFF, its pyramid in pages or in SubIFDs.

    Parameters
    ----------
    path
        The file.
    options
        A resolution that replaces the file's own, and which channels are meant.

    Raises
    ------
    SlideError
        The file is damaged or truncated, or does not hold one 8-bit colour picture.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options, mpp = Path(path), options, options.mpp
        identity = fingerprint(self._path)
        self._lock, self._cache = threading.Lock(), _SegmentCache(CACHE_BYTES)
        with ExitStack() as undo, tiff_errors(self._path, "opened"):
            tiff = undo.enter_context(tifffile.TiffFile(self._path))
            pages = _level_pages(tiff, self._path)
            for page in pages:
                _check_page(page, self._path)
            self._tiff: tifffile.TiffFile | None = tiff
            self._pages = pages
            super().__init__(_describe(tiff, pages, self._path, identity, mpp))
            undo.pop_all()

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        self._check_open()
        page = self._pages[level]
        samples = np.zeros((box_px.height, box_px.width, page.samplesperpixel), np.uint8)
        holes = []
        with tiff_errors(self._path, f"read at {tuple(box_px)} of level {level}"):
            for segment in _segments(page, box_px):
                decoded = self._decoded(page, level, segment)
                there, here = _overlap(segment.box_px, box_px)
                if decoded is None:
                    holes.append(here)
                else:
                    samples[(*here, slice(segment.plane, segment.plane + decoded.shape[2]))] = decoded[there]
            out = _rgb(samples, page, self.background)
        for here in holes:
            out[here] = self.background
        return out

    def _decoded(self, page: Any, level: int, segment: _Segment) -> NDArray[np.uint8] | None:
        """Return a segment's samples ``(h, w, samples)``, or None for one that the file leaves out as empty."""
        key = (level, segment.number)
        found = self._cache.get(key)
        if found is not None:
            return found
        data = self._bytes(page, segment.number)
        if not data:
            return None
        box_px = segment.box_px
        guard_size(self._path, box_px.width, box_px.height, len(data))
        decoded = _decode(page, data, segment.number)
        self._cache.put(key, decoded)
        return decoded

    def _bytes(self, page: Any, index: int) -> bytes:
        with self._lock:
            stream = self._check_open().filehandle
            count = page.databytecounts[index]
            stream.seek(page.dataoffsets[index])
            data: bytes = stream.read(count)
        if len(data) != count:
            msg = f"{self._path} ends within a tile or strip: it was cut off; copy it again from its source"
            raise SlideError(msg)
        return data

    def _check_open(self) -> tifffile.TiffFile:
        if self._tiff is None:
            msg = f"{self._path} is closed: open it again to read it"
            raise SlideError(msg)
        return self._tiff

    def close(self) -> None:
        """Let the file and the decoded segments go."""
        with self._lock:
            if self._tiff is not None:
                self._tiff.close()
            self._tiff, self._cache = None, _SegmentCache(0)

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffSlide, (str(self._path), self._options)


class _SegmentCache:
    """The segments that were used last, up to a number of bytes; the last one stays whatever its size."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._bytes = limit_bytes, 0
        self._lock = threading.Lock()
        self._segments: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()

    def get(self, key: tuple[int, int]) -> NDArray[np.uint8] | None:
        with self._lock:
            if key in self._segments:
                self._segments.move_to_end(key)
            return self._segments.get(key)

    def put(self, key: tuple[int, int], segment: NDArray[np.uint8]) -> None:
        with self._lock:
            if key in self._segments:
                return
            self._segments[key] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._limit_bytes and len(self._segments) > 1:
                self._bytes -= self._segments.popitem(last=False)[1].nbytes


def _level_pages(tiff: Any, path: Path) -> list[Any]:
    """Return one page a level, finest first, of the largest picture in the file: labels and thumbnails are smaller."""
    pictures = [series for series in tiff.series if series.keyframe is not None and 0 not in series.shape]
    if not pictures:
        msg = f"{path} holds no picture that can be read: the file is damaged or incomplete"
        raise SlideError(msg)
    series = max(pictures, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
    if len(series.pages) != 1:
        msg = (
            f"{path} holds {len(series.pages)} pictures of one size (axes {series.axes}: channels, planes or times), "
            "and a slide is one RGB picture: export the one that is meant as 8-bit RGB"
        )
        raise SlideError(msg)
    pages = [level.pages[0].aspage() for level in series.levels]
    return [page for page in pages if _has_shape_of(page, pages[0])]


def _has_shape_of(page: Any, finest: Any) -> bool:
    """Say whether a page is the finest one shrunk; a macro picture that calls itself a level is not."""
    x, y = finest.imagewidth / page.imagewidth, finest.imagelength / page.imagelength
    # The sides of a level of a few pixels are rounded by up to one of them.
    rounding = max(x, y) / min(page.imagewidth, page.imagelength)
    return bool(abs(x - y) <= SHAPE_TOLERANCE * max(x, y) + rounding)


def _check_page(page: Any, path: Path) -> None:
    check_samples(page, path)
    check_segments(page, path)
    compression, photometric = int(page.compression), int(page.photometric)
    if compression == APERIO_YCBCR or (photometric == YCBCR and compression not in JPEG_FAMILY):
        msg = f"{path} holds YCbCr samples in {page.compression!r}, which the tifffile reader does not turn into RGB"
        raise SlideError(msg)
    page.init_decode()  # here, since it is not safe in several threads


def _describe(tiff: Any, pages: list[Any], path: Path, identity: str, mpp: float | None) -> SlideInfo:
    page = pages[0]
    size = Size(page.imagewidth, page.imagelength)
    levels = tuple(
        Level(
            Size(one.imagewidth, one.imagelength),
            (size.width / one.imagewidth + size.height / one.imagelength) / 2,
        )
        for one in pages
    )
    own = stated_mpp(page, tiff.ome_metadata)
    return SlideInfo(
        str(path), identity, size, levels, mpp or own, vendor_of(page), objective_power(page), reader="tifffile"
    )


def _segments(page: Any, box_px: Box) -> Iterator[_Segment]:
    """Yield the tiles or strips that a box of a level touches."""
    width, height = segment_size(page)
    columns, rows = -(-page.imagewidth // width), -(-page.imagelength // height)
    for plane in range(page.samplesperpixel if int(page.planarconfig) == 2 else 1):
        for row in range(box_px.y // height, (box_px.bottom - 1) // height + 1):
            for column in range(box_px.x // width, (box_px.right - 1) // width + 1):
                index = (plane * rows + row) * columns + column
                yield _Segment(index, plane, _clip(page, Box(column * width, row * height, width, height)))


def _clip(page: Any, box_px: Box) -> Box:
    return box_px.clipped(Size(page.imagewidth, page.imagelength))


def _overlap(segment_px: Box, box_px: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the rows and columns that two boxes share, as seen from each of them."""
    left, top = max(segment_px.x, box_px.x), max(segment_px.y, box_px.y)
    right, bottom = min(segment_px.right, box_px.right), min(segment_px.bottom, box_px.bottom)
    there, here = (
        (slice(top - one.y, bottom - one.y), slice(left - one.x, right - one.x)) for one in (segment_px, box_px)
    )
    return there, here


def _decode(page: Any, data: bytes, index: int) -> NDArray[np.uint8]:
    compression = int(page.compression)
    tables: dict[str, Any] = {}
    if compression in JPEG_FAMILY:
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        # libjpeg fills what a cut tile lacks with grey and says nothing. NDPI's tiles share one stream, without ends.
        if compression == JPEG and page.jpegheader is None and END_OF_JPEG not in data[-64:]:
            msg = f"JPEG data of segment {index} has no end"
            raise ValueError(msg)
    decoded, _, shape = page.decode(data, index, **tables)
    if decoded is None or decoded.dtype != np.uint8 or decoded.ndim != 4 or decoded.shape[3] != shape[3]:
        msg = f"segment {index} decodes to something else than its tags say"
        raise ValueError(msg)
    pixels: NDArray[np.uint8] = decoded[0]
    return pixels


def _rgb(samples: NDArray[np.uint8], page: Any, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return RGB ``(h, w, 3)`` of samples ``(h, w, s)`` as their page means them."""
    alpha, photometric = alpha_kind(page), int(page.photometric)
    colour = samples if alpha is None else samples[..., :-1]
    if photometric == MIN_IS_WHITE:
        colour = 255 - colour
    elif photometric == PALETTE:
        colour = _palette(page)[colour[..., 0]]
    elif photometric == SEPARATED:
        colour = cmyk_to_rgb(colour)
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    if not alpha:  # none, or a fourth sample of which the file does not say that it is alpha
        return np.ascontiguousarray(colour)
    return over(colour, samples[..., -1], background, premultiplied=alpha == PREMULTIPLIED)


def _palette(page: Any) -> NDArray[np.uint8]:
    """Return the colour map, uint8 RGB ``(256, 3)``; it is 16-bit by the standard, 8-bit in some files."""
    colours = np.asarray(page.colormap)
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8).T
