"""What a network says of each patch that ``explain`` compares; of a store's patches it is kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_patches.imaging.colour_statistics import colour_statistics
from wsi_patches.stores import DerivedWriter, Store, derived_settings
from wsi_patches.workflows.explain_cases import AT_ONCE, Cases

__all__ = ["Describer", "Vectors", "colours_of", "describe_cases"]

Done = Callable[[int], None]
"""Told how many further patches are done."""


class Describer(Protocol):
    """What turns patches, uint8 ``(n, s, s, 3)``, into logits ``(n, classes)`` and features ``(n, d)``."""

    def describe(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return both, float32."""


@dataclass(frozen=True)
class Vectors:
    """What is said of some patches."""

    logits: NDArray[np.float32]
    """``(n, classes)``; no column where there are none."""
    features: NDArray[np.float32]
    """``(n, d)``."""


def describe_cases(cases: Cases, describer: Describer, identity: Mapping[str, Any], done: Done) -> Vectors:
    """Describe patches as they are; of a store all are, once, in a derived group ``described/SHA256`` of each part.

    Parts that have it, made by the same network, are left as they are, so a run that was killed goes on from there.

    Parameters
    ----------
    cases
        What is described.
    describer
        The network.
    identity
        What it says depends on, as JSON values, the ``sha256`` of its weights among them.
    done
        Told as it gets on.

    Raises
    ------
    SlideError, StoreError
        A patch cannot be read.
    """
    if cases.store is not None:
        return _of_store(cases.store, cases, describer, identity, done)
    said = []
    for images in cases.batches():
        said.append(describer.describe(images))
        done(len(images))
    return _joined(said)


def _of_store(store: Store, cases: Cases, describer: Describer, identity: Mapping[str, Any], done: Done) -> Vectors:
    name, settings = f"described/{identity['sha256'][:16]}", dict(identity)
    for part, positions in zip(store.parts, starmap(range, pairwise(store.offsets.tolist())), strict=True):
        if derived_settings(part.folder, name) == settings:
            done(_held(cases, positions))
            continue
        said = []
        for first in range(0, len(positions), AT_ONCE):
            batch = positions[first : first + AT_ONCE]
            said.append(describer.describe(store.read(batch)))
            done(_held(cases, batch))
        _keep(DerivedWriter(part.folder, name, settings), _joined(said))
    columns = [store.derived(name, column)[cases.positions] for column in ("logits", "features")]
    return Vectors(*(np.asarray(one, np.float32) for one in columns))


def _keep(writer: DerivedWriter, said: Vectors) -> None:
    writer.column("logits", said.logits, np.float32)
    writer.column("features", said.features, np.float32)
    writer.complete()


def _held(cases: Cases, positions: range) -> int:
    """Return how many of the cases lie at some positions of their store."""
    first, end = np.searchsorted(cases.positions, (positions.start, positions.stop)).tolist()
    return int(end - first)


def _joined(said: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Vectors:
    logits, features = zip(*said, strict=True)
    return Vectors(np.concatenate(logits), np.concatenate(features))


def colours_of(cases: Cases) -> NDArray[np.float32]:
    """Return means and deviations of red, green and blue of all patches, ``(n, 6)``."""
    return np.concatenate([colour_statistics(images) for images in cases.batches()])
