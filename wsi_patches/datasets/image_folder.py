"""A folder of folders that bear the names of classes, each with small pictures: what torchvision calls ImageFolder.

A lab's slides in a folder for each patient look much the same, so the rule is strict, and in doubt the answer is no:

- at least two class folders, all of which hold plain pictures alone (JPEG, PNG, BMP, TIFF) and no folders;
- no picture beside the class folders;
- the class folders' names differ in more than their numbers: ``patient_1`` and ``patient_2`` are no classes;
- the first pictures of the class folders, twelve at most, are at most 1024 px wide and high;
- or all this in each of the folders of a published split, ``train``, ``val``, ``test``, with classes in common.
"""

from __future__ import annotations

import re
from pathlib import Path

from wsi_patches.datasets.folders import SPLITS, listing, pictures
from wsi_patches.datasets.item import SlideItem, Unit
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.small_pictures import are_small

__all__ = ["CELL_PX", "IMAGE_FOLDER", "holds_pictures_alone", "split_folders"]

LEAST = 2
LOOKED_AT = 12
CELL_PX = 600
"""Pictures of up to this a side are taken for single cells; larger ones are fields, to be cut into patches."""
DIGITS = re.compile(r"\d+")


def split_folders(folder: Path) -> list[tuple[str | None, Path]]:
    """Return the folders that hold the class folders, with the split that each is."""
    folders = listing(folder).folders
    if folders and all(name.lower() in SPLITS for name in folders):
        return [(SPLITS[name.lower()], folder / name) for name in folders]
    return [(None, folder)]


def _recognise(folder: Path) -> bool:
    tops = split_folders(folder)
    classes = [listing(top).folders for _, top in tops]
    if pictures(folder) or not all(_are_classes(top, names) for (_, top), names in zip(tops, classes, strict=True)):
        return False
    if not set[str].intersection(*map(set, classes)):
        return False
    return are_small(_first(folder))


def _first(folder: Path) -> list[Path]:
    """Return the first picture of some of the class folders."""
    folders = [top / name for _, top in split_folders(folder) for name in listing(top).folders]
    return [one / pictures(one)[0] for one in folders[:LOOKED_AT]]


def _are_classes(top: Path, names: tuple[str, ...]) -> bool:
    kinds = {DIGITS.sub("", name.lower()) for name in names}
    return len(kinds) >= LEAST and not pictures(top) and all(holds_pictures_alone(top / name) for name in names)


def holds_pictures_alone(folder: Path) -> bool:
    """Say whether plain pictures lie in a folder, and nothing else."""
    there = listing(folder)
    return bool(there.files) and not there.folders and there.pictures == there.files


def _read(folder: Path) -> Dataset:
    unit: Unit = "cell" if are_small(_first(folder), CELL_PX) else "slide"
    items = tuple(
        SlideItem(path=f"{top / label}/{name}", layout=IMAGE_FOLDER.name, unit=unit, label=label, split=split)
        for split, top in split_folders(folder)
        for label in listing(top).folders
        for name in pictures(top / label)
    )
    return Dataset(items)


IMAGE_FOLDER = Layout(
    "image-folder",
    "Folders that bear the names of classes, with small pictures in them",
    "cell",
    None,
    _recognise,
    _read,
)
