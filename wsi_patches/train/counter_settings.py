"""What a counter of cells is, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import STRIDE
from wsi_patches.train.classifier_settings import SHARES
from wsi_patches.train.counter_fields import Counts
from wsi_patches.train.counter_task import BLOCKS
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.finder_crops import CropLook

__all__ = ["CounterLook", "CounterSettings"]

RANGES = {"batch_size": (2, 4096), "crop_px": (64, 1024), "split_seed": (0, 10**9)}
MULTIPLE = STRIDE * max(BLOCKS)


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
class CounterSettings:
    """What a counter of cells is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    task: Literal["counts"] = "counts"
    """What the recipe trains."""
    name: str = "counts"
    """The model's name on its card."""
    counts: Counts = "blasts"
    """``blasts`` and other white cells, or ``white_cells`` alone."""
    start: Literal["finder", "imagenet"] = "finder"
    """Whose weights it begins from: the shipped finder's, or those of its backbone alone."""
    classes: Mapping[str, str | None] = field(default_factory=dict)
    """What an annotated class is, where its name does not say: blast, other, or null to leave it out."""
    by: By = "patient"
    """What the split keeps together: patients (else slides), slides, or blocks of files."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of ``train``, ``validation`` (chooses the epoch, calibrates) and ``test``."""
    split_seed: int = 0
    crop_px: int = 192
    """Side of the crops, in pixels of the network's input, in which a red cell is 26 wide; a multiple of 64."""
    batch_size: int = 8
    look: CounterLook = field(default_factory=CounterLook)
    """What a crop is put through each time that it is shown."""
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=12, learning_rate=3e-3, warmup_epochs=0.5, clip_norm=5.0, ema_decay=0.98
        )
    )
    """Without ``steps_per_epoch`` an epoch shows as much as the fields hold."""
    licence: str = "as its training data allow"
    """Of the weights, for the card."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                msg = f"{name} of a training must lie in {low}..{high}, got {getattr(self, name)}"
                raise UsageError(msg)
        if self.crop_px % MULTIPLE:
            msg = f"crop_px of a counter's training must be a multiple of {MULTIPLE}, got {self.crop_px}"
            raise UsageError(msg)
        if set(self.shares) != set(SHARES):
            msg = f"shares of a training name {', '.join(SHARES)}, found {', '.join(self.shares) or 'none'}"
            raise UsageError(msg)
        wrong = sorted({str(said) for said in self.classes.values()} - {*ALL_IDB_CLASSES, "None"})
        if wrong:
            msg = f"classes: an annotated class is blast, other or null (left out), found {', '.join(wrong)}"
            raise UsageError(msg)
        if self.by == "none":
            msg = "crops of one slide must not be learnt and measured: split by patient, slide or block"
            raise UsageError(msg)
