"""YOLO: a text file for each image, an object a line, in shares of the image's width and height.

``class x y w h`` is a box by its centre; further whole numbers are attributes, as LeukemiaAttri (Rehman et al., MICCAI
2024) gives the morphology of each cell; ``class x1 y1 x2 y2 x3 y3 ...`` is an outline, of which the box is taken. A
class is its number: `read_yolo_names` says what the numbers mean. An image without objects has an empty file.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wsi_patches.annotations.marks import Edges, Mark, box_mark, boxes_of, cells_of
from wsi_patches.annotations.text import finite, text_of
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size

__all__ = ["NAMES_FILES", "read_yolo", "read_yolo_names", "write_yolo", "write_yolo_names"]

NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
"""Where a folder says what its classes are called; the first that is there is read."""
BOX_NUMBERS = 4
LEAST_OUTLINE = 6
MOST_DIGITS = 9


def read_yolo(path: Path, size: Size, attributes: Sequence[str] | None = None) -> Cells:
    """Read the boxes of one image.

    Parameters
    ----------
    path
        The file.
    size
        Of the image, width and height in pixels.
    attributes
        What the columns behind a box are called. If not given, whole numbers behind a box are the attributes ``a1``,
        ``a2`` and so on, and other numbers make the line an outline.

    Returns
    -------
    Cells at the boxes' centres, level-0 pixels counted from 0, with the boxes as attributes. The classes are the
    numbers as text (``"0"``), in order of appearance.

    Raises
    ------
    AnnotationError
        A line is neither, a number is not finite, a width is negative, or boxes differ in their number of attributes.
    """
    marks = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if words := line.split():
            marks.append(_mark(words, size, attributes, f"{path}, line {number}"))
            if len(marks[-1].attributes) != len(marks[0].attributes):
                msg = f"{path}, line {number}: expected {len(marks[0].attributes)} attributes as before, found {line!r}"
                raise AnnotationError(msg)
    return cells_of(marks, path)


def _mark(words: list[str], size: Size, attributes: Sequence[str] | None, where: str) -> Mark:
    index, *numbers = (finite(word, where) for word in words)
    if index < 0 or not index.is_integer():
        msg = f"{where}: expected a class's number first, found {words[0]!r}"
        raise AnnotationError(msg)
    box, further = numbers[:BOX_NUMBERS], numbers[BOX_NUMBERS:]
    names = [f"a{number}" for number in range(1, len(further) + 1)] if attributes is None else attributes
    is_box = attributes is not None or all(number.is_integer() for number in further)
    if is_box and len(box) == BOX_NUMBERS and len(further) == len(names):
        x, y, width, height = box
        shares = Edges(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return box_mark(str(int(index)), _pixels(shares, size), where, dict(zip(names, further, strict=True)))
    if not is_box and len(numbers) >= LEAST_OUTLINE and len(numbers) % 2 == 0:
        x_shares, y_shares = numbers[::2], numbers[1::2]
        shares = Edges(min(x_shares), min(y_shares), max(x_shares), max(y_shares))
        return box_mark(str(int(index)), _pixels(shares, size), where)
    wanted = " ".join(("class x y w h", *(attributes or ())))
    msg = f"{where}: expected `{wanted}`, or an outline of three points or more, found {len(words)} numbers"
    raise AnnotationError(msg)


def _pixels(shares: Edges, size: Size) -> Edges:
    """Return first and last pixel of what lies between shares of an image."""
    left, top, right, bottom = shares
    return Edges(left * size.width, top * size.height, right * size.width - 1, bottom * size.height - 1)


def read_yolo_names(folder_or_file: Path) -> dict[int, str]:
    """Read what the numbers of the classes mean.

    Parameters
    ----------
    folder_or_file
        One of `NAMES_FILES` or a folder that holds one: YAML with ``names`` (a list, or numbers and names), or text
        with a name a line, each behind its number or in the order of the numbers.

    Raises
    ------
    AnnotationError
        There is no such file, or it says something else.
    """
    path = _names_file(folder_or_file) if folder_or_file.is_dir() else folder_or_file
    if path.suffix.lower() in (".yaml", ".yml"):
        return _names_of_yaml(path)
    lines = [line.strip() for line in text_of(path).rstrip().splitlines()]
    if not all(lines):
        msg = f"{path}, line {lines.index('') + 1}: expected a class's name on each line, found none"
        raise AnnotationError(msg)
    numbered = [line.partition(" ")[::2] for line in map(" ".join, map(str.split, lines))]
    if lines and all(number.isdecimal() and name for number, name in numbered):
        return _numbered(path, dict(numbered), len(lines))
    return dict(enumerate(lines))


def _names_file(folder: Path) -> Path:
    present = {entry.name.lower(): entry for entry in folder.iterdir()}
    for name in NAMES_FILES:
        if name in present:
            return present[name]
    msg = f"{folder} does not say what its YOLO classes are called: expected one of {', '.join(NAMES_FILES)}"
    raise AnnotationError(msg)


def _names_of_yaml(path: Path) -> dict[int, str]:
    text = text_of(path)
    try:
        # The base loader makes text of everything: a class may be called No or 1.
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"{path} is not YAML: {error}"
        raise AnnotationError(msg) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = {str(index): name for index, name in enumerate(names)}
    if not isinstance(names, dict):
        msg = f"{path}: expected `names`, a list or a mapping of numbers to names, found {reprlib.repr(names)}"
        raise AnnotationError(msg)
    return _numbered(path, names, len(names))


def _numbered(path: Path, names: Mapping[Any, Any], count: int) -> dict[int, str]:
    wrong = [number for number, name in names.items() if not _is_index(number) or not _is_name(name)]
    if wrong or len({int(number) for number in names}) != count:
        msg = f"{path}: expected each class's number once, and its name, found {reprlib.repr(wrong or list(names))}"
        raise AnnotationError(msg)
    return {int(number): name for number, name in names.items()}


def _is_index(number: Any) -> bool:
    return isinstance(number, str) and number.isdecimal() and len(number) <= MOST_DIGITS


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip())


def write_yolo(path: Path, cells: Cells, size: Size) -> None:
    """Write the boxes of one image, classes as their numbers; `write_yolo_names` writes what these mean.

    Raises
    ------
    UsageError
        The cells have no boxes.
    """
    lines = []
    for index, (left, top, right, bottom) in zip(cells.class_index, boxes_of(cells).tolist(), strict=True):
        x, y = (left + right + 1) / 2 / size.width, (top + bottom + 1) / 2 / size.height
        width, height = (right - left + 1) / size.width, (bottom - top + 1) / size.height
        lines.append(f"{index} {x:.12f} {y:.12f} {width:.12f} {height:.12f}\n")
    path.write_text("".join(lines), encoding="ascii", newline="\n")


def write_yolo_names(path: Path, class_names: Sequence[str]) -> None:
    """Write the classes' names, one a line, in the order of their numbers: ``classes.txt`` or ``obj.names``."""
    path.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8", newline="\n")
