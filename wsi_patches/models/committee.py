"""Several classifiers, or several views of each patch, as one that also says how far they disagree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_patches.errors import UsageError
from wsi_patches.models.backends import Backend
from wsi_patches.models.card import ModelCard, check_alike
from wsi_patches.models.classifier import CellClassifier

__all__ = ["VIEWS", "Committee", "Doubt"]

VIEWS = (1, 2, 4, 8)
"""How many of a square's eight symmetries a patch may be seen in; a cell has no upper side."""
SAME = ("classes", "blasts", "patch_um", "patch_cell_diameters")
"""What all members take and give alike, so that they can be shown the same places. Each brings what it is shown to its
own size, so that networks of different ``input_px`` go together."""


class Doubt(NamedTuple):
    """How unsure a committee is of each patch; entropies in nats."""

    entropy: NDArray[np.float64]
    """Of the mean probability (predictive entropy), ``(n,)``."""
    disagreement: NDArray[np.float64]
    """The part of it that members and views owe to each other (mutual information), ``(n,)``."""
    variance: NDArray[np.float64]
    """Of the probabilities over members and views, the mean over classes, ``(n,)``; no nats."""


@dataclass(frozen=True)
class CommitteeBackend:
    """Runs all members on all views of a batch; outputs are ``(n, members * views * classes)``."""

    members: tuple[Backend, ...]
    views: int

    @property
    def name(self) -> str:
        """The library that runs them."""
        return self.members[0].name

    @property
    def device(self) -> torch.device:
        """Where patches must be."""
        return self.members[0].device

    @property
    def bf16(self) -> bool:
        """Whether they compute in bfloat16."""
        return self.members[0].bf16

    def __call__(self, patches: Tensor) -> Tensor:
        """Return the members' outputs one beside the other, of patches uint8 ``(n, s, s, 3)``."""
        views = [_view(patches, number) for number in range(self.views)]
        return torch.cat([member(view) for member in self.members for view in views], dim=1)


def _view(patches: Tensor, number: int) -> Tensor:
    """Return one of the eight symmetries of square patches ``(n, s, s, 3)``: mirrored, upside down, transposed."""
    flips = [axis for bit, axis in ((1, 2), (2, 1)) if number & bit]
    turned = patches.flip(flips) if flips else patches
    return (turned.transpose(1, 2) if number & 4 else turned).contiguous()


@dataclass(frozen=True)
class Committee:
    """Classifiers whose probabilities are averaged (deep ensemble), over several views (test-time augmentation).

    Parameters
    ----------
    members
        One or more; each keeps its own calibration.
    views
        One of `VIEWS`.
    batch_size
        How many patches go through the networks at a time; measured if None.

    Raises
    ------
    UsageError
        The members do not take and give the same, or there are no such views.

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell, Simple and scalable predictive uncertainty estimation, NeurIPS 2017. The mean
    of posteriors is the sum rule of Kittler and others, On combining classifiers, IEEE TPAMI 20, 1998.
    """

    members: tuple[CellClassifier, ...]
    views: int = 1
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.views not in VIEWS or not self.members:
            msg = f"a committee takes one classifier or more and {', '.join(map(str, VIEWS))} views, got {self.views}"
            raise UsageError(msg)
        check_alike([member.card for member in self.members], SAME)

    @property
    def size(self) -> int:
        """How many answers are averaged for each patch."""
        return len(self.members) * self.views

    @property
    def card(self) -> ModelCard:
        """Of the first member, with the input of the one that sees most pixels: patches are read at that size."""
        return replace(self.members[0].card, input_px=max(member.card.input_px for member in self.members))

    @cached_property
    def sha256(self) -> str:
        """Of the weights: the only member's own, or a hash of all of theirs."""
        hashes = [member.sha256 for member in self.members]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    @cached_property
    def runner(self) -> Backend:
        """What turns patches into what `calibrated` takes."""
        return CommitteeBackend(tuple(member.runner for member in self.members), self.views)

    def calibrated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean probabilities ``(n, classes)`` of the runner's outputs."""
        return np.asarray(self._each(outputs).mean(axis=1), np.float32)

    def by_member(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what each member says alone, over its views: ``(n, members, classes)``, of the runner's outputs."""
        each = self._each(outputs)
        by_view = each.reshape(len(each), len(self.members), self.views, each.shape[-1])
        return np.asarray(by_view.mean(axis=2), np.float32)

    def doubt(self, outputs: NDArray[np.float32]) -> Doubt:
        """Return how unsure the committee is, from the runner's outputs."""
        each = self._each(outputs).astype(np.float64)
        entropy = _entropy(each.mean(axis=1))
        disagreement = np.maximum(entropy - _entropy(each).mean(axis=1), 0)
        return Doubt(entropy, disagreement, each.var(axis=1).mean(axis=1))

    def _each(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each member's and view's probabilities, ``(n, members * views, classes)``."""
        parts: Sequence[NDArray[np.float32]] = np.split(outputs, self.size, axis=1)
        told = [self.members[row // self.views].calibrated(part) for row, part in enumerate(parts)]
        return np.stack(told, axis=1)


def _entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return np.asarray(-(p * np.log(p)).sum(axis=-1), np.float64)
