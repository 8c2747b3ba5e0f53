"""Scanner files through OpenSlide."""

from __future__ import annotations

import threading
from ctypes import ArgumentError
from pathlib import Path
from typing import Any

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.slide import Level, SlideBase, SlideInfo
from wsi_patches.slides.resolution import from_openslide

__all__ = ["OpenSlideSlide", "recognises"]

CACHE_BYTES = 32 << 20
"""Neighbouring patches share tiles: without a cache unaligned reads cost three times as much."""
ERRORS = (openslide.OpenSlideError, OSError, ValueError, ArgumentError)
"""What OpenSlide raises; a read of a closed handle is ctypes's ArgumentError."""


def recognises(path: Path) -> bool:
    """Return whether OpenSlide knows the format of a file."""
    try:
        return openslide.OpenSlide.detect_format(str(path)) is not None
    except openslide.OpenSlideError:
        return False


class OpenSlideSlide(SlideBase):
    """A slide that OpenSlide reads; one handle serves all threads.

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
        OpenSlide cannot open the file.
    """

    def __init__(self, path: Path, fingerprint: str, mpp: float | None = None) -> None:
        self._path, self._stated_mpp = path, mpp
        self._lock, self._closed = threading.Lock(), False
        self._handle = self._open()
        properties = dict(self._handle.properties)
        sizes = zip(self._handle.level_dimensions, self._handle.level_downsamples, strict=True)
        levels = tuple(Level(Size(*size), 1.0 if row == 0 else down) for row, (size, down) in enumerate(sizes))
        power = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        info = SlideInfo(
            path=str(path),
            fingerprint=fingerprint,
            size=levels[0].size,
            levels=levels,
            mpp=mpp if mpp is not None else from_openslide(properties),
            vendor=properties.get(openslide.PROPERTY_NAME_VENDOR),
            objective_power=float(power) if power else None,
            reader="openslide",
        )
        colour = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        red, green, blue = (int(colour[start : start + 2], 16) for start in (0, 2, 4))
        super().__init__(info, (red, green, blue))

    def _open(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(str(self._path))
        except ERRORS as error:
            msg = f"{self._path} cannot be opened: OpenSlide says: {error}. The file may be cut short: copy it again"
            raise SlideError(msg) from error
        handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        return handle

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        if self._closed:
            msg = f"{self._path} was closed: open it again"
            raise SlideError(msg)
        handle, down = self._handle, self.info.levels[level].downsample
        location = (round(box_px.x * down), round(box_px.y * down))
        try:
            region = handle.read_region(location, level, (box_px.width, box_px.height))
        except ERRORS as error:
            self._reopen(handle)
            msg = f"{self._path}: {box_px} of level {level} cannot be read: OpenSlide says: {error}"
            raise SlideError(msg) from error
        return self._over_background(region)

    def _reopen(self, broken: openslide.OpenSlide) -> None:
        """Replace a handle that failed: OpenSlide refuses every later read of it, good ones too."""
        with self._lock:
            if self._handle is broken and not self._closed:
                self._handle = self._open()

    def _over_background(self, region: Image.Image) -> NDArray[np.uint8]:
        """Return RGB pixels; what the scanner left out is transparent and becomes background."""
        rgba = np.asarray(region)
        alpha = rgba[..., 3:]
        if alpha.min() == 255:
            return np.ascontiguousarray(rgba[..., :3])
        share = alpha.astype(np.float32) / 255
        mixed = rgba[..., :3] * share + np.array(self.background, np.float32) * (1 - share)
        return np.round(mixed).astype(np.uint8)

    def close(self) -> None:
        """Let the file go; reading after this is a SlideError."""
        with self._lock:
            self._closed = True
            self._handle.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenSlideSlide, (self._path, self.info.fingerprint, self._stated_mpp)
