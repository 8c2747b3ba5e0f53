"""A network that says how many cells of each class lie where: a density, whose sum over an area is the cells in it.

After Lempitsky and Zisserman, "Learning to count objects in images", NIPS 2010. The body is the learned finder's
(`CellFinderNet`); what are heat maps there are densities here.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from wsi_patches.models.efficientnet_lite0 import EfficientNetLite0
from wsi_patches.models.finder_network import CellFinderNet, finder_from_imagenet

__all__ = ["CellCountNet", "counter_from_finder", "counter_from_imagenet"]

FIRST_DENSITY = 4e-4
"""Cells for each place that an untrained network says: about one on 200 px, as there are on a smear."""


LAST_LAYER = "head.1."
"""Of a finder: how the names of its tensors begin."""


class CellCountNet(nn.Module):
    """Says how many cells lie in each place of images of any size, red cells being `RED_CELL_PX` wide.

    Parameters
    ----------
    classes
        How many densities come out.
    width
        Channels of the finder's top-down path.
    """

    def __init__(self, classes: int = 2, width: int = 48) -> None:
        super().__init__()
        self.finder = CellFinderNet(classes, width)
        _start_at(self.finder, FIRST_DENSITY)

    def forward(self, x: Tensor) -> Tensor:
        """Return cells in each place of `STRIDE` px of images ``(n, 3, h, w)`` of -1 to 1.

        ``h`` and ``w`` are multiples of 16; ``(n, classes, h / 4, w / 4)``, 0 or more.
        """
        return nn.functional.softplus(self.finder(x).heat.float())


def counter_from_finder(finder: CellFinderNet, classes: int) -> CellCountNet:
    """Return a counter that sees what a trained finder sees, and whose last layer is yet to be trained."""
    state = finder.state_dict()
    network = CellCountNet(classes, width=state[f"{LAST_LAYER}weight"].shape[1])
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(LAST_LAYER)}
    network.finder.load_state_dict(kept, strict=False)
    return network


def counter_from_imagenet(published: EfficientNetLite0, classes: int) -> CellCountNet:
    """Return a counter whose backbone has published weights and whose other layers are yet to be trained."""
    network = CellCountNet(classes)
    network.finder = finder_from_imagenet(published, classes)
    _start_at(network.finder, FIRST_DENSITY)
    return network


def _start_at(finder: CellFinderNet, density: float) -> None:
    """Let the last layer say a density everywhere, before it learns better."""
    bias = finder.state_dict()[f"{LAST_LAYER}bias"]  # shares its memory with the layer
    bias.fill_(math.log(math.expm1(density)))
