"""COCO: one JSON file for many images, boxes as ``x, y, width, height`` counted from 0.

Source: Lin et al., Microsoft COCO, DOI 10.1007/978-3-319-10602-1_48, and its data format page.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.annotations.marks import Edges, Mark, box_mark, boxes_of, cells_of
from wsi_patches.annotations.once import parsed_once
from wsi_patches.annotations.text import finite, json_of, score_of
from wsi_patches.annotations.words import IGNORE
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.geometry import Size

__all__ = ["CocoImage", "CocoIndex", "coco_index", "is_ignored", "read_coco", "write_coco"]

Id = int | str
OWN_FIELDS = frozenset(
    {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "segmentation", "score", "attributes"}
    | {"keypoints", "num_keypoints"}
)
"""Fields of an annotation that are not attributes of the cell."""


@dataclass(frozen=True)
class CocoImage:
    """One image of a COCO file."""

    id: Id
    size: Size | None
    """Width and height in pixels, or None where the file does not state them."""


@dataclass(frozen=True)
class CocoIndex:
    """A COCO file by image."""

    images: Mapping[str, CocoImage]
    """By file name, as the file has it."""
    categories: Mapping[Id, str]
    """Names of the classes by their ids."""
    annotations: Mapping[Id, Sequence[Mapping[str, Any]]]
    """By id of the image, in the file's order, outlines left out; an image without any is not there."""


@parsed_once
def coco_index(path: Path) -> CocoIndex:
    """Parse a COCO file; its last result is kept, so asking for each image is cheap.

    Raises
    ------
    AnnotationError
        The file is no such JSON, names a file or an id twice, or an annotation's image is not in it.
    """
    content = json_of(path)
    tables = {name: _table(content, name, path) for name in ("images", "categories", "annotations")}
    images: dict[str, CocoImage] = {}
    for number, row in enumerate(tables["images"], start=1):
        where = f"{path}, image {number}"
        name = _text(row, "file_name", where)
        _first(name, images, where)
        images[name] = CocoImage(_id(row, "id", where), _size(row, where))
    categories: dict[Id, str] = {}
    for number, row in enumerate(tables["categories"], start=1):
        where = f"{path}, category {number}"
        key = _id(row, "id", where)
        _first(key, categories, where)
        categories[key] = _text(row, "name", where)
    return CocoIndex(images, categories, _by_image(tables["annotations"], images, path))


def _table(content: Any, name: str, path: Path) -> list[dict[str, Any]]:
    rows = content.get(name) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"{path}: expected a COCO file with the list {name}, found {type(rows).__name__}"
        raise AnnotationError(msg)
    return rows


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        msg = f"{where}: expected {field}, a text, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return value


def _id(row: Mapping[str, Any], field: str, where: str) -> Id:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | str):
        msg = f"{where}: expected {field}, a number or a text, found {reprlib.repr(value)}"
        raise AnnotationError(msg)
    return value


def _first(key: Id, known: Mapping[Any, object], where: str) -> None:
    if key in known:
        msg = f"{where}: {key!r} is in this file already; each has a name of its own"
        raise AnnotationError(msg)


def _size(row: Mapping[str, Any], where: str) -> Size | None:
    if row.get("width") is None or row.get("height") is None:
        return None
    return Size(*(int(finite(row[side], f"{where}: {side}")) for side in ("width", "height")))


def _by_image(
    rows: Sequence[dict[str, Any]], images: Mapping[str, CocoImage], path: Path
) -> dict[Id, list[Mapping[str, Any]]]:
    known = {image.id for image in images.values()}
    if len(known) != len(images):
        msg = f"{path}: expected an id of its own for each of {len(images)} images, found {len(known)} ids"
        raise AnnotationError(msg)
    found: dict[Id, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(rows, start=1):
        image = _id(row, "image_id", f"{path}, annotation {number}")
        if image not in known:
            msg = f"{path}, annotation {number}: its image {image!r} is not among the images of the file"
            raise AnnotationError(msg)
        # Outlines are most of such a file, and nobody here reads them.
        row.pop("segmentation", None)
        found.setdefault(image, []).append(row)
    return found


def read_coco(path: Path, image: str | None = None) -> Cells:
    """Read the boxes of one image.

    Parameters
    ----------
    path
        The file, which may speak of many images.
    image
        Its ``file_name`` in the file; may be left out if there is one only.

    Returns
    -------
    Cells at the boxes' centres, level-0 pixels counted from 0, classes in order of appearance. Attributes: the boxes,
    and each further field of an annotation (and of its ``attributes``) that is a number, a truth value or a text. What
    is marked ``iscrowd`` or ``ignore`` is of the class ``ignore``, whatever its category.

    Raises
    ------
    AnnotationError
        The file is no COCO file, does not speak of the image, or an annotation's box or category is wrong.
    """
    index = coco_index(path)
    if image is None and len(index.images) != 1:
        msg = f"{path} speaks of {len(index.images)} images: say which of them is meant"
        raise AnnotationError(msg)
    name = next(iter(index.images)) if image is None else image
    if name not in index.images:
        msg = f"{path} does not speak of an image {name!r}: it has {', '.join(list(index.images)[:3])} ..."
        raise AnnotationError(msg)
    rows = index.annotations.get(index.images[name].id, ())
    return cells_of([_mark(row, index, f"{path}, annotation {row.get('id')} of {name}") for row in rows], path)


def _mark(row: Mapping[str, Any], index: CocoIndex, where: str) -> Mark:
    category = _id(row, "category_id", where)
    if category not in index.categories:
        msg = f"{where}: its category {category!r} is not among {', '.join(map(str, index.categories))}"
        raise AnnotationError(msg)
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != len(Edges._fields):
        msg = f"{where}: expected bbox, a list of x, y, width and height, found {reprlib.repr(box)}"
        raise AnnotationError(msg)
    x, y, width, height = (finite(value, f"{where}: bbox") for value in box)
    edges = Edges(x, y, x + width - 1, y + height - 1)
    score = score_of(row.get("score", 1.0), f"{where}: score")
    name = IGNORE if is_ignored(row) else index.categories[category]
    return box_mark(name, edges, where, _attributes(row, where), score)


def is_ignored(row: Mapping[str, Any]) -> bool:
    """Say whether an annotation is a place of which nothing is to be learnt: a crowd, or one that is to be ignored."""
    return any(row.get(name) not in (None, False, 0, "0") for name in ("iscrowd", "ignore"))


def _attributes(row: Mapping[str, Any], where: str) -> dict[str, float | str]:
    nested = row.get("attributes")
    fields = {name: value for name, value in row.items() if name not in OWN_FIELDS}
    fields |= nested if isinstance(nested, dict) else {}
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    truths = {name: float(value) for name, value in fields.items() if isinstance(value, bool)}
    numbers = {name: value for name, value in fields.items() if isinstance(value, int | float) and name not in truths}
    return texts | truths | {name: finite(value, f"{where}: {name}") for name, value in numbers.items()}


def write_coco(path: Path, images: Sequence[tuple[str, Size, Cells]], attributes: Sequence[str] = ()) -> None:
    """Write file name, size and boxes of images; ids count from 1, categories in the order of the class names.

    Parameters
    ----------
    path
        The file.
    images
        Name, size and cells of each.
    attributes
        Names of columns of texts that go into an annotation's ``attributes`` where they say something; cells of the
        class ``ignore`` are marked so.

    Raises
    ------
    UsageError
        Cells have no boxes, or differ in their class names.
    """
    class_names = images[0][2].class_names if images else ()
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": index, "name": name} for index, name in enumerate(class_names, start=1)]
    for number, (name, size, cells) in enumerate(images, start=1):
        if cells.class_names != class_names:
            msg = f"images of one COCO file share their classes, found {cells.class_names} and {class_names}"
            raise UsageError(msg)
        content["images"].append({"id": number, "file_name": name, "width": size.width, "height": size.height})
        said = {column: cells.attributes[column].tolist() for column in attributes if column in cells.attributes}
        for cell, (left, top, right, bottom) in enumerate(boxes_of(cells).tolist()):
            index, width, height = int(cells.class_index[cell]), right - left + 1, bottom - top + 1
            row = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": index + 1}
            shape = {"bbox": [left, top, width, height], "area": width * height}
            crowd = {"iscrowd": int(class_names[index] == IGNORE)}
            told = {column: values[cell] for column, values in said.items() if values[cell]}
            content["annotations"].append(row | shape | crowd | ({"attributes": told} if told else {}))
    path.write_text(json.dumps(content), encoding="utf-8")
