"""BCCD: 364 fields of blood with boxes around white cells, red cells and platelets, and a published split.

Files are called ``BloodImage_NNNNN``, so copies in other folders are known too. Some boxes are missing or there twice.
Source: github.com/Shenggan/BCCD_Dataset.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from wsi_patches.datasets.folders import pictures, stem, subfolder
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.datasets.voc_folder import is_voc, read_voc_folder, voc_parts

__all__ = ["BCCD"]

NAME = re.compile(r"^BloodImage_\d{5}\.\w+$", re.IGNORECASE)
REPOSITORY = re.compile(r"^BCCD_Dataset", re.IGNORECASE)
CLASSES = {"WBC": "white_cell", "RBC": "red_cell", "Platelets": "platelet"}
MASKS = "wbc_nucleus_masks"
"""Hand-drawn nuclei of white cells, which others published for these fields."""


def _root(folder: Path) -> Path:
    """Return the folder of the set, which is one of several in a copy of its repository."""
    inside = subfolder(folder, "BCCD") if REPOSITORY.match(folder.absolute().name) else None
    return inside or folder


def _recognise(folder: Path) -> bool:
    parts = voc_parts(_root(folder))
    names = [name for part in parts for name in pictures(part.images)]
    return bool(names) and all(NAME.match(name) for name in names) and is_voc(_root(folder))


def _read(folder: Path) -> Dataset:
    root = _root(folder)
    dataset = read_voc_folder(root, BCCD, CLASSES)
    folder_of_masks = subfolder(root, MASKS)
    if folder_of_masks is None:
        return dataset
    masks = {stem(name): str(folder_of_masks / name) for name in pictures(folder_of_masks)}
    lost = sorted(masks.keys() - {Path(item.path).stem for item in dataset.items})
    problems = (*dataset.problems, *told({"masks without an image": lost}))
    return Dataset(tuple(_masked(item, masks) for item in dataset.items), problems)


def _masked(item: SlideItem, masks: dict[str, str]) -> SlideItem:
    mask = masks.get(Path(item.path).stem)
    return replace(item, attributes=(*item.attributes, ("mask", mask))) if mask else item


BCCD = Layout(
    "bccd",
    "BCCD: fields of blood with boxes around white cells, red cells and platelets (Shenggan, cosmicad)",
    "slide",
    "MIT",
    _recognise,
    _read,
)
