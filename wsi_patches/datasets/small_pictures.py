"""Whether pictures are of single cells or small fields, not scans: their headers are looked at, no pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from wsi_patches.datasets.pictures import LARGEST_PX

__all__ = ["are_small"]


def are_small(paths: Iterable[Path]) -> bool:
    """Say whether each of a handful of files is a picture of at most 1024 px a side; one that cannot be read is not."""
    return all(_is_small(path) for path in paths)


def _is_small(path: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a scan's size, and of odd tags: it is not opened for its pixels here
            with Image.open(path) as picture:
                return max(picture.size) <= LARGEST_PX
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError):
        return False
