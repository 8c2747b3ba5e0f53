"""What is wrong with a dataset's files, in sentences: unreadable ones, boxes that cannot be, duplicates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import AnnotationFile, read_annotations
from wsi_patches.annotations.marks import BOX_COLUMNS, boxes_of
from wsi_patches.annotations.voc import voc_image_size
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.pictures import picture_size
from wsi_patches.errors import AnnotationError, SlideError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.locations import path_of
from wsi_patches.slides import open_slide

__all__ = ["check_items"]

NAMED = 5
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""Suffixes of images whose size is looked up; a scanner's slide is checked when it is opened."""
TOLERANCE_PX = 1.0
"""Formats count from 0 or 1, with or without the last pixel, and not every writer knows which."""
SAME_BOX_IOU = 0.9

Findings = defaultdict[str, list[str]]
"""What each finding was found on, by its sentence."""

NO_IMAGE = "images that cannot be read"
NO_ANNOTATION = "annotation files that cannot be read"
OTHER_SIZE = "images of another size than their annotation file says"
NOT_CHECKED = "annotation files that were not checked, for the size of their image is not known"
NO_AREA = "boxes of no area"
BOX_OUTSIDE = "boxes that reach out of their image"
CELL_OUTSIDE = "cells outside of their image"
SAME_BOX = f"boxes of what another box of the same class marks already (IoU above {SAME_BOX_IOU:g})"
SAME_FILE = "images that are copies of another, byte for byte"
ONCE = (NO_IMAGE, NO_ANNOTATION)
"""Found again for each image that a file speaks of, and counted once."""
ORDER = (NO_IMAGE, SAME_FILE, NO_ANNOTATION, NOT_CHECKED, OTHER_SIZE, NO_AREA, BOX_OUTSIDE, CELL_OUTSIDE, SAME_BOX)


def check_items(items: Sequence[SlideItem]) -> list[str]:
    """Return what is wrong with the files of a dataset, a sentence for each kind, with its count and up to 5 names.

    Of images the header is read and no pixels; of files of equal size also their bytes. A scanner's slide is not
    opened, and of its cells is not known whether they lie outside.
    """
    found: Findings = defaultdict(list)
    _same_files(items, found)
    for item in items:
        size = _size(item, found)
        for file in item.annotations:
            _check_annotations(item, file, size, found)
    found |= {kind: list(dict.fromkeys(found[kind])) for kind in ONCE}
    return [_sentence(kind, found[kind]) for kind in ORDER if found[kind]]


def _sentence(kind: str, names: Sequence[str]) -> str:
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{kind}: {len(names)} ({'; '.join(names[:NAMED])}{more})"


def _name(path: str) -> str:
    """Return file and folder: in folders of classes or patients, files are called alike."""
    return "/".join(Path(path).parts[-2:])


def _size(item: SlideItem, found: Findings) -> Size | None:
    """Return the size of a picture, or None for what is none or cannot be read."""
    if Path(item.path).suffix.lower() not in PICTURES:
        return None
    try:
        return _header_size(item.path)
    except SlideError as error:
        found[NO_IMAGE].append(str(error))
        return None


def _header_size(path: str) -> Size:
    size = picture_size(path)
    if size is not None:
        return size
    # Pillow is fast, and knows fewer files; what it does not know is for the readers to judge.
    with open_slide(path) as slide:
        return slide.info.size


def _check_annotations(item: SlideItem, file: AnnotationFile, size: Size | None, found: Findings) -> None:
    try:
        stated = _stated_size(file)
        cells = read_annotations([file], item.classes or ALL_IDB_CLASSES, size)
    except AnnotationError as error:
        found[NO_ANNOTATION].append(str(error))
        return
    except UsageError:
        if size is not None:
            raise
        found[NOT_CHECKED].append(_name(file.path))
        return
    if size is not None and stated is not None and size != stated:
        sizes = f"{size.width} x {size.height}, not {stated.width} x {stated.height}"
        found[OTHER_SIZE].append(f"{_name(item.path)} is {sizes}")
    for kind, rows in _wrong(cells, size):
        found[kind] += [f"{_name(file.path)} at ({cells.x[row]:g}, {cells.y[row]:g})" for row in rows]


def _stated_size(file: AnnotationFile) -> Size | None:
    is_voc = file.format == "voc" or (not file.format and Path(file.path).suffix.lower() == ".xml")
    return voc_image_size(path_of(file.path)) if is_voc else None


def _wrong(cells: Cells, size: Size | None) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield what is wrong with which cells of one file."""
    if len(cells) and set(BOX_COLUMNS) <= set(cells.attributes):
        boxes = boxes_of(cells)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        yield NO_AREA, np.flatnonzero((sides <= 1).any(axis=1))
        if size is not None:
            yield BOX_OUTSIDE, _outside(boxes[:, :2], boxes[:, 2:], size)
        yield SAME_BOX, _repeated(boxes, cells.class_index)
    elif size is not None:
        yield CELL_OUTSIDE, _outside(cells.xy, cells.xy, size)


def _outside(low: NDArray[np.float64], high: NDArray[np.float64], size: Size) -> NDArray[np.int64]:
    last = np.array(size) - 1
    return np.flatnonzero((low < -TOLERANCE_PX).any(axis=1) | (high > last + TOLERANCE_PX).any(axis=1))


def _repeated(boxes: NDArray[np.float64], class_index: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the boxes that are nearly an earlier one of their class."""
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    repeated = np.zeros(len(boxes), bool)
    for row in range(len(boxes) - 1):
        later = slice(row + 1, None)
        low = np.maximum(boxes[row, :2], boxes[later, :2])
        common = (np.minimum(boxes[row, 2:], boxes[later, 2:]) - low + 1).clip(0).prod(axis=1)
        iou_above = common > SAME_BOX_IOU * (area[row] + area[later] - common)
        repeated[later] |= iou_above & (class_index[row] == class_index[later])
    return np.flatnonzero(repeated)


def _same_files(items: Sequence[SlideItem], found: Findings) -> None:
    of_size: dict[int, list[str]] = {}
    for path in dict.fromkeys(item.path for item in items):
        if path_of(path).is_file():
            of_size.setdefault(path_of(path).stat().st_size, []).append(path)
    for paths in of_size.values():
        first: dict[bytes, str] = {}
        for path in paths if len(paths) > 1 else ():
            try:
                earlier = first.setdefault(_digest(path), path)
            except OSError as error:
                found[NO_IMAGE].append(f"{path} cannot be read: {error.strerror or error}")
                continue
            if earlier != path:
                found[SAME_FILE].append(f"{_name(path)} is {_name(earlier)}")


def _digest(path: str) -> bytes:
    with path_of(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
