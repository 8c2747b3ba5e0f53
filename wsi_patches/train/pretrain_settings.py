"""What an encoder is that learns from patches without labels, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.checks import check_choices, check_ranges
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.network_settings import NetworkSettings

__all__ = ["OTHER_LOOK", "Method", "PretrainSettings"]

Method = Literal["simclr", "dino"]
OTHER_LOOK = Augmentation(
    turn="quarter", shift=0.0, scale=0.0, stain=0.4, brightness=0.3, lamp=0.15, contrast=0.3, gamma=0.2, hue=0.05,
    saturation=0.4, blur_px=1.5, blur_share=0.5, noise=0.02, jpeg_share=0.0,
)  # fmt: skip
"""How two views of a patch differ beside where they are cut: turned, in another stain, light and focus."""
MANY = 10**9
OWN_RANGES = {
    "projection": (2, 65536),
    "hidden": (2, 65536),
    "temperature": (1e-3, 10),
    "teacher_temperature": (1e-3, 10),
    "teacher_momentum": (0, 1),
    "center_momentum": (0, 1),
    "local_views": (0, 32),
    "validation_patches": (2, MANY),
}


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(NetworkSettings):
    """What an encoder is that learns from patches without labels, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range, or the network cannot take local views.
    """

    task: Literal["pretrain"] = "pretrain"
    """What the recipe trains."""
    method: Method = "simclr"
    """``simclr``: two views of a patch are told from those of others (Chen and others, ICML 2020). ``dino``: a student
    says of each view what its own running average, the teacher, says of another (Caron and others, ICCV 2021)."""
    name: str = "simclr"
    """The encoder's name: features are kept in a store as ``features/NAME``."""
    architecture: str = "resnet18"
    pretrained: bool = False
    input_px: int = 96
    by: By = "patient"
    """What the split keeps together; ``none`` deals single patches."""
    split: Path | None = None
    """A split of the slides that is there already: a ``split.csv`` of train, validation and test."""
    augmentation: Augmentation = OTHER_LOOK
    """Of each view; where it is cut, ``global_share`` and ``local_share`` say."""
    global_share: tuple[float, float] = (0.5, 1.0)
    """Smallest and largest side of a view, in sides of the patch."""
    local_views: int = 4
    """Of ``dino``: small views of half the side, in pixels too, of which the student alone is asked."""
    local_share: tuple[float, float] = (0.25, 0.5)
    projection: int = 128
    """What views are compared in: SimCLR's dimensions, or DINO's prototypes."""
    hidden: int = 512
    """Of the projection's layers."""
    temperature: float = 0.1
    """Of SimCLR's similarities, or of DINO's student."""
    teacher_temperature: float = 0.04
    teacher_momentum: float = 0.996
    """At the start; it rises to 1 along a cosine."""
    center_momentum: float = 0.9
    """Of the running centre that is taken off the teacher's answers; 1 keeps it at 0, and lets them collapse."""
    validation_patches: int = 512
    """As many, evenly spaced, are looked at after each epoch."""
    batch_size: int = 64
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=100, learning_rate=5e-4, weight_decay=1e-4, warmup_epochs=5, clip_norm=3.0, keep="last"
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"method": Method})
        check_ranges(self, OWN_RANGES)
        for name in ("global_share", "local_share"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                msg = f"{name} is two numbers that rise, above 0 and up to 1, got {low} and {high}"
                raise UsageError(msg)
        if self.method == "dino" and self.training.ema_decay is not None:
            msg = "dino's teacher is a running average already: leave training.ema_decay out"
            raise UsageError(msg)
        if self.batch_size < 2:
            msg = "views are told from those of other patches: batch_size must be 2 or more"
            raise UsageError(msg)
