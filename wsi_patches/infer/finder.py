"""Which finder looks for white cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wsi_patches.counting import CellFinder
from wsi_patches.counting.slide_counts import FinderReliability
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.models.table import DEFAULT_FINDER

__all__ = ["CLASSICAL", "ChosenFinder", "load_finder"]

CLASSICAL = "classical"
"""The finder that needs no weights: it goes by the colour and size of nuclei."""
CLASSICAL_RELIABILITY = FinderReliability(
    (845.0, 28.4),
    ((0.27, 0.05), (0.28, 0.05), (0.31, 0.40), (0.37, 0.40), (0.39, 0.67), (0.52, 0.75), (0.53, 0.88), (0.71, 0.97)),
)
"""Measured on 215 fields of BCCD, TXL-PBC and WBC_Dataset, on which nothing was fitted but this."""


@dataclass(frozen=True)
class ChosenFinder:
    """A finder and what a report says of it."""

    finder: CellFinder[Any]
    name: str
    sha256: str = ""
    """Of its weights, if it has any."""
    reliability: FinderReliability | None = None
    """What is known of how often it is right; None where nobody measured it."""


@lru_cache(maxsize=2)
def load_finder(name_or_file: str = DEFAULT_FINDER, device: str = "auto", precision: str = "auto") -> ChosenFinder:
    """Return a finder of white cells; each process loads it once.

    Parameters
    ----------
    name_or_file
        `CLASSICAL`, a shipped finder, or a weight file.
    device, precision
        Where, and in which arithmetic, a network runs.

    Raises
    ------
    ModelError
        There is no such finder, or its file cannot be used.
    UsageError
        The device or its precision is not there.
    """
    if name_or_file == CLASSICAL:
        return ChosenFinder(WhiteCellFinder(), CLASSICAL, reliability=CLASSICAL_RELIABILITY)
    from wsi_patches.models import LearnedCellFinder

    learned = LearnedCellFinder.load(name_or_file, device, precision)
    card = learned.card
    measured = FinderReliability(card.recall, card.precision) if card is not None and card.recall is not None else None
    return ChosenFinder(learned, learned.name, learned.sha256, measured)
