"""Patch sources: everything that holds patches looks the same to what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import StoreError
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchPlace
from wsi_patches.slide import Level, Slide, SlideInfo

__all__ = ["GridSource", "PatchSource", "SlideRecord"]


@dataclass(frozen=True)
class SlideRecord:
    """What is kept of a slide beside its patches."""

    id: str
    """Unique in its output, safe as a folder's name."""
    path: str
    fingerprint: str
    size: tuple[int, int]
    """Width and height at level 0."""
    levels: tuple[tuple[int, int, float], ...]
    """Width, height and downsample of each level."""
    mpp: float | None = None
    """Level-0 pixel size in um, or None when nobody says."""
    mpp_stated: bool = False
    """Whether ``mpp`` was stated by the user and not by the file."""
    vendor: str | None = None
    level: int | None = None
    """Level that the patches were read at, or None where they were resampled."""
    downsample: float = 1.0
    """Level-0 pixels for each patch pixel."""
    group: str | None = None
    """Patient, where known: what a split must keep together."""
    label: str | None = None
    split: str | None = None
    licence: str | None = None
    annotated: bool = False
    """Whether somebody marked the cells of this slide; without annotations a count of 0 says nothing."""
    grid_start: int = 0
    """First grid index that this part answers for."""
    grid_stop: int = 0
    """One past the last grid index that this part answers for."""
    grid_total: int = 0
    """How many places the slide's whole grid has."""
    unreadable: tuple[int, ...] = ()
    """Grid indices whose pixels could not be read; their patches are background and are not counted."""
    warnings: tuple[str, ...] = field(default=())
    """Sentences about this slide that a reader of the store should see."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads."""
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("size", "unreadable", "warnings"):
            values[name] = list(values[name])
        return {**values, "levels": [list(level) for level in self.levels]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SlideRecord:
        """Read what `to_dict` wrote; columns that a later minor version added are left out.

        Raises
        ------
        StoreError
            A column that every version has is missing.
        """
        known = {one.name for one in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        missing = {"id", "path", "fingerprint", "size", "levels"} - set(kept)
        if missing:
            msg = f"a slide's row lacks {', '.join(sorted(missing))}: the store is damaged or not of this format"
            raise StoreError(msg)
        for name in ("size", "unreadable", "warnings"):
            kept[name] = tuple(kept.get(name, ()))
        kept["levels"] = tuple((int(width), int(height), float(down)) for width, height, down in kept["levels"])
        return cls(**kept)

    def info(self) -> SlideInfo:
        """Return the description of the slide as its reader gave it."""
        levels = tuple(Level(Size(width, height), downsample) for width, height, downsample in self.levels)
        return SlideInfo(self.path, self.fingerprint, Size(*self.size), levels, self.mpp, self.vendor)


class PatchSource(Protocol):
    """A sequence of patches, read in batches: a grid over a slide, cells found on a slide, or a store."""

    @property
    def slides(self) -> Sequence[SlideRecord]:
        """The slides that the patches come from."""

    @property
    def labels(self) -> NDArray[np.uint16] | None:
        """Annotated cells of each class in each patch, shape ``(n, classes)``, or None without annotations."""

    def __len__(self) -> int: ...

    def place(self, position: int) -> PatchPlace:
        """Return where a patch lies on its slide."""

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches at ``positions``, uint8 RGB of shape ``(n, h, w, 3)``."""


@dataclass(frozen=True)
class GridSource:
    """The patches of a grid over an open slide.

    Parameters
    ----------
    slide
        The open slide.
    grid
        Where its patches lie.
    record
        What to say of the slide.
    labels
        Annotated cells of each class in each patch, shape ``(len(grid), classes)``, or None.
    """

    slide: Slide
    grid: PatchGrid
    record: SlideRecord
    labels: NDArray[np.uint16] | None = None

    @property
    def slides(self) -> Sequence[SlideRecord]:
        """The one slide."""
        return (self.record,)

    def __len__(self) -> int:
        return len(self.grid)

    def place(self, position: int) -> PatchPlace:
        """Return where a patch lies."""
        return self.grid[position]

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB of shape ``(n, size_px, size_px, 3)``.

        Raises
        ------
        SlideError
            A patch cannot be read.
        """
        places = self.grid.take(positions)
        side = self.grid.spec.size_px
        out = np.empty((len(places), side, side, 3), np.uint8)
        for row, place in enumerate(places):
            out[row] = self.slide.read_scaled(place.box, self.grid.downsample)
        return out
