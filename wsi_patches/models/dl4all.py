"""DL4ALL: one network that learns two sets at once, with a last layer for each (doi 10.1109/ACCESS.2023.3289219).

What is kept of it to classify pictures is the network with the target's last layer alone, which is torchvision's
ResNet-18 or ViT-B/16. Source of the structure: AngeloUNIMI/DL4ALL.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from wsi_patches.errors import ModelError

__all__ = ["TwoHeads", "UncertaintyWeights", "single_headed", "with_two_heads"]


class TwoHeads(nn.Module):
    """Two last layers side by side, on the same features.

    Parameters
    ----------
    target
        The layer of the set that the network is for.
    source_classes
        How many logits the other set takes.
    """

    def __init__(self, target: nn.Linear, source_classes: int) -> None:
        super().__init__()
        self.source = nn.Linear(target.in_features, source_classes)
        self.target = target

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the source ``(n, source_classes)`` and of the target ``(n, classes)``."""
        return self.source(features), self.target(features)


class UncertaintyWeights(nn.Module):
    """Weights of losses that are learnt with them: ``0.5 / p**2 * loss + ln(1 + p**2)`` of each.

    ``p`` is 1 at first, as Liebel and Körner have it ("Auxiliary tasks in multi-task learning", arXiv 1805.06334).
    """

    def __init__(self, losses: int = 2) -> None:
        super().__init__()
        self.spread = nn.Parameter(torch.ones(losses))

    def forward(self, number: int, loss: Tensor) -> Tensor:
        """Return a loss with its weight and what the weight costs, scalar."""
        squared = self.spread[number] ** 2
        return 0.5 / squared * loss + torch.log1p(squared)


def with_two_heads(network: nn.Module, head: str, source_classes: int) -> nn.Module:
    """Put a second last layer beside a network's own, in place; it then returns what `TwoHeads` does.

    Parameters
    ----------
    network
        Changed, and returned.
    head
        Name of its last layer.
    source_classes
        How many logits the new one gives; its weights are drawn from torch's generator.

    Raises
    ------
    ModelError
        The last layer is not a linear one.
    """
    target = network.get_submodule(head)
    if not isinstance(target, nn.Linear):
        msg = f"a network learns two sets by two linear last layers, and {head} is {type(target).__name__}"
        raise ModelError(msg)
    network.set_submodule(head, TwoHeads(target, source_classes))
    return network


def single_headed(network: nn.Module, head: str) -> nn.Module:
    """Return a copy of a network with the target's last layer alone, as it was before `with_two_heads`."""
    copied = deepcopy(network)
    both = copied.get_submodule(head)
    if isinstance(both, TwoHeads):
        copied.set_submodule(head, both.target)
    return copied
