"""A CNN whose feature map a GRU reads place by place (Akter, Khatun, Islam, arXiv 2410.14536).

The paper's three backbones, as torchvision builds them: Inception v3, EfficientNet-B3 and MobileNetV2.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.system import HALF, IMAGENET, Colours, System

__all__ = ["SYSTEMS", "CnnGru", "MapReader"]

PAPER, DOI = "Hybrid CNN-GRU with uncertainty (Akter et al.), arXiv 2410.14536", "10.48550/arXiv.2410.14536"
MOST_HIDDEN = 4096


class Backbone(NamedTuple):
    """What is taken of one of torchvision's networks."""

    channels: int
    """Of its last map."""
    least_px: int
    """Side of the smallest input that leaves a map of one place."""
    last: str
    """The part whose output is read: the last one before torchvision's pooling."""
    head: str
    """What torchvision calls the last layer, and ours is called."""
    colours: Colours = IMAGENET
    """How the input was scaled that torchvision's weights learnt from."""


BACKBONES = {
    "inception_v3": Backbone(2048, 75, "Mixed_7c", "fc", HALF),
    "efficientnet_b3": Backbone(1536, 16, "features", "classifier"),
    "mobilenet_v2": Backbone(1280, 16, "features", "classifier"),
}
AUXILIARY = "AuxLogits"
"""A classifier that Inception v3 has for its own training alone; it is left out."""


class MapReader(nn.Module):
    """Reads the places of a feature map row by row, as a sequence, and tells the classes by what it then knows.

    Parameters
    ----------
    channels
        Of the map.
    classes
        How many logits come out.
    hidden
        Units of the GRU.
    dropout
        Share of them that is left out in training.
    """

    def __init__(self, channels: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, last_map: Tensor) -> Tensor:
        """Turn maps ``(n, channels, h, w)`` into logits ``(n, classes)``."""
        _, known = self.gru(last_map.flatten(2).transpose(1, 2))
        logits: Tensor = self.linear(self.dropout(known[-1]))
        return logits


class CnnGru(nn.Module):
    """One of torchvision's networks up to its last map, whose places a GRU reads in their order.

    Its parts bear torchvision's names, so that torchvision's file of weights fits.

    Parameters
    ----------
    classes
        How many logits come out.
    backbone
        A key of `BACKBONES`.
    hidden
        Units of the GRU; the paper searches its settings and does not print this one.
    dropout
        Before the last layer, 0 to below 1.

    Raises
    ------
    UsageError
        A setting cannot be.
    """

    def __init__(self, classes: int, backbone: str = "mobilenet_v2", hidden: int = 256, dropout: float = 0.3) -> None:
        super().__init__()
        if not (1 <= hidden <= MOST_HIDDEN and 0 <= dropout < 1):
            msg = f"a CNN-GRU takes 1 to {MOST_HIDDEN} hidden units and a dropout from 0 to below 1, got {hidden} and "
            raise UsageError(msg + f"{dropout}")
        # torchvision takes seconds to load, which nobody else should wait for.
        from torchvision import models

        self.name, plan = backbone, BACKBONES[backbone]
        settings = {"init_weights": True} if backbone == "inception_v3" else {}
        published: nn.Module = getattr(models, backbone)(weights=None, **settings)
        self.parts: list[str] = []
        self.head, self.least_px = plan.head, plan.least_px
        for name, part in published.named_children():
            if name != AUXILIARY:
                self.add_module(name, part)
                self.parts.append(name)
            if name == plan.last:
                break
        self.add_module(plan.head, MapReader(plan.channels, classes, hidden, dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)`` into logits ``(n, classes)``.

        Raises
        ------
        UsageError
            The images are smaller than the backbone takes.
        """
        if min(x.shape[-2:]) < self.least_px:
            msg = f"{self.name} takes images of {self.least_px} px and more, got {min(x.shape[-2:])}: raise input_px"
            raise UsageError(msg)
        for name in self.parts:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.get_submodule(self.head)(x)
        return logits


SYSTEMS: tuple[System, ...] = tuple(
    System(
        name=f"{name}_gru",
        build=partial(CnnGru, backbone=name),
        paper=PAPER,
        doi=DOI,
        colours=plan.colours,
        head=plan.head,
    )
    for name, plan in BACKBONES.items()
)
