"""What a model of slide bags is, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.train.bags import BagKind
from wsi_patches.train.calibrate import Calibration
from wsi_patches.train.checks import check_choices, check_ranges
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.network_settings import SHARES
from wsi_patches.train.patch_task import Watched
from wsi_patches.train.sampling import ClassWeights

__all__ = ["ARCHITECTURES", "Aggregation", "BagSettings"]

Aggregation = Literal["mean", "attention", "gated", "set_transformer"]
ARCHITECTURES: dict[Aggregation, tuple[str, dict[str, Any]]] = {
    "mean": ("mean_pooling", {}),
    "attention": ("attention_mil", {}),
    "gated": ("attention_mil", {"gated": True}),
    "set_transformer": ("set_transformer", {}),
}
"""The network of each, and what it is always told."""
CHOICES: dict[str, Any] = {
    "aggregator": Aggregation,
    "bag": BagKind,
    "balance": ClassWeights,
    "watched": Watched,
    "calibration": Calibration,
}
RANGES = {"instances": (1, 10**9), "batch_size": (1, 4096), "split_seed": (0, 10**9)}


@dataclass(frozen=True, kw_only=True)
class BagSettings:
    """What a model of slide bags is, and how it is trained.

    Raises
    ------
    UsageError
        A value is out of range, or single patches of a bag were to be split.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    task: Literal["bags"] = "bags"
    """What the recipe trains."""
    name: str = "slide_bags"
    """The model's name on its card."""
    encoder: str = "lite0"
    """Whose features: a name, or a YAML file that describes an encoder; see `wsi_patches.models.encoder_file`."""
    aggregator: Aggregation = "gated"
    """How a bag's patches become one vector: their mean, one that attention weighs (with a gate, or without), or that
    of a set transformer."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the aggregator, such as ``width`` and ``hidden``; see `wsi_patches.models.aggregators`."""
    bag: BagKind = "patient"
    """What a bag is: all patches of a patient, or of one slide."""
    labels: Path | None = None
    """A CSV table of slides' or patients' labels; the stores' own if None."""
    instances: int = 512
    """Patches of a bag that an epoch shows, drawn anew each time; all are shown when it is asked."""
    split: Path | None = None
    """A split of the slides that is there already: a ``split.csv`` of train, validation and test."""
    by: By = "patient"
    """What the split keeps together beside the bags themselves."""
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Of the bags in ``train``, ``validation`` (chooses the epoch, calibrates) and ``test``."""
    split_seed: int = 0
    batch_size: int = 1
    balance: ClassWeights = "inverse"
    """Weights of the labels in the loss."""
    watched: Watched = "loss"
    """What the best epoch is chosen by, on validation."""
    calibration: Calibration = "temperature"
    training: EngineSettings = field(
        default_factory=lambda: EngineSettings(epochs=60, learning_rate=1e-4, weight_decay=0.01, patience=15)
    )
    licence: str = "as its training data allow"
    """Of the weights, for the card."""

    def __post_init__(self) -> None:
        check_choices(self, CHOICES)
        check_ranges(self, RANGES)
        if set(self.shares) != set(SHARES):
            msg = f"shares of a training name {', '.join(SHARES)}, found {', '.join(self.shares) or 'none'}"
            raise UsageError(msg)
        if self.by == "none":
            msg = "slides of one patient must not be learnt and measured: split by patient, slide or block"
            raise UsageError(msg)
        unknown = {"classes", "dim", *ARCHITECTURES[self.aggregator][1]} & set(self.network)
        if unknown:
            msg = f"network: {', '.join(sorted(unknown))} follows from the data and the aggregator: leave it out"
            raise UsageError(msg)
