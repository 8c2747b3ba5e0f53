"""The last layer learnt anew, on features of the training split to which SMOTE has added."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from wsi_patches.errors import needs_extra
from wsi_patches.models.classifier import InputFrame
from wsi_patches.train.patch_task import PatchView, logits_of
from wsi_patches.train.sampling import smote

__all__ = ["last_layer", "refit_head"]

PENALTY = 0.1
"""Inverse strength of the L2 penalty, scikit-learn's ``C``, on features of variance 1. A choice of this project: the
network has seen the patches, so a weak one would believe its features too much."""
MOST_ITERATIONS = 5000


def refit_head(network: nn.Module, frame: InputFrame, train: PatchView, seed: int) -> None:
    """Replace a network's last linear layer by a logistic regression on SMOTE-balanced features.

    What the rest of the network has learnt stays, and the classes weigh the same only where they are told apart, as in
    classifier re-training (Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR
    2020), with SMOTE (Chawla et al., JAIR 2002) in place of repeated samples.

    Parameters
    ----------
    network
        In evaluation mode, its last linear layer giving the logits, or those of all classes but the first, which are
        differences to that one's; changed in place.
    frame
        What the network takes.
    train
        The training split, shown without augmentation.
    seed
        Of what SMOTE draws.

    Raises
    ------
    UsageError
        A class has too few patches for SMOTE.
    MissingExtra
        scikit-learn or imbalanced-learn is not installed.
    """
    head = last_layer(network)
    features, truth = smote(_features(network, head, frame, train), train.truth, seed)
    weight, bias = _regressed(features, truth)
    if head.out_features == len(weight) - 1:  # the first class has the logit 0
        weight, bias = weight[1:] - weight[0], bias[1:] - bias[0]
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))


def last_layer(network: nn.Module) -> nn.Linear:
    """Return a network's last linear layer, which tells the classes."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _features(network: nn.Module, head: nn.Linear, frame: InputFrame, view: PatchView) -> NDArray[np.float32]:
    """Return what a layer is given for each patch, float32 ``(n, dim)``."""
    given: list[NDArray[np.float32]] = []

    def keep(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given.append(inputs[0].float().cpu().numpy())

    hook = head.register_forward_pre_hook(keep)
    try:
        logits_of(network, frame, view, head.weight.device)
    finally:
        hook.remove()
    return np.concatenate(given)


def _regressed(features: NDArray[np.float32], truth: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights ``(classes, dim)`` and biases ``(classes,)`` of a logistic regression on unscaled features."""
    with needs_extra("train", "balance: smote"):
        from sklearn.linear_model import LogisticRegression
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    with threadpool_limits(1):  # equal bits on any number of processors
        model = LogisticRegression(C=PENALTY, max_iter=MOST_ITERATIONS).fit((features - mean) / std, truth)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row, for the second class
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / std
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)
