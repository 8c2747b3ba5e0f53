"""A slide put together from a store's patches, so that whatever looks at slides can look at stores."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Box, Size, round_half_up
from wsi_patches.slide import Level, SlideBase, SlideInfo
from wsi_patches.stores.reader import Store, shared_store

__all__ = ["MosaicSlide"]

COVERAGE_PX = 8
"""Coverage is counted in squares of this side."""
BATCH_PATCHES = 32
CACHED_PATCHES = 256
"""Windows overlap, and so a patch is asked for a few times in a row."""


class MosaicSlide(SlideBase):
    """One slide of a store, at the resolution of its patches; places that no patch covers are background.

    Parameters
    ----------
    store
        The open store.
    slide_id
        Which of its slides.

    Raises
    ------
    UsageError
        The store has no such slide.
    """

    def __init__(self, store: Store, slide_id: str) -> None:
        self.positions = store.positions_of(slide_id)
        self.store, self.record = store, store.slides[store.row_of[slide_id]]
        down = self.record.downsample
        readable = ~np.isin(store.grid_index[self.positions], sorted(store.unreadable[slide_id]))
        side = round_half_up(store.settings.spec.size_px * down)
        self.holes = [Box(x, y, side, side) for x, y in store.xy[self.positions[~readable]].tolist()]
        self.positions = self.positions[readable]
        self.xy_px = np.floor(store.xy[self.positions] / down + 0.5).astype(np.int64)
        width, height = (max(1, round_half_up(side / down)) for side in self.record.size)
        info = self.record.info()
        level = Level(Size(width, height), down)
        super().__init__(
            SlideInfo(info.path, info.fingerprint, info.size, (level,), info.mpp, info.vendor, reader="store")
        )
        self._recent: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def coverage(self) -> float:
        """Return the share of the slide's area that its patches cover, 0 to 1."""
        side, size = self.store.settings.spec.size_px, self.info.levels[0].size
        covered = np.zeros((-(-size.height // COVERAGE_PX), -(-size.width // COVERAGE_PX)), bool)
        low, high = self.xy_px // COVERAGE_PX, -(-(self.xy_px + side) // COVERAGE_PX)
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True):
            covered[top:bottom, left:right] = True
        return float(covered.mean())

    def _read_level(self, box_px: Box, level: int) -> NDArray[np.uint8]:  # noqa: ARG002 - one level only
        side = self.store.settings.spec.size_px
        out = np.full((box_px.height, box_px.width, 3), self.background, np.uint8)
        x, y = self.xy_px[:, 0], self.xy_px[:, 1]
        touches = (x < box_px.right) & (x + side > box_px.x) & (y < box_px.bottom) & (y + side > box_px.y)
        rows = np.flatnonzero(touches)
        for start in range(0, len(rows), BATCH_PATCHES):
            some = rows[start : start + BATCH_PATCHES].tolist()
            for row, patch in zip(some, self._patches(self.positions[some].tolist()), strict=True):
                left, top = int(x[row]) - box_px.x, int(y[row]) - box_px.y
                cut = Box(left, top, side, side).clipped(Size(box_px.width, box_px.height))
                out[cut.y : cut.bottom, cut.x : cut.right] = patch[
                    cut.y - top : cut.bottom - top, cut.x - left : cut.right - left
                ]
        return out

    def _patches(self, positions: list[int]) -> list[NDArray[np.uint8]]:
        """Return some patches; those that are not at hand are read in one call."""
        with self._lock:
            found = {one: self._recent[one] for one in positions if one in self._recent}
            for one in found:
                self._recent.move_to_end(one)
        lacking = [one for one in positions if one not in found]
        if lacking:
            read = dict(zip(lacking, self.store.read(lacking), strict=True))
            with self._lock:
                self._recent |= read
                while len(self._recent) > CACHED_PATCHES:
                    self._recent.popitem(last=False)
            found |= read
        return [found[one] for one in positions]

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_mosaic, (str(self.store.path), self.record.id)


def _open_mosaic(path: str, slide_id: str) -> MosaicSlide:
    return MosaicSlide(shared_store(path), slide_id)
