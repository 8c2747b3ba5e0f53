"""A slide held in memory."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Level, SlideBase, SlideInfo

__all__ = ["ArraySlide"]


class ArraySlide(SlideBase):
    """A slide held in memory: for tests, and for pixels that come from somewhere else.

    Parameters
    ----------
    pixels
        uint8 RGB of shape ``(h, w, 3)``.
    mpp
        Pixel size in um, if known.
    path
        A name for messages and reports.

    Raises
    ------
    SlideError
        The array is not uint8 RGB.
    """

    def __init__(self, pixels: NDArray[np.uint8], mpp: float | None = None, path: str = "memory") -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            msg = f"a slide needs uint8 pixels of shape (h, w, 3), found {pixels.dtype} {pixels.shape}"
            raise SlideError(msg)
        size = Size(pixels.shape[1], pixels.shape[0])
        digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=12).hexdigest()
        info = SlideInfo(path, f"{pixels.nbytes}-{digest}", size, (Level(size, 1.0),), mpp, reader="array")
        super().__init__(info)
        self.pixels = pixels

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:  # noqa: ARG002 - one level only
        return self.pixels[box_px.y : box_px.bottom, box_px.x : box_px.right].copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return ArraySlide, (self.pixels, self.info.mpp, self.info.path)
