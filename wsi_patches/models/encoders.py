"""Encoders: networks trained on other pictures whose features describe a patch; nothing in them is trained here."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models import efficientnet_lite0
from wsi_patches.models.classifier import Device, check_patches, choose_device, normalised
from wsi_patches.models.encoder import Encoder
from wsi_patches.models.encoder_file import is_encoder_file, read_encoder

__all__ = ["ENCODERS", "Encoder", "FrozenEncoder", "find_encoder"]


MAP_SIDE = 3
"""Of the map of ``lite0-map``: a cell lies in its middle, its neighbours around."""
MAP_SHAPE = (MAP_SIDE, MAP_SIDE, efficientnet_lite0.EfficientNetLite0.STAGES[-1][1])


class LiteMap(nn.Module):
    """The last map of EfficientNet-Lite0 before its head, averaged to a few rows and columns."""

    def __init__(self, network: efficientnet_lite0.EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)`` into maps ``(n, rows * columns * channels)``."""
        deepest = nn.functional.adaptive_avg_pool2d(self.network.stages(x)[-1], MAP_SIDE)
        return deepest.permute(0, 2, 3, 1).flatten(1)


def _lite0() -> nn.Module:
    network = efficientnet_lite0.load_imagenet()
    network.classifier = nn.Identity()
    return network


ENCODERS: dict[str, Encoder] = {
    "lite0": Encoder(
        name="lite0",
        dim=efficientnet_lite0.HEAD,
        input_px=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        sha256=efficientnet_lite0.SHA256,
        licence="Apache-2.0",
        load=_lite0,
    ),
    "lite0-map": Encoder(
        name="lite0-map",
        dim=prod(MAP_SHAPE),
        input_px=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        sha256=efficientnet_lite0.SHA256,
        licence="Apache-2.0",
        load=lambda: LiteMap(efficientnet_lite0.load_imagenet()).eval(),
        details={"map": list(MAP_SHAPE)},
        shape=MAP_SHAPE,
    ),
}
"""Name to encoder. ``lite0``: EfficientNet-Lite0 trained on ImageNet, the average of its last 1280 channels;
``lite0-map``: 3 x 3 averages of the 320 channels before them, which keep where something lies."""


def find_encoder(name: str) -> Encoder:
    """Return an encoder by its name, or by the YAML file that describes it; see `EncoderFile`.

    Raises
    ------
    ModelError
        There is none of that name, the message lists the names; or the file cannot be used, or takes such a name.
    """
    if is_encoder_file(name):
        described = read_encoder(Path(name))
        if described.name in ENCODERS:
            msg = f"encoder {name} takes the name {described.name}, which is that of one that comes with the package"
            raise ModelError(msg)
        return described
    if name not in ENCODERS:
        msg = f"no encoder {name!r}: choose from {', '.join(sorted(ENCODERS))}, or give a YAML file that describes one"
        raise ModelError(msg)
    return ENCODERS[name]


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that is loaded and never changes.

    Parameters
    ----------
    network
        In evaluation mode, on ``device``.
    encoder
        What it takes and gives.
    device
        Where it runs.
    batch_size
        How many patches are held on the device at a time.
    """

    network: nn.Module
    encoder: Encoder
    device: torch.device
    batch_size: int = 32

    @classmethod
    def load(cls, name: str, device: Device | str = "auto") -> FrozenEncoder:
        """Load an encoder by its name, or by the YAML file that describes it.

        Raises
        ------
        ModelError
            There is no such encoder, or its weight file is not the one that was stated.
        MissingExtra
            The package with its weights is not installed.
        UsageError
            The device is not there.
        """
        where, encoder = choose_device(device), find_encoder(name)
        return cls(encoder.load().to(where), encoder, where)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of patches.

        Parameters
        ----------
        images
            uint8 RGB ``(n, s, s, 3)``; resized to the encoder's ``input_px``.

        Returns
        -------
        float32 ``(n, dim)``
            Computed in float32 (of which a GPU's convolutions may keep fewer digits, TF32). On one processor, equal
            batches give equal bits; another size of batch may change the last digits.

        Raises
        ------
        UsageError
            The images are of another shape or kind.
        """
        check_patches(images)
        out = np.empty((len(images), self.encoder.dim), np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            out[start : start + len(batch)] = self._batch(batch)
        return out

    @torch.inference_mode()
    def _batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Permuted, not copied: the channels stay last in memory, which is what these convolutions are fastest with.
        pixels = torch.tensor(images).to(self.device).permute(0, 3, 1, 2).float() / 255
        features: NDArray[np.float32] = self.network(normalised(pixels, self.encoder)).cpu().numpy()
        return features
