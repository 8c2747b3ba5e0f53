"""What a slide is, whoever reads it: its description, its protocol, and the part that every reader shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import ResolutionUnknown, UsageError
from wsi_patches.geometry import Box, Resolution, Size, round_half_up

__all__ = ["AS_IT_IS", "Level", "ReadOptions", "Slide", "SlideBase", "SlideInfo", "downsample_of", "level_for"]

MAGNIFICATION_MPP = 10.0
"""By convention 40x is 0.25 um per pixel; used only where a file states its pixel size and no objective power."""
LEVEL_TOLERANCE = 0.01
"""A level counts as fine enough when it is at most 1 % coarser than asked: scanners write 0.2502 for 0.25."""


@dataclass(frozen=True)
class Level:
    """One level of a slide's pyramid."""

    size: Size
    """Width and height in the level's own pixels."""
    downsample: float
    """Level-0 pixels for each pixel of this level."""
    tile: Size | None = None
    """The file's own storage unit, width and height in this level's pixels, where the reader knows it."""
    compression: str = ""
    """How those units are compressed: jpeg, jpeg2000, lzw, deflate, zstd, none ...; empty where not known."""


@dataclass(frozen=True)
class SlideInfo:
    """What is known of a slide without reading its pixels."""

    path: str
    """The file or folder, as given."""
    fingerprint: str
    """Byte size and hash of the first and last MiB; the same for a file that was only moved."""
    size: Size
    """Width and height at level 0."""
    levels: tuple[Level, ...]
    """Finest first."""
    mpp: float | None = None
    """Level-0 pixel size in um, or None when the file does not say."""
    vendor: str | None = None
    """The scanner's maker as the reader names it, or None."""
    objective_power: float | None = None
    """Nominal magnification of the objective, or None."""
    reader: str = ""
    """Which backend reads the file."""
    channels: tuple[str, ...] = ()
    """Names of the channels of a picture that is not one of colours; empty for grey and RGB."""
    notes: tuple[str, ...] = ()
    """What was done to the samples on their way to 8-bit RGB, in sentences: a user should see them."""

    def level_at(self, downsample: float) -> int | None:
        """Return the level that has just this downsample, or None."""
        return next((number for number, level in enumerate(self.levels) if level.downsample == downsample), None)

    def with_notes(self, *notes: str) -> SlideInfo:
        """Return the same with further notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class ReadOptions:
    """How a slide is to be opened, where its file does not say or the user knows better."""

    mpp: float | None = None
    """Level-0 pixel size in um; it replaces the file's own."""
    reader: str | None = None
    """The backend; chosen by the file's content if None."""
    channels: tuple[str, ...] = ()
    """One to three names or 0-based numbers of channels: one is shown as grey, two or three as red, green and blue."""

    def __post_init__(self) -> None:
        if self.mpp is not None and not 0 < self.mpp < float("inf"):
            msg = f"a slide's resolution (--slide-mpp) must be greater than 0 um per pixel, found {self.mpp}"
            raise UsageError(msg)
        if len(self.channels) > 3:
            msg = f"one to three channels can be shown as red, green and blue, found {', '.join(self.channels)}"
            raise UsageError(msg)


AS_IT_IS = ReadOptions()
"""Everything as the file says."""


class Slide(Protocol):
    """One image file of a smear, safe to read from several threads, picklable as its path."""

    @property
    def info(self) -> SlideInfo:
        """What is known without reading pixels."""

    @property
    def background(self) -> tuple[int, int, int]:
        """RGB colour of whatever lies outside of the slide."""

    def read(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Return RGB pixels ``(h, w, 3)`` of a level-0 ``box`` at a level's own resolution."""

    def read_at(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return RGB pixels ``(h, w, 3)`` of a level-0 ``box`` at ``mpp`` um for each pixel."""

    def read_scaled(self, box: Box, downsample: float) -> NDArray[np.uint8]:
        """Return RGB pixels ``(h, w, 3)`` of a level-0 ``box``, one for each ``downsample`` level-0 pixels."""

    def close(self) -> None:
        """Let the file go."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: Any) -> None: ...


def level_for(levels: Sequence[Level], downsample: float) -> int:
    """Return the coarsest level that is still as fine as ``downsample``; the finest where none is."""
    fine_enough = [i for i, level in enumerate(levels) if level.downsample <= downsample * (1 + LEVEL_TOLERANCE)]
    return max(fine_enough, key=lambda i: levels[i].downsample, default=0)


def downsample_of(info: SlideInfo, resolution: Resolution) -> float:
    """Return how many level-0 pixels one pixel at ``resolution`` stands for.

    Raises
    ------
    ResolutionUnknown
        A pixel size or magnification was asked for and the slide does not state its own.
    UsageError
        The level does not exist, or the resolution is finer than the slide's own: pixels are never invented.
    """
    if resolution.mpp is not None:
        asked, downsample = f"{resolution.mpp:g} um per pixel", _ratio(resolution.mpp, info.mpp, info)
    elif resolution.magnification is not None:
        asked = f"magnification {resolution.magnification:g}"
        own = None if info.mpp is None else MAGNIFICATION_MPP / info.mpp
        power = info.objective_power or own
        downsample = _ratio(1 / resolution.magnification, None if power is None else 1 / power, info)
    else:
        level = resolution.level or 0
        if level >= len(info.levels):
            msg = f"level {level} was asked of {info.path}, which has levels 0 to {len(info.levels) - 1}"
            raise UsageError(msg)
        return info.levels[level].downsample
    if downsample < 1 - LEVEL_TOLERANCE:
        msg = f"{asked} was asked of {info.path}, which is coarser than that: ask for its own resolution or less"
        raise UsageError(msg)
    # A scanner's 0.2502 asked as 0.25 means the level as it is, not a resampling of every patch by 0.1 %.
    nearest = min((level.downsample for level in info.levels), key=lambda own: abs(own - downsample))
    return nearest if abs(nearest - downsample) <= LEVEL_TOLERANCE * downsample else downsample


def _ratio(asked: float, own: float | None, info: SlideInfo) -> float:
    if own is None:
        msg = (
            f"{info.path} does not state its resolution, and patches were asked for at one: "
            "state it with --slide-mpp (um per level-0 pixel), or ask by --level"
        )
        raise ResolutionUnknown(msg)
    return asked / own


class SlideBase(ABC):
    """Bounds, background and shrinking, shared by every reader; a reader adds `info` and `_read_level`.

    Parameters
    ----------
    info
        What is known of the slide.
    background
        RGB colour of whatever lies outside of the slide.
    """

    def __init__(self, info: SlideInfo, background: tuple[int, int, int] = (255, 255, 255)) -> None:
        self._info, self._background = info, background

    @property
    def background(self) -> tuple[int, int, int]:
        """RGB colour of whatever lies outside of the slide."""
        return self._background

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide without reading its pixels."""
        return self._info

    @abstractmethod
    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:
        """Return pixels of a non-empty box that lies inside ``level``, in that level's own pixels."""

    def read(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Return the pixels of a box at a level's own resolution.

        Parameters
        ----------
        box
            Level-0 pixels; may reach over the border, which is filled with the background colour.
        level
            Which level to read.

        Returns
        -------
        uint8 RGB of shape ``(h, w, 3)``, the box's size divided by the level's downsample.

        Raises
        ------
        SlideError
            The pixels cannot be read.
        UsageError
            There is no such level.
        """
        if not 0 <= level < len(self.info.levels):
            msg = f"level {level} was asked of {self.info.path}, which has levels 0 to {len(self.info.levels) - 1}"
            raise UsageError(msg)
        of_level = self.info.levels[level]
        scaled = (value / of_level.downsample for value in box)
        x, y, width, height = (round_half_up(value) for value in scaled)
        box_px = Box(x, y, max(1, width), max(1, height))
        inside_px = box_px.clipped(of_level.size)
        if inside_px == box_px:
            return self._read_level(box_px, level)
        out = np.full((box_px.height, box_px.width, 3), self.background, np.uint8)
        if inside_px.width and inside_px.height:
            left, top = inside_px.x - x, inside_px.y - y
            out[top : top + inside_px.height, left : left + inside_px.width] = self._read_level(inside_px, level)
        return out

    def read_scaled(self, box: Box, downsample: float) -> NDArray[np.uint8]:
        """Return the pixels of a box, one for each ``downsample`` level-0 pixels.

        The coarsest level that is still as fine as asked is read and shrunk by area averaging.

        Raises
        ------
        SlideError
            As `read`.
        """
        level = level_for(self.info.levels, downsample)
        pixels = self.read(box, level)
        width, height = (max(1, round_half_up(side / downsample)) for side in (box.width, box.height))
        if pixels.shape[:2] == (height, width):
            return pixels
        import cv2

        shrunk = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.uint8)

    def read_at(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the pixels of a level-0 box at ``mpp`` um for each pixel.

        Raises
        ------
        ResolutionUnknown
            The slide does not state its resolution.
        UsageError
            The slide is coarser than ``mpp``.
        """
        return self.read_scaled(box, downsample_of(self.info, Resolution(mpp=mpp)))

    def close(self) -> None:
        """Let the file go; reading after this is an error. Nothing to do for a slide that holds no file."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        self.close()
