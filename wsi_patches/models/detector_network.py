"""FCOS on the early stages of EfficientNet-Lite0: boxes of cells, with a score for each class.

FCOS (Tian et al., ICCV 2019, as torchvision has it) and not RetinaNet: cells are round and of few sizes, so there are
no shapes of anchors to choose, every place near a cell's middle learns its box, and centre-ness leaves one peak a cell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, nms

from wsi_patches.models.attribute_head import CellHead
from wsi_patches.models.efficientnet_lite0 import PLANS, EfficientNetLite0

__all__ = ["BoxTargets", "CellDetectorNet", "SeenBoxes", "begin_from_imagenet"]

TAPPED = (2, 4)
"""Stages of the backbone whose maps are used: the last ones of stride 8 and 16."""
STAGES = TAPPED[-1] + 1
STRIDES = (8, 16)
"""Also the sizes of FCOS's anchors: the first level learns what reaches less than 64 px from a place, the second what
reaches further."""
GROUPS = 32
"""Of the group normalisation in torchvision's heads: the width is a multiple of it."""
USUAL_HALF = 2.5
"""Half the side of a white cell's box in strides of the first level: where training starts from."""


@dataclass(frozen=True)
class BoxTargets:
    """What is to be found in one image."""

    lines: Tensor
    """Left, top, right and bottom as lines between pixels, which 0 begins: float32 ``(n, 4)``."""
    labels: Tensor
    """Class of each, int64 ``(n,)``."""
    attributes: Tensor | None = None
    """Value of each attribute of each, -1 where it is not known, int64 ``(n, attributes)``; None where none is told."""
    unknown: Tensor | None = None
    """Pixels where nobody knows what there is, bool ``(h, w)``: nothing is learnt there. None where all is known."""

    def to(self, device: torch.device) -> BoxTargets:
        """Return the same on a device."""
        columns = (self.lines, self.labels, self.attributes, self.unknown)
        return BoxTargets(*(one if one is None else one.to(device) for one in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class SeenBoxes:
    """What the network says of one image, best first."""

    lines: Tensor
    """As `BoxTargets` has them, ``(n, 4)``."""
    score: Tensor
    """That there is a cell, ``(n,)``."""
    logits: Tensor
    """Of each class, ``(n, classes)``."""
    attributes: Tensor | None = None
    """Logits of all attributes, one after the other, ``(n, values)``; None of a network that tells none."""


class _Pyramid(nn.Module):
    """The backbone with a feature pyramid (Lin et al., CVPR 2017) of two levels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self.stem, self.body = whole.stem, whole.body[:STAGES]
        self.pyramid = FeaturePyramidNetwork([PLANS[stage].channels for stage in TAPPED], width)
        self.out_channels = width

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps of stride 8 and 16, ``(n, width, h / stride, w / stride)``."""
        x, maps = self.stem(x), OrderedDict()
        for number, stage in enumerate(self.body):
            x = stage(x)
            if number in TAPPED:
                maps[str(number)] = x
        levels: OrderedDict[str, Tensor] = self.pyramid(maps)
        return levels


class CellDetectorNet(nn.Module):
    """Boxes cells in images of any size, red cells being of the size that its card states.

    Parameters
    ----------
    classes
        How many classes of cells.
    width
        Channels of the pyramid and the heads, a multiple of 32.
    convs
        Layers of each head before its last.
    attributes
        How many values each attribute of a cell has that is told besides, 2 or more; none by default.

    Raises
    ------
    TypeError
        The width does not fit, or an attribute has less than two values.
    """

    def __init__(self, classes: int = 2, width: int = 64, convs: int = 2, attributes: Sequence[int] = ()) -> None:
        super().__init__()
        if width < GROUPS or width % GROUPS:
            msg = f"width must be a multiple of {GROUPS}, got {width}"
            raise TypeError(msg)
        if any(count < 2 for count in attributes):
            msg = f"an attribute has two values or more, got {list(attributes)}"
            raise TypeError(msg)
        anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES))
        head = CellHead(width, classes, convs, attributes)
        nn.init.constant_(head.regression_head.bbox_reg.bias, USUAL_HALF)
        self.fcos = FCOS(_Pyramid(width), classes, anchor_generator=anchors, head=head)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return FCOS's ``cls_logits``, ``bbox_regression`` and ``bbox_ctrness`` of every place of both levels.

        Parameters
        ----------
        x
            ``(n, 3, h, w)`` of -1 to 1, sides multiples of 16.

        Returns
        -------
        ``(n, places, classes)``, ``(n, places, 4)`` and ``(n, places, 1)``, the finer level first; and the
        ``attributes``, where there are any.
        """
        said: dict[str, Tensor] = self.fcos.head(list(self.fcos.backbone(x).values()))
        return said

    def loss(self, x: Tensor, targets: Sequence[BoxTargets]) -> Tensor:
        """Return FCOS's loss of images as `forward` takes them: focal, GIoU and centre-ness, a scalar.

        Where attributes are told, the mean of their cross entropies is added. Nothing is learnt at places whose middle
        lies where the targets say that nothing is known.
        """
        said = {name: one.float() for name, one in self(x).items()}
        return self.loss_of(said, x, targets)

    def loss_of(self, said: dict[str, Tensor], x: Tensor, targets: Sequence[BoxTargets]) -> Tensor:
        """Return the loss of what `forward` said of images ``x``; else as `loss`."""
        anchors = self._anchors(x)
        wanted = [_wanted(one, anchors) for one in targets]
        places = [(x.shape[2] // stride) * (x.shape[3] // stride) for stride in STRIDES]
        parts: dict[str, Tensor] = self.fcos.compute_loss(wanted, said, [anchors] * len(x), places)
        return torch.stack(list(parts.values())).sum()

    def seen(self, x: Tensor, threshold: float, overlap: float) -> list[SeenBoxes]:
        """Return the cells of each image.

        A cell has one class: what the classes' scores sum to says whether there is a cell, and of two boxes that
        overlap the better stays, whichever class they are of.

        Parameters
        ----------
        x
            As `forward` takes it.
        threshold
            Least score of a cell, 0..1.
        overlap
            Intersection over union above which two boxes are one cell's.
        """
        said, anchors, seen = self(x), self._anchors(x), []
        columns = (said[name].float() for name in ("cls_logits", "bbox_regression", "bbox_ctrness"))
        told = said["attributes"].float() if "attributes" in said else [None] * len(x)
        for logits, code, centred, one in zip(*columns, told, strict=True):
            score = (logits.sigmoid().sum(dim=1).clamp_max(1) * centred[:, 0].sigmoid()).sqrt()
            sure = torch.nonzero(score >= threshold)[:, 0]
            lines = self.fcos.box_coder.decode(code[sure], anchors[sure])
            kept = nms(lines, score[sure], overlap)
            attributes = None if one is None else one[sure][kept]
            seen.append(SeenBoxes(lines[kept], score[sure][kept], logits[sure][kept], attributes))
        return seen

    def _anchors(self, x: Tensor) -> Tensor:
        """Return FCOS's anchors of one image, ``(places, 4)``."""
        size = (int(x.shape[2]), int(x.shape[3]))
        levels = [x.new_empty(1, 1, size[0] // stride, size[1] // stride) for stride in STRIDES]
        anchors: list[Tensor] = self.fcos.anchor_generator(ImageList(x, [size]), levels)
        return anchors[0]


def _wanted(targets: BoxTargets, anchors: Tensor) -> dict[str, Tensor]:
    """Return the targets of one image as `CellHead` takes them."""
    wanted = {"boxes": targets.lines, "labels": targets.labels}
    if targets.attributes is not None:
        wanted["attributes"] = targets.attributes
    if targets.unknown is not None:
        height, width = targets.unknown.shape
        x, y = ((anchors[:, :2] + anchors[:, 2:]) / 2).floor().long().T
        wanted["known"] = ~targets.unknown[y.clip(0, height - 1), x.clip(0, width - 1)]
    return wanted


def begin_from_imagenet(network: CellDetectorNet, published: EfficientNetLite0) -> None:
    """Give a detector's backbone published weights; its other layers are yet to be trained."""
    network.fcos.backbone.stem.load_state_dict(published.stem.state_dict())
    network.fcos.backbone.body.load_state_dict(published.body[:STAGES].state_dict())
