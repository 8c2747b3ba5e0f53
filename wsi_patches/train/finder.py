"""Teaching a finder: which fields a batch is cut from, the loss of a batch, and how an epoch is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import CellFinderNet, as_input
from wsi_patches.train.finder_crops import CropLook, cut_crop
from wsi_patches.train.finder_fields import FinderField
from wsi_patches.train.finder_targets import FinderTargets, finder_loss, paint_targets

__all__ = ["FinderBatch", "FinderTask"]

VALIDATION_EPOCH = 0
"""Crops to judge by are drawn as those of an epoch that is never trained."""


@dataclass(frozen=True)
class FinderBatch:
    """Crops, uint8 ``(n, 3, h, w)``, and what is to be said of them."""

    images: Tensor
    targets: FinderTargets


@dataclass
class FinderTask:
    """What `fit` needs to train a finder.

    Parameters
    ----------
    network
        To be trained.
    sets
        Fields to train on, by set.
    shares
        How much of a batch comes from each set; they need not sum to 1.
    held_out
        Fields to judge each epoch by.

    Raises
    ------
    UsageError
        A set has no fields or no share, or there is nothing to judge by.
    """

    network: CellFinderNet
    sets: Mapping[str, Sequence[FinderField]]
    shares: Mapping[str, float]
    held_out: Sequence[FinderField]
    look: CropLook = field(default_factory=CropLook)
    side_px: int = 160
    batch_size: int = 16
    steps: int = 50
    """Of an epoch."""
    seed: int = 0
    watched: str = "validation_loss"
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        lacking = [name for name, fields in self.sets.items() if not fields or not self.shares.get(name, 0) > 0]
        if lacking or not self.sets or not self.held_out:
            msg = f"a finder needs fields and a share of every set, and fields to judge by; lacking: {lacking or 'all'}"
            raise UsageError(msg)

    def batches(self, epoch: int) -> Iterator[FinderBatch]:
        """Yield the batches of an epoch; equal seeds give equal batches."""
        rng = np.random.default_rng([self.seed, epoch])
        names = list(self.sets)
        chance = np.array([self.shares[name] for name in names])
        for _ in range(self.steps):
            drawn = rng.choice(len(names), self.batch_size, p=chance / chance.sum())
            yield self._batch([_any(self.sets[names[index]], rng) for index in drawn], rng)

    def loss(self, batch: FinderBatch, device: torch.device) -> Tensor:
        """Return the loss of one batch."""
        return finder_loss(self.network(as_input(batch.images.to(device))), batch.targets.to(device))

    def validate(self, network: torch.nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return the mean loss over the same few crops of the held-out fields after each epoch."""
        rng, losses = np.random.default_rng([self.seed, VALIDATION_EPOCH]), []
        for start in range(0, len(self.held_out), self.batch_size):
            batch = self._batch(self.held_out[start : start + self.batch_size], rng)
            losses.append(float(finder_loss(network(as_input(batch.images.to(device))), batch.targets.to(device))))
        return {self.watched: float(np.mean(losses))}

    def _batch(self, fields: Sequence[FinderField], rng: np.random.Generator) -> FinderBatch:
        images, targets = [], []
        for one in fields:
            crop = cut_crop(one, self.side_px, self.look, rng)
            images.append(torch.from_numpy(crop.image))
            targets.append(paint_targets(crop.cells, self.side_px, crop.empty_weight, crop.there))
        return FinderBatch(torch.stack(images).permute(0, 3, 1, 2), FinderTargets.stack(targets))


def _any(fields: Sequence[FinderField], rng: np.random.Generator) -> FinderField:
    return fields[int(rng.integers(len(fields)))]
