"""Labels in a tree: one loss a level, and a last layer in which leaves share what is learnt of the nodes above them.

Source of the idea: I. Hamdi and others, "Breaking Down the Hierarchy: A New Approach to Leukemia Classification", arXiv
2502.10899 (2025), of which the abstract alone was read; how it is done here is this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wsi_patches.errors import UsageError
from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.models.label_tree import LabelTree, Level, read_tree
from wsi_patches.train.checks import check_choices
from wsi_patches.train.classifier_network import CardWords
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.patch_task import WEIGHTS, PatchTask, PatchView, balanced_accuracy, cross_entropy
from wsi_patches.train.refit import last_layer
from wsi_patches.train.sampling import class_weights

__all__ = ["Levels", "SharedPaths", "TaxonomySettings", "TaxonomyTask", "level_losses", "log_of_nodes"]

Levels = Literal["all", "flat"]
"""Which levels of the tree have a loss: ``all``, or the leaves alone (``flat``), for comparison."""


@dataclass(frozen=True, kw_only=True)
class TaxonomySettings(FieldSettings):
    """What a classifier of pictures whose classes are the leaves of a tree is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range, or the tree is none.
    """

    task: Literal["taxonomy"] = "taxonomy"  # type: ignore[assignment] # it cuts pictures as its parent does
    name: str = "taxonomy"
    tree: Any
    """What the classes are kinds of: a mapping as `LabelTree` reads it, or a YAML file of one."""
    levels: Levels = "all"
    level_weights: tuple[float, ...] | None = None
    """Of each level's loss, from the root's children down to the leaves; they are scaled to sum to 1. Equal if None."""
    share: bool = True
    """Of ``levels: all``: whether a leaf's logit is a sum over its path while it learns, so that a leaf of few pictures
    has from its siblings what they are all told by. What is kept is a plain last layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"levels": Levels})
        given = read_tree(Path(self.tree)) if isinstance(self.tree, str | Path) else self.tree
        object.__setattr__(self, "tree", LabelTree.of(given).to_dict())
        self._check_weights()
        if self.balance == "smote" and self.levels == "all":
            msg = "balance: smote learns the last layer anew by its leaves alone: take another balance, or levels: flat"
            raise UsageError(msg)

    def _check_weights(self) -> None:
        given = self.level_weights
        if given is None:
            return
        if self.levels == "flat":
            msg = "level_weights are for levels: all; levels: flat has one loss, at the leaves"
            raise UsageError(msg)
        if len(given) != self.label_tree.depth or min(given) < 0 or not 0 < sum(given) < float("inf"):
            msg = (
                f"level_weights are {self.label_tree.depth} numbers of 0 or more, one a level of the tree and not all "
                f"of them 0, found {list(given)}"
            )
            raise UsageError(msg)

    @property
    def label_tree(self) -> LabelTree:
        """The tree."""
        return LabelTree.of(self.tree)

    @property
    def shares_of_levels(self) -> tuple[float, ...]:
        """The weight of each level's loss; they sum to 1."""
        depth = self.label_tree.depth
        weights = (0.0,) * (depth - 1) + (1.0,) if self.levels == "flat" else self.level_weights or (1.0,) * depth
        return tuple(weight / sum(weights) for weight in weights)

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse classes that are not just the leaves of the tree."""
        self.label_tree.check(class_names)

    def card_words(self, diameters: float) -> CardWords:
        """Return what the card says, the tree with it."""
        title = "Class of a whole picture in a tree of labels, trained on labelled pictures"
        return replace(super().card_words(diameters), title=title, tree=self.tree)

    def patch_task(self, network: nn.Module, frame: InputFrame, train: PatchView, validation: PatchView) -> PatchTask:
        """Return what the training loop learns."""
        return TaxonomyTask(network, frame, train, validation, self)


@dataclass
class TaxonomyTask(PatchTask):
    """Labelled patches, learnt by a loss at each level of a tree."""

    settings: TaxonomySettings

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.settings.share and self.settings.levels == "all":
            parametrize.register_parametrization(last_layer(self.network), "weight", SharedPaths(self.levels))

    def finished(self) -> nn.Module:
        """Return the network with a plain last layer."""
        if parametrize.is_parametrized(last_layer(self.network)):
            parametrize.remove_parametrizations(last_layer(self.network), "weight")
        return self.network

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """From the root's children down to the leaves."""
        return self.settings.label_tree.levels(self.train.patches.class_names)

    @cached_property
    def node_weights(self) -> tuple[Tensor, ...]:
        """Of each level: weights of its nodes, by how often each is in the training split."""
        kind = WEIGHTS.get(self.settings.balance, "none")
        truth = self.train.truth
        return tuple(
            torch.from_numpy(class_weights(level.of_class[truth], len(level.names), kind)) for level in self.levels
        )

    def loss(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        """Return the losses of the levels for a batch, weighed and summed, nats."""
        images, labels = batch
        logits = self.network(normalised(images.to(device), self.frame)).float()
        losses = level_losses(logits, labels.to(device), self.levels, self.node_weights)
        return losses @ losses.new_tensor(self.settings.shares_of_levels)

    def figures(self, logits: NDArray[np.float32], truth: NDArray[np.int32]) -> dict[str, float]:
        """Return the figures of the leaves, the loss of all levels, and the balanced accuracy of each inner level.

        What a level is said to be is the node that the most probable leaf belongs to.
        """
        of_leaves, said = super().figures(logits, truth), logits.argmax(axis=1)
        losses = [
            cross_entropy(log_of_nodes(torch.from_numpy(logits), one).numpy(), one.of_class[truth])
            for one in self.levels
        ]
        right = {
            f"balanced_accuracy_level_{number}": balanced_accuracy(level.of_class[said], level.of_class[truth])
            for number, level in enumerate(self.levels[:-1], 1)
        }
        return {**of_leaves, "loss": float(np.dot(losses, self.settings.shares_of_levels)), **right}


class SharedPaths(nn.Module):
    """The weights of classes as sums over their paths: those of each inner node, and of the class itself."""

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        nodes = [torch.from_numpy(one.of_class)[:, None] == torch.arange(len(one.names)) for one in levels]
        inner = torch.cat(nodes, dim=1).float()
        classes = torch.eye(len(inner))
        self.on_path: Tensor
        self.register_buffer("on_path", torch.cat([inner[:, inner.sum(0) > 1], classes], dim=1), persistent=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Return the weights of the classes, ``(classes, dim)``, from those of nodes and classes, ``(nodes, dim)``."""
        return self.on_path @ weights

    def right_inverse(self, weights: Tensor) -> Tensor:
        """Return what gives these weights of the classes ``(classes, dim)``: nothing is shared yet."""
        inner = self.on_path.shape[1] - len(weights)
        return torch.cat([weights.new_zeros(inner, weights.shape[1]), weights])


def level_losses(
    logits: Tensor, labels: Tensor, levels: Sequence[Level], weights: Sequence[Tensor] | None = None
) -> Tensor:
    """Return the mean cross entropy of each level, nats, ``(levels,)``.

    Parameters
    ----------
    logits
        Of the classes, float ``(n, classes)``.
    labels
        Class of each sample, int64 ``(n,)``.
    levels
        Of the tree, for the classes in the order of the logits.
    weights
        Of each level's nodes, ``(nodes,)``; equal if None.
    """
    losses = []
    for number, level in enumerate(levels):
        truth = torch.from_numpy(level.of_class).to(labels.device)[labels]
        weight = None if weights is None else weights[number].to(logits.device)
        losses.append(nn.functional.nll_loss(log_of_nodes(logits, level), truth, weight))
    return torch.stack(losses)


def log_of_nodes(logits: Tensor, level: Level) -> Tensor:
    """Return the logarithm of each node's probability, ``(n, nodes)``: of the sum of its classes', ``(n, classes)``."""
    of_class = torch.from_numpy(level.of_class).to(logits.device)
    elsewhere = of_class[None, :] != torch.arange(len(level.names), device=logits.device)[:, None]
    log = logits.log_softmax(dim=1)[:, None, :].masked_fill(elsewhere, -torch.inf)
    return log.logsumexp(dim=2)
