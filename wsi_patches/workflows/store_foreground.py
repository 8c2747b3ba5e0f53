"""Which of a store's patches hold cells or tissue, slide by slide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.executors import Executor
from wsi_patches.geometry import round_half_up
from wsi_patches.grid import Kept
from wsi_patches.pipeline import Stage, run
from wsi_patches.stores import MosaicSlide, Store, open_store, shared_store

__all__ = ["STORE_FOREGROUND", "ForegroundOfSlides", "store_foreground"]

SLIDES_AT_ONCE = 64


@dataclass(frozen=True)
class ForegroundOfSlides:
    """Some of a store's slides to look at."""

    store: str
    slide_ids: tuple[str, ...]
    parts: tuple[str, ...] | None = None
    """The parts that hold them; all parts are opened if not given."""


def store_foreground(store: Store, executor: Executor) -> NDArray[np.bool_]:
    """Return one truth value a patch, in the store's order.

    A store that was extracted with ``--foreground auto`` holds nothing else.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    kept = np.ones(len(store), bool)
    if store.settings.foreground == "auto":
        return kept
    for found in run(STORE_FOREGROUND, list(_tasks(store)), executor):
        for slide_id, mask in found.items():
            kept[store.positions_of(slide_id)] = mask.mask()
    return kept


def _tasks(store: Store) -> Iterator[ForegroundOfSlides]:
    ids = [record.id for record in store.slides]
    for start in range(0, len(ids), SLIDES_AT_ONCE):
        yield ForegroundOfSlides(str(store.path), tuple(ids[start : start + SLIDES_AT_ONCE]))


def _find(task: ForegroundOfSlides) -> dict[str, Kept]:
    """Look at some slides; what a worker does."""
    from wsi_patches.imaging.foreground import find_foreground

    store = shared_store(task.store) if task.parts is None else open_store(task.store, parts=task.parts)
    found = {}
    for slide_id in task.slide_ids:
        mosaic = MosaicSlide(store, slide_id)
        side = round_half_up(store.settings.spec.size_px * mosaic.record.downsample)
        xy = store.xy[store.positions_of(slide_id)]
        found[slide_id] = Kept.of(find_foreground(mosaic).keep(np.hstack([xy, np.full_like(xy, side)])))
    return found


def _stop(_task: ForegroundOfSlides, error: BaseException) -> dict[str, Kept]:
    raise error


STORE_FOREGROUND: Stage[ForegroundOfSlides, dict[str, Kept]] = Stage("foreground", _find, _stop)
"""Finds which patches of slides hold cells or tissue."""
