"""What the training loop asks of what it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Compute", "Judged", "SteppingTask", "Task"]


class Judged(Protocol):
    """What is learned: a network, its batches, and how it is judged."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    watched: str
    """Key of `validate`'s figures by which the best epoch is chosen."""
    higher_is_better: bool

    def batches(self, epoch: int) -> Iterable[Any]:
        """Return the training batches of an epoch (from 1), on the CPU.

        What is drawn for them must depend on the task's seed and the epoch alone, so that a resumed run goes on alike.
        """

    def validate(self, network: nn.Module, device: torch.device) -> Mapping[str, float]:
        """Return figures of a network in evaluation mode: the running average of the weights, if there is one."""


class Task(Judged, Protocol):
    """What is learned by one gradient of one loss a batch."""

    def loss(self, batch: Any, device: torch.device) -> Tensor:
        """Return the scalar loss of one batch; the network is on ``device``, in training mode, maybe under autocast."""


@dataclass(frozen=True)
class Compute:
    """Where a task's own steps compute, and in which arithmetic."""

    device: torch.device
    bf16: bool = False

    def forward(self) -> AbstractContextManager[Any]:
        """Return what one forward pass and its loss run in.

        Each pass takes its own: weights that were rounded inside of it are kept to its end, so that a pass after a step
        would still see the old ones.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


@runtime_checkable
class SteppingTask(Judged, Protocol):
    """What is learned by steps of its own.

    All that it goes by from one epoch to the next must be in its network's state, which is what a resumed run gets
    back. Gradients are clipped, if they are to be, whenever it calls the optimizer's ``step``.
    """

    @property
    def rate_factors(self) -> Mapping[str, float]:
        """Factor on the learning rate of parameters of the network whose names begin so, such as ``{"fc.": 5}``."""

    def warm_up(self, optimizer: Optimizer, compute: Compute) -> None:
        """Train before the first epoch, at the highest rate; what the optimizer remembers of it is forgotten."""

    def step(self, batch: Any, optimizer: Optimizer, compute: Compute) -> Tensor:
        """Move the weights by one batch, and return its loss, detached."""

    def settle(self, network: nn.Module, epoch: int, compute: Compute) -> None:
        """Bring a network's running statistics up to its weights at an epoch's end; it is in training mode."""
