"""FCOS's heads with attributes beside them: what each cell is like, and no loss where nothing is known.

Source of the idea: AttriDet (Rehman and others, MICCAI 2024, arXiv 2405.10803), which tells a cell's morphology by a
second network on its box; here each attribute is one more convolution on a tower of FCOS's own kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead

__all__ = ["AttributeHead", "CellHead"]


class AttributeHead(nn.Module):
    """One tower, and on it a convolution for each attribute.

    Parameters
    ----------
    width
        Channels of the maps that it takes.
    convs
        Layers of the tower.
    values
        How many values each attribute has.
    """

    def __init__(self, width: int, convs: int, values: Sequence[int]) -> None:
        super().__init__()
        self.tower = FCOSClassificationHead(width, 1, 1, convs).conv
        self.said = nn.ModuleList(nn.Conv2d(width, count, 3, padding=1) for count in values)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return the logits of all attributes, one after the other, at every place of all levels: ``(n, places, k)``.

        Parameters
        ----------
        levels
            Maps ``(n, width, h, w)``.
        """
        maps = [torch.cat([one(seen) for one in self.said], dim=1) for seen in map(self.tower, levels)]
        return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], dim=1)


class CellHead(FCOSHead):  # type: ignore[misc]  # torchvision has no types
    """torchvision's `FCOSHead` that leaves open what nobody knows, with attributes where there are any.

    Parameters
    ----------
    width, classes, convs
        As `FCOSHead` has them.
    attributes
        How many values each attribute has; none by default, which makes it an `FCOSHead`.
    """

    def __init__(self, width: int, classes: int, convs: int, attributes: Sequence[int] = ()) -> None:
        super().__init__(width, 1, classes, convs)
        self.values = tuple(attributes)
        self.attribute_head = AttributeHead(width, convs, self.values) if self.values else None

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        """Return what `FCOSHead` does, and the logits of the ``attributes``."""
        said: dict[str, Tensor] = super().forward(x)
        return said if self.attribute_head is None else {**said, "attributes": self.attribute_head(x)}

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """Return the parts of the loss over the places where something is known.

        Parameters
        ----------
        targets
            A dictionary an image: ``boxes``, ``labels`` and, where they are told, ``attributes`` (int64 ``(m, a)``, -1
            where one is not known) and ``known`` (bool ``(places,)``).
        head_outputs
            What `forward` returned.
        anchors, matched_idxs
            Of each image's places: ``(places, 4)``, and the row of the box that each is to learn, -1 for none.
        """
        known = [one.get("known") for one in targets]
        if any(one is not None for one in known):
            kept = [_all(row) if one is None else one for one, row in zip(known, matched_idxs, strict=True)]
            targets, head_outputs, anchors, matched_idxs = _as_one(targets, head_outputs, anchors, matched_idxs, kept)
        parts: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        if self.attribute_head is not None:
            parts["attributes"] = self._attribute_loss(targets, head_outputs["attributes"], matched_idxs)
        return parts

    def _attribute_loss(self, targets: list[dict[str, Tensor]], said: Tensor, matched: list[Tensor]) -> Tensor:
        """Return the mean cross entropy of the attributes, each over the places of cells of which it is known."""
        wanted = torch.cat([_told(one, rows, len(self.values)) for one, rows in zip(targets, matched, strict=True)])
        losses = []
        each = torch.split(said.flatten(0, 1), list(self.values), dim=1)
        for logits, value in zip(each, wanted.T, strict=True):
            told = value >= 0
            if told.any():
                losses.append(nn.functional.cross_entropy(logits[told], value[told]))
        return torch.stack(losses).sum() / len(self.values) if losses else said.new_zeros(())


def _told(target: Mapping[str, Tensor], matched: Tensor, attributes: int) -> Tensor:
    """Return the values that each place is to say, int64 ``(places, attributes)``, -1 where there is none."""
    nothing = matched.new_full((len(matched), attributes), -1)
    said = target.get("attributes")
    if said is None or not len(said):
        return nothing
    return torch.where(matched[:, None] >= 0, said[matched.clip(min=0)], nothing)


def _all(matched: Tensor) -> Tensor:
    return torch.ones_like(matched, dtype=torch.bool)


def _as_one(
    targets: list[dict[str, Tensor]],
    outputs: Mapping[str, Tensor],
    anchors: list[Tensor],
    matched: list[Tensor],
    known: list[Tensor],
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor], list[Tensor], list[Tensor]]:
    """Return the known places of all images as those of one, so that nothing of the others is even looked at.

    FCOS sums over all places of a batch, so it makes no difference of which image they are.
    """
    rows, before = [], 0
    for one, row, kept in zip(targets, matched, known, strict=True):
        rows.append(torch.where(row >= 0, row + before, row)[kept])
        before += len(one["labels"])
    names = [name for name in ("boxes", "labels", "attributes") if all(name in one for one in targets)]
    joined = {name: torch.cat([one[name] for one in targets]) for name in names}
    places = torch.stack(known)
    seen = {name: said[places][None] for name, said in outputs.items()}
    return [joined], seen, [torch.cat([one[kept] for one, kept in zip(anchors, known, strict=True)])], [torch.cat(rows)]
