"""A colour method fitted to each slide of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.executors import Executor
from wsi_patches.geometry import Box
from wsi_patches.imaging.colour import COLOUR_METHODS, ColourMethod
from wsi_patches.pipeline import Stage, run
from wsi_patches.preprocess import LEFT
from wsi_patches.slides import open_slide
from wsi_patches.stores import Store, shared_store

__all__ = ["colour_method", "fit_colour"]

METHODS = tuple(name for name in COLOUR_METHODS if name != "flatten")
"""Uneven light shows on whole fields; the patches of a store have each too little of it to be flattened."""
SAMPLE = 48
"""Patches of each slide that a method is fitted on, evenly spread over those with foreground."""
SLIDES_AT_ONCE = 16
REFERENCE_PX = 2048
"""Longest side of what is taken of a reference picture, from its middle."""


@dataclass(frozen=True)
class _Task:
    store: str
    method: ColourMethod
    samples: tuple[tuple[str, tuple[int, ...]], ...]
    """Of each slide, by its id, the positions in the store to fit on."""


def colour_method(name: str | None, reference: Path | None) -> ColourMethod | None:
    """Return the method of a name, aimed at a reference picture if one is given.

    Raises
    ------
    UsageError
        There is no such method, or it has no use for a reference.
    SlideError
        The reference cannot be read.
    """
    if name is None:
        return None
    if name not in METHODS:
        msg = f"colour must be one of {', '.join(METHODS)}, found {name!r}"
        raise UsageError(msg)
    method = COLOUR_METHODS[name]()
    if reference is None:
        return method
    toward = getattr(method, "toward", None)
    if toward is None:
        msg = f"colour method {name} takes no reference: leave --colour-reference out"
        raise UsageError(msg)
    aimed: ColourMethod = toward(_middle(reference))
    return aimed


def _middle(path: Path) -> NDArray[np.uint8]:
    with open_slide(path) as slide:
        width, height = slide.info.size
        across, down = min(width, REFERENCE_PX), min(height, REFERENCE_PX)
        return slide.read(Box((width - across) // 2, (height - down) // 2, across, down))


def fit_colour(
    store: Store, method: ColourMethod, kept: NDArray[np.bool_], executor: Executor
) -> dict[str, dict[str, Any]]:
    """Return the method fitted to each slide, as plain values, by the slide's id; none for a slide that shows no stain.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    fitted: dict[str, dict[str, Any]] = {}
    for found in run(Stage("colour", _fit, _stop), list(_tasks(store, method, kept)), executor):
        fitted |= found
    return fitted


def _tasks(store: Store, method: ColourMethod, kept: NDArray[np.bool_]) -> Iterator[_Task]:
    samples = []
    for record in store.slides:
        mine = store.positions_of(record.id)
        wanted = mine[kept[mine]] if kept[mine].any() else mine
        spread = np.linspace(0, len(wanted) - 1, min(len(wanted), SAMPLE)).astype(int)
        samples.append((record.id, tuple(wanted[spread].tolist())))
    for start in range(0, len(samples), SLIDES_AT_ONCE):
        yield _Task(str(store.path), method, tuple(samples[start : start + SLIDES_AT_ONCE]))


def _fit(task: _Task) -> dict[str, dict[str, Any]]:
    """Fit to some slides; what a worker does."""
    store, fitted = shared_store(task.store), {}
    for name, positions in task.samples:
        try:
            fitted[name] = task.method.fit(store.read(positions)).to_dict()
        except UsageError as error:
            fitted[name] = {LEFT: str(error)}
    return fitted


def _stop(_task: _Task, error: BaseException) -> dict[str, dict[str, Any]]:
    raise error
