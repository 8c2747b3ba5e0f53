"""DSS-XAI's training: cross entropy, features that are near where classes are equal, convolutions that are orthogonal.

Source: AngeloUNIMI/DSS_XAI_ALL, doi 10.1016/j.imavis.2024.105298.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.models.classifier import InputFrame, normalised
from wsi_patches.models.dss_xai import SYSTEM, DssNet, Overlaps, orthogonality
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings
from wsi_patches.train.patch_task import Balance, PatchTask, PatchView, Watched

__all__ = ["TURNS_AND_FLIPS", "DssSettings", "DssTask", "triplet_loss"]

TURNS_AND_FLIPS = Augmentation(
    turn="quarter", shift=0.0, scale=0.0, stain=0.0, brightness=0.0, lamp=0.0, contrast=0.0, gamma=0.0, saturation=0.0,
    blur_share=0.0, noise=0.0, jpeg_share=0.0,
)  # fmt: skip
"""As the released code has it."""


@dataclass(frozen=True, kw_only=True)
class DssSettings(FieldSettings):
    """What DSS-XAI's network is, and how it is trained; defaults are those of the released code.

    Raises
    ------
    UsageError
        A value is out of range, or another network is asked for.
    """

    task: Literal["dss_xai"] = "dss_xai"  # type: ignore[assignment] # it cuts pictures as its parent does
    name: str = "dss-xai"
    architecture: str = SYSTEM.name
    pretrained: bool = False
    triplet_margin: float = 0.05
    """By how much two cells of a class must be nearer than two of different ones, in features of length 1."""
    triplet_weight: float = 1.0
    orthogonality_weight: float = 0.1
    overlaps: Overlaps = "released"
    """See `wsi_patches.models.dss_xai.orthogonality`."""
    head_epochs: int = 2
    head_learning_rate: float | None = 0.02
    batch_size: int = 8
    balance: Balance = "weights"
    watched: Watched = "accuracy_then_loss"
    augmentation: Augmentation = TURNS_AND_FLIPS
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=90, optimizer="sgd", learning_rate=0.002, weight_decay=5e-4, schedule="halving"
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture != SYSTEM.name:
            msg = f"task: dss_xai trains architecture: {SYSTEM.name}, found {self.architecture!r}: try task: fields"
            raise UsageError(msg)
        for name in ("triplet_margin", "triplet_weight", "orthogonality_weight"):
            if getattr(self, name) < 0:
                msg = f"{name} of a training must be 0 or more, got {getattr(self, name)}"
                raise UsageError(msg)

    def patch_task(self, network: nn.Module, frame: InputFrame, train: PatchView, validation: PatchView) -> PatchTask:
        """Return what the training loop learns."""
        return DssTask(network, frame, train, validation, self)


@dataclass
class DssTask(PatchTask):
    """Labelled patches, learnt by DSS-XAI's three losses."""

    settings: DssSettings

    @cached_property
    def triplet(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of features and labels."""
        return triplet_loss(self.settings.triplet_margin)

    def loss(self, batch: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
        """Return cross entropy (nats), triplet loss and orthogonality of a batch, weighed and summed."""
        images, labels = batch[0].to(device), batch[1].to(device)
        network: Any = self.network
        said = DssNet.describe(network, normalised(images, self.frame))
        loss = nn.functional.cross_entropy(said.logits.float(), labels, self.weights.to(device))
        with torch.autocast(device.type, enabled=False):
            loss = loss + self.settings.triplet_weight * self.triplet(said.features.float(), labels)
            return loss + self.settings.orthogonality_weight * orthogonality(self.network, self.settings.overlaps)


def triplet_loss(margin: float = 0.05) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the triplet margin loss of features ``(n, d)`` and labels ``(n,)``: a scalar, 0 where no triplet is wrong.

    Over all triplets of a batch (anchor a, p of its class, q of another), ``max(|a - p| - |a - q| + margin, 0)`` in
    features of length 1, averaged over those above 0 (pytorch-metric-learning's defaults, as the released code).

    Raises
    ------
    MissingExtra
        The extra ``explain`` is not installed.
    """
    with needs_extra("explain", "the triplet loss"):
        from pytorch_metric_learning.losses import TripletMarginLoss
    loss: Callable[[Tensor, Tensor], Tensor] = TripletMarginLoss(margin=margin)
    return loss
