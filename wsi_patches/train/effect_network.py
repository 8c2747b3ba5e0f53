"""The networks of Genovese et al., ICASSP 2021, as they are shown patches: frozen up to a layer, or whole.

"Acute lymphoblastic leukemia detection based on adaptive unsharpening and deep learning", DOI
10.1109/ICASSP39728.2021.9414362.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import Device, choose_device
from wsi_patches.models.encoder import Encoder
from wsi_patches.models.encoder_file import is_encoder_file
from wsi_patches.models.encoder_libraries import without_head
from wsi_patches.models.encoders import FrozenEncoder, find_encoder
from wsi_patches.models.start import load_start
from wsi_patches.models.system import HALF, Colours, System
from wsi_patches.models.systems import find_system

__all__ = [
    "FC6", "Frame", "Layer", "MeanSubtracted", "SubtractMean", "bytes_less_mean", "frozen_encoder", "system_of",
]  # fmt: skip

Layer = Literal["published", "pooled"]
"""``published``: what the paper takes, fc6 before its ReLU of AlexNet and VGG, and the 1000 logits of ResNet and
DenseNet; of other networks it is ``pooled``: the average of the last map, which the last layer takes."""
SubtractMean = Literal["float", "uint8", "none"]
"""Whether the mean over all values of a patch is taken from it: as numbers; as the released code does it, on bytes, so
that all that is darker than the mean becomes 0; or not. What is left is scaled as the network's weights were learnt
with; of a network from chance, on bytes, by mean and deviation of what is left."""
FC6 = {"alexnet": 2, "vgg16": 1, "vgg19": 1}
"""How many layers of the classifier lie up to fc6, with it."""
LOGITS = ("resnet18", "resnet50", "resnet101", "densenet201")
IMAGENET_CLASSES = 1000
NICKNAMES = {"lite0": "efficientnet_lite0"}


@dataclass(frozen=True)
class Frame:
    """What a network takes that scales colours by itself."""

    input_px: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class MeanSubtracted(nn.Module):
    """A network behind what its input goes through.

    Parameters
    ----------
    network
        Takes colours scaled.
    colours
        How. Where each patch's own mean is subtracted as numbers, it takes the place of theirs.
    subtract
        Whether it is.
    """

    def __init__(self, network: nn.Module, colours: Colours, subtract: SubtractMean) -> None:
        super().__init__()
        self.network, self.colours, self.subtract = network, colours, subtract

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's outputs of images ``(n, 3, h, w)`` of 0 to 1."""
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.colours.mean, self.colours.std))
        if self.subtract == "float":
            mean = _own_mean(images)
        elif self.subtract == "uint8":
            images = bytes_less_mean(images)
        outputs: Tensor = self.network((images - mean) / std)
        return outputs


def bytes_less_mean(images: Tensor) -> Tensor:
    """Take from images ``(n, 3, h, w)`` of 0 to 1 their own mean as MATLAB's bytes do: rounded, and 0 where darker."""
    return (255 * images - 255 * _own_mean(images)).add(0.5).floor().clamp(0, 255) / 255


def _own_mean(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3), keepdim=True)


def system_of(name: str) -> System:
    """Return a network by its name, of which ``lite0`` is short for ``efficientnet_lite0``.

    Raises
    ------
    ModelError
        There is none of that name; the message lists the names.
    """
    return find_system(NICKNAMES.get(name, name))


def frozen_encoder(
    name: str, weights: Path | None, layer: Layer, subtract: SubtractMean, input_px: int, device: Device | str
) -> FrozenEncoder:
    """Return a network that describes patches and is never trained here.

    Parameters
    ----------
    name
        Of a network, or a YAML file that describes an encoder, which then says its weights and its input.
    weights
        As `load_start` takes them; those that come with the package if None.
    layer, subtract, input_px, device
        What is taken of it, what it is shown, and where it runs.

    Raises
    ------
    UsageError
        It has no weights, takes no such input, or is told its weights twice.
    ModelError
        The network or its weights cannot be used.
    """
    if is_encoder_file(name):
        if weights is not None:
            msg = f"{name} says which weights its network has: leave --weights {weights} out"
            raise UsageError(msg)
        described = find_encoder(name)
        network, colours, input_px = described.load(), Colours(described.mean, described.std), described.input_px
    else:
        system = system_of(name)
        network, colours = _cut(system, weights, layer), system.colours or HALF
    where = choose_device(device)
    shown = MeanSubtracted(network, colours, subtract).eval()
    with torch.inference_mode():
        dim = shown(torch.zeros(1, 3, input_px, input_px)).shape[1]
    frame = Frame(input_px)
    said = Encoder(Path(name).stem, dim, input_px, frame.mean, frame.std, "", "", lambda: shown)
    return FrozenEncoder(shown.to(where), said, where)


def _cut(system: System, weights: Path | None, layer: Layer) -> nn.Module:
    """Return a network with its weights that ends in the layer whose output is taken."""
    published, name = layer == "published", system.name
    if weights is None:
        return without_head(_packaged(system), system.head)
    network = system.build(IMAGENET_CLASSES)
    load_start(network, system.head, weights, whole=published and name in LOGITS)
    if name in FC6 and published:
        network.set_submodule("classifier", cast(nn.Sequential, network.get_submodule("classifier"))[: FC6[name]])
        return network
    if name in FC6:
        return nn.Sequential(network.get_submodule("features"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return network if published and name in LOGITS else without_head(network, system.head)


def _packaged(system: System) -> nn.Module:
    if system.pretrained is None:
        msg = (
            f"{system.name} has no weights here: give their file with --weights, as torchvision publishes it "
            f"({system.name}-HASH.pth), or take lite0, whose weights come with a package"
        )
        raise UsageError(msg)
    return system.pretrained(IMAGENET_CLASSES, {})
