"""Boxes, sizes and resolutions; whole numbers, no dependency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wsi_patches.errors import UsageError

__all__ = ["Box", "Resolution", "Size", "round_half_up"]


def round_half_up(value: float) -> int:
    """Round to the nearest whole number, halves up, as MATLAB's ``round`` does for positive numbers."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


class Box(NamedTuple):
    """An axis-aligned rectangle: ``x <= column < right`` and ``y <= row < bottom``.

    The frame is level-0 pixels, 0-based, unless the name of the variable says otherwise.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height

    def clipped(self, size: Size) -> Box:
        """Return the part that lies inside an image of ``size``; width and height are 0 where nothing does."""
        left, top = min(max(self.x, 0), size.width), min(max(self.y, 0), size.height)
        right, bottom = min(max(self.right, left), size.width), min(max(self.bottom, top), size.height)
        return Box(left, top, right - left, bottom - top)

    def grown(self, margin_px: int) -> Box:
        """Return the box with ``margin_px`` more on every side."""
        return Box(self.x - margin_px, self.y - margin_px, self.width + 2 * margin_px, self.height + 2 * margin_px)


@dataclass(frozen=True)
class Resolution:
    """At what resolution patches are asked: a level, a pixel size, or a magnification; level 0 if nothing is said.

    Parameters
    ----------
    level
        Pyramid level, 0 being full resolution.
    mpp
        Pixel size in um.
    magnification
        Objective power, such as 20 or 40.

    Raises
    ------
    UsageError
        More than one was given, or a value is out of range.
    """

    level: int | None = None
    mpp: float | None = None
    magnification: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("level", "mpp", "magnification") if getattr(self, name) is not None]
        if len(given) > 1:
            msg = f"one resolution can be asked for, found {' and '.join(given)}: give one of level, mpp, magnification"
            raise UsageError(msg)
        if self.level is not None and self.level < 0:
            msg = f"level must be 0 or more, found {self.level}"
            raise UsageError(msg)
        for name in ("mpp", "magnification"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                msg = f"{name} must be greater than 0, found {value}"
                raise UsageError(msg)
