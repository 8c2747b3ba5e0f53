"""A small fully convolutional network that marks the centres of cells and says how large they are.

The early stages of EfficientNet-Lite0 to stride 16, a light top-down path back to stride 4 (Lin et al., CVPR 2017), and
one heat map for each class of cell (Zhou et al., "Objects as points", 2019).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsi_patches.models.efficientnet_lite0 import PLANS, EfficientNetLite0

__all__ = [
    "FINDER_CLASSES",
    "GREY",
    "RED_CELL_PX",
    "STRIDE",
    "CellFinderNet",
    "FinderMaps",
    "as_input",
    "finder_from_imagenet",
]

FINDER_CLASSES = ("white_cell", "red_cell", "platelet")
"""In the order of the heat maps."""
RED_CELL_PX = 26.0
"""Diameter of a red cell in the images that the network sees. Red cells are the yardstick: they vary less than white
cells, within a field and between people."""
STRIDE, DEEPEST = 4, 16
"""Pixels between the cells of the heat map, and between those of the deepest map: sides are multiples of it."""
GREY = 128
"""What lies outside of a slide, in training as in use."""
TAPPED = (1, 2, 4)
"""Stages of the backbone whose maps are used: the last ones of stride 4, 8 and 16."""
STAGES = TAPPED[-1] + 1
PRIOR = 0.01
"""What an untrained head says of every place, so that the many empty ones do not swamp the first steps (Lin et al.,
ICCV 2017)."""


class FinderMaps(NamedTuple):
    """What the network says of each place, stride 4."""

    heat: Tensor
    """Logits, ``(n, classes, h / 4, w / 4)``."""
    log_radius: Tensor
    """Natural log of a cell's radius over half of `RED_CELL_PX`, ``(n, h / 4, w / 4)``."""


def as_input(pixels: Tensor) -> Tensor:
    """Return uint8 images ``(n, 3, h, w)`` as the network takes them: -1 to 1, channels last in memory."""
    return ((pixels.float() - GREY) / GREY).contiguous(memory_format=torch.channels_last)


def _smoothing(channels_in: int, channels: int) -> nn.Sequential:
    """Return a depthwise and a pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False),
        nn.Conv2d(channels_in, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(),
    )


class CellFinderNet(nn.Module):
    """Marks cells in images of any size, red cells being `RED_CELL_PX` wide.

    Parameters
    ----------
    classes
        How many heat maps come out.
    width
        Channels of the top-down path.
    """

    def __init__(self, classes: int = len(FINDER_CLASSES), width: int = 48) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self.stem, self.body = whole.stem, whole.body[:STAGES]
        self.lateral = nn.ModuleList(nn.Conv2d(PLANS[stage].channels, width, 1) for stage in TAPPED)
        self.smooth = nn.ModuleList(_smoothing(width, width) for _ in TAPPED)
        self.head = nn.Sequential(_smoothing(width, width), nn.Conv2d(width, classes + 1, 1))
        self.head[-1].bias.data = torch.tensor([-math.log((1 - PRIOR) / PRIOR)] * classes + [0.0])

    def forward(self, x: Tensor) -> FinderMaps:
        """Return the maps of images ``(n, 3, h, w)`` of -1 to 1, ``h`` and ``w`` multiples of 16."""
        x, maps = self.stem(x), []
        for stage in self.body:
            x = stage(x)
            maps.append(x)
        above: Tensor | None = None
        tapped = [maps[stage] for stage in TAPPED]
        for lateral, smooth, seen in reversed(list(zip(self.lateral, self.smooth, tapped, strict=True))):
            here = lateral(seen)
            if above is not None:
                here = here + nn.functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = smooth(here)
        out: Tensor = self.head(above)
        return FinderMaps(out[:, :-1], out[:, -1])


def finder_from_imagenet(published: EfficientNetLite0, classes: int = len(FINDER_CLASSES)) -> CellFinderNet:
    """Return a finder whose backbone has published weights and whose other layers are yet to be trained."""
    network = CellFinderNet(classes)
    network.stem.load_state_dict(published.stem.state_dict())
    network.body.load_state_dict(published.body[:STAGES].state_dict())
    return network
