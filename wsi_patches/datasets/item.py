"""One slide of a dataset, before it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wsi_patches.annotations.file import AnnotationFile
from wsi_patches.cells import ALL_IDB_CLASSES

__all__ = ["GroupKind", "SlideItem", "Unit", "class_names_of"]

Unit = Literal["slide", "cell", "patch"]
"""What one image of a dataset shows: a slide or a field of many cells, one cell, or a patch that somebody cut."""
GroupKind = Literal["patient", "slide"]


@dataclass(frozen=True)
class SlideItem:
    """Where a slide lies and what its dataset says of it; small, and safe to send to a worker."""

    path: str
    annotations: tuple[AnnotationFile, ...] = ()
    layout: str = ""
    """The dataset layout that it was found in, such as ``all-idb1``; empty for a plain file or folder."""
    unit: Unit = "slide"
    group: str | None = None
    """What a split must keep together: the patient, or else the slide that the image was taken from; None where the
    dataset does not say."""
    group_kind: GroupKind | None = None
    """What ``group`` names."""
    label: str | None = None
    """The class of the whole image: a cell's kind, a field's or patient's diagnosis."""
    split: str | None = None
    """``train``, ``validation`` or ``test`` where the dataset publishes a split, or the name of its fold."""
    classes: tuple[str, ...] = ()
    """The classes that its annotated cells may have, in the dataset's order; blast and other if empty."""
    licence: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """What else the dataset says of the image: subtype, microscope, magnification, the file of a mask."""
    warnings: tuple[str, ...] = ()
    """Sentences for the outcome, such as an annotation file that is missing."""


def class_names_of(items: Sequence[SlideItem]) -> tuple[str, ...]:
    """Return the classes that the annotated cells of some slides may have: blast and other first if any may."""
    named = dict.fromkeys(name for item in items for name in item.classes)
    usual = any(not item.classes or set(item.classes) & set(ALL_IDB_CLASSES) for item in items)
    return tuple(dict.fromkeys((*(ALL_IDB_CLASSES if usual or not named else ()), *named)))
