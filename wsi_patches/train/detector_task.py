"""Teaching a detector: crops, the boxes that are to be found in them, and how far off it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.annotations.regions import Regions
from wsi_patches.errors import UsageError
from wsi_patches.models.detector_network import BoxTargets
from wsi_patches.models.finder_network import as_input
from wsi_patches.train.counter_fields import CountedField, FieldDetails
from wsi_patches.train.finder_crops import Crop, CropLook, cut_crop
from wsi_patches.train.finder_targets import visible_part

__all__ = ["DetectorBatch", "DetectorTask", "box_targets"]

VALIDATION_EPOCH = 0
"""Crops to judge by are drawn as those of an epoch that is never trained."""
CROPS_TO_JUDGE = 6
"""Of each held-out field."""
SEEN = 0.2
"""A cell of whose box less than this share is seen is not to be found."""


@dataclass(frozen=True)
class DetectorBatch:
    """Crops, uint8 ``(n, 3, s, s)``, and what is to be found in each."""

    images: Tensor
    targets: tuple[BoxTargets, ...]


@dataclass
class DetectorTask:
    """What `fit` needs to train a detector.

    Parameters
    ----------
    network
        A `CellDetectorNet`, to be trained.
    fields
        To train on; their cells have radii.
    held_out
        To judge each epoch by.

    Raises
    ------
    UsageError
        There are no fields to train on or to judge by.
    """

    network: nn.Module
    fields: Sequence[CountedField]
    held_out: Sequence[CountedField]
    look: CropLook = field(default_factory=CropLook)
    side_px: int = 192
    batch_size: int = 8
    steps: int = 50
    """Of an epoch."""
    seed: int = 0
    watched: str = "validation_loss"
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        if not self.fields or not self.held_out:
            msg = f"a detector needs fields to learn from and to judge by, found {len(self.fields)} and "
            raise UsageError(msg + f"{len(self.held_out)}")

    def batches(self, epoch: int) -> Iterator[DetectorBatch]:
        """Yield the batches of an epoch; equal seeds give equal batches."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.steps):
            drawn = rng.integers(len(self.fields), size=self.batch_size)
            yield self._batch([self.fields[row] for row in drawn], rng)

    def loss(self, batch: DetectorBatch, device: torch.device) -> Tensor:
        """Return the loss of one batch."""
        return _loss(self.network, batch, device)

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return the mean loss over the same few crops of the held-out fields after each epoch."""
        rng, losses = np.random.default_rng([self.seed, VALIDATION_EPOCH]), []
        shown = [one for one in self.held_out for _ in range(CROPS_TO_JUDGE)]
        for start in range(0, len(shown), self.batch_size):
            batch = self._batch(shown[start : start + self.batch_size], rng)
            losses.append(float(_loss(network, batch, device)) * len(batch.images))
        return {self.watched: sum(losses) / len(shown)}

    def _batch(self, fields: Sequence[CountedField], rng: np.random.Generator) -> DetectorBatch:
        images, targets = [], []
        for one in fields:
            crop = cut_crop(one.field, self.side_px, self.look, rng)
            images.append(torch.from_numpy(crop.image))
            # A crop at a wrong scale has no cells at all.
            targets.append(box_targets(crop, one.class_index[: len(crop.cells.x)], one.details))
        return DetectorBatch(torch.stack(images).permute(0, 3, 1, 2), tuple(targets))


def box_targets(crop: Crop, class_index: NDArray[np.int64], details: FieldDetails | None = None) -> BoxTargets:
    """Return the boxes around what is seen of a crop's cells.

    Parameters
    ----------
    crop
        As `cut_crop` gives it.
    class_index
        Of each of its cells, ``(n,)``.
    details
        Of the field that it was cut from, where there are any.
    """
    lines, labels, seen = [], [], []
    kinds = class_index.tolist()
    for row, (x, y, radius) in enumerate(zip(crop.cells.x, crop.cells.y, crop.cells.radius_px, strict=True)):
        part = visible_part(x, y, radius, crop.there)
        if part is not None and (part[2] - part[0]) * (part[3] - part[1]) >= SEEN * 4 * radius**2:
            lines.append([float(edge) + 0.5 for edge in part])
            labels.append(kinds[row])
            seen.append(row)
    boxes, classes = torch.tensor(lines, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64)
    if details is None:
        return BoxTargets(boxes, classes)
    return BoxTargets(boxes, classes, torch.from_numpy(details.attributes[seen]), _unknown(crop, details.regions))


def _unknown(crop: Crop, regions: Regions) -> Tensor:
    """Return the pixels of a crop at which nothing is known, bool ``(s, s)``; beyond the field's border it is known."""
    side = crop.image.shape[0]
    unknown = np.full((side, side), len(regions.areas) > 0, np.uint8)
    for boxes, value in ((regions.areas, 0), (regions.ignored, 1)):
        for left, top, right, bottom in boxes.tolist():
            across, down = (left - 0.5, right + 0.5), (top - 0.5, bottom + 0.5)
            corners = np.array([[across[i], down[j]] for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))])
            placed = corners @ crop.placed[:, :2].T + crop.placed[:, 2]
            cv2.fillConvexPoly(unknown, np.round(placed).astype(np.int32), value)
    return torch.from_numpy((unknown == 1) & crop.there)


def _loss(network: nn.Module, batch: DetectorBatch, device: torch.device) -> Tensor:
    targets = [one.to(device) for one in batch.targets]
    loss: Tensor = network.loss(as_input(batch.images.to(device)), targets)  # type: ignore[operator]
    return loss
