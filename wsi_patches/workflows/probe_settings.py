"""What ``wsi-patches probe`` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from wsi_patches.datasets.splits import By
from wsi_patches.errors import UsageError
from wsi_patches.locations import Location

__all__ = ["ProbeSettings"]


@dataclass(frozen=True)
class ProbeSettings:
    """What ``probe`` is asked to do."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    store: Location
    out: Path
    target: str | None = None
    """``label``, or an annotated class; see `labelled_patches`."""
    encoder: str = "lite0"
    """Its name, or a YAML file that describes it; see `wsi_patches.models.encoder_file`."""
    device: str = "auto"
    folds: int = 5
    by: By = "patient"
    """What is kept together in a fold."""
    split: Path | None = None
    """Folds that are there already: the ``split.csv`` of ``wsi-patches split``."""
    classifier: Literal["linear", "knn", "hosvd"] = "linear"
    """What the page is about; the others stand beside it."""
    rank: int | None = None
    """Vectors in the basis of a class of the HOSVD classifier; chosen within the training folds if None."""
    select: Literal["none", "ga", "pso"] = "none"
    """What searches for features to keep, for each fold in the other folds: a genetic algorithm, or a swarm."""
    population: int = 32
    generations: int = 25
    price: float = 0.02
    """What keeping all features costs in balanced accuracy, while they are searched."""
    draws: int = 1000
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.rank is not None and (self.classifier != "hosvd" or self.rank < 1):
            msg = f"--rank is the size of a class's basis, 1 or more, for --classifier hosvd; got {self.rank} for "
            raise UsageError(msg + self.classifier)
        if self.select != "none" and self.classifier == "hosvd":
            msg = f"--select {self.select} keeps features for --classifier linear or knn, and hosvd makes its own basis"
            raise UsageError(msg)
