"""Inputs as people give them, into slides: files, folders, known layouts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from wsi_patches.annotations import AnnotationFile
from wsi_patches.annotations import files as annotation_files
from wsi_patches.datasets.all_idb1 import is_all_idb1, read_all_idb1
from wsi_patches.datasets.item import SlideItem
from wsi_patches.errors import UsageError
from wsi_patches.slides import SUFFIXES, is_slide_folder
from wsi_patches.slides.dicom import one_of_each_series

__all__ = ["find_slides"]


def find_slides(inputs: Sequence[Path], annotations: Path | None = None) -> list[SlideItem]:
    """Return the slides of files, folders (searched recursively for known suffixes) and known layouts.

    Parameters
    ----------
    inputs
        What the user named, in that order; the slides of a folder come in name order.
    annotations
        A folder of annotation files that bear their slide's name.

    Raises
    ------
    UsageError
        An input does not exist, or there is no slide in any of them.
    """
    items: list[SlideItem] = []
    for path in inputs:
        if not path.exists():
            msg = f"{path} does not exist: give a slide, a folder of slides, or a dataset's folder"
            raise UsageError(msg)
        items += _of(path)
    if not items:
        msg = (
            f"no slide was found in {', '.join(map(str, inputs))}: "
            f"files are known by their suffix ({', '.join(sorted(SUFFIXES))}), an OME-Zarr by its metadata"
        )
        raise UsageError(msg)
    return [_annotated(item, annotations) for item in items] if annotations is not None else items


def _of(path: Path) -> Iterable[SlideItem]:
    try:
        if not path.is_dir() or is_slide_folder(path):
            return [SlideItem(str(path))]
        if is_all_idb1(path):
            return read_all_idb1(path)
        return [SlideItem(str(file)) for file in _files(path)]
    except PermissionError:
        return [SlideItem(str(path))]  # opening it says what is wrong


def _files(folder: Path) -> list[Path]:
    """Return the slides below a folder; what is hidden and what lies inside of stores is not looked at.

    A folder that is itself a slide is one, and so are all files of a DICOM series.
    """
    found, files = [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found += _folder(entry)
        elif entry.suffix.lower() in SUFFIXES:
            files.append(entry)
    return sorted([*found, *one_of_each_series(files)])


def _folder(folder: Path) -> list[Path]:
    try:
        if is_slide_folder(folder):
            return [folder]
        return [] if folder.suffix.lower() == ".zarr" else _files(folder)
    except PermissionError:
        return [folder]  # opening it says what is wrong


def _annotated(item: SlideItem, folder: Path) -> SlideItem:
    if not folder.is_dir():
        msg = f"--annotations {folder} is not a folder: give the folder that holds one file for each slide"
        raise UsageError(msg)
    stem = Path(item.path).stem
    files = [folder / f"{stem}{suffix}" for suffix in annotation_files.SUFFIXES]
    present = tuple(AnnotationFile(str(path)) for path in files if path.is_file())
    if present:
        return replace(item, annotations=present, warnings=())
    if item.annotations:
        return item
    return replace(item, warnings=(*item.warnings, f"no annotation file named {stem} in {folder}"))
