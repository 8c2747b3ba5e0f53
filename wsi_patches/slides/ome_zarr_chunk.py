"""Whether a chunk's bytes can be whole, and decode to no more than memory holds: its decoders do not ask."""

from __future__ import annotations

import struct
import zlib

__all__ = ["check_encoded_chunk"]

MAX_DECODED_BYTES = 256 << 20
BLOSC_HEADER = struct.Struct("<4xI4xI")
"""Decoded and encoded bytes of a Blosc frame."""
MAX_DEFLATE_RATIO = 1032
EITHER_HEADER = 32 + zlib.MAX_WBITS
"""zlib's word for data that begin as gzip's or as its own."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_DICTIONARY_BYTES, ZSTD_SIZE_BYTES = (0, 1, 2, 4), (0, 2, 4, 8)


def check_encoded_chunk(data: bytes, codec: str, expected: int) -> None:
    """Refuse a chunk that is cut short or would fill the memory.

    Parameters
    ----------
    data
        The chunk as it lies in its file.
    codec
        The last of its codecs, as `ZarrLevel.compression` names it: of blosc, gzip, zlib and zstd something is known.
    expected
        How many bytes should come out.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    if codec.startswith("blosc"):
        _check_blosc(data)
    elif codec in ("gzip", "zlib") and len(data) * MAX_DEFLATE_RATIO > MAX_DECODED_BYTES:
        if len(zlib.decompressobj(EITHER_HEADER).decompress(data, expected + 1)) > expected:
            msg = "decodes to more than its array says"
            raise ValueError(msg)
    elif codec == "zstd" and _zstd_size(data) > MAX_DECODED_BYTES:
        msg = "says that it decodes to more than its array says"
        raise ValueError(msg)


def _check_blosc(data: bytes) -> None:
    # Blosc is told neither how long its input is nor how much may come out; both stand in the frame's header.
    if len(data) < BLOSC_HEADER.size:
        msg = "is cut short"
        raise ValueError(msg)
    decoded, encoded = BLOSC_HEADER.unpack_from(data)
    if encoded != len(data) or decoded > MAX_DECODED_BYTES:
        msg = "is not as long as it says"
        raise ValueError(msg)


def _zstd_size(data: bytes) -> int:
    """Return how many bytes a zstd frame says that it decodes to (RFC 8878, 3.1.1); 0 where it does not say."""
    if not data.startswith(ZSTD_MAGIC) or len(data) < 5:
        return 0
    in_one_segment = data[4] >> 5 & 1
    count = ZSTD_SIZE_BYTES[data[4] >> 6] or in_one_segment
    begin = 6 - in_one_segment + ZSTD_DICTIONARY_BYTES[data[4] & 3]
    return int.from_bytes(data[begin : begin + count], "little")
