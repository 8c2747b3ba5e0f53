"""Features that a stage derived for each patch, for formats that hold them: ``hdf5`` and ``spatialdata``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.export.base import ExportJob
from wsi_patches.export.patches import ExportPatches
from wsi_patches.stores import derived_settings, read_derived

__all__ = ["check", "read_features"]

VECTORS = "vectors"
"""The column of a derived group ``features/NAME``."""


def check(job: ExportJob) -> None:
    """Refuse features that the store does not hold of all its patches.

    Raises
    ------
    UsageError
        Some part lacks them.
    """
    if job.features is None:
        return
    name = _group(job.features)
    lacking = [part.id for part in job.patches.store.parts if derived_settings(part.folder, name) is None]
    if lacking:
        store = job.patches.store
        msg = (
            f"--features {job.features}: {len(lacking)} of {len(store.parts)} parts of {store.path} hold no complete "
            f"{name}; run wsi-patches probe on the store"
        )
        raise UsageError(msg)


def read_features(patches: ExportPatches, features: str, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Yield the features of some rows, ascending, part by part, float32 ``(n, d)``.

    Raises
    ------
    StoreError
        A part's features cannot be read.
    """
    store, positions = patches.store, patches.positions[rows]
    part_of = np.searchsorted(store.offsets, positions, side="right") - 1
    for number in np.unique(part_of).tolist():
        column = read_derived(store.parts[number].folder, _group(features)).column(VECTORS)
        yield np.asarray(column[positions[part_of == number] - store.offsets[number]], np.float32)


def _group(features: str) -> str:
    return f"features/{features}"
