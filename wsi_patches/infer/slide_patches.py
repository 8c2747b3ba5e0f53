"""The patches of one slide, cut from it or kept in a store, and the core that each answers for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.counting.cores import Cores, PatchCounts, patch_cores
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size, round_half_up
from wsi_patches.grid import PatchGrid, PatchSpec
from wsi_patches.patch import GridSource, SlideRecord
from wsi_patches.slide import Slide
from wsi_patches.stores import MosaicSlide

__all__ = ["BATCH", "PatchTable", "SlidePatches", "patches_of", "slide_grid"]

BATCH = 16
"""Patches that are counted at a time."""
AHEAD = 2
"""Batches that are read, or being read, before they are asked for."""


@dataclass(frozen=True)
class SlidePatches:
    """The patches of one slide, row by row, in their own pixels; an `Engine` can read them."""

    xy_px: NDArray[np.int64]
    """Top left corners, ``(n, 2)``."""
    side_px: int
    size_px: Size
    """Of the slide."""
    downsample: float
    """Level-0 pixels for each."""
    overlap: float
    """Share of a patch that its right neighbour repeats, where the border does not move it."""
    pixels: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    """Returns the patches of some rows, uint8 RGB ``(k, side_px, side_px, 3)``."""
    outside: int
    """Grey value of what lies outside of the slide."""

    def __len__(self) -> int:
        return len(self.xy_px)

    @cached_property
    def cores(self) -> Cores:
        """Which part of the slide each answers for."""
        return patch_cores(self.xy_px, self.side_px, self.size_px)

    @property
    def coverage(self) -> float:
        """Share of the slide that they cover."""
        return float(self.cores.areas(len(self)).sum() / (self.size_px.width * self.size_px.height))

    def core(self, row: int) -> NDArray[np.int64]:
        """Return the core of one patch in the patch's own frame, boxes ``(k, 4)``."""
        corner = np.tile(self.xy_px[row], 2)
        return np.asarray(self.cores.of(row) - corner, np.int64)

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return the patches of some rows, uint8 RGB ``(k, side_px, side_px, 3)``.

        Raises
        ------
        SlideError, StoreError
            The pixels cannot be read.
        """
        rows = np.asarray(positions, np.int64)
        images = self.pixels(rows)
        for image, (x, y) in zip(images, self.xy_px[rows].tolist(), strict=True):
            image[max(0, self.size_px.height - y) :] = self.outside
            image[:, max(0, self.size_px.width - x) :] = self.outside
        return images

    def batches(self, rows: range) -> Iterator[tuple[range, NDArray[np.uint8]]]:
        """Yield some of the rows and their pixels, the next ones being read meanwhile."""
        from wsi_patches.infer.batches import read_ahead

        def read(some: NDArray[np.int64]) -> tuple[range, NDArray[np.uint8]]:
            return range(some[0], some[-1] + 1), self.read(some)

        runs = [np.arange(start, min(start + BATCH, rows.stop)) for start in range(rows.start, rows.stop, BATCH)]
        with closing(read_ahead(read, runs, 1, lambda: AHEAD)) as found:
            yield from found

    def counted(self, class_names: tuple[str, ...], counts: NDArray[np.float64]) -> PatchCounts:
        """Return what was counted in each core, ``(n, classes)``, with where that is on the slide."""
        xy = np.floor(self.xy_px * self.downsample + 0.5).astype(np.int64)
        side = round_half_up(self.side_px * self.downsample)
        return PatchCounts(class_names, xy, side, counts, self.cores.scaled(self.downsample))


@dataclass(frozen=True)
class PatchTable:
    """What a model says of every patch of a slide, where several workers asked it."""

    red_px: float
    """Diameter of a red cell, level-0 pixels."""
    said: NDArray[np.float64]
    """A row for each patch, as the method has it."""


def patches_of(slide: Slide, grid: Callable[[], PatchGrid], overlap: float | None, outside: int) -> SlidePatches:
    """Return a store's own patches, or those of a grid that is laid over a slide.

    Parameters
    ----------
    slide
        The open slide, or a store's patches put together.
    grid
        Lays the grid; not asked where there is a store.
    overlap
        What was asked for, None if nothing was.
    outside
        Grey value of what lies outside of the slide.

    Raises
    ------
    UsageError
        An overlap was asked of a store, whose patches lie as they lie.
    """
    if not isinstance(slide, MosaicSlide):
        return _of_grid(slide, grid(), outside)
    if overlap is not None:
        msg = f"{slide.store.path} holds patches that lie as they lie, and an overlap was asked for: leave it out"
        raise UsageError(msg)
    order = np.lexsort(slide.xy_px.T)
    positions, spec = slide.positions[order], slide.store.settings.spec
    return SlidePatches(
        xy_px=slide.xy_px[order],
        side_px=spec.size_px,
        size_px=slide.info.levels[0].size,
        downsample=slide.info.levels[0].downsample,
        overlap=1 - spec.step_px / spec.size_px,
        pixels=lambda rows: slide.store.read(positions[rows]),
        outside=outside,
    )


def slide_grid(slide: Slide, side_px: int, downsample: float, overlap: float) -> PatchGrid:
    """Lay a grid over a slide, with no patch over the border unless the slide is smaller than a patch.

    Parameters
    ----------
    slide
        Any slide.
    side_px
        Of a patch, in patch pixels.
    downsample
        Level-0 pixels for each patch pixel.
    overlap
        Share of a patch that its right neighbour repeats.

    Raises
    ------
    UsageError
        A value is out of range.
    """
    size = Size(*(max(1, round_half_up(side / downsample)) for side in slide.info.size))
    edge = "shift" if min(size) >= side_px else "pad"
    return PatchGrid(size, PatchSpec(side_px, edge=edge, overlap=overlap), downsample)


def _of_grid(slide: Slide, grid: PatchGrid, outside: int) -> SlidePatches:
    info = slide.info
    levels = tuple((*level.size, level.downsample) for level in info.levels)
    source = GridSource(slide, grid, SlideRecord("", info.path, info.fingerprint, info.size, levels, info.mpp))
    spec = grid.spec
    overlap = 1 - spec.step_px / spec.size_px
    return SlidePatches(grid.xy_px(), spec.size_px, grid.size, grid.downsample, overlap, source.read, outside)
