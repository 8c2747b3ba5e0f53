"""What a network is that tells many labels of a patch of tissue at once, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wsi_patches.errors import UsageError
from wsi_patches.models.histotnet import ADP_LEVELS
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.network_settings import TEST, TRAIN, VALIDATION, NetworkSettings, Normalisation

__all__ = ["FLIPS", "LabelSettings"]

TENTHS = {TRAIN: 0.8, VALIDATION: 0.1, TEST: 0.1}
FLIPS = Augmentation(
    turn="half", shift=0.0, scale=0.0, stain=0.0, brightness=0.0, lamp=0.0, contrast=0.0, gamma=0.0, saturation=0.0,
    blur_share=0.0, noise=0.0, jpeg_share=0.0,
)  # fmt: skip
"""Along both axes, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class LabelSettings(NetworkSettings):
    """What a network of many labels is, and how it is trained; as HistoTNet's and ALLNet's released code has it.

    Raises
    ------
    UsageError
        A value is out of range, or both a level and labels are asked for.
    """

    task: Literal["labels"] = "labels"
    """What the recipe trains."""
    name: str = "labels"
    architecture: str = "resnet18"
    pretrained: bool = False
    level: Literal[1, 2, 3] | None = None
    """Of the hierarchy of ADP: its 9, 26 or 38 labels, each level with its parents."""
    labels: tuple[str, ...] = ()
    """Columns of another table instead; all that it has if neither is given."""
    crop_px: int | None = None
    """Side of the middle square that is shown of an image, in its own pixels; all that fits if None."""
    input_px: int = 224
    by: Literal["slide", "none"] = "slide"
    """What the split keeps together: slides, as the table's rule names them, or nothing, as the papers have it, which
    puts patches of a slide on both sides."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(TENTHS))
    label_weights: Literal["inverse", "none"] = "inverse"
    """Of the labels in the loss: the number of images over that of those which bear the label, or over 10 where fewer
    do; or 1."""
    normalisation: Normalisation = "scalar"
    augmentation: Augmentation = FLIPS
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=80, optimizer="sgd", learning_rate=0.02, weight_decay=5e-4, schedule="triangle"
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level is not None and self.labels:
            msg = f"level: {self.level} names ADP's labels, so labels: {', '.join(self.labels)} cannot be asked for too"
            raise UsageError(msg)
        if self.crop_px is not None and self.crop_px < 1:
            msg = f"crop_px of a training must be 1 or more, got {self.crop_px}"
            raise UsageError(msg)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The labels to learn; None for all of the table."""
        return ADP_LEVELS[self.level - 1] if self.level is not None else self.labels or None
