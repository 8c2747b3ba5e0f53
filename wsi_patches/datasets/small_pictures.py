"""Whether pictures are of single cells or small fields, not scans: their headers are looked at, no pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsi_patches.datasets.pictures import LARGEST_PX, picture_size

__all__ = ["are_small"]


def are_small(paths: Iterable[Path]) -> bool:
    """Say whether each of a handful of files is a picture of at most 1024 px a side; one that cannot be read is not."""
    sizes = (picture_size(str(path)) for path in paths)
    return all(size is not None and max(size) <= LARGEST_PX for size in sizes)
