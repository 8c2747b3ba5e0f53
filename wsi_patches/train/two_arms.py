"""The same patches twice: as they are, and after a preprocessing step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Size
from wsi_patches.imaging.bicubic import resize_bicubic
from wsi_patches.train.patch_set import PatchSet

__all__ = ["ARMS", "PatchFile", "Progress", "Step", "TwoArms", "two_arms"]

ARMS = ("without", "with")
"""The step."""
Step = Callable[[NDArray[np.int64], NDArray[np.uint8]], NDArray[np.uint8]]
"""Takes rows of a set and their patches, uint8 RGB ``(k, s, s, 3)``, and returns these after the step."""
Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""
BATCH_PATCHES = 32
EXAMPLES = 6


@dataclass(frozen=True)
class TwoArms:
    """The same patches without and with a step, as large as a network takes them."""

    without: PatchSet
    with_step: PatchSet
    change: NDArray[np.float32]
    """Mean absolute difference of each patch before it was resized, levels of 0 to 255, ``(n,)``."""
    examples: tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...]
    """Patches that the step changed most, before and after."""

    @property
    def sets(self) -> tuple[PatchSet, PatchSet]:
        """Both, in the order of `ARMS`."""
        return self.without, self.with_step


def two_arms(patches: PatchSet, step: Step, input_px: int, folder: Path) -> TwoArms:
    """Put patches through a step, and resize both kinds to a network's input as MATLAB's imresize does.

    Parameters
    ----------
    patches
        Of any side.
    step
        Sees them at their own side.
    input_px
        The network's.
    folder
        Gets the pixels, in files without a name.
    """
    pixels = [PatchFile(folder, len(patches), input_px) for _ in ARMS]
    change = np.empty(len(patches), np.float32)
    for start in range(0, len(patches), BATCH_PATCHES):
        rows = np.arange(start, min(start + BATCH_PATCHES, len(patches)))
        before = np.asarray(patches.images[rows])
        after = step(rows, before)
        change[rows] = np.abs(after.astype(np.float32) - before).mean(axis=(1, 2, 3))
        for file, images in zip(pixels, (before, after), strict=True):
            file.add(resize_bicubic(images, Size(input_px, input_px)))
    most = np.argsort(-change, kind="stable")[:EXAMPLES]
    most = most[change[most] > 0]
    shown = [(np.asarray(patches.images[[row]]), np.array([row])) for row in most.tolist()]
    examples = tuple((images[0], step(row, images)[0]) for images, row in shown)
    without, with_step = (replace(patches, images=file.images()) for file in pixels)
    return TwoArms(without, with_step, change, examples)


class PatchFile:
    """Patches of one side in a file without a name, which is gone when they are."""

    def __init__(self, folder: Path, count: int, side_px: int) -> None:
        self._shape = (count, side_px, side_px, 3)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed once it is mapped

    def add(self, images: NDArray[np.uint8]) -> None:
        """Append patches, uint8 RGB ``(k, s, s, 3)``."""
        self._file.write(np.ascontiguousarray(images).tobytes())

    def images(self) -> NDArray[np.uint8]:
        """Return all patches, read from the file as needed, ``(n, s, s, 3)``; nothing can be added any more."""
        with self._file:
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r", shape=self._shape)
