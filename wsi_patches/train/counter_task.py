"""Teaching a counter: crops, the density that is to be said of them, and how far off it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import STRIDE, as_input
from wsi_patches.train.counter_fields import CountedField
from wsi_patches.train.finder_crops import CropLook, cut_crop

__all__ = ["CountBatch", "CounterTask", "count_loss", "density_target"]

VALIDATION_EPOCH = 0
"""Crops to judge by are drawn as those of an epoch that is never trained."""
CROPS_TO_JUDGE = 6
"""Of each held-out field."""
SPREAD = 1 / 3
"""Standard deviation of a cell's bump, over its radius."""
BLOCKS = (1, 4, 16)
"""Sides of the blocks whose cells are counted, in places of the density; a white cell is ten places wide."""
FEWEST = 1e-6
"""Cells in a place that a density is not below."""


@dataclass(frozen=True)
class CountBatch:
    """Crops, uint8 ``(n, 3, s, s)``, and the density of each class in them, float32 ``(n, classes, s / 4, s / 4)``."""

    images: Tensor
    density: Tensor


@dataclass
class CounterTask:
    """What `fit` needs to train a counter.

    Parameters
    ----------
    network
        To be trained.
    classes
        How many classes it counts.
    fields
        To train on.
    held_out
        To judge each epoch by.

    Raises
    ------
    UsageError
        There are no fields to train on or to judge by.
    """

    network: nn.Module
    classes: int
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
            msg = f"a counter needs fields to learn from and to judge by, found {len(self.fields)} and "
            raise UsageError(msg + f"{len(self.held_out)}")

    def batches(self, epoch: int) -> Iterator[CountBatch]:
        """Yield the batches of an epoch; equal seeds give equal batches."""
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(self.steps):
            drawn = rng.integers(len(self.fields), size=self.batch_size)
            yield self._batch([self.fields[row] for row in drawn], rng)

    def loss(self, batch: CountBatch, device: torch.device) -> Tensor:
        """Return the loss of one batch."""
        return count_loss(self.network(as_input(batch.images.to(device))), batch.density.to(device))

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return the mean loss, and the mean error of a crop's count, over the same few crops after each epoch."""
        rng, losses, errors = np.random.default_rng([self.seed, VALIDATION_EPOCH]), [], []
        shown = [one for one in self.held_out for _ in range(CROPS_TO_JUDGE)]
        for start in range(0, len(shown), self.batch_size):
            batch = self._batch(shown[start : start + self.batch_size], rng)
            said, true = network(as_input(batch.images.to(device))), batch.density.to(device)
            losses.append(float(count_loss(said, true)) * len(said))
            errors += (said - true).sum(dim=(2, 3)).abs().mean(dim=1).tolist()
        return {self.watched: sum(losses) / len(shown), "crop_count_error": float(np.mean(errors))}

    def _batch(self, fields: Sequence[CountedField], rng: np.random.Generator) -> CountBatch:
        images, targets = [], []
        for one in fields:
            crop = cut_crop(one.field, self.side_px, self.look, rng)
            # A crop at a wrong scale has no cells at all.
            kinds = one.class_index[: len(crop.cells.x)]
            xy = np.stack([crop.cells.x, crop.cells.y], axis=1)
            images.append(torch.from_numpy(crop.image))
            targets.append(density_target(xy, kinds, crop.cells.radius_px, self.classes, self.side_px))
        return CountBatch(torch.stack(images).permute(0, 3, 1, 2), torch.from_numpy(np.stack(targets)))


def density_target(
    xy: NDArray[np.float64],
    class_index: NDArray[np.int64],
    radius_px: NDArray[np.float64],
    classes: int,
    side_px: int,
) -> NDArray[np.float32]:
    """Return the density that is to be said of a square image, float32 ``(classes, side_px / 4, side_px / 4)``.

    Each cell whose centre lies in the image is a Gaussian bump, of which all lies in the image: the sum over the image
    is the number of centres in it, also where its border cuts cells.

    Parameters
    ----------
    xy
        Centres, ``(n, 2)``, in the image's pixels; they may lie outside.
    class_index
        Of each cell, ``(n,)``.
    radius_px
        Of each cell, ``(n,)``.
    classes
        How many there are.
    side_px
        A multiple of 4.
    """
    places = np.arange(side_px // STRIDE)
    density = np.zeros((classes, len(places), len(places)), np.float32)
    inside = ((xy >= -0.5) & (xy < side_px - 0.5)).all(axis=1)
    for (x, y), kind, radius in zip(xy[inside], class_index[inside], radius_px[inside], strict=True):
        spread = SPREAD * radius / STRIDE
        across, down = (np.exp(-((places - (at + 0.5) / STRIDE + 0.5) ** 2) / (2 * spread**2)) for at in (x, y))
        density[kind] += np.outer(down / down.sum(), across / across.sum()).astype(np.float32)
    return density


def count_loss(said: Tensor, true: Tensor) -> Tensor:
    """Return how far densities ``(n, classes, h, w)`` are off, a scalar.

    What counts is the sum over an area, whichever it is (Lempitsky and Zisserman, NIPS 2010); here over blocks of a few
    sizes. Sums are compared by the deviance of counts (Poisson), so that a missed cell weighs the same among few and
    among many.
    """
    total = said.new_zeros(())
    for side in BLOCKS:
        counted, there = (side**2 * nn.functional.avg_pool2d(one, side, ceil_mode=True) for one in (said, true))
        total = total + _deviance(counted.clamp_min(FEWEST), there).sum()
    return total / (true.sum() + len(true))


def _deviance(said: Tensor, true: Tensor) -> Tensor:
    """Return half the Poisson deviance of each count: 0 where it is right."""
    off: Tensor = said - true + torch.special.xlogy(true, true.clamp_min(FEWEST) / said)
    return off
