"""Stores as bags: opened, described by an encoder, and put together by slide or patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.slide_labels import read_slide_labels
from wsi_patches.errors import UsageError
from wsi_patches.pipeline import Progress
from wsi_patches.stores import is_store, open_store
from wsi_patches.workflows.labelled import readable_patches

if TYPE_CHECKING:
    from wsi_patches.models.encoders import FrozenEncoder
    from wsi_patches.train.bags import Bag, BagKind
    from wsi_patches.train.store_patches import StorePatches

__all__ = ["FoundBags", "describe_stores", "find_store_bags", "open_stores"]


@dataclass(frozen=True)
class FoundBags:
    """Bags of some stores."""

    patches: StorePatches
    bags: tuple[Bag, ...]
    notes: tuple[str, ...]
    """What was left out."""


def open_stores(paths: Sequence[Path]) -> StorePatches:
    """Open stores whose patches are to be seen together.

    Raises
    ------
    UsageError
        A path is no store, or their patches differ.
    StoreError
        One cannot be read.
    """
    from wsi_patches.train.store_patches import StorePatches

    for path in paths:
        if not is_store(path):
            msg = f"{path} is no store of patches: cut its slides first, with `wsi-patches extract {path} -o NAME.zarr`"
            raise UsageError(msg)
    return StorePatches(tuple(open_store(path) for path in paths))


def find_store_bags(paths: Sequence[Path], kind: BagKind, labels: Path | None = None) -> FoundBags:
    """Return the bags of some stores; errors are those of `open_stores`, `read_slide_labels` and `find_bags`."""
    from wsi_patches.train.bags import find_bags

    table = None if labels is None else read_slide_labels(labels)
    patches = open_stores(paths)
    bags, notes = find_bags(patches.stores, [readable_patches(store) for store in patches.stores], kind, table)
    return FoundBags(patches, tuple(bags), notes)


def describe_stores(
    patches: StorePatches, encoder: FrozenEncoder, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Return the features of all patches, ``(n, dim)``, and keep them in their stores; what is there is not made again.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    from wsi_patches.train.features import store_features
    from wsi_patches.workflows.probe import in_engine

    describe = in_engine(encoder)
    own = [store_features(store, encoder, progress, describe=describe) for store in patches.stores]
    return own[0] if len(own) == 1 else np.concatenate(own)
