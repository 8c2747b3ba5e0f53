"""Patch sources: everything that holds patches looks the same to what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Box, Size
from wsi_patches.grid import PatchGrid, PatchPlace
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.slide import Level, Slide, SlideInfo

__all__ = ["GridSource", "PatchSource", "SlideRecord", "TileSlide", "jpeg_tiles_of"]


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
    """What a split must keep together: the patient, or else the slide that a picture was taken from."""
    group_kind: str | None = None
    """``patient`` or ``slide``: what ``group`` names."""
    unit: str = "slide"
    """What the picture shows: a ``slide`` or field of many cells, a ``cell``, or a ``patch`` that somebody cut."""
    label: str | None = None
    """The class of the whole picture: a cell's kind, a field's or a patient's diagnosis."""
    split: str | None = None
    """The published split that it belongs to."""
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
    blank: int = 0
    """Places of this part's range that hold no foreground: they have no patch."""
    reader: str = ""
    """Which backend read the slide."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What else its dataset says of it: subtype, microscope, the file of a mask."""
    warnings: tuple[str, ...] = field(default=())
    """Sentences about this slide that a reader of the store should see."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads."""
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("size", "unreadable", "warnings"):
            values[name] = list(values[name])
        return {**values, "levels": [list(level) for level in self.levels], "attributes": dict(self.attributes)}

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


@runtime_checkable
class TileSlide(Protocol):
    """A slide whose file keeps JPEG tiles that can be had without decoding."""

    def jpeg_tiles(self, level: int) -> JpegTiles | None:
        """Return what the JPEG tiles of a level have in common, or None where it has none."""

    def encoded(self, boxes_px: Sequence[Box], level: int) -> list[bytes | None]:
        """Return the bytes of the tiles that are exactly these boxes of a level, None for a box that is no tile."""


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

    def encoded(self, positions: ArrayLike) -> list[bytes | None]:
        """Return each patch as its tile's own JPEG bytes, None where it is no whole tile.

        Raises
        ------
        SlideError
            A tile is damaged.
        UsageError
            The patches of this grid are not the slide's tiles.
        """
        level = self.slide.info.level_at(self.grid.downsample)
        if level is None or not isinstance(self.slide, TileSlide):
            msg = f"the patches of {self.record.path} are not its JPEG tiles: read them as pixels"
            raise UsageError(msg)
        side = self.grid.spec.size_px
        boxes = [Box(x, y, side, side) for x, y in self.grid.take(positions).xy_px().tolist()]
        return self.slide.encoded(boxes, level)


def jpeg_tiles_of(slide: Slide, grid: PatchGrid) -> JpegTiles | None:
    """Return what a slide's JPEG tiles have in common, if the patches of a grid are these tiles; else None."""
    level, size_px = slide.info.level_at(grid.downsample), grid.spec.size_px
    if level is None or grid.spec.step_px != size_px or not isinstance(slide, TileSlide):
        return None
    tiles = slide.jpeg_tiles(level)
    return tiles if tiles is not None and tiles.size == (size_px, size_px) else None
