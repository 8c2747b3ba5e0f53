"""Batches of two sets in pairs, whatever is learnt of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, Protocol

from torch import Tensor

__all__ = ["Batch", "Ends", "Loader", "Pair", "Pairs", "interleave", "matched_batch_size"]

Ends = Literal["shortest", "longest"]
"""Whether an epoch ends with the set that has fewer batches, or begins that set anew until the other ends."""
Batch = tuple[Tensor, Tensor]
"""Images float ``(b, 3, s, s)`` of 0 to 1 and their labels, on the CPU."""
FEWEST = 2
"""Batch norm takes no batch of one."""


class Loader(Sized, Iterable[Batch], Protocol):
    """Batches of one epoch, which can be gone through again."""


class Pair(NamedTuple):
    """A batch of each set."""

    source: Batch
    target: Batch


@dataclass(frozen=True)
class Pairs:
    """Batches of two loaders, side by side."""

    first: Loader
    second: Loader
    policy: Ends = "shortest"

    def __len__(self) -> int:
        lengths = len(self.first), len(self.second)
        return min(lengths) if self.policy == "shortest" or not all(lengths) else max(lengths)

    def __iter__(self) -> Iterator[Pair]:
        both = zip(_again(self.first), _again(self.second), strict=False)
        return islice((Pair(*pair) for pair in both), len(self))


def interleave(first: Loader, second: Loader, policy: Ends = "shortest") -> Pairs:
    """Return the batches of two loaders in pairs.

    Parameters
    ----------
    first, second
        Each with a batch size of its own.
    policy
        ``shortest`` ends with the loader that has fewer batches; ``longest`` begins that one anew.
    """
    return Pairs(first, second, policy)


def _again(loader: Loader) -> Iterator[Batch]:
    while len(loader):
        yield from loader


def matched_batch_size(source: int, target: int, batch_size: int) -> int:
    """Return a batch size of the source with which both sets have about as many batches.

    Parameters
    ----------
    source, target
        How many images each has.
    batch_size
        Of the target.
    """
    exact = batch_size * source / target
    return max(math.ceil(exact) if source > target else math.floor(exact), FEWEST)
