"""The split of a store's patches: a derived column, so that no part is rewritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.stores.derived import DerivedWriter, read_derived
from wsi_patches.stores.reader import Store

__all__ = ["NO_SPLIT", "SPLIT", "read_store_split", "write_part_split", "write_store_split"]

SPLIT, COLUMN = "split", "split"
NO_SPLIT = ""
"""The split of a patch that is in none."""


def write_store_split(
    store: Store, splits: Sequence[str], settings: Mapping[str, Any], *, durable: bool = True
) -> None:
    """Keep the split of every patch beside the patches; an earlier one goes.

    Parameters
    ----------
    store
        The open store.
    splits
        Name of the split of each patch, shape ``(n,)``; `NO_SPLIT` for a patch that is in none.
    settings
        How it was made, as plain values.
    durable
        Wait for the disk.
    """
    names = sorted(set(splits) - {NO_SPLIT})
    for part, start, stop in zip(store.parts, store.offsets[:-1], store.offsets[1:], strict=True):
        write_part_split(part.folder, splits[start:stop], names, settings, durable=durable)


def write_part_split(
    part: Path, splits: Sequence[str], names: Sequence[str], settings: Mapping[str, Any], *, durable: bool = True
) -> None:
    """Keep the split of every patch of one part, whose folder is given; ``names`` are the splits of the whole store."""
    code = {NO_SPLIT: -1, **{name: number for number, name in enumerate(names)}}
    writer = DerivedWriter(part, SPLIT, {**settings, "names": list(names)}, durable=durable)
    writer.column(COLUMN, np.array([code[name] for name in splits], np.int16), np.int16)
    writer.complete()


def read_store_split(store: Store) -> NDArray[np.str_]:
    """Return the name of the split of each patch, shape ``(n,)``; `NO_SPLIT` for a patch that is in none.

    Raises
    ------
    StoreError
        Not every part has one: the store was never split, or slides were added since.
    """
    parts = [np.empty(0, str)]
    for part in store.parts:
        try:
            kept = read_derived(part.folder, SPLIT)
        except StoreError as error:
            msg = f"{store.path} has no split of all its patches: run wsi-patches split on it (again)"
            raise StoreError(msg) from error
        names = np.array([*kept.settings["names"], NO_SPLIT], str)  # -1 is the last
        parts.append(names[kept.column(COLUMN).astype(np.int64)])
    return np.concatenate(parts)
