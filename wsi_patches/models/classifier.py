"""A network that says of a cell's patch which class it is, with its card."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.models.backends import (
    Backend,
    BackendName,
    Device,
    InputFrame,
    TorchBackend,
    as_tensor,
    check_backend,
    check_patches,
    choose_device,
    make_backend,
)
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.card import ModelCard
from wsi_patches.models.input_mask import Paint, painter_of
from wsi_patches.models.precision import Precision, uses_bf16
from wsi_patches.models.table import find_model
from wsi_patches.models.weights import build_model, check_sha256

__all__ = ["CellClassifier", "Device", "InputFrame", "check_patches", "choose_device", "meant", "normalised"]


def normalised(images: Tensor, frame: InputFrame) -> Tensor:
    """Fit float images ``(n, 3, s, s)`` of 0 to 1 to what a network takes: its size, its mean and std."""
    if images.shape[-1] != frame.input_px:
        size = (frame.input_px, frame.input_px)
        images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (frame.mean, frame.std))
    return (images - mean) / std


def meant(probabilities: NDArray[np.float32], card: ModelCard | BagCard) -> NDArray[np.float32]:
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
        How many patches `probabilities` holds on the device at a time.
    precision
        ``auto`` is ``fp32`` here, since ``bf16`` moves a probability by up to 0.03 (EfficientNet-Lite0), or 0.1
        (ALLNet): cells that near to the threshold may fall on its other side.
    backend
        What runs the network; see `make_backend`. Without one PyTorch does, with the weights that it has at each call,
        so that a network in training can be asked.
    compiled
        Let torch.compile write the kernels, which takes half a minute once.
    paint
        What masks patches; needed where the card says that the network is shown a part of each cell alone.
    """

    network: nn.Module
    card: ModelCard
    sha256: str
    device: torch.device
    batch_size: int = 64
    precision: Precision | str = "fp32"
    backend: BackendName | str | None = None
    compiled: bool = False
    paint: Paint | None = None

    @classmethod
    def load(
        cls,
        name_or_file: str | Path,
        device: Device | str = "auto",
        precision: Precision | str = "auto",
        backend: BackendName | str = "torch",
        *,
        compiled: bool = False,
        paint: Paint | None = None,
    ) -> CellClassifier:
        """Load a shipped model by its name, or a ``.safetensors`` file.

        Parameters
        ----------
        name_or_file
            Which.
        device, precision, backend, compiled
            Where, in which arithmetic and by what the network is run, as `make_backend` takes them.
        paint
            What masks patches: `wsi_patches.imaging.painted_outside.paint_outside`.

        Raises
        ------
        ModelError
            There is no such model, its file is damaged, altered, or not of this program, or it learnt from masked cells
            and there is no ``paint``.
        MissingExtra
            The backend's library is not installed.
        UsageError
            The device is not there, or the backend does not have it or the precision.
        """
        check_backend(backend, device, precision, compiled=compiled)
        where = choose_device(device if backend == "torch" else "cpu")
        path, expected = find_model(name_or_file)
        network, card, sha256 = build_model(path)
        check_sha256(path, sha256, expected)
        network = network.to(where)
        loaded = cls(network, card, sha256, where, precision=precision, backend=backend, compiled=compiled, paint=paint)
        _ = loaded.runner  # made now, so that what cannot be is said before any slide is read
        return loaded

    @cached_property
    def runner(self) -> Backend:
        """What turns patches, uint8 ``(n, s, s, 3)``, into logits, float32 ``(n, classes)``."""
        precision = "fp32" if self.precision == "auto" else self.precision
        painter = painter_of(self.card.name, self.card.mask, self.paint)
        if self.backend is None:
            bf16 = uses_bf16(precision, self.device)
            return TorchBackend(self.network, self.card, self.device, bf16=bf16, painter=painter)
        where = (str(self.device), precision, self.backend)
        return make_backend(self.network, self.card, *where, compiled=self.compiled, painter=painter)

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
        out = np.empty((len(images), len(self.card.classes)), np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = as_tensor(images[start : start + self.batch_size]).to(self.device)
            out[start : start + len(batch)] = self.calibrated(self.runner(batch).cpu().numpy())
        return out

    def calibrated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities ``(n, classes)`` that logits ``(n, classes)`` mean, by the card's calibration."""
        said = torch.from_numpy(logits) / self.card.temperature
        return meant(said.softmax(dim=1).numpy(), self.card)
