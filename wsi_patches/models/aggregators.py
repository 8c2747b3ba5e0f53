"""Aggregators: networks that tell the label of a bag of patches from their features, in whatever order these lie.

Attention and gated attention: M. Ilse, J. M. Tomczak, M. Welling, "Attention-based deep multiple instance learning",
ICML 2018 (equations 8 and 9). Set transformer: J. Lee and others, ICML 2019 (sections 3.1 and 3.2): induced set
attention blocks, then pooling by multihead attention. Mean pooling is the simplest of them, and has no attention.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsi_patches.errors import UsageError

__all__ = ["AGGREGATORS", "Aggregator", "AttentionMil", "MeanPooling", "Said", "SetTransformer"]

LEAST_STD = 1e-3
"""Features that hardly differ in the training bags are not blown up."""


class Said(NamedTuple):
    """What an aggregator says of some bags."""

    logits: Tensor
    """float ``(bags, classes)``."""
    attention: Tensor
    """float ``(bags, instances)``: the weight of each instance, 0 for padding; a bag's sum to 1."""


class Aggregator(nn.Module, ABC):
    """What all aggregators share: features are scaled, then pooled, then told apart by one linear layer.

    Parameters
    ----------
    classes
        How many labels.
    dim
        Features of an instance.
    width
        Of what is pooled.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, dim: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.head = nn.Linear(width, classes)

    def scale_by(self, mean: Tensor, std: Tensor) -> None:
        """Set what features ``(dim,)`` are scaled by: their mean and deviation over the training bags."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(LEAST_STD))

    def forward(self, features: Tensor, mask: Tensor) -> Said:
        """Tell the labels of bags.

        Parameters
        ----------
        features
            Float ``(bags, instances, dim)``, padded with whatever is finite.
        mask
            Bool ``(bags, instances)``: which are instances; each bag has one or more.
        """
        pooled, attention = self.pool((features - self.mean) / self.std, mask)
        return Said(self.head(pooled), attention)

    @abstractmethod
    def pool(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return one vector a bag ``(bags, width)``, and each instance's weight in it ``(bags, instances)``."""


class MeanPooling(Aggregator):
    """The mean of the features of a bag."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__(classes, dim, dim)

    def pool(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over the instances, all of which weigh the same."""
        weights = mask / mask.sum(dim=1, keepdim=True)
        return _weighed(weights, features), weights


class AttentionMil(Aggregator):
    """The mean of a bag's instances, weighed by an attention that is learnt.

    Parameters
    ----------
    classes, dim
        As of every aggregator.
    width
        Of what the features are turned into first.
    hidden
        Of the layer that the attention is told from.
    gated
        Whether that layer is multiplied by a gate (equation 9) or not (equation 8).
    dropout
        Share of the features that are left out while training.

    Raises
    ------
    UsageError
        A setting cannot be.
    """

    def __init__(
        self, classes: int, dim: int, width: int = 128, hidden: int = 64, *, gated: bool = False, dropout: float = 0.25
    ) -> None:
        _check_counts(width=width, hidden=hidden)
        if not 0 <= dropout < 1:
            msg = f"an aggregator's dropout lies from 0 to below 1, found {dropout}"
            raise UsageError(msg)
        super().__init__(classes, dim, width)
        self.embed = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, width), nn.ReLU())
        self.seen = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.weight = nn.Linear(hidden, 1, bias=False)

    def pool(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighed mean, and the weights."""
        embedded = self.embed(features)
        seen = self.seen(embedded).tanh()
        if self.gate is not None:
            seen = seen * self.gate(embedded).sigmoid()
        scores = self.weight(seen).squeeze(2).masked_fill(~mask, -torch.inf)
        weights = scores.softmax(dim=1)
        return _weighed(weights, embedded), weights


class SetTransformer(Aggregator):
    """Instances that look at each other through a few inducing points, then pooling by attention.

    The attention that is shown is that of the pooling, averaged over the heads; what it weighs has already looked at
    the whole bag, so that it says less of an instance by itself than `AttentionMil` does.

    Parameters
    ----------
    classes, dim
        As of every aggregator.
    width
        Of what the features are turned into first; a multiple of ``heads``.
    heads
        Of each attention.
    inducing
        Points through which instances look at each other, so that the cost grows in a line with a bag's size.
    blocks
        How many times they do.

    Raises
    ------
    UsageError
        ``heads`` does not divide ``width``, or a setting is no count.
    """

    def __init__(
        self, classes: int, dim: int, width: int = 64, heads: int = 4, inducing: int = 16, blocks: int = 1
    ) -> None:
        _check_counts(width=width, heads=heads, inducing=inducing, blocks=blocks)
        if width % heads:
            msg = f"a set transformer's heads divide its width, found {heads} heads and a width of {width}"
            raise UsageError(msg)
        super().__init__(classes, dim, width)
        self.embed = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(_Induced(width, heads, inducing) for _ in range(blocks))
        self.before = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.seed = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, 1, width)))
        self.pooling = _Attention(width, heads)

    def pool(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what one seed sees in the bag, and where it looks."""
        seen = self.embed(features)
        for block in self.blocks:
            seen = block(seen, mask)
        pooled, weights = self.pooling(self.seed.expand(len(seen), -1, -1), self.before(seen), mask)
        return pooled.squeeze(1), weights.squeeze(1)


class _Attention(nn.Module):
    """A multihead attention block (MAB): queries look at a set, with normalised residuals and a layer of their own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dense = nn.Linear(width, width)

    def forward(self, queries: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return ``(bags, queries, width)``, and where each query looks, ``(bags, queries, values)``."""
        hidden = None if mask is None else ~mask
        looked, weights = self.look(queries, values, values, key_padding_mask=hidden)
        seen = self.first(queries + looked)
        return self.second(seen + self.dense(seen).relu()), weights


class _Induced(nn.Module):
    """An induced set attention block (ISAB): a few points look at the set, then the set looks at them."""

    def __init__(self, width: int, heads: int, inducing: int) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, inducing, width)))
        self.gather, self.spread = _Attention(width, heads), _Attention(width, heads)

    def forward(self, instances: Tensor, mask: Tensor) -> Tensor:
        """Return instances ``(bags, n, width)`` that have looked at the bag."""
        gathered, _ = self.gather(self.points.expand(len(instances), -1, -1), instances, mask)
        spread: Tensor = self.spread(instances, gathered, None)[0]
        return spread


def _check_counts(**counts: int) -> None:
    """Refuse counts of nothing, of which torch would make a network that knows nothing."""
    for name, count in counts.items():
        if count < 1:
            msg = f"an aggregator's {name} is 1 or more, found {count}"
            raise UsageError(msg)


def _weighed(weights: Tensor, instances: Tensor) -> Tensor:
    return torch.einsum("bn,bnd->bd", weights, instances)


AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean_pooling": MeanPooling,
    "attention_mil": AttentionMil,
    "set_transformer": SetTransformer,
}
"""What a bag card's ``architecture`` may say; called with the number of classes and the card's settings."""
