"""Features of patches: what a frozen encoder, or their colours alone, say of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import ModelError
from wsi_patches.imaging.colour_statistics import STATISTICS, colour_statistics
from wsi_patches.models.encoders import Encoder, FrozenEncoder
from wsi_patches.stores import DerivedWriter, Store, derived_settings, read_derived
from wsi_patches.torch_data import PatchReader

__all__ = [
    "Describe",
    "KeptFeatures",
    "Progress",
    "colour_of",
    "features_of",
    "keep_features",
    "read_features",
    "store_features",
]

BATCH_PATCHES = 32
"""How many patches are in memory at a time."""
COLUMN = "vectors"
Progress = Callable[[int, int], None]
"""Told how many patches are done, and of how many."""
Describe = Callable[[PatchReader, range], Iterable[NDArray[np.float32]]]
"""Yields what is said of the patches at some positions of a source, ``(k, dim)``, batch by batch in their order."""


def features_of(source: PatchReader, encoder: FrozenEncoder, progress: Progress | None = None) -> NDArray[np.float32]:
    """Return the features of all patches of a source.

    Parameters
    ----------
    source
        Any `PatchSource`, or images in memory as `ArrayPatches`.
    encoder
        What describes them.
    progress
        Told how far it is.

    Returns
    -------
    float32 ``(n, dim)``

    Raises
    ------
    SlideError, StoreError
        A patch cannot be read.
    ModelError
        The encoder gives nan or infinite.
    """
    return _described(source, range(len(source)), _in_turn(encoder.features), encoder.encoder.dim, progress)


def colour_of(source: PatchReader, progress: Progress | None = None) -> NDArray[np.float32]:
    """Return the colour statistics of all patches of a source, float32 ``(n, 6)``; see `colour_statistics`.

    Raises
    ------
    SlideError, StoreError
        A patch cannot be read.
    """
    return _described(source, range(len(source)), _in_turn(colour_statistics), len(STATISTICS), progress)


def store_features(
    store: Store,
    encoder: FrozenEncoder,
    progress: Progress | None = None,
    *,
    describe: Describe | None = None,
    durable: bool = True,
) -> NDArray[np.float32]:
    """Return the features of all patches of a store, and keep them beside the patches.

    Parameters and errors are those of `keep_features`.

    Returns
    -------
    float32 ``(n, dim)``
        In the order of the store. Places that could not be read are there too: patches of background.
    """
    keep_features(store, encoder, progress, describe=describe, durable=durable)
    return read_features(store, encoder.encoder)


def keep_features(
    store: Store,
    encoder: FrozenEncoder,
    progress: Progress | None = None,
    *,
    describe: Describe | None = None,
    durable: bool = True,
) -> None:
    """Keep the features of all patches of a store beside the patches.

    Each part gets a derived group ``features/NAME`` when its features are complete. Parts that have it, made by the
    same encoder, are left as they are, so a run that was killed goes on where it stopped.

    Parameters
    ----------
    store
        The open store; of a part, its features are in memory while they are made.
    encoder
        What describes the patches.
    progress
        Told how far it is.
    describe
        Runs the encoder, such as in an engine that reads ahead; one batch is read and described after the other if not
        given.
    durable
        Wait for the disk.

    Raises
    ------
    StoreError
        A patch cannot be read.
    ModelError
        The encoder gives nan or infinite.
    """
    describe = describe or _in_turn(encoder.features)
    name, settings = _group(encoder.encoder.name), encoder.encoder.identity
    for part, start, stop in zip(store.parts, store.offsets[:-1], store.offsets[1:], strict=True):
        if derived_settings(part.folder, name) != settings:
            rows = range(int(start), int(stop))
            vectors = _described(store, rows, describe, encoder.encoder.dim, progress)
            writer = DerivedWriter(part.folder, name, settings, durable=durable)
            writer.column(COLUMN, vectors, np.float32)
            writer.complete()
        elif progress is not None:
            progress(int(stop), len(store))


def read_features(store: Store, encoder: Encoder) -> NDArray[np.float32]:
    """Return the features that `store_features` kept, float32 ``(n, dim)``, in the order of the store.

    Raises
    ------
    StoreError
        Not every part has them complete.
    """
    vectors = store.derived(_group(encoder.name), COLUMN) if store.parts else np.empty((0, encoder.dim))
    return np.asarray(vectors, np.float32)


class KeptFeatures:
    """Features that `keep_features` kept, read where they are asked for: of one part at a time.

    Parameters
    ----------
    store
        The open store.
    encoder
        Whose features.
    """

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self._store, self._encoder = store, encoder
        self._part: tuple[int, NDArray[np.float32]] | None = None

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of the patches at some positions, in any order, float32 ``(n, dim)``.

        Raises
        ------
        StoreError
            A part does not have them complete.
        """
        out = np.empty((len(positions), self._encoder.dim), np.float32)
        part_of = np.searchsorted(self._store.offsets, positions, side="right") - 1
        for number in np.unique(part_of).tolist():
            mine = part_of == number
            out[mine] = self._vectors(number)[positions[mine] - self._store.offsets[number]]
        return out

    def _vectors(self, number: int) -> NDArray[np.float32]:
        if self._part is None or self._part[0] != number:
            kept = read_derived(self._store.parts[number].folder, _group(self._encoder.name))
            self._part = number, np.asarray(kept.column(COLUMN), np.float32)
        return self._part[1]


def _group(encoder: str) -> str:
    return f"features/{encoder}"


def _in_turn(describe: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Describe:
    """Return what reads some patches, describes them, and only then reads the next."""

    def batches(source: PatchReader, rows: range) -> Iterator[NDArray[np.float32]]:
        for first in range(0, len(rows), BATCH_PATCHES):
            yield describe(source.read(rows[first : first + BATCH_PATCHES]))

    return batches


def _described(
    source: PatchReader, rows: range, describe: Describe, dim: int, progress: Progress | None
) -> NDArray[np.float32]:
    """Return what is said of the patches at ``rows``, float32 ``(len(rows), dim)``."""
    out, done = np.empty((len(rows), dim), np.float32), 0
    for said in describe(source, rows):
        out[done : done + len(said)] = said
        done += len(said)
        if progress is not None:
            progress(rows.start + done, len(source))
    broken = int((~np.isfinite(out).all(axis=1)).sum())
    if broken:
        msg = (
            f"the encoder's features of {broken} of {len(rows)} patches are no numbers (nan or infinite): its weights "
            "are damaged, or mean and std in its file are not those that it takes; give another encoder"
        )
        raise ModelError(msg)
    return out
