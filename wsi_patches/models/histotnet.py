"""HistoTNet: networks trained on the tissue of ADP and then on cells of leukemia (CIVEMSA 2021).

Sources: AngeloUNIMI/HistoTNet, doi 10.1109/CIVEMSA52099.2021.9493677; the labels are those of the Atlas of Digital
Pathology (Hosseini et al., CVPR 2019). Its other network is ResNet-18, which is torchvision's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from wsi_patches.models.system import System

__all__ = ["ADP_LEVELS", "SYSTEM", "SixConvNet"]

LABELS = (
    "E C H S A M N G T",
    "E E.M E.T C C.D C.L H H.E H.K H.Y S S.M S.C S.R A A.W A.M M N N.P N.R N.G G G.O G.N T",
    "E E.M E.M.S E.M.C E.T E.T.S E.T.C C C.D C.D.I C.D.R C.L H H.E H.K H.Y S S.M S.C S.R A A.W A.M M N N.P N.R N.G "
    "N.G.M N.G.A N.G.O N.G.E N.G.R N.G.T G G.O G.N T",
)
ADP_LEVELS: tuple[tuple[str, ...], ...] = tuple(tuple(level.split()) for level in LABELS)
"""The labels of levels 1 to 3 of ADP's hierarchy, each with its parents and without the undifferentiated ``.X``."""


class Stage(NamedTuple):
    """A convolution of the network."""

    kernel: int
    channels: int


STAGES = (Stage(7, 32), Stage(5, 32), Stage(5, 128), Stage(5, 256), Stage(7, 128), Stage(3, 256))
HIDDEN, INPUT_PX = 512, 224


class SixConvNet(nn.Module):
    """Six convolutions, each with ReLU, batch norm and max-pool, in that order, and two dense layers.

    The released code calls it VGG16, after the authors of ADP; it takes images of 224 px alone, which its last
    max-pool turns into one place.

    Parameters
    ----------
    classes
        How many logits come out; they are independent where labels are many.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (before, after), stage in zip(pairwise((3, *(one.channels for one in STAGES))), STAGES, strict=True):
            layers += [nn.Conv2d(before, after, stage.kernel, padding=1), nn.ReLU(), nn.BatchNorm2d(after)]
            layers.append(nn.MaxPool2d(2, 2, padding=1))
        layers[-1] = nn.MaxPool2d(7, 4, padding=1)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(STAGES[-1].channels, HIDDEN), nn.ReLU(), nn.BatchNorm1d(HIDDEN))
        self.fc = nn.Linear(HIDDEN, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, 224, 224)`` into logits ``(n, classes)``."""
        logits: Tensor = self.fc(self.hidden(self.features(x)))
        return logits


SYSTEM = System(
    name="six_conv",
    build=SixConvNet,
    paper="HistoTNet, IEEE CIVEMSA 2021",
    doi="10.1109/CIVEMSA52099.2021.9493677",
    side=lambda _: INPUT_PX,
)
