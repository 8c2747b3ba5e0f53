"""Cells that a person corrected, in QuPath or elsewhere, on their way back into counts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, in_class_order, read_annotations, rename_classes
from wsi_patches.annotations.words import BLAST_CLASSES, NOT_WHITE_CELLS, our_class
from wsi_patches.cells import Cells
from wsi_patches.geometry import Size
from wsi_patches.infer import MARKED_CLASSES
from wsi_patches.locations import path_of

__all__ = ["digest_of", "read_marks"]


def read_marks(files: Sequence[AnnotationFile], size: Size) -> Cells:
    """Return the cells that a person marked on one slide, with the classes blast, other and white_cell.

    Red cells, platelets and what was marked to be ignored are left out; any kind of blast is a blast.

    Parameters
    ----------
    files
        The slide's annotation files.
    size
        Of the slide at level 0.

    Raises
    ------
    AnnotationError
        A file cannot be read, or holds a class that says neither blast nor other nor white cell.
    """
    cells = rename_classes(read_annotations(files, None, size), _counted_as)
    return in_class_order(cells, MARKED_CLASSES, Path(files[0].path))


def _counted_as(name: str) -> str | None:
    word = our_class(name)
    if word in NOT_WHITE_CELLS:
        return None
    return "blast" if word in BLAST_CLASSES else word


def digest_of(files: Sequence[AnnotationFile]) -> str:
    """Return a hash of the files' bytes, by which a resumed run knows whether the marks changed; empty without any."""
    if not files:
        return ""
    return hashlib.sha256(b"\0".join(path_of(file.path).read_bytes() for file in files)).hexdigest()
