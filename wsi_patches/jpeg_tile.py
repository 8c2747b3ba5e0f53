"""The JPEG tile of a slide: whether its bytes can be one, and the pixels that they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Size

__all__ = ["JpegTiles", "check_jpeg_part", "check_jpeg_tile", "check_scans", "decode_jpeg_tile"]

START, END, SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
BETWEEN_SCANS = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""What a progressive picture may hold between its scans: tables, the next scan, a comment, application data."""
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Within compressed data 0xff is followed by 0 or by a restart's number; all else ends the data."""
JPEG_COLOURS = {"rgb": "RGB", "ycbcr": "YCBCR", "grey": "GRAYSCALE"}


@dataclass(frozen=True)
class JpegTiles:
    """What all JPEG tiles of a level share, beside the bytes of each."""

    size: Size
    """Width and height of each tile in the level's pixels."""
    tables: bytes
    """The stream of quantization and Huffman tables (TIFF tag JPEGTables); empty where tiles hold their own."""
    colour: str
    """How the samples in the stream are to be read: ``rgb``, ``ycbcr`` or ``grey``."""


class _Frame(NamedTuple):
    """What a JPEG's frame header states."""

    bits: int
    height: int
    width: int
    samples: int


def decode_jpeg_tile(
    data: bytes, tables: bytes, colour: str, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG tile, which are those that OpenSlide gives.

    Parameters
    ----------
    data
        The tile as it lies in the slide.
    tables, colour
        As in `JpegTiles`. The colour is the TIFF's statement: what a marker within the stream says does not count.
    out
        uint8 of shape ``(h, w, 3)``, contiguous, to be filled and returned.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``.

    Raises
    ------
    RuntimeError, ValueError
        libjpeg cannot decode it. Data that is cut off it fills with grey and says nothing: see `check_jpeg_tile`.
    """
    if out is None:
        _, frame = _first_scan(data)
        out = _fast_memory(frame.height, frame.width)
    rgb: NDArray[np.uint8] = imagecodecs.jpeg8_decode(
        data, tables=tables or None, colorspace=JPEG_COLOURS[colour], outcolorspace="RGB", out=out
    )
    return rgb


def _fast_memory(height: int, width: int) -> NDArray[np.uint8]:
    """Return memory for a tile, uint8 ``(h, w, 3)``, of which no row begins at a multiple of 32 bytes.

    libjpeg-turbo writes such rows past the processor's caches; a tile of 256 pixels then takes 1.4 times as long.
    """
    size = height * width * 3
    memory = np.empty(size + 32, np.uint8)
    begin = (8 - memory.ctypes.data) % 32  # tiles' rows are a multiple of 48 bytes, so that 8 bytes off is off in all
    return memory[begin : begin + size].reshape(height, width, 3)


def check_jpeg_tile(data: bytes, size: Size, samples: int) -> None:
    """Refuse what cannot be a whole JPEG of a size, by its markers and without decoding.

    Parameters
    ----------
    data
        The tile as it lies in the slide.
    size
        Width and height in pixels that it must state.
    samples
        How many components it must state.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    at, frame = _first_scan(data)
    if frame != (8, size.height, size.width, samples):
        msg = f"a JPEG of {size.width} x {size.height} pixels with {samples} components was expected, found {frame}"
        raise ValueError(msg)
    _check_from(data, at)


def check_scans(data: bytes) -> None:
    """Refuse what cannot be a whole JPEG, whatever its size.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    _check_from(data, _first_scan(data)[0])


def check_jpeg_part(data: bytes) -> None:
    """Refuse what cannot be a run of compressed data between two restarts, as Hamamatsu's NDPI cuts its JPEGs.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    marker = MARKER.search(data)
    ends = data[-2:-1] == b"\xff" and 0xD0 <= data[-1] <= 0xD7 if marker is None else marker[0] == END
    if not ends:
        msg = "JPEG data between two restarts has no end or holds a marker: it was cut off or overwritten"
        raise ValueError(msg)


def _first_scan(data: bytes) -> tuple[int, _Frame]:
    """Return where the first scan's header lies, and the frame before it."""
    at = data.find(SCAN)
    while at >= 0:
        frame = _frame(data[:at])
        if frame is not None:
            return at, frame
        at = data.find(SCAN, at + 1)
    msg = "JPEG data holds no picture: it was cut off or overwritten"
    raise ValueError(msg)


@lru_cache(maxsize=256)
def _frame(head: bytes) -> _Frame | None:
    """Return the frame that all headers up to the first scan state; None where they are no such headers.

    The tiles of a slide mostly share their headers to the byte, so these are walked once.
    """
    frame, at = None, 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in FRAMES and at + 10 <= len(head):
            height, width = (int.from_bytes(head[at + i : at + i + 2]) for i in (5, 7))
            frame = _Frame(head[at + 4], height, width, head[at + 9])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return frame if at == len(head) and head.startswith(START) else None


def _check_from(data: bytes, scan: int) -> None:
    """Refuse data that does not run from a scan to the end of the picture; what follows the end is padding."""
    at = scan
    while True:
        marker = MARKER.search(data, at + 2 + int.from_bytes(data[at + 2 : at + 4]))
        if marker is None:
            msg = "JPEG data has no end: it was cut off"
            raise ValueError(msg)
        if marker[0] == END:
            return
        at = marker.start()
        if data[at + 1] not in BETWEEN_SCANS:
            msg = f"JPEG data holds the marker 0x{marker[0].hex()} where none can be: it was overwritten"
            raise ValueError(msg)
