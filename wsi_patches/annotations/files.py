"""The annotation files of one slide, whatever their formats, as one set of cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsi_patches.annotations.file import AnnotationFile
from wsi_patches.annotations.geojson import read_geojson
from wsi_patches.annotations.xyc import read_xyc
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size

__all__ = ["SUFFIXES", "read_annotations"]

SUFFIXES = (".xyc", ".geojson", ".json")


def read_annotations(
    files: Sequence[AnnotationFile], class_names: Sequence[str] = ALL_IDB_CLASSES, size: Size | None = None
) -> Cells:
    """Read the cells of one slide.

    Parameters
    ----------
    files
        The annotation files of the slide.
    class_names
        The classes, in the order that labels have.
    size
        Of the slide at level 0, for formats that give shares of it.

    Returns
    -------
    Cells in the order of the files, level-0 pixels counted from 0.

    Raises
    ------
    AnnotationError
        A file cannot be read.
    """
    parts = [Cells.at([], class_names)]
    for file in files:
        path = Path(file.path)
        if path.suffix.lower() == ".xyc":
            parts.append(read_xyc(path, file.class_name))
        elif path.suffix.lower() in SUFFIXES:
            parts.append(read_geojson(path, class_names))
        else:
            msg = f"{path} was given as annotations; known are files ending in {', '.join(SUFFIXES)}"
            raise AnnotationError(msg)
    return Cells.concatenate(parts)
