"""The patches of several stores as one source, for trainings that see all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError
from wsi_patches.stores import Store

__all__ = ["StorePatches", "some_of"]

ALIKE = ("size_px", "level", "mpp", "magnification")


@dataclass(frozen=True)
class StorePatches:
    """The patches of stores, one store after the other.

    Raises
    ------
    UsageError
        There is no store, or their patches differ in side or resolution.
    """

    stores: tuple[Store, ...]

    def __post_init__(self) -> None:
        if not self.stores:
            msg = "there is no store to learn from: name one that wsi-patches extract wrote"
            raise UsageError(msg)
        first = self.cut
        for store in self.stores[1:]:
            own = _cut(store)
            if own != first:
                msg = f"{self.stores[0].path} holds patches of {first}, and {store.path} of {own}: cut them alike"
                raise UsageError(msg)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each store's patches begin, and the end, shape ``(stores + 1,)``."""
        return np.cumsum([0, *(len(store) for store in self.stores)])

    @property
    def cut(self) -> dict[str, Any]:
        """Side and resolution of the patches."""
        return _cut(self.stores[0])

    def read(self, positions: ArrayLike) -> NDArray[np.uint8]:
        """Return patches, uint8 RGB ``(n, s, s, 3)``.

        Raises
        ------
        StoreError
            One cannot be read.
        """
        wanted = np.asarray(positions, np.int64)
        side, offsets = self.cut["size_px"], self.offsets
        out = np.empty((len(wanted), side, side, 3), np.uint8)
        store_of = np.searchsorted(offsets, wanted, side="right") - 1
        for number in np.unique(store_of).tolist():
            mine = store_of == number
            out[mine] = self.stores[number].read(wanted[mine] - offsets[number])
        return out


def _cut(store: Store) -> dict[str, Any]:
    return {name: value for name, value in store.settings.spec.to_dict().items() if name in ALIKE and value is not None}


def some_of(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of some positions, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int))
    return np.asarray(rows[chosen], np.int64)
