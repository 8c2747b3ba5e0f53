"""What turns gradients into steps: optimizers, rate and momentum over a run, and the running average of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from wsi_patches.train.engine_settings import LEAST_MOMENTUM, TRIANGLES, EngineSettings

__all__ = ["build_optimizer", "follow_schedule", "momentum_at", "rate_at", "set_rate", "update_average"]

ONECYCLE_RISE, ONECYCLE_FIRST, ONECYCLE_LAST = 0.3, 1 / 25, 1 / 250_000
"""PyTorch's defaults for Smith and Topin's cycle: share of the run that rises, first and last part of the highest."""
HALVED_EVERY = 20
TRIANGLE_RISE, TRIANGLE_FIRST = 4, 1 / 20
"""Epochs, and share of the highest rate, of ALLNet's and HistoTNet's cycles (their released code)."""


def build_optimizer(
    network: nn.Module, settings: EngineSettings, rate_factors: Mapping[str, float] | None = None
) -> Optimizer:
    """Return the optimizer of a network's trainable parameters.

    Weights decay; biases and the scales and shifts of normalisations, all of one dimension, do not unless all is to.

    Parameters
    ----------
    network
        Those of its parameters that ask for no gradient are left out.
    settings
        Which optimizer, and what decays.
    rate_factors
        Factor on the learning rate of parameters whose names begin so; `set_rate` keeps to it.
    """
    factors = rate_factors or {}
    members: dict[tuple[float, bool], list[nn.Parameter]] = {
        (factor, decays): [] for factor in (1.0, *factors.values()) for decays in (True, False)
    }
    for name, one in network.named_parameters():
        if one.requires_grad:
            factor = next((factor for start, factor in factors.items() if name.startswith(start)), 1.0)
            members[factor, settings.decay == "all" or one.ndim > 1].append(one)
    groups = [
        {"params": some, "weight_decay": settings.weight_decay if decays else 0.0, "rate_factor": factor}
        for (factor, decays), some in members.items()
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups, lr=settings.learning_rate)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate; parameters with a factor of their own get that many times as much."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)  # a checkpoint of an older version knows no factor


def follow_schedule(optimizer: Optimizer, settings: EngineSettings, share: float) -> None:
    """Set the learning rate of a share of the run, 0 to 1, and its momentum where that is to cycle."""
    set_rate(optimizer, rate_at(settings, share))
    if settings.cycle_momentum:
        for group in optimizer.param_groups:
            group["momentum"] = momentum_at(settings, share)


def rate_at(settings: EngineSettings, share: float) -> float:
    """Return the learning rate at a share of the run, 0 to 1.

    It depends on nothing else, so a run that is resumed needs no memory of it.
    """
    warmup = settings.warmup_epochs / settings.epochs
    if settings.schedule == "onecycle":
        return settings.learning_rate * _onecycle(share, warmup or ONECYCLE_RISE)
    if share < warmup:
        return settings.learning_rate * share / warmup
    if settings.schedule == "cosine":
        return settings.learning_rate * _between(1, 0, (share - warmup) / (1 - warmup))
    epoch = int(share * settings.epochs)
    if settings.schedule == "halving":
        return settings.learning_rate * 0.5 ** (epoch // HALVED_EVERY)
    if settings.schedule in TRIANGLES:
        dips = settings.schedule == "triangle_dips" and epoch > 0 and epoch % HALVED_EVERY == 0
        return settings.learning_rate * (TRIANGLE_FIRST + (1 - TRIANGLE_FIRST) * _risen(epoch)) * (0.5 if dips else 1)
    if settings.schedule == "step":
        return settings.learning_rate * 0.1 ** ((share >= 0.5) + (share >= 0.75))
    return settings.learning_rate


def momentum_at(settings: EngineSettings, share: float) -> float:
    """Return the momentum at a share of the run, 0 to 1; it too depends on nothing else."""
    if not settings.cycle_momentum:
        return settings.momentum
    return settings.momentum - (settings.momentum - LEAST_MOMENTUM) * _risen(int(share * settings.epochs))


def _risen(epoch: int) -> float:
    """Return how far a triangle has risen in an epoch, 0 to 1."""
    return 1 - abs(epoch % (2 * TRIANGLE_RISE) - TRIANGLE_RISE) / TRIANGLE_RISE


def _onecycle(share: float, rise: float) -> float:
    if share < rise:
        return _between(ONECYCLE_FIRST, 1, share / rise)
    return _between(1, ONECYCLE_LAST, (share - rise) / (1 - rise))


def _between(first: float, last: float, share: float) -> float:
    """Go from ``first`` to ``last`` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, steps: int) -> None:
    """Move a running average of a network's state towards the network; counters and other whole numbers are copied.

    Early on the average forgets faster, by (1 + steps) / (10 + steps), so that it leaves the untrained weights behind.

    Parameters
    ----------
    average
        A copy of ``network`` made before its first step.
    network
        As it is after a step.
    decay
        Share of the average that is kept in the long run.
    steps
        Steps that were taken before this one.
    """
    share = 1 - min(decay, (1 + steps) / (10 + steps))
    for mean, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, share)
        else:
            mean.copy_(now)
