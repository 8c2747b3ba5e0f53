"""PNG: whether its pixels are as they were written, which Pillow does not look at, and 16-bit ones, which it cuts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

__all__ = ["HEADER_BYTES", "checked_pixels", "is_16bit"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 25
"""Up to the bit depth."""
OF_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def is_16bit(head: bytes) -> bool:
    """Say whether a file's first `HEADER_BYTES` are those of a PNG of 16-bit samples."""
    return head.startswith(SIGNATURE) and len(head) >= HEADER_BYTES and head[HEADER_BYTES - 1] == 16


def checked_pixels(content: bytes) -> bytes:
    """Return a PNG without its texts and profiles, of which libpng would tell the terminal.

    Raises
    ------
    ValueError
        It is cut off, or a chunk that makes pixels is not as its checksum says.
    """
    return SIGNATURE + b"".join(chunk for kind, chunk in _chunks(content) if kind in OF_PIXELS)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and bytes of each chunk up to the end's."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            msg = "it is cut off"
            raise ValueError(msg)
        length, kind = struct.unpack_from(">I4s", content, at)
        chunk = content[at : at + length + 12]
        if kind in OF_PIXELS and zlib.crc32(chunk[4:-4]).to_bytes(4, "big") != chunk[-4:]:
            msg = "a checksum of its pixels is wrong"
            raise ValueError(msg)
        yield kind, chunk
        at += length + 12
