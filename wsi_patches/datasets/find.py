"""Inputs as people give them, into slides: files, folders, known layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_patches.annotations import AnnotationFile
from wsi_patches.annotations import files as annotation_files
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset
from wsi_patches.datasets.layouts import recognise
from wsi_patches.datasets.yolo_folder import yolo_renames
from wsi_patches.errors import AnnotationError, UsageError
from wsi_patches.locations import is_remote, path_of
from wsi_patches.slides import SUFFIXES, is_slide_folder
from wsi_patches.slides.dicom import SUFFIX as DICOM
from wsi_patches.slides.dicom import instance_of, is_annotations, one_of_each_series

__all__ = ["Found", "annotations_of", "find_inputs", "find_slides"]

WRITTEN = "cells.geojson"
"""What ``infer`` calls a slide's cells."""


@dataclass(frozen=True)
class Found:
    """The slides of some inputs."""

    items: tuple[SlideItem, ...]
    problems: tuple[str, ...] = ()
    """What is wrong with the datasets among them: missing pairs, names that do not fit."""


def find_slides(inputs: Sequence[Path], annotations: Path | None = None) -> list[SlideItem]:
    """Return the slides of files, folders and known layouts, as `find_inputs` does."""
    return list(find_inputs(inputs, annotations).items)


def find_inputs(inputs: Sequence[Path], annotations: Path | None = None) -> Found:
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
    inputs = [path_of(path) for path in inputs]
    missing = [path for path in inputs if not path.exists()]
    if missing:
        msg = f"{missing[0]} does not exist: give a slide, a folder of slides, or a dataset's folder"
        raise UsageError(msg)
    parts = [_of(path) for path in inputs]
    items = tuple(item for part in parts for item in part.items)
    problems = tuple(problem for part in parts for problem in part.problems)
    if not items:
        msg = (
            f"no slide was found in {', '.join(map(str, inputs))}: {'; '.join(problems) or 'nothing is known there'}. "
            f"Files are known by their suffix ({', '.join(sorted(SUFFIXES))}), an OME-Zarr by its metadata"
        )
        raise UsageError(msg)
    if annotations is not None:
        items = tuple(_annotated(item, annotations) for item in items)
    return Found(items, problems)


def _of(path: Path) -> Found | Dataset:
    try:
        if not path.is_dir() or is_slide_folder(path):
            return Found((SlideItem(str(path)),))
        known = recognise(path)
        if known is not None:
            layout, root = known
            return layout.read(root)
        return Found(tuple(SlideItem(str(file)) for file in _files(path)))
    except PermissionError:
        return Found((SlideItem(str(path)),))  # opening it says what is wrong


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


def _is_annotated(path: Path) -> bool:
    """Say whether a file is there, and not the slide itself, as a DICOM file of that name may be."""
    return path.is_file() and (path.suffix.lower() != DICOM or is_annotations(path))


def annotations_of(folder: Path, *names: str, slide: str = "") -> tuple[AnnotationFile, ...]:
    """Return the annotation file in a folder that bears a slide's name, in any of the known formats.

    Where several do, such as a table beside an outline, the first in the order of `annotations.SUFFIXES` is meant.

    Parameters
    ----------
    folder
        Holds ``NAME.geojson`` and the like, or, as ``infer`` writes it, ``NAME/cells.geojson``.
    *names
        The slide's id and its file's stem: the file of the first of these names that has one.
    slide
        The slide itself, by which DICOM annotations of another one are known when they are read.

    Raises
    ------
    UsageError
        There is no such folder.
    """
    if not folder.is_dir():
        msg = f"--annotations {folder} is not a folder: give the folder that holds one file for each slide"
        raise UsageError(msg)
    for name in names:
        files = [folder / f"{name}{suffix}" for suffix in annotation_files.SUFFIXES]
        present = next((path for path in (*files, folder / name / WRITTEN) if _is_annotated(path)), None)
        if present is not None:
            numbered = present.suffix.lower() == ".txt"  # YOLO: its classes are named once for all files
            known = present.suffix.lower() == DICOM and slide and not is_remote(slide)
            image = instance_of(Path(slide)) if known else ""
            return (
                AnnotationFile(str(present), image=image or None, renames=yolo_renames(folder) if numbered else ()),
            )
    return ()


def _annotated(item: SlideItem, folder: Path) -> SlideItem:
    stem = Path(item.path).stem
    present = annotations_of(folder, stem, slide=str(item.path))
    if present:
        return replace(item, annotations=present, classes=_classes(present), warnings=())
    if item.annotations:
        return item
    return replace(item, warnings=(*item.warnings, f"no annotation file named {stem} in {folder}"))


def _classes(files: Sequence[AnnotationFile]) -> tuple[str, ...]:
    """Return the classes of marked cells; none of a file that cannot be read, which fails its slide and no other."""
    try:
        return tuple(dict.fromkeys(name for file in files for name in annotation_files.classes_in(file)))
    except AnnotationError:
        return ()
