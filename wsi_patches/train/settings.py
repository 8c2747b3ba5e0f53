"""What to train, and on what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wsi_patches.torch_data import PatchJitter
from wsi_patches.train.checks import check_ranges

__all__ = ["TrainSettings"]

MANY = 10**9
RANGES = {
    "cells": (200, MANY),
    "validation_share": (0.1, 0.5),
    "test_cells": (50, MANY),
    "input_px": (16, 512),
    "patch_cell_diameters": (0.5, 5),
    "epochs": (1, MANY),
    "batch_size": (2, MANY),
    "learning_rate": (1e-7, 1),
    "weight_decay": (0, 1),
    "seed": (0, MANY),
}


@dataclass(frozen=True)
class TrainSettings:
    """What to train, and on what.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    name: str = "cells"
    """The model's name on its card."""
    data: Literal["painted"] = "painted"
    """Where the cells come from: ``painted`` smears."""
    cells: int = 6000
    """Cells to learn from and to choose the epoch by."""
    validation_share: float = 0.2
    """Share of ``cells`` that the epoch and the temperature are chosen by; they lie on smears of their own."""
    test_cells: int = 1000
    """Cells that the card's scores are measured on, on smears of their own, beside ``cells``."""
    input_px: int = 64
    """Side of the network's input in pixels."""
    patch_cell_diameters: float = 1.5
    """Side of a patch on the smear, in typical diameters of a white cell; a wider view shows more of the neighbours."""
    depth: Literal[18, 34] = 18
    """Of the ALLNet."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of the ALLNet's stages, one to four of them."""
    kernel: Literal["binary", "gaussian"] = "binary"
    """The ALLNet's fixed kernels: as in the paper, or as in its released weights."""
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.003
    """At the start; it falls to 0 along a cosine."""
    weight_decay: float = 0.01
    jitter: PatchJitter = field(default_factory=PatchJitter)
    """What each patch is put through every time it is shown."""
    seed: int = 0
    """Paints, initialises, shuffles and jitters; on the CPU, equal seeds give equal weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
