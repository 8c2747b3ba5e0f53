"""What any network that tells something of a whole patch is, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from wsi_patches.errors import UsageError
from wsi_patches.models.systems import SYSTEMS
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.checks import check_choices, check_ranges
from wsi_patches.train.engine_settings import EngineSettings

__all__ = ["SHARES", "TEST", "TRAIN", "VALIDATION", "NetworkSettings", "Normalisation"]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SHARES = {TRAIN: 0.7, VALIDATION: 0.15, TEST: 0.15}
RANGES = {"input_px": (16, 1024), "batch_size": (2, 4096), "split_seed": (0, 10**9)}
Normalisation = Literal["auto", "scalar", "none"]


@dataclass(frozen=True)
class NetworkSettings:
    """What a network that tells something of a patch is, and how it is trained.

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
    normalisation: Normalisation = "auto"
    """How colours are scaled: ``auto`` as those of ``start`` or of the architecture's own weights, else by mean and
    deviation of each channel over the training split; ``scalar`` by one mean and one deviation of all its channels;
    ``none`` leaves them between 0 and 1."""
    input_px: int = 96
    """Side of the network's input, pixels."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of ``train``, ``validation`` (chooses the epoch, calibrates) and ``test``."""
    split_seed: int = 0
    batch_size: int = 32
    augmentation: Augmentation = field(default_factory=Augmentation)
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(epochs=12, learning_rate=1e-3, warmup_epochs=0.5, patience=5)
    )
    licence: str = "as its training data allow"
    """Of the weights, for the card."""
    slide_mpp: float | None = None
    """Level-0 pixel size in um, where the files do not state it."""

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        check_choices(self, {"normalisation": Normalisation})
        self._check_architecture()
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
        if self.start is None and SYSTEMS[self.architecture].needs_start(self.network):
            msg = (
                f"{self.architecture} freezes weights learnt elsewhere: give their file, by --start or start:, "
                "or ask for network: {backbone: random}"
            )
            raise UsageError(msg)
