"""What every network is shown of patches: its own size, its own mean and standard deviation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import UsageError

__all__ = ["InputFrame", "Painter", "PatchInput", "as_tensor", "check_patches"]

LEVELS = 255
Painter = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""What patches, uint8 RGB ``(n, s, s, 3)``, go through at the network's own size; see `painter_of`."""


class InputFrame(Protocol):
    """What a network takes: a model's card or an encoder says it."""

    @property
    def input_px(self) -> int:
        """Side of the square input in pixels."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Subtracted from red, green and blue of 0 to 1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Red, green and blue are then divided by it."""


def check_patches(images: NDArray[np.uint8]) -> None:
    """Refuse all but square RGB patches, uint8 ``(n, s, s, 3)``.

    Raises
    ------
    UsageError
        The images are of another shape or kind.
    """
    square = images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] == 3
    if not square or images.dtype != np.uint8:
        msg = f"patches must be uint8 (n, side, side, 3), got {images.dtype} {images.shape}"
        raise UsageError(msg)


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return patches ``(n, s, s, 3)`` as a tensor of the same memory; a copy only where that may not be written to.

    Raises
    ------
    UsageError
        The images are of another shape or kind.
    """
    check_patches(images)
    return torch.from_numpy(np.require(images, requirements=["C_CONTIGUOUS", "WRITEABLE"]))


class PatchInput:
    """Makes uint8 patches what one network takes.

    Parameters
    ----------
    frame
        The network's size, mean and standard deviation.
    device
        Where the patches are.
    painter
        What patches go through first, at the network's size; nothing if None.
    """

    def __init__(self, frame: InputFrame, device: torch.device, painter: Painter | None = None) -> None:
        self.side, self.painter = frame.input_px, painter
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (frame.mean, frame.std))
        # A row of pixels at a time, since a loop over three channels is too short to be fast.
        self._scale, self._shift = (
            values.float().repeat(self.side).to(device) for values in (1 / (LEVELS * std), -mean / std)
        )

    def __call__(self, patches: Tensor) -> Tensor:
        """Return float32 ``(n, 3, side, side)``, channels last in memory, of uint8 ``(n, s, s, 3)``."""
        rows = self._painted(self._resized(patches.float())).reshape(-1, 3 * self.side)
        shown = torch.addcmul(self._shift, rows, self._scale)
        return shown.view(len(patches), self.side, self.side, 3).permute(0, 3, 1, 2)

    def _painted(self, images: Tensor) -> Tensor:
        if self.painter is None:
            return images
        painted = self.painter(images.round().clamp(0, LEVELS).byte().cpu().numpy())
        return torch.from_numpy(painted).to(images)

    def _resized(self, images: Tensor) -> Tensor:
        if images.shape[1] == self.side:
            return images
        resized = nn.functional.interpolate(
            images.permute(0, 3, 1, 2), (self.side, self.side), mode="bilinear", antialias=True, align_corners=False
        )
        return resized.permute(0, 2, 3, 1)
