"""TIFFs through tifffile: those that OpenSlide refuses, cannot decode, or of which it sees one level only."""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Level, SlideBase, SlideInfo
from wsi_patches.slides.resolution import from_aperio, from_ome, from_tags

__all__ = ["TiffSlide", "openslide_reads"]

CACHE_BYTES = 32 << 20
JPEG, APERIO_JPEG2000 = 7, (33003, 33005)
OPENSLIDE_DECODES = (1, 5, 7, 8, 32946, 50000, *APERIO_JPEG2000)
"""None, LZW, JPEG, deflate (two numbers), zstd and Aperio's JPEG 2000; others open in OpenSlide and fail when read."""
GREY_INVERTED, GREY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
ERRORS = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,  # every codec of imagecodecs has an error of its own that derives from it
    struct.error,
)
"""What tifffile and its codecs raise on files with damaged or contradicting tags."""

# tifffile tells of every oddity of a file through this logger; what matters becomes a SlideError.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def openslide_reads(path: Path) -> bool:
    """Return whether OpenSlide, if it knows a TIFF, also reads all of it truly: 8 bits, every level, a known codec."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            whole = not (file.is_ome and page.subifds)
            return whole and page.compression in OPENSLIDE_DECODES and page.bitspersample == 8
    except ERRORS:
        return True


class TiffSlide(SlideBase):
    """A TIFF's first image and its smaller levels; only the tiles or strips that a read needs are decoded.

    Parameters
    ----------
    path
        The file.
    fingerprint
        As `wsi_patches.slide.fingerprint` gives it.
    mpp
        Stated level-0 pixel size in um, or None to take the file's.

    Raises
    ------
    SlideError
        The file is no TIFF, is cut short, or holds what is no 8-bit grey or colour image.
    """

    def __init__(self, path: Path, fingerprint: str, mpp: float | None = None) -> None:
        self._path, self._stated_mpp = path, mpp
        try:
            with ExitStack() as guard:
                self._file = guard.enter_context(tifffile.TiffFile(path))
                self._pages = _levels(self._file)
                info = self._describe(fingerprint, mpp)
                guard.pop_all()
        except ERRORS as error:
            if isinstance(error, SlideError):
                raise
            msg = f"{path} cannot be opened as a TIFF: {error}. The file may be cut short: copy it again"
            raise SlideError(msg) from error
        self._descriptor = os.open(path, os.O_RDONLY)
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        super().__init__(info)

    def _describe(self, fingerprint: str, mpp: float | None) -> SlideInfo:
        first = self._pages[0]
        for page in self._pages:
            _check(page, self._path)
        sizes = [Size(page.imagewidth, page.imagelength) for page in self._pages]
        downsamples = [(sizes[0].width / size.width + sizes[0].height / size.height) / 2 for size in sizes]
        aperio_mpp, power = from_aperio(first.description if self._file.is_svs else "")
        own = aperio_mpp or (from_ome(self._file.ome_metadata or "") if self._file.is_ome else None) or _tag_mpp(first)
        return SlideInfo(
            path=str(self._path),
            fingerprint=fingerprint,
            size=sizes[0],
            levels=tuple(Level(size, down) for size, down in zip(sizes, downsamples, strict=True)),
            mpp=mpp if mpp is not None else own,
            vendor="aperio" if self._file.is_svs else None,
            objective_power=power,
            reader="tifffile",
        )

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        page = self._pages[level]
        out = np.full((box_px.height, box_px.width, 3), self.background, np.uint8)
        for index, left, top in _segments(page, box_px):
            pixels = self._segment(level, index)
            x, y = left - box_px.x, top - box_px.y
            cut = Box(x, y, pixels.shape[1], pixels.shape[0]).clipped(Size(box_px.width, box_px.height))
            out[cut.y : cut.bottom, cut.x : cut.right] = pixels[cut.y - y : cut.bottom - y, cut.x - x : cut.right - x]
        return out

    def _segment(self, level: int, index: int) -> NDArray[np.uint8]:
        """Return a tile or strip as RGB; the last few are kept, since neighbouring patches share them."""
        key = (level, index)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        pixels = self._decode(self._pages[level], index)
        with self._lock:
            self._recent[key] = pixels
            while len(self._recent) > 1 and sum(one.nbytes for one in self._recent.values()) > CACHE_BYTES:
                self._recent.popitem(last=False)
        return pixels

    def _decode(self, page: Any, index: int) -> NDArray[np.uint8]:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        width, height = _segment_size(page)
        if count == 0:
            # A tile without bytes is a scanner's way to leave empty glass out.
            return np.full((height, width, 3), self.background, np.uint8)
        try:
            encoded = os.pread(self._descriptor, count, offset)
            decoded, _, _ = page.decode(encoded, index, jpegtables=page.jpegtables)
            return _to_rgb(page, np.asarray(decoded)[0])
        except ERRORS as error:
            kind = "tile" if page.is_tiled else "strip"
            msg = f"{self._path}: {kind} {index} cannot be read: {error}"
            raise SlideError(msg) from error

    def close(self) -> None:
        """Let the file go; reading after this is a SlideError."""
        with self._lock:
            if self._descriptor >= 0:
                self._file.close()
                os.close(self._descriptor)
                self._descriptor = -1
                self._recent.clear()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffSlide, (self._path, self.info.fingerprint, self._stated_mpp)


def _levels(file: tifffile.TiffFile) -> list[Any]:
    """Return the pages of the first image, finest first; a label or macro image is no level."""
    series = file.series[0]
    if series.axes not in ("YX", "YXS"):
        msg = (
            f"{file.filename} holds an image with the axes {series.axes} {tuple(series.shape)}: several channels or "
            "planes are not read; export one as 8-bit RGB"
        )
        raise SlideError(msg)
    pages: list[Any] = [level.pages[0] for level in series.levels]
    pages = [page.aspage() for page in pages]
    return sorted(pages, key=lambda page: -page.imagewidth)


def _check(page: Any, path: Path) -> None:
    """Refuse what would not become true 8-bit RGB."""
    if page.dtype != np.uint8 or page.bitspersample != 8:
        msg = f"{path} has samples of {page.bitspersample} bits ({page.dtype}); 8 bits are read: convert it first"
        raise SlideError(msg)
    kinds = {GREY_INVERTED: (1,), GREY: (1, 2), RGB: (3, 4), PALETTE: (1,), CMYK: (4,), YCBCR: (3,)}
    if page.samplesperpixel not in kinds.get(page.photometric, ()) or (
        page.planarconfig == 2 and page.samplesperpixel > 1
    ):
        msg = (
            f"{path} has {page.samplesperpixel} samples a pixel of kind {page.photometric!r}, planes "
            f"{page.planarconfig!r}, which is not read: save it as 8-bit RGB"
        )
        raise SlideError(msg)
    if page.photometric == YCBCR and page.compression not in (JPEG, *APERIO_JPEG2000):
        msg = f"{path} holds YCbCr samples without JPEG compression, which are not read: save it as 8-bit RGB"
        raise SlideError(msg)
    _check_whole(page, path)


def _check_whole(page: Any, path: Path) -> None:
    width, height = _segment_size(page)
    expected = -(-page.imagewidth // width) * -(-page.imagelength // height)
    length = path.stat().st_size
    ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if expected == 0 or len(ends) < expected or max(ends) > length:
        msg = (
            f"{path} is cut short or damaged: {len(ends)} of {expected} tiles are listed, reaching to byte "
            f"{max(ends, default=0)} of {length}: copy it again"
        )
        raise SlideError(msg)


def _segment_size(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip or page.imagelength, page.imagelength)


def _segments(page: Any, box_px: Box) -> Iterator[tuple[int, int, int]]:
    """Yield index, left and top of every tile or strip that a box touches."""
    width, height = _segment_size(page)
    across = -(-page.imagewidth // width)
    for row in range(box_px.y // height, -(-box_px.bottom // height)):
        for column in range(box_px.x // width, -(-box_px.right // width)):
            yield row * across + column, column * width, row * height


def _to_rgb(page: Any, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a decoded tile or strip ``(h, w, samples)`` as RGB."""
    if page.photometric == PALETTE:
        return np.asarray(page.colormap[:, pixels[..., 0]] >> 8, np.uint8).transpose(1, 2, 0)
    if page.photometric == CMYK:
        light = 255 - pixels.astype(np.uint16)
        return np.asarray(light[..., :3] * light[..., 3:] // 255, np.uint8)
    if page.photometric == GREY_INVERTED:
        pixels = 255 - pixels
    if page.samplesperpixel in (2, 4):
        share = pixels[..., -1:].astype(np.float32) / 255
        pixels = np.round(pixels[..., :-1] * share + 255 * (1 - share)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _tag_mpp(page: Any) -> float | None:
    tags = page.tags
    unit, x, y = (tags.valueof(name) for name in ("ResolutionUnit", "XResolution", "YResolution"))
    return from_tags(int(unit or 0), x, y)
