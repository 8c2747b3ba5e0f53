"""Pascal VOC: an XML file for each image, a box for each object.

Corners are counted from 1, the first and last pixel of the box, both inclusive. Source: Everingham et al., The Pascal
Visual Object Classes Challenge, DOI 10.1007/s11263-009-0275-4, and its development kit.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np

from wsi_patches.annotations.marks import Edges, Mark, box_mark, boxes_of, cells_of
from wsi_patches.annotations.text import bytes_of, finite
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError
from wsi_patches.geometry import Size

__all__ = ["read_voc", "voc_image_size", "write_voc"]

CORNERS = ("xmin", "ymin", "xmax", "ymax")
FLAGS = ("difficult", "truncated")


def read_voc(path: Path) -> Cells:
    """Read the boxes of one image.

    What the file says of the image's name and place is not looked at.

    Returns
    -------
    Cells at the boxes' centres, level-0 pixels counted from 0, classes in order of appearance. Attributes: the boxes,
    and ``difficult`` and ``truncated`` where an object has them.

    Raises
    ------
    AnnotationError
        The file is no such XML, declares a document type or entities, or an object has no name or no box.
    """
    objects = _root(path).findall("object")
    return cells_of([_mark(node, f"{path}, object {number}") for number, node in enumerate(objects, 1)], path)


def voc_image_size(path: Path) -> Size | None:
    """Return the size of the image as the file states it, or None where it states none, or 0.

    Raises
    ------
    AnnotationError
        The file is no such XML, or its size is no pair of numbers.
    """
    node = _root(path).find("size")
    if node is None:
        return None
    width, height = (finite(node.findtext(name), f"{path}, size: {name}") for name in ("width", "height"))
    return Size(int(width), int(height)) if width > 0 and height > 0 else None


def _root(path: Path) -> ET.Element:
    """Parse a file; a document type is refused, for entities are declared there, and they can grow without end."""

    def refuse(*_: object) -> NoReturn:
        msg = f"{path}, line {parser.CurrentLineNumber}: a document type or entities are not read: remove the DOCTYPE"
        raise AnnotationError(msg)

    content = bytes_of(path)
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except AnnotationError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        msg = f"{path} is not XML, or ends too early: {error}"
        raise AnnotationError(msg) from error
    root = builder.close()
    if root.tag != "annotation":
        msg = f"{path}: expected the element annotation of Pascal VOC, found {root.tag}"
        raise AnnotationError(msg)
    return root


def _mark(node: ET.Element, where: str) -> Mark:
    name = (node.findtext("name") or "").strip()
    if not name:
        msg = f"{where}: expected the name of its class, found none"
        raise AnnotationError(msg)
    box = node.find("bndbox")
    if box is None:
        msg = f"{where} ({name}): expected a bndbox, found none"
        raise AnnotationError(msg)
    corners = Edges(*(finite(box.findtext(corner), f"{where} ({name}): {corner}") - 1 for corner in CORNERS))
    flags = {flag: finite(node.findtext(flag), f"{where} ({name}): {flag}") for flag in FLAGS if _says(node, flag)}
    return box_mark(name, corners, f"{where} ({name})", flags)


def _says(node: ET.Element, flag: str) -> bool:
    return bool((node.findtext(flag) or "").strip())


def write_voc(path: Path, cells: Cells, size: Size, image: str = "") -> None:
    """Write the boxes of one image; corners are rounded to whole pixels.

    Parameters
    ----------
    path
        The file.
    cells
        With boxes, in pixels of the image counted from 0.
    size, image
        Of the image: width and height in pixels, and file name.

    Raises
    ------
    UsageError
        The cells have no boxes.
    """
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = image
    shape = ET.SubElement(root, "size")
    for name, value in (("width", size.width), ("height", size.height), ("depth", 3)):
        ET.SubElement(shape, name).text = str(value)
    corners = np.floor(boxes_of(cells) + 1.5).astype(int)
    flags = np.stack([np.asarray(cells.attributes.get(flag, np.zeros(len(cells)))) == 1 for flag in FLAGS], axis=1)
    for index, raised, edges in zip(cells.class_index, flags.astype(int), corners, strict=True):
        _append(root, cells.class_names[index], raised.tolist(), edges.tolist())
    ET.indent(root)
    path.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def _append(root: ET.Element, name: str, flags: list[int], corners: list[int]) -> None:
    node = ET.SubElement(root, "object")
    ET.SubElement(node, "name").text = name
    for flag, value in zip(FLAGS, flags, strict=True):
        ET.SubElement(node, flag).text = str(value)
    box = ET.SubElement(node, "bndbox")
    for corner, value in zip(CORNERS, corners, strict=True):
        ET.SubElement(box, corner).text = str(value)
