"""Residual networks of torchvision, so that a card may name them; their weights come from our weight files alone.

torchvision takes seconds and a sixth of a gigabyte to load, so that only who asks for its networks loads it.
"""

from __future__ import annotations

from torch import nn

__all__ = ["resnet18", "resnet50"]


def resnet18(classes: int) -> nn.Module:
    """Return ResNet-18 with random weights (He et al., CVPR 2016).

    Parameters
    ----------
    classes
        How many logits come out.
    """
    from torchvision import models

    network: nn.Module = models.resnet18(weights=None, num_classes=classes)
    return network


def resnet50(classes: int) -> nn.Module:
    """Return ResNet-50 with random weights, its strides in the 3x3 convolutions (He et al., CVPR 2016).

    Parameters
    ----------
    classes
        How many logits come out.
    """
    from torchvision import models

    network: nn.Module = models.resnet50(weights=None, num_classes=classes)
    return network
