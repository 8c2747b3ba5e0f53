"""The annotation files of one slide, whatever their formats, as one set of cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from wsi_patches.annotations.all_idb_patches import read_all_idb_patches
from wsi_patches.annotations.attributes import named_attributes
from wsi_patches.annotations.coco import read_coco
from wsi_patches.annotations.dicom import read_dicom
from wsi_patches.annotations.file import AnnotationFile
from wsi_patches.annotations.geojson import read_geojson
from wsi_patches.annotations.marks import in_class_order, rename_classes
from wsi_patches.annotations.masks import NUCLEUS_ABOVE, cells_from_labels, cells_from_mask
from wsi_patches.annotations.once import parsed_once
from wsi_patches.annotations.table import read_table
from wsi_patches.annotations.text import json_of
from wsi_patches.annotations.voc import read_voc
from wsi_patches.annotations.xyc import read_xyc
from wsi_patches.annotations.yolo import read_yolo
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.locations import path_of

__all__ = ["FORMATS", "SUFFIXES", "Reader", "classes_in", "read_annotations"]

Reader = Callable[[AnnotationFile, Size | None], Cells]
"""Reads one file's cells of one image, given the image's size, with the file's own classes in order of appearance."""


def _yolo(file: AnnotationFile, size: Size | None) -> Cells:
    if size is None:
        msg = f"{file.path} gives shares of an image, as YOLO does: give the size of its image, which was not given"
        raise UsageError(msg)
    names = [one.name for one in file.attributes]
    return named_attributes(read_yolo(path_of(file.path), size, names or None), file.attributes)


def _all_idb_patches(file: AnnotationFile, _size: Size | None) -> Cells:
    if file.image is None:
        msg = f"{file.path} speaks of many patches: say which of them is meant"
        raise UsageError(msg)
    return read_all_idb_patches(path_of(file.path), file.image)


FORMATS: Mapping[str, Reader] = {
    "xyc": lambda file, _: read_xyc(path_of(file.path), file.class_name),
    "geojson": lambda file, _: read_geojson(path_of(file.path), default_class=file.class_name or WHITE_CELL),
    "voc": lambda file, _: read_voc(path_of(file.path)),
    "yolo": _yolo,
    "coco": lambda file, _: read_coco(path_of(file.path), file.image),
    "dicom": lambda file, _: read_dicom(path_of(file.path), file.image),
    "table": lambda file, _: read_table(path_of(file.path), file.image, file.class_name or WHITE_CELL),
    "all_idb_patches": _all_idb_patches,
    "mask": lambda file, _: cells_from_mask(path_of(file.path), file.class_name or WHITE_CELL),
    "nucleus_mask": lambda file, _: cells_from_mask(path_of(file.path), file.class_name or WHITE_CELL, NUCLEUS_ABOVE),
    "label_mask": lambda file, _: cells_from_labels(path_of(file.path), file.class_name or WHITE_CELL),
}
"""What ``AnnotationFile.format`` may be; `mask` takes all that is not black, `nucleus_mask` white nuclei."""

JSON = "json"
SUFFIX_FORMATS = {
    ".xyc": "xyc",
    ".geojson": "geojson",
    ".json": JSON,
    ".xml": "voc",
    ".txt": "yolo",
    ".csv": "table",
    ".dcm": "dicom",
}
SUFFIXES = tuple(SUFFIX_FORMATS)
"""Of files that say by their suffix what they are, in the order in which a folder is searched for a slide's."""


def read_annotations(
    files: Sequence[AnnotationFile], class_names: Sequence[str] | None = ALL_IDB_CLASSES, size: Size | None = None
) -> Cells:
    """Read the cells of one slide.

    Parameters
    ----------
    files
        The annotation files of the slide.
    class_names
        The classes, in the order that labels have; None takes those that occur, in order of appearance.
    size
        Of the slide at level 0, for formats that give shares of it.

    Returns
    -------
    Cells in the order of the files, level-0 pixels counted from 0; attributes that all files have, such as boxes.

    Raises
    ------
    AnnotationError
        A file cannot be read, or a cell's class, renamed as its file asks, is not among ``class_names``.
    UsageError
        A format needs the size, or the image's name, and it was not given.
    """
    read = [_read(file, size) for file in files]
    names = dict.fromkeys(name for part in read for name in part.class_names) if class_names is None else class_names
    parts = [in_class_order(part, tuple(names), path_of(file.path)) for part, file in zip(read, files, strict=True)]
    return Cells.concatenate([part for part in parts if len(part)] or [Cells.at([], tuple(names))])


def classes_in(file: AnnotationFile) -> tuple[str, ...]:
    """Return the classes that occur in a file, renamed as it asks, in order of appearance.

    The image's size is not needed; where a file speaks of many images, its ``image`` says of which. Errors are those of
    `read_annotations`.
    """
    cells = _read(file, Size(1, 1))
    _, first = np.unique(cells.class_index, return_index=True)
    return tuple(cells.class_names[cells.class_index[row]] for row in np.sort(first))


def _read(file: AnnotationFile, size: Size | None) -> Cells:
    """Read a file's cells with the classes that it asks for."""
    cells = FORMATS[_format_of(file)](file, size)
    renames = dict(file.renames)
    return rename_classes(cells, lambda name: renames.get(name, name)) if renames else cells


def _format_of(file: AnnotationFile) -> str:
    path = path_of(file.path)
    known = file.format or SUFFIX_FORMATS.get(path.suffix.lower(), "")
    if known == JSON:
        return _json_format(path)
    if known in FORMATS:
        return known
    msg = (
        f"{path} was given as annotations{f' of the format {file.format}' if file.format else ''}; "
        f"known are files ending in {', '.join(SUFFIXES)}, and the formats {', '.join(FORMATS)}"
    )
    raise AnnotationError(msg)


@parsed_once
def _json_format(path: Path) -> str:
    content = json_of(path)
    return "coco" if isinstance(content, dict) and {"images", "annotations"} <= content.keys() else "geojson"
