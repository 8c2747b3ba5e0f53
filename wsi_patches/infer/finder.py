"""Which finder looks for white cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wsi_patches.counting import CellFinder
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.models.table import DEFAULT_FINDER

__all__ = ["CLASSICAL", "ChosenFinder", "load_finder"]

CLASSICAL = "classical"
"""The finder that needs no weights: it goes by the colour and size of nuclei."""


@dataclass(frozen=True)
class ChosenFinder:
    """A finder and what a report says of it."""

    finder: CellFinder[Any]
    name: str
    sha256: str = ""
    """Of its weights, if it has any."""


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
        return ChosenFinder(WhiteCellFinder(), CLASSICAL)
    from wsi_patches.models import LearnedCellFinder

    learned = LearnedCellFinder.load(name_or_file, device, precision)
    return ChosenFinder(learned, learned.name, learned.sha256)
