"""A folder of annotation files without their images, such as ``ALL-IDB1/other`` as it is published alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from wsi_patches.datasets.folders import listing, suffix
from wsi_patches.datasets.layout import Dataset, Layout

__all__ = ["ANNOTATIONS_ONLY"]

ANNOTATIONS = frozenset({".xyc", ".geojson"})
"""Suffixes that nothing but annotations bears."""


def _recognise(folder: Path) -> bool:
    there = listing(folder)
    return bool(there.files) and not there.folders and all(suffix(name) in ANNOTATIONS for name in there.files)


def _read(folder: Path) -> Dataset:
    counts = Counter(suffix(name) for name in listing(folder).files)
    found = ", ".join(f"{count} {kind} files" for kind, count in sorted(counts.items()))
    problem = (
        f"{found} and no image: for ALL-IDB1 put the images into im/ beside xyc/ and other/; "
        "for other slides give the images, and this folder with --annotations"
    )
    return Dataset((), (problem,))


ANNOTATIONS_ONLY = Layout("annotations-only", "Annotation files without their images", "slide", None, _recognise, _read)
