"""The samples of a TIFF's tile or strip: as many as its tags state, and no memory for more than these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_patches.jpeg_tile import GREY, check_not_cut, jpeg_size
from wsi_patches.slides.jpeg2000 import jpeg2000_size
from wsi_patches.slides.tiff_tags import JPEG, JPEG_2000, OLD_JPEG, segment_size

__all__ = ["PNG", "segment_samples"]

Samples = NDArray[np.unsignedinteger[Any]]
PNG = 34933
WEBP = frozenset({34927, 50001})
IMAGE_CODECS: dict[int, Callable[..., Any]] = {
    **dict.fromkeys(JPEG_2000, imagecodecs.jpeg2k_decode),
    **dict.fromkeys(WEBP, imagecodecs.webp_decode),
    **dict.fromkeys((50002, 52546), imagecodecs.jpegxl_decode),
    **dict.fromkeys((22610, 34934), imagecodecs.jpegxr_decode),
    PNG: imagecodecs.png_decode,
}
"""Codecs whose data state a size of their own, which need not be the tags'."""
CONTIGUOUS = 1


def segment_samples(page: Any, data: bytes, number: int, tables: bytes) -> Samples:
    """Return the samples ``(h, w, s)`` of one plane of a segment.

    Parameters
    ----------
    page
        tifffile's page, its decoder made ready.
    data
        The segment as it lies in the file.
    number
        Which segment, by row, then column.
    tables
        The stream of JPEG tables that all segments share; empty where they have none.

    Raises
    ------
    ValueError, RuntimeError and others of `TIFF_ERRORS`
        It cannot be decoded, or to something else than the tags say.
    """
    shape, compression = _shape(page, number), int(page.compression)
    if compression in JPEG_2000:
        _check_size(jpeg2000_size(data), shape, shape[0])
    elif compression == JPEG and page.jpegheader is None:
        _check_size(jpeg_size(data, tables), shape, segment_size(page)[1])
    decoded = _decoded(page, data, number, shape, tables)
    if decoded.dtype == bool or page.dtype == bool:  # bits, of CCITT in bytes already
        decoded = decoded.view(np.uint8)
    elif decoded.dtype != page.dtype:
        msg = f"segment {number} decodes to {decoded.dtype} where its tags say {page.dtype}"
        raise ValueError(msg)
    if compression == JPEG and page.jpegheader is None and (decoded[-1, -1] == GREY).all():
        check_not_cut(data, tables)
    samples: Samples = decoded
    return samples


def _decoded(page: Any, data: bytes, number: int, shape: tuple[int, int, int], tables: bytes) -> NDArray[Any]:
    decode = IMAGE_CODECS.get(int(page.compression))
    if decode is None:
        shared = {"jpegtables": tables or None, "jpegheader": page.jpegheader} if _is_jpeg(page) else {}
        decoded, _, _ = page.decode(data, number, **shared)
        if decoded is None or decoded.shape != (1, *shape):
            msg = f"segment {number} decodes to something else than its tags say"
            raise ValueError(msg)
        whole: NDArray[Any] = decoded[0]
        return whole
    # These compare what the data state with the memory that they are given.
    out = np.empty(shape if shape[2] > 1 else shape[:2], page.dtype)
    options = {"hasalpha": True} if int(page.compression) in WEBP and shape[2] == 4 else {}
    decode(data, out=out, **options)
    return out.reshape(shape)


def _is_jpeg(page: Any) -> bool:
    return int(page.compression) == JPEG or int(page.compression) in OLD_JPEG


def _shape(page: Any, number: int) -> tuple[int, int, int]:
    """Return rows, columns and samples of a segment; the last strip is shorter."""
    width, height = segment_size(page)
    samples = int(page.samplesperpixel) if int(page.planarconfig) == CONTIGUOUS else 1
    return height if page.is_tiled else min(height, int(page.imagelength) - number * height), width, samples


def _check_size(stated: tuple[int, int], shape: tuple[int, int, int], whole: int) -> None:
    """Refuse a picture of another size; a JPEG in the last strip may be as high as the other strips."""
    height, width = stated
    if width != shape[1] or height not in (shape[0], whole):
        msg = f"a segment of {shape[1]} x {shape[0]} pixels holds a picture of {width} x {height}"
        raise ValueError(msg)
