"""Images with many labels as a task of the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.datasets.multi_labels import label_agreement
from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.train.label_set import LabelView
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.patch_task import Batches, logits_of

__all__ = ["LabelTask", "label_weights"]

FEWEST = 10
"""A label that fewer images bear weighs as one that these bear."""


def label_weights(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the weight of each label in the loss, float32 ``(labels,)``: all images over those that bear it.

    Parameters
    ----------
    values
        1 where an image bears a label, else 0; shape ``(n, labels)``.
    """
    return np.asarray(len(values) / np.maximum(values.sum(axis=0, dtype=np.int64), FEWEST), np.float32)


@dataclass
class LabelTask:
    """What the training loop needs to know of images with many labels."""

    network: nn.Module
    frame: InputFrame
    """What the network takes."""
    train: LabelView
    validation: LabelView
    settings: LabelSettings
    watched: str = "one_minus_hamming"
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        known = np.concatenate([self.train.values, self.validation.values])
        weights = label_weights(known) if self.settings.label_weights == "inverse" else np.ones(known.shape[1])
        self.weights = torch.tensor(weights, dtype=torch.float32)

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, equal for equal seeds: images float ``(b, 3, s, s)``, labels ``(b, c)``."""
        seed = int(np.random.SeedSequence([self.settings.training.seed, epoch]).generate_state(1)[0])
        order = np.random.default_rng(seed).permutation(len(self.train))
        size = min(self.settings.batch_size, len(order))
        return Batches(len(order) // size, lambda: self._drawn(order, torch.Generator().manual_seed(seed), size))

    def _drawn(
        self, order: NDArray[np.int64], generator: torch.Generator, size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        values = torch.from_numpy(self.train.values.astype(np.float32))
        for start in range(0, len(order) - size + 1, size):
            positions = order[start : start + size]
            images = self.train.patches.images[self.train.rows[positions]].transpose(0, 3, 1, 2)
            pixels = torch.from_numpy(np.ascontiguousarray(images))
            shown = self.settings.augmentation.apply(pixels, self.frame.input_px, generator)
            yield shown, values[torch.from_numpy(positions)]

    def loss(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        """Return the mean over images and labels of the weighted binary cross entropy, nats."""
        images, values = batch
        logits = self.network(normalised(images.to(device), self.frame)).float()
        return nn.functional.multilabel_soft_margin_loss(logits, values.to(device), self.weights.to(device))

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return loss, 1 - Hamming loss and mean Jaccard index on the validation images; labels above 0.5 are said."""
        logits = torch.from_numpy(logits_of(network, self.frame, self.validation, device))
        values = torch.from_numpy(self.validation.values.astype(np.float32))
        agreement = label_agreement(self.validation.values, (logits > 0).numpy())
        return {
            "loss": float(nn.functional.multilabel_soft_margin_loss(logits, values, self.weights)),
            "one_minus_hamming": float(agreement.equal.mean()),
            "jaccard": float(agreement.jaccard.mean()),
        }
