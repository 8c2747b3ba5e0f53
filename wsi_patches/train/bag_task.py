"""Bags as a task of the training loop: some patches of each in padded batches, a loss, and figures of whole bags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_patches.models.aggregators import Aggregator
from wsi_patches.train.bag_settings import BagSettings
from wsi_patches.train.bags import BagSet
from wsi_patches.train.patch_task import Batches, loss_and_accuracies
from wsi_patches.train.sampling import class_weights

__all__ = ["BagTask", "padded", "said_of"]


def padded(bags: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Return bags of different sizes ``(n, dim)`` as one batch.

    Returns
    -------
    features, mask
        float32 ``(bags, largest, dim)``, 0 where a bag has no more instances; and bool ``(bags, largest)``.
    """
    largest = max(len(bag) for bag in bags)
    features = torch.zeros(len(bags), largest, bags[0].shape[1])
    mask = torch.zeros(len(bags), largest, dtype=torch.bool)
    for row, bag in enumerate(bags):
        features[row, : len(bag)] = torch.from_numpy(bag)
        mask[row, : len(bag)] = True
    return features, mask


@torch.inference_mode()
def said_of(
    network: nn.Module, features: NDArray[np.float32], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what an aggregator in evaluation mode says of one bag, all of its patches ``(n, dim)`` at once.

    Returns
    -------
    logits, attention
        float32 ``(classes,)`` and ``(n,)``, which sums to 1.
    """
    instances, mask = padded([features])
    said = network(instances.to(device), mask.to(device))
    return said.logits[0].float().cpu().numpy(), said.attention[0].float().cpu().numpy()


@dataclass
class BagTask:
    """What the training loop needs to know of labelled bags."""

    network: Aggregator
    bags: BagSet
    train: NDArray[np.int64]
    """Numbers of the bags that are learnt from."""
    validation: NDArray[np.int64]
    settings: BagSettings

    def __post_init__(self) -> None:
        truth = self.bags.truth[self.train]
        weights = class_weights(truth, len(self.bags.class_names), self.settings.balance)
        self.weights = torch.from_numpy(weights)
        self.watched: str = self.settings.watched
        self.higher_is_better = self.watched != "loss"

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch, equal for equal seeds: features and mask as of `padded`, and labels."""
        order = self.train[np.random.default_rng([self.settings.training.seed, epoch]).permutation(len(self.train))]
        return Batches(-(-len(order) // self.settings.batch_size), lambda: self._drawn(order, epoch))

    def _drawn(self, order: NDArray[np.int64], epoch: int) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        rng = np.random.default_rng([self.settings.training.seed, epoch, 1])
        truth, size = torch.from_numpy(self.bags.truth.astype(np.int64)), self.settings.batch_size
        for start in range(0, len(order), size):
            some = order[start : start + size]
            yield padded([self._some(number, rng) for number in some.tolist()]), truth[torch.from_numpy(some)]

    def _some(self, number: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return features of as many patches of a bag as an epoch shows."""
        rows, most = self.bags.bags[number].rows, self.settings.instances
        chosen = rows if len(rows) <= most else rng.choice(rows, most, replace=False, shuffle=False)
        return np.asarray(self.bags.features[chosen])

    def loss(self, batch: tuple[tuple[Tensor, Tensor], Tensor], device: torch.device) -> Tensor:
        """Return the mean weighed cross entropy of a batch of bags, nats."""
        (features, mask), labels = batch
        logits = self.network(features.to(device), mask.to(device)).logits.float()
        weights = self.weights.to(device)
        # Not PyTorch's weighed mean, in which the weight of a batch's only bag would cancel out.
        return nn.functional.cross_entropy(logits, labels.to(device), weights, reduction="none").mean()

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return loss and accuracies on the validation bags, each with all of its patches."""
        truth = self.bags.truth[self.validation]
        logits = np.stack([said_of(network, self.bags.instances(one), device)[0] for one in self.validation.tolist()])
        return loss_and_accuracies(logits, truth)
