"""What a detector of cells is, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from wsi_patches.errors import UsageError
from wsi_patches.models.finder_network import DEEPEST
from wsi_patches.train.counter_settings import CounterLook
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.marked_fields import MarkedFieldSettings, SplitField

__all__ = ["DetectorLook", "DetectorSettings", "NetworkOfBoxes"]


@dataclass(frozen=True)
class DetectorLook(CounterLook):
    """How crops differ from the fields that they are cut from: as a counter's, with more cells in them."""

    near_white: float = 0.6


@dataclass(frozen=True, kw_only=True)
class NetworkOfBoxes(MarkedFieldSettings):
    """What a network of boxes is, and how it is trained, whatever it tells of each cell.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    width: int = 64
    """Channels of the feature pyramid and of the heads, a multiple of 32."""
    convs: int = 2
    """Layers of each head before its last."""
    pretrained: bool = True
    """Whether the backbone begins from ImageNet weights."""
    nms: float = 0.5
    """Intersection over union above which two boxes are one cell's."""
    look: DetectorLook = field(default_factory=DetectorLook)
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(
            epochs=12, steps_per_epoch=60, learning_rate=2e-3, warmup_epochs=0.5, clip_norm=5.0, ema_decay=0.98
        )
    )

    CROP_MULTIPLE: ClassVar[int] = DEEPEST

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.nms < 1 and 1 <= self.convs <= 8):
            msg = f"nms of a detector lies between 0 and 1 and convs in 1..8, got {self.nms} and {self.convs}"
            raise UsageError(msg)

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of the network beside the number of classes."""
        return {"width": self.width, "convs": self.convs}

    @property
    def told(self) -> dict[str, Any]:
        """What a card says of what the network tells, beside its classes."""
        return {}

    @property
    def title(self) -> str:
        """What the network finds, for a card."""
        return "Blasts and other white cells" if self.counts == "blasts" else "White cells"

    def fitted(self, fields: Sequence[SplitField]) -> tuple[Self, tuple[SplitField, ...], tuple[str, ...]]:
        """Return the settings and fields with what can be learnt from these, and sentences on what cannot: all."""
        return self, tuple(fields), ()

    def lacks(self, split: str, absent: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """Return which of the classes that a split has no cell of make it useless: all."""
        return absent

    def kept(self, fields: Sequence[SplitField]) -> tuple[SplitField, ...]:
        """Return the fields that are used, of those that were put on a side: all."""
        return tuple(fields)


@dataclass(frozen=True, kw_only=True)
class DetectorSettings(NetworkOfBoxes):
    """What a detector of cells is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    task: Literal["detector"] = "detector"
    """What the recipe trains."""
    name: str = "detector"
