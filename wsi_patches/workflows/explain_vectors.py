"""What a network says of each patch that ``explain`` compares; of a store's patches it is kept beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def describe_cases(cases: Cases, describer: Describer, sha256: str, done: Done) -> Vectors:
    """Describe patches as they are; of a store all are, once, in a derived group ``described/SHA256`` of each part.

    Parameters
    ----------
    cases
        What is described.
    describer
        The network.
    sha256
        Of its weights.
    done
        Told as it gets on.

    Raises
    ------
    SlideError, StoreError
        A patch cannot be read.
    """
    if cases.store is None:
        return _joined([_told(describer.describe(images), done) for images in cases.batches()])
    name, settings = f"described/{sha256[:16]}", {"sha256": sha256}
    for row, part in enumerate(cases.store.parts):
        if derived_settings(part.folder, name) != settings:
            _describe_part(cases.store, row, describer, name, settings)
    done(len(cases))
    columns = [cases.store.derived(name, column)[cases.positions] for column in ("logits", "features")]
    return Vectors(*(np.asarray(one, np.float32) for one in columns))


def _describe_part(store: Store, row: int, describer: Describer, name: str, settings: dict[str, Any]) -> None:
    start, stop = int(store.offsets[row]), int(store.offsets[row + 1])
    batches = [range(first, min(first + AT_ONCE, stop)) for first in range(start, stop, AT_ONCE)]
    said = _joined([describer.describe(store.read(batch)) for batch in batches])
    writer = DerivedWriter(store.parts[row].folder, name, settings)
    writer.column("logits", said.logits, np.float32)
    writer.column("features", said.features, np.float32)
    writer.complete()


def _told(
    said: tuple[NDArray[np.float32], NDArray[np.float32]], done: Done
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    done(len(said[1]))
    return said


def _joined(said: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Vectors:
    logits, features = zip(*said, strict=True)
    return Vectors(np.concatenate(logits), np.concatenate(features))


def colours_of(cases: Cases) -> NDArray[np.float32]:
    """Return means and deviations of red, green and blue of all patches, ``(n, 6)``."""
    return np.concatenate([colour_statistics(images) for images in cases.batches()])
