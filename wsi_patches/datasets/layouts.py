"""All folder layouts that this program knows, and which of them a folder has."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from wsi_patches.datasets.all_idb1 import ALL_IDB1
from wsi_patches.datasets.all_idb2 import ALL_IDB2
from wsi_patches.datasets.all_idb_patches import ALL_IDB_PATCHES
from wsi_patches.datasets.annotations_only import ANNOTATIONS_ONLY
from wsi_patches.datasets.bccd import BCCD
from wsi_patches.datasets.c_nmc import C_NMC
from wsi_patches.datasets.cell_sets import AML_LMU, AML_MLL, BONE_MARROW, MLL23, PBC, RAABIN
from wsi_patches.datasets.coco_folder import COCO
from wsi_patches.datasets.folders import Listing, listing, looked_at_once, suffix
from wsi_patches.datasets.four_classes import FOUR_CLASSES
from wsi_patches.datasets.image_folder import IMAGE_FOLDER
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.leukemia_attri import LEUKEMIA_ATTRI
from wsi_patches.datasets.patient_folders import PATIENT_FOLDERS
from wsi_patches.datasets.sentences import told
from wsi_patches.datasets.voc_folder import VOC
from wsi_patches.datasets.white_cell_masks import WHITE_CELL_MASKS
from wsi_patches.datasets.yolo_folder import YOLO
from wsi_patches.slides import SUFFIXES

__all__ = ["LAYOUTS", "recognise"]

KNOWN = (
    ALL_IDB1,
    ALL_IDB_PATCHES,
    ALL_IDB2,
    C_NMC,
    AML_LMU,
    AML_MLL,
    BONE_MARROW,
    MLL23,
    PBC,
    RAABIN,
    FOUR_CLASSES,
    WHITE_CELL_MASKS,
    LEUKEMIA_ATTRI,
    BCCD,
    VOC,
    COCO,
    YOLO,
    IMAGE_FOLDER,
    PATIENT_FOLDERS,
    ANNOTATIONS_ONLY,
)


def _read(layout: Layout, folder: Path) -> Dataset:
    """Return a folder's images, and say which pictures in it were left aside: no slide is dropped in silence."""
    dataset = layout.read(folder)
    if not dataset.items:
        return dataset
    used = _used(folder, dataset)
    aside = [name for name in _shown(folder) if name not in used]
    return replace(dataset, problems=(*dataset.problems, *told({"pictures, or folders of them, left aside": aside})))


def _used(folder: Path, dataset: Dataset) -> set[str]:
    """Return the files and folders directly in a folder that its items come from, or speak of."""
    start = str(folder / "_")[:-1]
    spoken = (
        path
        for item in dataset.items
        for path in (item.path, *(file.path for file in item.annotations), *(value for _, value in item.attributes))
    )
    return {path[len(start) :].partition("/")[0] for path in spoken if path.startswith(start)}


def _shown(folder: Path) -> list[str]:
    """Return the slides and pictures in a folder, and the folders in it that hold any."""
    there = listing(folder)
    return [*_slides(there), *(name for name in there.folders if _slides(listing(folder / name)))]


def _slides(there: Listing) -> list[str]:
    return [name for name in there.files if suffix(name) in SUFFIXES]


LAYOUTS: tuple[Layout, ...] = tuple(replace(layout, read=partial(_read, layout)) for layout in KNOWN)
"""The datasets by name, then the kinds of folder that may be anybody's; the first that fits is taken."""

DEEPEST = 4
"""How many folders with nothing but one folder in them are gone through: archives unpack so."""


def recognise(folder: Path) -> tuple[Layout, Path] | None:
    """Say which dataset a folder is.

    Parameters
    ----------
    folder
        A folder that somebody named.

    Returns
    -------
    The layout and the folder that has it, which may lie below the one given; None for anything else, such as a plain
    folder of slides.

    Raises
    ------
    PermissionError
        The folder may not be looked into.
    """
    with looked_at_once():
        for _ in range(DEEPEST):
            for layout in LAYOUTS:
                if _fits(layout, folder):
                    return layout, folder
            inner = _only_folder(folder)
            if inner is None:
                return None
            folder = inner
    return None


def _fits(layout: Layout, folder: Path) -> bool:
    try:
        return layout.recognise(folder)
    except PermissionError:  # somewhere below: of a dataset, all can be looked into
        return False


def _only_folder(folder: Path) -> Path | None:
    """Return the one folder in a folder that holds no slide and no other folder."""
    there = listing(folder)
    if len(there.folders) != 1 or _slides(there):
        return None
    inner = there.folders[0]
    return folder / inner if suffix(inner) != ".zarr" else None
