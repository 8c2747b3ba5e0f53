"""The JPEG tile of a slide: whether its bytes can be one, and the pixels that they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from wsi_patches.geometry import Size

__all__ = [
    "GREY",
    "JpegTiles",
    "check_jpeg",
    "check_jpeg_part",
    "check_jpeg_tile",
    "check_not_cut",
    "check_scans",
    "decode_jpeg_tile",
    "first_scan",
    "jpeg_size",
    "segments",
]

GREY = 128
"""Every sample of what libjpeg makes up where data end too early."""
START, END, SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
HUFFMAN, END_OF_BLOCK = 0xC4, 0
HOLE = bytes(64)
"""With the usual Huffman tables so many zeros are hundreds of coefficients of -1: a hole that a broken copy left."""
SEQUENTIAL = frozenset({0xC0, 0xC1})
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
BETWEEN_SCANS = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""What a progressive picture may hold between its scans: tables, the next scan, a comment, application data."""
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Within compressed data 0xff is followed by 0 or by a restart's number; all else ends the data."""
LOOK_AHEAD, MOST_SCANS = 8, 500
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


class _Header(NamedTuple):
    """What the headers before a JPEG's first scan state."""

    bits: int
    height: int
    width: int
    samples: int
    zeros_mean_detail: frozenset[int]
    """The AC tables in which a run of zero bits stands for detail in every place, not for blocks without any."""


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
        _, header = first_scan(data, tables)
        out = _fast_memory(header.height, header.width)
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


def check_jpeg_tile(data: bytes, size: Size, samples: int, tables: bytes = b"") -> None:
    """Refuse what cannot be a whole JPEG of a size, by its markers and without decoding.

    What was overwritten by zeros is found where the Huffman tables leave no doubt; other bytes that show no marker
    are not found out, and mean other pixels.

    Parameters
    ----------
    data
        The tile as it lies in the slide.
    size
        Width and height in pixels that it must state.
    samples
        How many components it must state.
    tables
        As in `JpegTiles`.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    at, header = first_scan(data, tables)
    if header[:4] != (8, size.height, size.width, samples):
        msg = (
            f"a JPEG of {size.width} x {size.height} pixels of {samples} samples was expected, found "
            f"{header.width} x {header.height} pixels of {header.samples} samples of {header.bits} bits"
        )
        raise ValueError(msg)
    _check_from(data, at, header)


def check_jpeg(data: bytes, tables: bytes = b"") -> None:
    """Refuse what cannot be a whole JPEG, whatever its size.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    _check_from(data, *first_scan(data, tables))


def jpeg_size(data: bytes, tables: bytes = b"") -> tuple[int, int]:
    """Return the height and width in pixels that a JPEG states.

    Raises
    ------
    ValueError
        It holds no picture.
    """
    _, header = first_scan(data, tables)
    return header.height, header.width


def check_not_cut(data: bytes, tables: bytes = b"") -> None:
    """Refuse a JPEG of one scan that was cut off and ended all the same, which `check_jpeg` takes for whole.

    It is decoded once more, without the mark of its end: Pillow then says whether the data suffice, and libjpeg makes
    nothing up. To be asked where the last pixel is `GREY`; of several scans nothing is found out.

    Parameters
    ----------
    data, tables
        As in `check_jpeg_tile`.

    Raises
    ------
    ValueError
        Data for some of the picture are missing.
    """
    scan, _ = first_scan(data, tables)
    end = MARKER.search(data, scan + 2)
    if end is None or end[0] != END:
        return
    # Some bytes follow, since libjpeg looks that far ahead; they are too few for a block of pixels.
    stream = START + tables[2:-2] + data[2 : end.start()] + bytes(LOOK_AHEAD)
    try:
        JpegImageFile(BytesIO(stream)).load()
    except OSError as error:
        msg = "JPEG data do not suffice for the picture: they were cut off"
        raise ValueError(msg) from error


def check_scans(data: bytes) -> None:
    """Refuse a JPEG of so many scans that decoding it, which costs as much for each of them, would take minutes.

    Raises
    ------
    ValueError
        With their number.
    """
    scans = data.count(SCAN)
    if scans > MOST_SCANS:
        msg = f"its JPEG data have {scans:,} scans, over the limit of {MOST_SCANS}"
        raise ValueError(msg)


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


def first_scan(data: bytes, tables: bytes) -> tuple[int, _Header]:
    """Return where the first scan begins, and what the headers before it state."""
    at = data.find(SCAN)
    while at >= 0:
        header = _header(data[:at], tables)
        if header is not None:
            return at, header
        at = data.find(SCAN, at + 1)  # that one was part of a header
    msg = "JPEG data holds no picture: it was cut off or overwritten"
    raise ValueError(msg)


@lru_cache(maxsize=256)
def _header(head: bytes, tables: bytes) -> _Header | None:
    """Return what the headers up to the first scan state; None where they are no such headers.

    The tiles of a slide mostly share their headers to the byte, so these are walked once.
    """
    found = list(segments(head))
    frames = [(marker, body) for marker, body in found if marker in FRAMES and len(body) > 5]
    if not head.startswith(START) or not frames or len(head) != 2 + sum(4 + len(body) for _, body in found):
        return None
    marker, frame = frames[0]
    height, width = (int.from_bytes(frame[at : at + 2]) for at in (1, 3))
    huffman = [body for marker, body in (*segments(tables), *found) if marker == HUFFMAN]
    first_codes = dict(pair for body in huffman for pair in _first_codes(body))
    detail = {table & 15 for table, symbol in first_codes.items() if table & 16 and symbol != END_OF_BLOCK}
    return _Header(frame[0], height, width, frame[5], frozenset(detail if marker in SEQUENTIAL else ()))


def segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of each whole header of a stream, up to where there is none."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        begin, end = at + 4, at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if not begin <= end <= len(stream):
            return
        yield stream[at + 1], stream[begin:end]
        at = end


def _first_codes(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield class and number, in one byte, of each Huffman table, and the symbol whose code is all zeros."""
    at = 0
    while at + 17 < len(body):
        yield body[at], body[at + 17]
        at += 17 + sum(body[at + 1 : at + 17])


def _check_from(data: bytes, scan: int, header: _Header) -> None:
    """Refuse data that does not run from a scan to the end of the picture; what follows the end is padding."""
    at = scan
    while True:
        marker = MARKER.search(data, at + 2 + int.from_bytes(data[at + 2 : at + 4]))
        if marker is None:
            msg = "JPEG data has no end: it was cut off"
            raise ValueError(msg)
        at = marker.start()
        if marker[0] == END:
            break
        if data[at + 1] not in BETWEEN_SCANS:
            msg = f"JPEG data holds the marker 0x{marker[0].hex()} where none can be: it was overwritten"
            raise ValueError(msg)
    # After the marker and the length come the number of components, the first one's name, and its two tables.
    if data[scan + 6] & 15 in header.zeros_mean_detail and data.find(HOLE, scan, at) >= 0:
        msg = f"JPEG data holds {len(HOLE)} zeros in a row, which no picture has: it was overwritten"
        raise ValueError(msg)
