"""What a classifier of patches is, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.calibrate import Calibration
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.patch_task import Balance, Watched

__all__ = ["TEST", "TRAIN", "VALIDATION", "ClassifierSettings"]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = {TRAIN: 0.7, VALIDATION: 0.15, TEST: 0.15}
RANGES = {"input_px": (16, 1024), "batch_size": (2, 4096), "split_seed": (0, 10**9)}


@dataclass(frozen=True)
class ClassifierSettings:
    """What a classifier of patches is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str = "classifier"
    """The model's name on its card."""
    architecture: str = "efficientnet_lite0"
    """A network of `wsi_patches.models.systems`; it starts from chance, and ``efficientnet_lite0`` from ImageNet
    weights unless ``pretrained`` is off."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the architecture, such as an ALLNet's ``widths``."""
    pretrained: bool = True
    start: Path | None = None
    """Weights to start from instead: a file of ours, or torchvision's own, whose last layer is replaced where it tells
    other classes."""
    input_px: int = 96
    """Side of the network's input, pixels."""
    by: By = "patient"
    """What the split keeps together: patients (else slides), slides, or blocks of files."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of ``train``, ``validation`` (chooses the epoch, calibrates) and ``test``."""
    split_seed: int = 0
    balance: Balance = "none"
    """All but ``none`` make the probabilities those of classes that are more equally frequent than they are."""
    oversample_to: int | None = None
    """Of ``balance: oversample``: patches of each class that an epoch shows, where the class has fewer; as many as the
    largest class has if None."""
    batch_size: int = 32
    watched: Watched = "loss"
    """What the best epoch is chosen by, on validation."""
    calibration: Calibration = "temperature"
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(epochs=12, learning_rate=1e-3, warmup_epochs=0.5, patience=5)
    )
    licence: str = "as its training data allow"
    """Of the weights, for the card."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                msg = f"{name} of a training must lie in {low}..{high}, got {getattr(self, name)}"
                raise UsageError(msg)
        self._check_architecture()
        if self.oversample_to is not None and (self.balance != "oversample" or self.oversample_to < 1):
            found = f"{self.oversample_to} with balance: {self.balance}"
            msg = f"oversample_to is a count of 1 or more, for balance: oversample; found {found}"
            raise UsageError(msg)
        if set(self.shares) != set(SHARES):
            msg = f"shares of a training name {', '.join(SHARES)}, found {', '.join(self.shares) or 'none'}"
            raise UsageError(msg)

    def _check_architecture(self) -> None:
        if self.architecture not in SYSTEMS:
            msg = f"architecture must be one of {', '.join(SYSTEMS)}, found {self.architecture!r}"
            raise UsageError(msg)
        side = SYSTEMS[self.architecture].side(self.network)
        if side not in (None, self.input_px):
            msg = f"{self.architecture} takes images of {side} px alone, and input_px is {self.input_px}"
            raise UsageError(msg)
