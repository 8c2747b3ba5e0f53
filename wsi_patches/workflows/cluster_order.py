"""In which order the patches of a store arrive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.text import csv_rows, finite
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.stores import Store
from wsi_patches.workflows.labelled import readable_patches

__all__ = ["stream_order"]

IMAGES, TIMES = ("image", "slide", "slideid", "file", "filename"), ("time", "order", "date")


def stream_order(store: Store, table: Path | None = None) -> NDArray[np.int64]:
    """Return the positions of a store's patches in the order in which they arrive, without those that were not read.

    Parameters
    ----------
    store
        The store.
    table
        A CSV file with a column image (a slide's id or file) and a column time, order or date: numbers, or texts that
        sort as they are meant to, such as 2026-03-31. Patches of a slide keep their order, equal times that of the
        store. The store's own order if None.

    Raises
    ------
    UsageError
        The table cannot be used, says nothing of a slide or two things, or holds numbers and texts.
    """
    positions = np.flatnonzero(readable_patches(store))
    if table is None:
        return positions
    times = _times(table)
    ranks = np.empty(len(store.slides), np.int64)
    keys = []
    for record in store.slides:
        found = next((times[name] for name in (record.id, Path(record.path).name) if name in times), "")
        if not found:
            msg = f"--order {table} says nothing of slide {record.id}: give it a row with its time"
            raise UsageError(msg)
        keys.append(found)
    numeric = _numbers(table, keys)
    ranks[np.argsort(keys if numeric is None else numeric, kind="stable")] = np.arange(len(keys))
    return positions[np.argsort(ranks[store.slide_rows[positions]], kind="stable")]


def _times(table: Path) -> dict[str, str]:
    try:
        titles, rows = csv_rows(table)
    except AnnotationError as error:
        msg = f"--order {error}"
        raise UsageError(msg) from error
    image = next((name for name in IMAGES if name in titles), None)
    time = next((name for name in TIMES if name in titles), None)
    if image is None or time is None:
        msg = f"--order {table} has the columns {', '.join(titles)}: it needs image, and one of {', '.join(TIMES)}"
        raise UsageError(msg)
    times: dict[str, str] = {}
    for line, row in rows:
        name = Path(row[image]).name
        if times.setdefault(name, row[time]) != row[time]:
            msg = f"--order {table}, line {line}: {name} has the times {times[name]!r} and {row[time]!r}: give one"
            raise UsageError(msg)
    return times


def _numbers(table: Path, keys: list[str]) -> NDArray[np.float64] | None:
    """Return texts as numbers, None where none is one; some of each have no order."""
    found: list[float] = []
    texts: list[str] = []
    for one in keys:
        try:
            found.append(finite(one, "time"))
        except AnnotationError:
            texts.append(one)
    if found and texts:
        msg = f"--order {table} holds numbers, such as {found[0]:g}, and texts, such as {texts[0]!r}: give one kind"
        raise UsageError(msg)
    return None if texts else np.array(found)
