"""Steps of a network that learns two sets at once, by two last layers: both losses weighed, or one after the other.

Source: AngeloUNIMI/DL4ALL (doi 10.1109/ACCESS.2023.3289219), whose variants Regular, Self and Greedy are settings
here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.models.dl4all import TwoHeads, UncertaintyWeights
from wsi_patches.train.interleaving import Batch, Loader, Pair
from wsi_patches.train.task import Compute

__all__ = ["Accept", "BatchMaker", "Side", "StepKind", "TwoSetNetwork", "TwoSetSteps", "Weighting"]

StepKind = Literal["joint", "greedy"]
"""One step on both losses; or one on the source's that is kept if the target likes it, and one on the target's."""
Accept = Literal["epoch", "all_time"]
"""When a greedy source step is kept: if the target's loss after it is below the mean of this epoch's until then; or, as
the released code has it, below the lowest of any batch of the whole run, which soon no batch is."""
Weighting = Literal["fixed", "uncertainty"]
"""A half of each loss; or weights that are learnt (`UncertaintyWeights`)."""
SOURCE, TARGET = 0, 1
HALF = 0.5
NO_LOSS_YET = 1e6


class BatchMaker(Protocol):
    """What makes a set's batches."""

    def batches(self, epoch: int) -> Loader:
        """Return those of an epoch, equal for equal seeds."""


@dataclass(frozen=True)
class Side:
    """One of the two sets, as training needs it."""

    loader: BatchMaker
    frame: InputFrame
    loss: nn.Module
    """Called with float logits and labels; scalar."""

    def shown(self, batch: Batch, device: torch.device) -> Tensor:
        """Return a batch's images as the network takes them, on a device."""
        return normalised(batch[0].to(device), self.frame)


class TwoSetNetwork(nn.Module):
    """A network with two heads, and what else training learns and keeps beside it.

    Parameters
    ----------
    network
        Returns logits of the source and of the target.
    weighting
        Of the two losses.
    """

    lowest: Tensor

    def __init__(self, network: nn.Module, weighting: Weighting = "fixed") -> None:
        super().__init__()
        self.network = network
        self.weights = UncertaintyWeights() if weighting == "uncertainty" else None
        self.register_buffer("lowest", torch.tensor(NO_LOSS_YET))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the source and of the target."""
        logits: tuple[Tensor, Tensor] = self.network(images)
        return logits

    def weighed(self, number: int, loss: Tensor) -> Tensor:
        """Return a loss as it is to be added to the other."""
        weighed: Tensor = HALF * loss if self.weights is None else self.weights(number, loss)
        return weighed


@dataclass
class TwoSetSteps:
    """Steps on pairs of batches: a `SteppingTask` but for what it shows and judges.

    The loss that a step returns is the target's, so that it can be held against validation's.
    """

    network: TwoSetNetwork
    head: str
    """Name of the network's last layer, a `TwoHeads`."""
    source: Side
    target: Side
    kind: StepKind = "joint"
    accept: Accept = "epoch"
    head_factor: float = 5.0
    """Learning rate of the heads over that of all else."""
    settle_batches: int = 101
    """Batches of the target that running statistics see at an epoch's end."""
    tried: list[float] = field(default_factory=list, init=False)
    """The target's loss after each source step of this epoch, greedy."""
    kept: int = field(default=0, init=False)
    """How many source steps of this epoch were kept, greedy."""

    @property
    def rate_factors(self) -> Mapping[str, float]:
        """Factor on the learning rate of parameters whose names begin so."""
        return {f"network.{self.head}.": self.head_factor}

    @property
    def heads(self) -> TwoHeads:
        """The two last layers."""
        heads = self.network.network.get_submodule(self.head)
        if not isinstance(heads, TwoHeads):
            msg = f"{self.head} is no TwoHeads"
            raise TypeError(msg)
        return heads

    def begin_epoch(self) -> None:
        """Forget what the last epoch accepted."""
        self.tried.clear()
        self.kept = 0

    def warm_up(self, optimizer: Optimizer, compute: Compute) -> None:
        """Train the heads alone, once through the source and once through the target; batch norm follows."""
        heads = {id(one) for one in self.heads.parameters()}
        others = [one for one in self.network.parameters() if one.requires_grad and id(one) not in heads]
        for one in others:
            one.requires_grad_(False)
        for number, side in enumerate((self.source, self.target)):
            for batch in side.loader.batches(0):
                self._descend(self._loss(number, batch, compute), optimizer)
        for one in others:
            one.requires_grad_(True)

    def step(self, batch: Pair, optimizer: Optimizer, compute: Compute) -> Tensor:
        """Move the weights by one batch of each set; return the target's loss, detached."""
        if self.kind == "greedy":
            return self._greedy(batch, optimizer, compute)
        return self._joint(batch, optimizer, compute)

    def settle(self, network: nn.Module, epoch: int, compute: Compute) -> None:
        """Let running statistics see batches of the target; the network is in training mode."""
        if not _has_batch_norm(network):
            return
        for batch in islice(self.target.loader.batches(epoch), self.settle_batches):
            _refresh_statistics(network, self.target.shown(batch, compute.device), compute)

    def _joint(self, batch: Pair, optimizer: Optimizer, compute: Compute) -> Tensor:
        source = self._loss(SOURCE, batch.source, compute)
        self._refresh(batch.target, compute)
        target = self._loss(TARGET, batch.target, compute)
        total = self.network.weighed(SOURCE, source) + self.network.weighed(TARGET, target)
        self._descend(total, optimizer, batch)
        return target.detach()

    def _greedy(self, batch: Pair, optimizer: Optimizer, compute: Compute) -> Tensor:
        weights, memory = deepcopy(self.network.state_dict()), deepcopy(optimizer.state_dict())
        source = self._loss(SOURCE, batch.source, compute)
        self._descend(self.network.weighed(SOURCE, source), optimizer)
        self._refresh(batch.target, compute)
        target = self._loss(TARGET, batch.target, compute)
        if self._is_accepted(float(target.detach())):
            self._descend(self.network.weighed(TARGET, target), optimizer, batch)
            return target.detach()
        self.network.load_state_dict(weights)
        optimizer.load_state_dict(memory)
        self._refresh(batch.target, compute)
        target = self._loss(TARGET, batch.target, compute)
        self._descend(target, optimizer)
        return target.detach()

    def _is_accepted(self, loss: float) -> bool:
        """Tell whether the target likes the source's step, and remember what it said."""
        lowest = float(self.network.lowest)
        if self.accept == "epoch":
            lowest = sum(self.tried) / len(self.tried) if self.tried else math.inf
        accepted = loss < lowest
        if accepted and self.accept == "all_time":
            self.network.lowest.fill_(loss)
        self.tried.append(loss)
        self.kept += accepted
        return accepted

    def _loss(self, number: int, batch: Batch, compute: Compute) -> Tensor:
        side = (self.source, self.target)[number]
        with compute.forward():
            logits = self.network(side.shown(batch, compute.device))[number]
        loss: Tensor = side.loss.to(compute.device)(logits.float(), batch[1].to(compute.device))
        return loss

    def _refresh(self, batch: Batch, compute: Compute) -> None:
        if _has_batch_norm(self.network):
            _refresh_statistics(self.network, self.target.shown(batch, compute.device), compute)

    def _descend(self, loss: Tensor, optimizer: Optimizer, balanced: Pair | None = None) -> None:
        """Step down a loss; with a pair, heads see theirs in full, as its sizes say."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if balanced is not None:
            self._rescale_heads(len(balanced.source[1]), len(balanced.target[1]))
        optimizer.step()

    def _rescale_heads(self, source: int, target: int) -> None:
        for head, size in ((self.heads.source, source), (self.heads.target, target)):
            for one in head.parameters():
                if one.grad is not None:
                    one.grad.mul_((source + target) / size)


@torch.no_grad()
def _refresh_statistics(network: nn.Module, images: Tensor, compute: Compute) -> None:
    """Let the running statistics of a network in training mode see images, and nothing else of it change."""
    with compute.forward():
        network(images)


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(one, _BatchNorm) for one in network.modules())
