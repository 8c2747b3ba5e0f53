"""What is known of every patch of a store: its class, and the columns that a condition may speak of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.export.where import Columns, class_column
from wsi_patches.stores import Store, derived_settings
from wsi_patches.stores.splits import SPLIT, read_store_split

__all__ = ["BY_CELLS", "BY_SLIDE", "NONE", "has_derived", "label_kind", "patch_labels", "store_columns"]

BY_CELLS, BY_SLIDE = "cells", "slide"
NONE = "none"
"""The class of a patch of an annotated slide that holds no cell."""


def label_kind(store: Store, label_by: str | None = None) -> str:
    """Return what a patch's class is taken from: ``cells`` where a slide is annotated, else ``slide``, if not asked."""
    return label_by or (BY_CELLS if any(record.annotated for record in store.slides) else BY_SLIDE)


def patch_labels(store: Store, label_by: str | None = None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each patch, shape ``(n,)``, as an index into the names; -1 where nobody says.

    Parameters
    ----------
    store
        The store.
    label_by
        ``cells``: the first class, in the order of the store's classes, that a patch holds a cell of, or ``none``;
        ``slide``: the label of the whole slide; the name of a class: whether a patch holds such a cell. By default
        ``cells`` where a slide is annotated, else ``slide``.

    Raises
    ------
    UsageError
        The store has no such class.
    """
    chosen = label_kind(store, label_by)
    if chosen == BY_SLIDE:
        names = tuple(sorted({record.label for record in store.slides if record.label}))
        of_slide = np.array([names.index(one.label) if one.label else -1 for one in store.slides], np.int64)
        return of_slide[store.slide_rows], names
    classes, holds = store.settings.rule.class_names, store.labels > 0
    if chosen == BY_CELLS and not classes:
        msg = f"--label-by {BY_CELLS}: {store.path} has no classes of cells; choose {BY_SLIDE}"
        raise UsageError(msg)
    if chosen == BY_CELLS:
        label = np.where(holds.any(axis=1), holds.argmax(axis=1), len(classes))
        names = (*classes, NONE)
    elif chosen in classes:
        label, names = holds[:, classes.index(chosen)].astype(np.int64), (f"no {chosen}", chosen)
    else:
        msg = f"--label-by {chosen!r}: choose {BY_CELLS}, {BY_SLIDE} or a class of the store: {', '.join(classes)}"
        raise UsageError(msg)
    annotated = np.array([record.annotated for record in store.slides], bool)
    return np.where(annotated[store.slide_rows], label, -1), names


def has_derived(store: Store, name: str) -> bool:
    """Return whether every part holds a complete derived group of a name."""
    return bool(store.parts) and all(derived_settings(part.folder, name) is not None for part in store.parts)


def store_columns(store: Store, label: NDArray[np.int64], label_names: Sequence[str]) -> Columns:
    """Return the columns that a condition may speak of, each read when it is asked for."""
    slides = store.slides
    columns: dict[str, Callable[[], NDArray[Any]]] = {
        "slide": lambda: _texts([record.id for record in slides], store.slide_rows),
        "group": lambda: _texts([record.group for record in slides], store.slide_rows),
        "slide_label": lambda: _texts([record.label for record in slides], store.slide_rows),
        "split": lambda: _splits(store),
        "label": lambda: _texts([*label_names, None], label),
        "index": lambda: store.grid_index,
        "x": lambda: store.xy[:, 0],
        "y": lambda: store.xy[:, 1],
        "focus": lambda: _derived(store, "focus", "score"),
        "foreground": lambda: _derived(store, "foreground", "keep").astype(bool),
    }
    fixed = tuple(columns)
    for number, name in enumerate(store.settings.rule.class_names):
        columns[class_column(name, fixed)] = lambda number=number: _counts(store, number)  # type: ignore[misc]
    return columns


def _texts(names: Sequence[str | None], rows: NDArray[np.int64]) -> NDArray[Any]:
    return np.array([*names, None], object)[:-1][rows]


def _splits(store: Store) -> NDArray[Any]:
    if has_derived(store, SPLIT):
        return read_store_split(store).astype(object)
    return _texts([record.split for record in store.slides], store.slide_rows)


def _derived(store: Store, name: str, column: str) -> NDArray[Any]:
    try:
        return store.derived(name, column)
    except StoreError as error:
        msg = f"--where speaks of {name}, and {store.path} does not know it of all patches: {error}"
        raise UsageError(msg) from error


def _counts(store: Store, number: int) -> NDArray[np.float64]:
    """Return the cells of a class in each patch; not a number where nobody marked the slide's cells."""
    annotated = np.array([record.annotated for record in store.slides], bool)
    return np.where(annotated[store.slide_rows], store.labels[:, number], np.nan)
