"""What a known folder layout is, and what reading one gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.datasets.item import SlideItem, Unit

__all__ = ["Dataset", "Layout"]


@dataclass(frozen=True)
class Layout:
    """A folder layout that this program knows."""

    name: str
    """Short, as in ``SlideItem.layout``: ``c-nmc``."""
    title: str
    """One line for people: the dataset's name, what its images show, who published it."""
    unit: Unit
    licence: str | None
    """What its publishers ask, in a few words; None where the folder could be anybody's."""
    recognise: Callable[[Path], bool]
    """Whether a folder has this layout; looks at names only, and at few of them."""
    read: Callable[[Path], Dataset]
    """The folder's images; no image is opened."""


@dataclass(frozen=True)
class Dataset:
    """The images of a folder."""

    items: tuple[SlideItem, ...]
    """In the order of their names."""
    problems: tuple[str, ...] = ()
    """Sentences: annotations without an image, images without annotations, names that do not fit, rows of a table
    without a file."""
