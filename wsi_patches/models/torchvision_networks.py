"""Networks of torchvision, so that a card may name them; their weights come from files that are given, never a network.

torchvision takes seconds and a sixth of a gigabyte to load, so that only who asks for its networks loads it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from wsi_patches.models.system import IMAGENET, System

__all__ = ["SYSTEMS", "resnet18", "resnet50"]

VIT_PX = 224


def _build(name: str, classes: int) -> nn.Module:
    """Return a network with random weights."""
    from torchvision import models

    network: nn.Module = getattr(models, name)(weights=None, num_classes=classes)
    return network


def _vit_b_16(classes: int, image_px: int = VIT_PX) -> nn.Module:
    """Return ViT-B/16; ``image_px`` is the side of its input, which has places of its own for each patch."""
    from torchvision import models

    network: nn.Module = models.vit_b_16(weights=None, num_classes=classes, image_size=image_px)
    return network


def _vit_s_16(classes: int, image_px: int = VIT_PX) -> nn.Module:
    """Return ViT-S/16, which torchvision does not name: half of ViT-B/16's channels and heads."""
    from torchvision.models import VisionTransformer

    network: nn.Module = VisionTransformer(image_px, 16, 12, 6, 384, 1536, num_classes=classes)
    return network


resnet18, resnet50 = partial(_build, "resnet18"), partial(_build, "resnet50")


def _system(name: str, paper: str, head: str = "fc", **more: Any) -> System:
    return System(name=name, build=partial(_build, name), paper=paper, head=head, colours=IMAGENET, **more)


RESNET = "ResNet, CVPR 2016"
VGG = "VGG, ICLR 2015"
EFFICIENTNET = "EfficientNet, ICML 2019"
VIT = "Vision Transformer, ICLR 2021"
SYSTEMS: tuple[System, ...] = (
    *(_system(f"resnet{depth}", RESNET, doi="10.1109/CVPR.2016.90") for depth in (18, 34, 50, 101)),
    *(_system(f"vgg{depth}", VGG, "classifier.6") for depth in (16, 19)),
    _system("alexnet", "AlexNet, arXiv 1404.5997", "classifier.6"),
    _system("densenet201", "DenseNet, CVPR 2017", "classifier", doi="10.1109/CVPR.2017.243"),
    _system("mobilenet_v2", "MobileNetV2, CVPR 2018", "classifier.1", doi="10.1109/CVPR.2018.00474"),
    *(_system(f"efficientnet_{size}", EFFICIENTNET, "classifier.1") for size in ("b0", "b1", "b3")),
    _system("convnext_tiny", "ConvNeXt, CVPR 2022", "classifier.2", doi="10.1109/CVPR52688.2022.01167"),
    *(
        System(
            name=name,
            build=build,
            paper=VIT,
            colours=IMAGENET,
            head="heads.head",
            side=lambda settings: settings.get("image_px", VIT_PX),
        )
        for name, build in (("vit_b_16", _vit_b_16), ("vit_s_16", _vit_s_16))
    ),
)
"""As torchvision builds them: the strides of its ResNet-50 lie in the 3x3 convolutions."""
