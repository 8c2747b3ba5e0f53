"""Whether pictures are of single cells or small fields, not scans: their headers are looked at, no pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsi_patches.datasets.pictures import LARGEST_PX, picture_size

__all__ = ["are_small"]


def are_small(paths: Iterable[Path], largest_px: int = LARGEST_PX) -> bool:
    """Say whether each of some files is a picture of at most so many pixels a side; an unreadable one is not."""
    sizes = (picture_size(str(path)) for path in paths)
    return all(size is not None and max(size) <= largest_px for size in sizes)
