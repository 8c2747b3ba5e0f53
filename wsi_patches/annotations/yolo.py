"""YOLO: a text file for each image, an object a line, in shares of the image's width and height.

``class x y w h`` is a box by its centre; whole numbers behind it are attributes, as LeukemiaAttri (Rehman et al.,
MICCAI 2024) gives the morphology of each cell; ``class x1 y1 x2 y2 x3 y3 ...`` is an outline, of which the box is
taken. A class is its number: `read_yolo_names` says what the numbers mean. An image without objects has an empty file.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wsi_patches.annotations.attributes import attribute_numbers
from wsi_patches.annotations.marks import Edges, Mark, box_mark, boxes_of, cells_of
from wsi_patches.annotations.text import finite, text_of
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size
from wsi_patches.morphology import Attribute

__all__ = ["NAMES_FILES", "read_yolo", "read_yolo_attributes", "read_yolo_names", "write_yolo", "write_yolo_names"]

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
        What the columns behind a box are called. If not given, and all such numbers of the file are whole, they are
        the attributes ``a1``, ``a2`` and so on; otherwise its longer lines are outlines.

    Returns
    -------
    Cells at the boxes' centres, level-0 pixels counted from 0, with the boxes as attributes. The classes are the
    numbers as text (``"0"``), in order of appearance.

    Raises
    ------
    AnnotationError
        A line is neither, a number is not finite, a width is negative, or boxes differ in their number of attributes.
    """
    lines = enumerate(text_of(path).splitlines(), start=1)
    rows = [(f"{path}, line {number}", line.split()) for number, line in lines if line.strip()]
    objects = [(where, [finite(word, where) for word in words]) for where, words in rows]
    further = [numbers[1 + BOX_NUMBERS :] for _, numbers in objects]
    outlines = attributes is None and not all(number.is_integer() for numbers in further for number in numbers)
    counted = () if outlines or not further else tuple(f"a{number}" for number in range(1, len(further[0]) + 1))
    columns = counted if attributes is None else tuple(attributes)
    return cells_of([_mark(numbers, size, columns, outlines, where) for where, numbers in objects], path)


def _mark(numbers: list[float], size: Size, columns: tuple[str, ...], outlines: bool, where: str) -> Mark:
    index, *shares = numbers
    if index < 0 or not index.is_integer():
        msg = f"{where}: expected a class's number first, found {index:g}"
        raise AnnotationError(msg)
    if len(shares) == BOX_NUMBERS + len(columns):
        x, y, width, height, *further = shares
        box = Edges(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return box_mark(str(int(index)), _pixels(box, size), where, dict(zip(columns, further, strict=True)))
    if outlines and len(shares) >= LEAST_OUTLINE and len(shares) % 2 == 0:
        box = Edges(min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2]))
        return box_mark(str(int(index)), _pixels(box, size), where)
    wanted = f"`{' '.join(('class x y w h', *columns))}`{', or an outline of three points or more' if outlines else ''}"
    msg = f"{where}: expected {wanted}, found {len(numbers)} numbers"
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
    content = _yaml_of(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = {str(index): name for index, name in enumerate(names)}
    if not isinstance(names, dict):
        msg = f"{path}: expected `names`, a list or a mapping of numbers to names, found {reprlib.repr(names)}"
        raise AnnotationError(msg)
    return _numbered(path, names, len(names))


def _yaml_of(path: Path) -> Any:
    text = text_of(path)
    try:
        # The base loader makes text of everything: a class may be called No or 1.
        return yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"{path} is not YAML: {error}"
        raise AnnotationError(msg) from error


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


def read_yolo_attributes(folder_or_file: Path) -> tuple[Attribute, ...]:
    """Return what the columns behind a box are: ``attributes`` of a YAML of names, a list of values for each name.

    Nothing where there is no such file, or it does not say.

    Raises
    ------
    AnnotationError
        It says something else.
    """
    present = {entry.name.lower(): entry for entry in folder_or_file.iterdir()} if folder_or_file.is_dir() else {}
    path = next((present[name] for name in NAMES_FILES if name in present), folder_or_file)
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return ()
    content = _yaml_of(path)
    said = content.get("attributes", {}) if isinstance(content, dict) else {}
    if not isinstance(said, dict) or not all(_are_values(values) for values in said.values()):
        msg = f"{path}: expected `attributes`, a list of two values or more for each name, found {reprlib.repr(said)}"
        raise AnnotationError(msg)
    return tuple(Attribute(name, tuple(values)) for name, values in said.items())


def _are_values(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 1 and all(map(_is_name, values))


def write_yolo(path: Path, cells: Cells, size: Size, attributes: Sequence[Attribute] = ()) -> None:
    """Write the boxes of one image, classes as their numbers; `write_yolo_names` writes what these mean.

    Behind each box stands the number of its value of each of the attributes, -1 where it is not known.

    Raises
    ------
    UsageError
        The cells have no boxes.
    """
    lines = []
    columns = (cells.class_index, boxes_of(cells).tolist(), attribute_numbers(cells, attributes).tolist())
    for index, (left, top, right, bottom), numbers in zip(*columns, strict=True):
        x, y = (left + right + 1) / 2 / size.width, (top + bottom + 1) / 2 / size.height
        width, height = (right - left + 1) / size.width, (bottom - top + 1) / size.height
        lines.append(f"{index} {x:.12f} {y:.12f} {width:.12f} {height:.12f}{''.join(f' {one}' for one in numbers)}\n")
    path.write_text("".join(lines), encoding="ascii", newline="\n")


def write_yolo_names(path: Path, class_names: Sequence[str]) -> None:
    """Write the classes' names, one a line, in the order of their numbers: ``classes.txt`` or ``obj.names``."""
    path.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8", newline="\n")
