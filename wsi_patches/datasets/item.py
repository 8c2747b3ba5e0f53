"""One slide of a dataset, before it is opened."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SlideItem"]


@dataclass(frozen=True)
class SlideItem:
    """Where a slide lies and what its dataset says of it; small, and safe to send to a worker."""

    path: str
    annotations: tuple[tuple[str, str | None], ...] = ()
    """Annotation files, each with the class of its points where the file itself does not name it."""
    layout: str = ""
    """The dataset layout that it was found in, such as ``all-idb1``; empty for a plain file or folder."""
    group: str | None = None
    """Patient, where the dataset says."""
    label: str | None = None
    licence: str | None = None
    warnings: tuple[str, ...] = ()
    """Sentences for the outcome, such as an annotation file that is missing."""
