"""What a counter of cells is, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from wsi_patches.models.finder_network import STRIDE
from wsi_patches.train.counter_task import BLOCKS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.finder_crops import CropLook
from wsi_patches.train.marked_fields import MarkedFieldSettings

__all__ = ["CounterLook", "CounterSettings"]


@dataclass(frozen=True)
class CounterLook(CropLook):
    """How crops differ from the fields that they are cut from: less than a finder's, since texture tells blasts."""

    scale: float = 1.2
    out_of_scale: float = 0.0
    near_white: float = 0.3
    density: float = 1.3
    hue: float = 5.0
    bluish: float = 0.0
    hard: float = 0.1
    blur_px: float = 1.5
    precipitate: float = 0.1
    coarse: float = 0.2


@dataclass(frozen=True, kw_only=True)
class CounterSettings(MarkedFieldSettings):
    """What a counter of cells is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    task: Literal["counts"] = "counts"
    """What the recipe trains."""
    name: str = "counts"
    start: Literal["finder", "imagenet"] = "finder"
    """Whose weights it begins from: the shipped finder's, or those of its backbone alone."""
    look: CounterLook = field(default_factory=CounterLook)
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=12, learning_rate=3e-3, warmup_epochs=0.5, clip_norm=5.0, ema_decay=0.98
        )
    )

    CROP_MULTIPLE: ClassVar[int] = STRIDE * max(BLOCKS)
