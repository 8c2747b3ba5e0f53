"""What a classifier said of labelled patches: the one table that all evaluation of classes starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["Predictions"]

SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Predictions:
    """Truth and probabilities of ``n`` patches.

    Raises
    ------
    UsageError
        Columns differ in length, a class index has no name, or a row's probabilities do not sum to 1.
    """

    class_names: tuple[str, ...]
    ids: NDArray[np.str_]
    """Name of each patch, shape ``(n,)``: its image, or slide and place."""
    groups: NDArray[np.str_]
    """What must be kept together, shape ``(n,)``: patient, else slide. Intervals are made by drawing these."""
    truth: NDArray[np.int32]
    """Index into ``class_names``, shape ``(n,)``."""
    probabilities: NDArray[np.float32]
    """Shape ``(n, classes)``; rows sum to 1."""

    def __post_init__(self) -> None:
        rows, classes = len(self.ids), len(self.class_names)
        shapes = {"groups": self.groups.shape, "truth": self.truth.shape}
        for name, shape in shapes.items():
            if shape != (rows,):
                msg = f"predictions of {rows} patches have {name} of shape {shape}"
                raise UsageError(msg)
        if self.probabilities.shape != (rows, classes):
            msg = f"predictions of {rows} patches, {classes} classes: probabilities of {self.probabilities.shape}"
            raise UsageError(msg)
        if rows and not 0 <= self.truth.min() <= self.truth.max() < classes:
            msg = f"classes {self.truth.min()}..{self.truth.max()} were given where the names are {self.class_names}"
            raise UsageError(msg)
        sums = self.probabilities.sum(axis=1)
        if rows and not np.allclose(sums, 1, atol=SUM_TOLERANCE):
            worst = int(np.abs(sums - 1).argmax())
            msg = f"the probabilities of {self.ids[worst]} sum to {sums[worst]:.4g}, not to 1"
            raise UsageError(msg)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each patch, shape ``(n,)``."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)
