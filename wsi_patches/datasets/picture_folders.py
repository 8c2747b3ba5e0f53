"""Patches as single pictures in folders: our own export with its table, or anybody's folders of classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from wsi_patches.datasets.folders import PICTURES, listing, suffix, within
from wsi_patches.datasets.image_folder import split_folders
from wsi_patches.datasets.patch_pictures import Picture, PictureSet
from wsi_patches.datasets.sentences import told
from wsi_patches.errors import UsageError
from wsi_patches.stores.facts import FACTS, read_facts

__all__ = ["PATCH_PICTURES", "PATCH_TABLE", "has_table", "picture_of_row", "read_picture_folder", "read_picture_table"]

PATCH_TABLE = "patches.csv"
"""What an export as ``imagefolder`` or ``csv`` says of each picture."""
PATCH_PICTURES = PICTURES | {".webp"}
PLACE = ("slide", "index", "x", "y")


def has_table(folder: Path) -> bool:
    """Say whether a folder is an export whose table and slides are both there."""
    return (folder / PATCH_TABLE).is_file() and (folder / FACTS).is_file()


def read_picture_table(folder: Path) -> PictureSet:
    """Return the pictures that an export's table names; none is opened.

    Raises
    ------
    StoreError
        What the store said cannot be read.
    UsageError
        The table cannot be read, or names a file outside of the folder.
    """
    facts, table = read_facts(folder / FACTS), folder / PATCH_TABLE
    try:
        with table.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            rows = enumerate(csv.DictReader(stream), start=2)
            return PictureSet(tuple(_of_table(row, folder, f"{table}, line {line}") for line, row in rows), facts)
    except (OSError, csv.Error) as error:
        msg = f"{table} cannot be read: {error}"
        raise UsageError(msg) from error


def _of_table(row: Mapping[str, str | None], folder: Path, where: str) -> Picture:
    name = within(row.get("file") or "..")
    if name is None:
        msg = f"{where}: expected a file inside of the folder, found {row.get('file')!r}"
        raise UsageError(msg)
    return picture_of_row(Picture(name, str(folder / name)), row, where)


def picture_of_row(picture: Picture, row: Mapping[str, object], where: str) -> Picture:
    """Return a picture with what an export's table, or the JSON file beside it, says of it.

    Raises
    ------
    UsageError
        Its slide or place is not stated.
    """
    try:
        slide, index, x, y = (str(row[name]) for name in PLACE)
        number, corner = int(index), (int(x), int(y))
        focus = row.get("focus")
        score = None if focus in (None, "") else float(str(focus))
    except (KeyError, ValueError) as error:
        msg = f"{where}: expected {', '.join(PLACE)} of an export of wsi-patches ({error})"
        raise UsageError(msg) from error
    split = str(row.get("split") or "")
    return replace(picture, slide=slide, index=number, xy=corner, split=split, focus=score)


def read_picture_folder(folder: Path) -> PictureSet:
    """Return the pictures in folders that bear the names of classes, which may lie in folders of splits.

    Raises
    ------
    UsageError
        There are no folders of classes, or one of them holds folders.
    """
    pictures, no_pictures = list[Picture](), list[str]()
    for split, top in split_folders(folder):
        beside = [name for name in listing(top).pictures if suffix(name) in PATCH_PICTURES]
        no_pictures += [f"{(top / name).relative_to(folder)}" for name in beside]
        for label in listing(top).folders:
            pictures += _of_class(folder, top / label, split, no_pictures)
    if not pictures:
        msg = (
            f"{folder} holds no pictures in folders of classes: give a folder as CLASS/NAME.png or "
            "train/CLASS/NAME.png; wsi-patches extract takes pictures of slides"
        )
        raise UsageError(msg)
    return PictureSet(tuple(pictures), problems=tuple(told({"files left out, as no picture of a class": no_pictures})))


def _of_class(folder: Path, of_class: Path, split: str | None, no_pictures: list[str]) -> Iterator[Picture]:
    there = listing(of_class)
    if there.folders:
        msg = (
            f"{of_class} holds folders ({', '.join(there.folders[:3])}), and a class is a folder of pictures alone: "
            "give the folder in which the classes lie, or import one of these folders at a time"
        )
        raise UsageError(msg)
    for name in there.files:
        path = of_class / name
        below = path.relative_to(folder).as_posix()
        if suffix(name) in PATCH_PICTURES:
            yield Picture(below, str(path), label=of_class.name, split=split or "")
        else:
            no_pictures.append(below)
