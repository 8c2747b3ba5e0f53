"""Photographs: JPEG, PNG, BMP and whatever else Pillow reads, decoded whole and kept."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Level, SlideBase, SlideInfo

__all__ = ["ImageSlide", "recognises"]

ERRORS = (
    OSError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    SyntaxError,
    ZeroDivisionError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged files; SyntaxError is its word for a broken PNG."""
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Modes that become uint8 RGB without losing anything."""


def recognises(path: Path) -> bool:
    """Return whether Pillow knows the format of a file."""
    try:
        with _open(path):
            return True
    except SlideError:
        return False


def _open(path: Path) -> Image.Image:
    """Open a picture without decoding it; Pillow's own limit on its size stays in force."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(path)
    except ERRORS as error:
        msg = f"{path} cannot be opened as a picture: {error}"
        raise SlideError(msg) from error


class ImageSlide(SlideBase):
    """A photograph as a slide with one level and no resolution of its own.

    Parameters
    ----------
    path
        The file.
    fingerprint
        As `wsi_patches.slide.fingerprint` gives it.
    mpp
        Stated pixel size in um, or None.

    Raises
    ------
    SlideError
        The file is no picture, or its samples are not 8-bit.
    """

    def __init__(self, path: Path, fingerprint: str, mpp: float | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None
        self._failure: SlideError | None = None
        with _open(path) as picture:
            if picture.mode not in EIGHT_BIT:
                msg = f"{path} has samples of mode {picture.mode}; 8-bit pictures are read: convert it to 8 bits first"
                raise SlideError(msg)
            size = Size(*picture.size)
        super().__init__(SlideInfo(str(path), fingerprint, size, (Level(size, 1.0),), mpp, reader="image"))

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:  # noqa: ARG002 - one level only
        pixels = self._decoded()
        return pixels[box_px.y : box_px.bottom, box_px.x : box_px.right].copy()

    def _decoded(self) -> NDArray[np.uint8]:
        """Return all pixels; they are decoded once, and a failure is remembered as well."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._pixels is None:
                try:
                    self._pixels = _decode(self._path)
                except SlideError as error:
                    self._failure = error
                    raise
            return self._pixels

    def close(self) -> None:
        """Let the pixels go; reading after this is a SlideError."""
        with self._lock:
            self._pixels, self._failure = None, SlideError(f"{self._path} was closed: open it again")

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageSlide, (self._path, self.info.fingerprint, self.info.mpp)


def _decode(path: Path) -> NDArray[np.uint8]:
    """Return a picture as uint8 RGB, what is transparent over white."""
    with _open(path) as picture:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.load()
        except ERRORS as error:
            msg = f"{path} cannot be decoded: {error}. The file may be cut short: copy it again"
            raise SlideError(msg) from error
        if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
        return np.array(picture.convert("RGB"))
