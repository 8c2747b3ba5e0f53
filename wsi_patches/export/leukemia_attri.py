"""Counted or marked fields as LeukemiaAttri has them: COCO files of boxes with attributes, and YOLO files beside them.

``Images/SPLIT/NAME.png``, ``Annotations/SPLIT.json``, ``labels/SPLIT/NAME.txt`` and ``data.yaml``, which says what the
classes' numbers and the columns behind the boxes are. Source: Rehman and others, MICCAI 2024, arXiv 2405.10803.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wsi_patches.annotations import BOX_COLUMNS, in_class_order, write_coco, write_yolo
from wsi_patches.cells import Cells
from wsi_patches.datasets.leukemia_attri import CLASSES
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.morphology import Attribute
from wsi_patches.stores.files import replacing, write_whole

__all__ = ["AttributedField", "class_names_of", "write_leukemia_attri", "write_picture"]


@dataclass(frozen=True)
class AttributedField:
    """One field and its cells."""

    name: str
    """Of its files, without suffix."""
    split: str
    size: Size
    cells: Cells
    """With boxes, and attributes as texts."""


def class_names_of(fields: Sequence[AttributedField]) -> tuple[str, ...]:
    """Return the classes in the order of their numbers: the data set's own order where all are of its classes."""
    named = dict.fromkeys(name for one in fields for name in one.cells.class_names)
    return CLASSES if set(named) <= set(CLASSES) else tuple(named)


def write_leukemia_attri(out: Path, fields: Sequence[AttributedField], attributes: Sequence[Attribute]) -> None:
    """Write the boxes and attributes of fields; `write_picture` says where their pictures go.

    Parameters
    ----------
    out
        The folder to write below; it is there.
    fields
        Of all splits.
    attributes
        In the order of the columns behind a YOLO box; -1 stands there for what is not known.

    Raises
    ------
    UsageError
        Cells have no boxes.
    """
    for one in fields:
        if len(one.cells) and not set(BOX_COLUMNS) <= set(one.cells.attributes):
            msg = f"the cells of {one.name} have no boxes: count by --method detector, or mark boxes"
            raise UsageError(msg)
    names, columns = class_names_of(fields), [one.name for one in attributes]
    (out / "Annotations").mkdir(exist_ok=True)
    for split in dict.fromkeys(one.split for one in fields):
        (out / "labels" / split).mkdir(parents=True, exist_ok=True)
        images = []
        for one in fields:
            if one.split == split:
                cells = in_class_order(one.cells, names, Path(one.name))
                images.append((f"{one.name}.png", one.size, cells))
                with replacing(out / "labels" / split / f"{one.name}.txt") as beside:
                    write_yolo(beside, cells, one.size, attributes)
        with replacing(out / "Annotations" / f"{split}.json") as beside:
            write_coco(beside, images, columns)
    content = yaml.safe_dump(_data(fields, names, attributes), sort_keys=False, allow_unicode=True)
    write_whole(out / "data.yaml", content.encode(), durable=False)


def write_picture(out: Path, split: str, name: str, png: bytes) -> None:
    """Write a field's picture where its files say that it is."""
    (out / "Images" / split).mkdir(parents=True, exist_ok=True)
    write_whole(out / "Images" / split / f"{name}.png", png, durable=False)


def _data(fields: Sequence[AttributedField], names: Sequence[str], attributes: Sequence[Attribute]) -> dict[str, Any]:
    folders = {split: f"Images/{split}" for split in dict.fromkeys(one.split for one in fields)}
    values = {one.name: list(one.values) for one in attributes}
    return {**folders, "nc": len(names), "names": dict(enumerate(names)), "attributes": values}
