"""Scanner files through OpenSlide."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openslide
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size, round_half_up
from wsi_patches.slide import AS_IT_IS, Level, ReadOptions, SlideBase, SlideInfo
from wsi_patches.slides.channels import refuse_channels
from wsi_patches.slides.fingerprint import fingerprint
from wsi_patches.slides.pixels import over
from wsi_patches.slides.reasons import reason_of
from wsi_patches.slides.resolution import PixelSize, number
from wsi_patches.slides.tiff_guard import TiffGuard
from wsi_patches.slides.tiff_tags import GENERIC_TIFF, check_file, is_tiff

__all__ = ["OpenSlideSlide", "detect_vendor"]

OPENSLIDE_ERRORS = (openslide.OpenSlideError,)
"""All that openslide-python raises of a file; a missing file is told apart before."""
CACHE_BYTES = 32 << 20
"""Decoded tiles kept for each open slide: enough for a row of patches, small beside a worker's memory."""
WHITE = (255, 255, 255)
DICOM_COMPRESSIONS = {
    **{f"1.2.840.10008.1.2.{end}": "none" for end in ("1", "2")},
    **{f"1.2.840.10008.1.2.4.{end}": "jpeg" for end in (50, 51)},
    **{f"1.2.840.10008.1.2.4.{end}": "jpeg2000" for end in (90, 91)},
}
"""By DICOM's transfer syntaxes (PS3.6, table A-1)."""


def detect_vendor(path: Path) -> str | None:
    """Return the vendor whose format OpenSlide sees in a file, or None."""
    try:
        vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    except OPENSLIDE_ERRORS as error:
        raise _error(path, "recognised", error) from error
    return vendor


class OpenSlideSlide(SlideBase):
    """A slide that OpenSlide reads.

    OpenSlide places a read by level-0 pixels: at a level whose downsample is not a whole number (2.0005 where odd sides
    were halved) pixels are interpolated from up to half a level-0 pixel away. What a damaged JPEG tile lacks it fills
    with grey and says nothing, so in a TIFF we look at the tiles first; at levels that are no page of their own it must
    be trusted (the smallest of Hamamatsu's; those of Leica's, and of the formats that are no TIFF).

    Parameters
    ----------
    path
        The file.
    options
        A resolution that replaces the file's own, and which channels are meant.

    Raises
    ------
    SlideError
        OpenSlide does not read the file, or would read it wrongly (16-bit samples, a truncated TIFF).
    UsageError
        A channel was asked for: OpenSlide gives colours.
    """

    def __init__(self, path: Path | str, options: ReadOptions = AS_IT_IS) -> None:
        self._path, self._options, mpp = Path(path), options, options.mpp
        refuse_channels(self._path, options.channels)
        identity = fingerprint(self._path)
        is_a_tiff = _check_tiff(self._path)
        self._repair = threading.Lock()
        self._handle: openslide.OpenSlide | None = self._opened()
        try:
            info = _describe(self._handle, self._path, identity, mpp)
        except OPENSLIDE_ERRORS as error:
            raise _error(self._path, "described", error) from error
        colour = self._handle.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR)
        super().__init__(info, WHITE if colour is None else _rgb(colour))
        self._guard = TiffGuard(self._path, [level.size for level in info.levels]) if is_a_tiff else None

    def _opened(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(str(self._path))
            handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        except OPENSLIDE_ERRORS as error:
            raise _error(self._path, "opened", error) from error
        return handle

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        guard, handle = self._guard, self._handle  # in this order, the other way round than `close`
        if handle is None:
            msg = f"{self._path} is closed: open it again to read it"
            raise SlideError(msg)
        if guard is not None:
            guard.check(box_px, level)
        try:
            return self._region(handle, box_px, level)
        except OPENSLIDE_ERRORS:
            return self._read_again(box_px, level)

    def _read_again(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        """Read with a fresh handle, since one bad tile, perhaps another thread's, spoils a handle for good."""
        with self._repair:
            fresh = self._opened()
            try:
                pixels = self._region(fresh, box_px, level)
            except OPENSLIDE_ERRORS as error:
                self._replace(self._opened())
                raise _error(self._path, f"read at {tuple(box_px)} of level {level}", error) from error
            self._replace(fresh)
            return pixels

    def _replace(self, handle: openslide.OpenSlide) -> None:
        # The old handle is dropped, not closed: another thread may be reading with it, and the last one closes it.
        if self._handle is not None:
            self._handle = handle

    def _region(self, handle: openslide.OpenSlide, box_px: Box, level: int) -> NDArray[np.uint8]:
        of_level = self.info.levels[level]
        location = (round_half_up(box_px.x * of_level.downsample), round_half_up(box_px.y * of_level.downsample))
        rgba = np.asarray(handle.read_region(location, level, (box_px.width, box_px.height)))
        return over(rgba[..., :3], rgba[..., 3], self.background)

    def close(self) -> None:
        """Let the file go; a read that another thread has begun still ends well."""
        with self._repair:
            self._handle = None
            self._guard = None

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenSlideSlide, (str(self._path), self._options)


def _check_tiff(path: Path) -> bool:
    """Say whether a file is a TIFF; refuse one that OpenSlide would read wrongly: it cuts 16-bit samples in silence."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if not is_tiff(head):
        return False
    check_file(path)
    return True


def _describe(handle: openslide.OpenSlide, path: Path, identity: str, mpp: float | None) -> SlideInfo:
    properties = handle.properties
    vendor = properties.get(openslide.PROPERTY_NAME_VENDOR)
    own = PixelSize(
        number(properties.get(openslide.PROPERTY_NAME_MPP_X)), number(properties.get(openslide.PROPERTY_NAME_MPP_Y))
    )
    if vendor == GENERIC_TIFF:
        own = own.if_plausible()
    levels = tuple(
        Level(Size(*size), float(downsample), _tile_size(properties, level), _compression(properties))
        for level, (size, downsample) in enumerate(zip(handle.level_dimensions, handle.level_downsamples, strict=True))
    )
    power = number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    info = SlideInfo(str(path), identity, levels[0].size, levels, mpp or own.mpp, vendor, power, "openslide")
    return info if mpp else info.with_notes(*own.notes)


def _tile_size(properties: Mapping[str, str], level: int) -> Size | None:
    sides = [number(properties.get(f"openslide.level[{level}].tile-{side}")) for side in ("width", "height")]
    return Size(*(int(side) for side in sides if side)) if all(sides) else None


def _compression(properties: Mapping[str, str]) -> str:
    """Return how a DICOM slide's frames are compressed; OpenSlide says it of no other format."""
    return DICOM_COMPRESSIONS.get(properties.get("dicom.TransferSyntaxUID", ""), "")


def _rgb(text: str) -> tuple[int, int, int]:
    """Return the colour of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def _error(path: Path, what: str, error: Exception) -> SlideError:
    return SlideError(
        f"{path} cannot be {what} by OpenSlide ({reason_of(error)}): the file is damaged, incomplete, or of a "
        "kind that OpenSlide does not read; copy it again from its source, with all files beside it that belong to it"
    )
