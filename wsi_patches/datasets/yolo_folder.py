"""YOLO folders: ``images/``, a text file of boxes for each image in ``labels/``, and a file of the classes' names.

The names lie beside them in ``classes.txt``, ``data.yaml`` or ``obj.names``, or in the folder above, where several sets
share them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from wsi_patches.annotations import AnnotationFile, read_yolo_names
from wsi_patches.annotations.yolo import NAMES_FILES, read_yolo_attributes
from wsi_patches.datasets.class_words import class_word
from wsi_patches.datasets.folders import listing, looked_at_once
from wsi_patches.datasets.image_parts import Pair, Part, find_parts, pairs, shared, unpaired
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.errors import AnnotationError
from wsi_patches.locations import path_of
from wsi_patches.morphology import Attribute

__all__ = ["YOLO", "class_names", "is_yolo", "read_yolo_folder", "yolo_parts", "yolo_renames"]

BOX = re.compile(rb"^\s*\d+(\s+[-+.\deE]+){4,}\s*$")
NUMBER = re.compile(rb"^\s*(\d{1,9})\s", re.MULTILINE)
HEAD_BYTES = 4096
LOOKED_AT = 5


def yolo_parts(folder: Path) -> list[Part]:
    """Return the parts of a YOLO set."""
    return find_parts(folder, lambda name: name.startswith("label"))


def is_yolo(folder: Path) -> bool:
    """Say whether some images have text files of their names, and these begin with a box, or hold nothing."""
    parts = yolo_parts(folder)
    files = [file for part in parts for file in shared(part, ".txt", LOOKED_AT)]
    heads = [_first_line(file) for file in files]
    named = _names_file(folder) is not None
    return all(not head or BOX.match(head) for head in heads) and (any(heads) or (bool(heads) and named))


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES).strip().partition(b"\n")[0]


def _names_file(folder: Path) -> Path | None:
    """Return the file that names the classes, in this folder or the one above."""
    return _names_file_in(folder) or _names_file_above(folder)


def _names_file_in(folder: Path) -> Path | None:
    there = {name.lower(): folder / name for name in listing(folder).files}
    return next((there[name] for name in NAMES_FILES if name in there), None)


def _names_file_above(folder: Path) -> Path | None:
    try:
        return _names_file_in(folder.absolute().parent)
    except PermissionError:  # many a server lets nobody look into the folder above one's own
        return None


def class_names(folder: Path, problems: list[str]) -> dict[int, str]:
    """Return what the classes' numbers mean; empty, and a sentence in ``problems``, if nothing says it."""
    path = _names_file(folder)
    if path is None:
        problems.append(f"no file says what the classes are called ({', '.join(NAMES_FILES)}): they keep their numbers")
        return {}
    if path.parent != folder:
        problems.append(f"the classes' names are taken from {path.name} in the folder above")
    try:
        return dict(read_yolo_names(path))
    except AnnotationError as error:
        problems.append(f"the classes keep their numbers: {error}")
        return {}


def _attributes(folder: Path, problems: list[str]) -> tuple[Attribute, ...]:
    """Return what the columns behind the boxes are, where the file that names the classes says so."""
    path = _names_file(folder)
    try:
        return () if path is None else read_yolo_attributes(path)
    except AnnotationError as error:
        problems.append(f"the columns behind boxes keep their numbers: {error}")
        return ()


def read_yolo_folder(folder: Path, layout: Layout, names: Mapping[int, str] | None = None) -> Dataset:
    """Return the images of a YOLO folder.

    Parameters
    ----------
    folder
        The dataset's folder.
    layout
        What its items are said to be of.
    names
        What the classes' numbers mean; read from the folder if not given.
    """
    with looked_at_once():
        parts = yolo_parts(folder)
        found = pairs(parts, ".txt")
        problems = unpaired(found, parts, ".txt", NAMES_FILES)
        attributes = _attributes(folder, problems)
        if names is None:
            names = class_names(folder, problems)
    renames = _renames(names)
    classes = tuple(dict.fromkeys(word for _, word in renames if word is not None)) or _numbers(found)
    items = [
        SlideItem(
            path=pair.image,
            annotations=(AnnotationFile(pair.marks, format="yolo", renames=renames, attributes=attributes),)
            if pair.marks
            else (),
            layout=layout.name,
            split=pair.part.split,
            classes=classes,
            licence=layout.licence,
            attributes=pair.part.attributes,
        )
        for pair in found
    ]
    return Dataset(tuple(items), tuple(problems))


def yolo_renames(folder: Path) -> tuple[tuple[str, str | None], ...]:
    """Return what the numbers of a folder's YOLO files are called here; nothing where no file says it.

    The folder is one of labels, so the names may lie in it, beside it, or above the set that it belongs to.
    """
    with looked_at_once():
        return _renames(class_names(folder, []) or class_names(folder.absolute().parent, []))


def _renames(names: Mapping[int, str]) -> tuple[tuple[str, str | None], ...]:
    return tuple((str(number), class_word(name)) for number, name in sorted(names.items()))


def _numbers(found: list[Pair]) -> tuple[str, ...]:
    """Return the classes' numbers that occur, as text."""
    files = (path_of(pair.marks) for pair in found if pair.marks)
    numbers = {int(number) for file in files for number in NUMBER.findall(file.read_bytes())}
    return tuple(map(str, sorted(numbers)))


def _read(folder: Path) -> Dataset:
    return read_yolo_folder(folder, YOLO)


YOLO = Layout("yolo", "Images with boxes in YOLO files", "slide", None, is_yolo, _read)
