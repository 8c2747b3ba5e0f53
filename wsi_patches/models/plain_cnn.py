"""A plain convolutional network, for the "custom CNN" of J. Mollick and others, arXiv 2501.14228 (2025).

The abstract names no layers, so these are this project's: stages of one 3x3 convolution, batch norm, ReLU and max-pool,
then the mean over places, dropout and one linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from wsi_patches.errors import ModelError
from wsi_patches.models.system import HALF, System

__all__ = ["SYSTEM", "PlainCNN"]

COLOURS = 3
WIDTHS = (32, 64, 128, 256)


class PlainCNN(nn.Module):
    """Convolutions and pools, one after the other; of images of any side.

    Parameters
    ----------
    classes
        How many logits come out.
    widths
        Channels of the stages.
    dropout
        Share of the features that a training step leaves out.

    Raises
    ------
    ModelError
        There is no stage, or a value is out of range.
    """

    def __init__(self, classes: int, widths: Sequence[int] = WIDTHS, dropout: float = 0.3) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or not 0 <= dropout < 1:
            msg = f"plain_cnn has stages of 1 channel or more and a dropout in 0..1, found {list(widths)} and {dropout}"
            raise ModelError(msg)
        self.features = nn.Sequential(*(_stage(*both) for both in pairwise((COLOURS, *widths))))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images ``(n, 3, h, w)`` into logits ``(n, classes)``."""
        logits: Tensor = self.fc(self.dropout(self.features(x).mean((2, 3))))
        return logits


def _stage(channels_in: int, channels_out: int) -> nn.Module:
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True))


SYSTEM = System("plain_cnn", PlainCNN, "Mollick and others, arXiv 2501.14228, 2025; its layers are ours", colours=HALF)
