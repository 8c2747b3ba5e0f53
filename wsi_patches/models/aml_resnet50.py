"""A frozen ResNet-50 and two dense layers that tell AML from healthy cells (Hassan et al., East West University).

Source: "Deep Learning Model for Diagnosing AML from Peripheral Blood Smear Single-Cell Images". Its ResNet-50 is of
Keras, with 23,587,712 parameters. torchvision's has 23,508,032: Keras counts running means and variances of batch norms
too (53,120), and its convolutions have biases (26,560).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.system import IMAGENET, System

__all__ = ["SYSTEM", "AmlResNet50"]

CHANNELS, SHRINKS = 2048, 32
"""Of ResNet-50: what comes out of it, and how many pixels of its input make one place of that."""
PUBLISHED_PX, HIDDEN = 224, 128
FROZEN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""torchvision's names of its parts, in their order."""
Backbone = Literal["file", "random"]


class AmlResNet50(nn.Module):
    """ResNet-50 as torchvision builds it, frozen, then all its places flattened, a dense layer, and the logits.

    The backbone is never trained: no gradient is computed in it, and its batch norms use their running statistics in
    training too, so that it gives the same of an image whatever else is in the batch. Its parts bear torchvision's
    names, so that torchvision's file of weights fits.

    There is one output for each class but the first, whose logit is 0: of two classes this is the published sigmoid and
    its binary cross entropy, with 12,845,313 trainable parameters.

    Parameters
    ----------
    classes
        How many logits come out.
    image_px
        Side of the input; a multiple of 32.
    hidden
        Outputs of the dense layer.
    backbone
        Where a training has the frozen weights from: a ``file`` that it starts from, which it refuses to do without,
        or at ``random``, which says what the dense layers alone can learn.

    Raises
    ------
    UsageError
        A setting cannot be.
    """

    def __init__(
        self, classes: int, image_px: int = PUBLISHED_PX, hidden: int = HIDDEN, backbone: Backbone = "file"
    ) -> None:
        super().__init__()
        if image_px % SHRINKS or image_px < SHRINKS or backbone not in get_args(Backbone):
            found = f"{image_px} and {backbone}"
            msg = f"aml_resnet50 takes an image_px of 32, 64 ..., and backbone: file or random; got {found}"
            raise UsageError(msg)
        from torchvision.models import resnet50

        published = resnet50(weights=None)
        for name in FROZEN:
            self.add_module(name, getattr(published, name))
        for parameter in self.parameters():
            parameter.requires_grad = False
        places = (image_px // SHRINKS) ** 2
        self.fc = nn.Sequential(
            nn.Flatten(), nn.Linear(places * CHANNELS, hidden), nn.ReLU(), nn.Linear(hidden, classes - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn images ``(n, 3, image_px, image_px)``, scaled as the backbone's were, into logits ``(n, classes)``.

        The logit of the first class is 0.
        """
        with torch.no_grad():
            for name in FROZEN:
                x = self.get_submodule(name)(x)
        return nn.functional.pad(self.fc(x), (1, 0))

    def train(self, mode: bool = True) -> AmlResNet50:
        """Set the dense layers to training or not; the backbone stays in evaluation mode."""
        super().train(mode)
        for name in FROZEN:
            self.get_submodule(name).eval()
        return self


def _needs_start(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("backbone", "file") == "file")


SYSTEM = System(
    name="aml_resnet50",
    build=AmlResNet50,
    paper="Deep Learning Model for Diagnosing AML from Peripheral Blood Smear Single-Cell Images (Hassan et al.)",
    colours=IMAGENET,
    side=lambda settings: settings.get("image_px", PUBLISHED_PX),
    needs_start=_needs_start,
)
