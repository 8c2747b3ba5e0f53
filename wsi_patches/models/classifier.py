"""A network that says of a cell's patch which class it is, with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.card import ModelCard
from wsi_patches.models.table import find_model
from wsi_patches.models.weights import build_model, check_sha256

__all__ = ["CellClassifier", "Device", "InputFrame", "check_patches", "choose_device", "meant", "normalised"]

Device = Literal["auto", "cpu", "cuda"]


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


def choose_device(device: Device | str = "auto") -> torch.device:
    """Return the device that a name means; ``auto`` is a GPU where there is one.

    Raises
    ------
    UsageError
        The name is unknown, or a GPU is asked for where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        msg = f"no device {device!r}: choose auto, cpu or cuda"
        raise UsageError(msg)
    if device == "cuda" and not torch.cuda.is_available():
        msg = "device cuda was asked for and PyTorch finds no CUDA GPU: use --device cpu, or auto to take what there is"
        raise UsageError(msg)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


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


def normalised(images: Tensor, frame: InputFrame) -> Tensor:
    """Fit float images ``(n, 3, s, s)`` of 0 to 1 to what a network takes: its size, its mean and std."""
    if images.shape[-1] != frame.input_px:
        size = (frame.input_px, frame.input_px)
        images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (frame.mean, frame.std))
    return (images - mean) / std


def meant(probabilities: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """Return probabilities ``(n, classes)`` as the card's isotonic calibration reads them; as they are without one."""
    if not card.isotonic:
        return probabilities
    said, means = np.array(card.isotonic).T
    first = np.interp(probabilities[:, 0], said, means)
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


@dataclass(frozen=True)
class CellClassifier:
    """A trained network and what it says of itself.

    Parameters
    ----------
    network
        In evaluation mode, on ``device``.
    card
        What it takes and gives.
    sha256
        Of the weight file.
    device
        Where it runs.
    batch_size
        How many patches are held on the device at a time.
    """

    network: nn.Module
    card: ModelCard
    sha256: str
    device: torch.device
    batch_size: int = 256

    @classmethod
    def load(cls, name_or_file: str | Path, device: Device | str = "auto") -> CellClassifier:
        """Load a shipped model by its name, or a ``.safetensors`` file.

        Raises
        ------
        ModelError
            There is no such model, or its file is damaged, altered, or not of this program.
        UsageError
            The device is not there.
        """
        where = choose_device(device)
        path, expected = find_model(name_or_file)
        network, card, sha256 = build_model(path)
        check_sha256(path, sha256, expected)
        return cls(network.to(where), card, sha256, where)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probability of each class.

        Parameters
        ----------
        images
            uint8 RGB ``(n, s, s, 3)``, cell in the centre, side as the card says; resized to its ``input_px``.

        Returns
        -------
        float32 ``(n, classes)``
            Rows sum to 1; classes in the card's order.

        Raises
        ------
        UsageError
            The images are of another shape or kind.
        """
        check_patches(images)
        out = np.empty((len(images), len(self.card.classes)), np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            out[start : start + len(batch)] = self._batch(batch)
        return out

    @torch.inference_mode()
    def _batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.tensor(images).to(self.device).permute(0, 3, 1, 2).float() / 255
        logits = self.network(normalised(pixels, self.card)) / self.card.temperature
        return meant(logits.softmax(dim=1).cpu().numpy(), self.card)
