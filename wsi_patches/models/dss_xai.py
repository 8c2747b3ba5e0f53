"""DSS-XAI: a ResNet whose classes are decided by the most similar known cells (Image and Vision Computing 151, 2024).

Source: AngeloUNIMI/DSS_XAI_ALL, doi 10.1016/j.imavis.2024.105298. It is trained by `wsi_patches.train.dss_xai`, and
asked by ``wsi-patches explain``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.shortcut import StridedShortcut
from wsi_patches.models.system import System

__all__ = ["SYSTEM", "Described", "DssNet", "Overlaps", "orthogonality"]

Overlaps = Literal["released", "all"]
"""Which overlaps of a 3x3 kernel with another one moved are looked at: those that the released code has (padding 1), or
all of them (padding 2, as Wang et al. derive it)."""
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
PADDING: dict[Overlaps, int] = {"released": 1, "all": 2}
ORTHOGONAL_SHORTCUTS = ("layer2", "layer3", "layer4")


class Described(NamedTuple):
    """What a network says of images."""

    logits: Tensor
    """``(n, classes)``."""
    last_map: Tensor
    """Of the last stage, ``(n, 512, h / 32, w / 32)`` at the published width."""
    features: Tensor
    """The average of the map over its places, ``(n, 512)``."""


class DssNet(nn.Module):
    """ResNet-18 or -34 that tells its last map and its features too; names of layers and weights as in torchvision.

    Parameters
    ----------
    classes
        How many logits come out.
    depth
        18 or 34.
    width
        Channels of the first stage, which each next one doubles; 64 as published.

    Raises
    ------
    ModelError
        The depth is unknown.
    """

    def __init__(self, classes: int = 4, depth: int = 18, width: int = 64) -> None:
        super().__init__()
        if depth not in BLOCKS:
            msg = f"no DSS-XAI network of depth {depth}: choose from {', '.join(map(str, BLOCKS))}"
            raise ModelError(msg)
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for number, count in enumerate(BLOCKS[depth], start=1):
            wider = width * 2 ** (number - 1)
            self.add_module(f"layer{number}", _stage(channels, wider, count, stride=1 if number == 1 else 2))
            channels = wider
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def describe(self, x: Tensor) -> Described:
        """Return logits, last map and features of normalised images ``(n, 3, h, w)``."""
        layers = dict(self.named_children())
        head = layers.pop("fc")
        pool = layers.pop("avgpool")
        for layer in layers.values():
            x = layer(x)
        features = pool(x).flatten(1)
        return Described(head(features), x, features)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)`` into logits ``(n, classes)``."""
        return self.describe(x).logits


def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    # torchvision takes seconds to load, which nobody else should wait for.
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride != 1 or channels_in != channels_out:
        shortcut = nn.Sequential(StridedShortcut(channels_in, channels_out, stride), nn.BatchNorm2d(channels_out))
    rest = (BasicBlock(channels_out, channels_out) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(channels_in, channels_out, stride, shortcut), *rest)


def orthogonality(network: nn.Module, overlaps: Overlaps = "released") -> Tensor:
    """Return how far convolutions of a ResNet are from being orthogonal, a scalar: 0 if all are.

    It is the sum of Frobenius norms, not squared, over the 1x1 convolutions of the shortcuts of stages 2 to 4 and over
    the first 3x3 convolution of every block; second convolutions are left out, as in the released code. For 3x3 it is
    that of Wang et al., "Orthogonal Convolutional Neural Networks" (CVPR 2020).

    Parameters
    ----------
    network
        A `DssNet`, or torchvision's ResNet-18 or -34.
    overlaps
        At stride 2 the ``released`` ones hold none of a kernel with itself in place, so that their norm is never 0.
    """
    shortcuts = [
        _of_matrix(part.weight)
        for stage in ORTHOGONAL_SHORTCUTS
        for name, part in network.get_submodule(stage).named_modules()
        if name.endswith("downsample.0") and isinstance(part, nn.Conv2d)
    ]
    firsts = [
        _of_convolution(part.weight, part.stride[0], PADDING[overlaps])
        for name, part in network.named_modules()
        if name.startswith("layer") and name.endswith(".conv1") and isinstance(part, nn.Conv2d)
    ]
    return torch.stack([*shortcuts, *firsts]).sum()


def _of_matrix(weight: Tensor) -> Tensor:
    """Return ``||W' W - I||`` of a 1x1 convolution as a matrix of its outputs and inputs, the smaller side kept."""
    matrix = weight.flatten(1)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    distance: Tensor = torch.linalg.norm(tall.T @ tall - torch.eye(tall.shape[1], device=weight.device))
    return distance


def _of_convolution(weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return how far kernels, convolved with each other, are from 1 with themselves in place and 0 elsewhere."""
    crossed = nn.functional.conv2d(weight, weight, stride=stride, padding=padding)
    wanted = torch.zeros_like(crossed)
    middle = crossed.shape[-1] // 2
    wanted[:, :, middle, middle] = torch.eye(len(weight), device=weight.device)
    distance: Tensor = torch.linalg.norm(crossed - wanted)
    return distance


SYSTEM = System(
    name="dss_xai",
    build=DssNet,
    paper="DSS-XAI, Image and Vision Computing 151, 2024",
    doi="10.1016/j.imavis.2024.105298",
)
