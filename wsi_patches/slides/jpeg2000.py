"""Whether bytes can be a whole JPEG 2000 codestream: OpenJPEG decodes what is cut off without a word."""

from __future__ import annotations

import struct

__all__ = ["check_jpeg2000", "is_subsampled", "jpeg2000_size"]

START = b"\xff\x4f\xff\x51"
TILE_PART, END = b"\xff\x90", b"\xff\xd9"
SIDES = struct.Struct(">4I")
SIZE = 8
"""Where the size marker, right after the start, has the far corner of the picture and then the near one."""
COMPONENTS, FIRST_COMPONENT, COMPONENT_BYTES = 40, 42, 3
"""Where it counts the components, and where their precision and steps lie."""


def check_jpeg2000(data: bytes) -> None:
    """Refuse a codestream, bare or within a JP2 file, of which a part is missing.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    at = data.find(START)
    if at < 0:
        msg = "JPEG 2000 data holds no codestream: it was overwritten"
        raise ValueError(msg)
    at += 2
    while data[at : at + 2] != TILE_PART and data[at : at + 1] == b"\xff":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    parts = 0
    while data[at : at + 2] == TILE_PART:
        length = int.from_bytes(data[at + 6 : at + 10])
        # A length of 0 stands for all up to the end marker.
        at = at + length if length else data.rfind(END)
        parts += 1
    if parts == 0 or (data[at : at + 2] != END and at != len(data)):
        msg = "JPEG 2000 data has no end: it was cut off or overwritten"
        raise ValueError(msg)


def jpeg2000_size(data: bytes) -> tuple[int, int]:
    """Return the height and width in pixels that a codestream, bare or within a JP2 file, states.

    Raises
    ------
    ValueError
        There is no codestream.
    """
    at = data.find(START)
    if at < 0 or at + SIZE + SIDES.size > len(data):
        msg = "JPEG 2000 data holds no codestream: it was overwritten"
        raise ValueError(msg)
    right, bottom, left, top = SIDES.unpack_from(data, at + SIZE)
    return bottom - top, right - left


def is_subsampled(data: bytes) -> bool:
    """Say whether a bare codestream holds components of fewer pixels than the picture."""
    count = int.from_bytes(data[COMPONENTS : COMPONENTS + 2])
    begins = range(FIRST_COMPONENT, FIRST_COMPONENT + COMPONENT_BYTES * count, COMPONENT_BYTES)
    return data.startswith(START) and any(data[at + 1 : at + 3] != b"\x01\x01" for at in begins)
