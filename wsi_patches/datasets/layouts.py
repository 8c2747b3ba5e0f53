"""All folder layouts that this program knows, and which of them a folder has."""

from __future__ import annotations

from pathlib import Path

from wsi_patches.datasets.all_idb1 import ALL_IDB1
from wsi_patches.datasets.all_idb2 import ALL_IDB2
from wsi_patches.datasets.all_idb_patches import ALL_IDB_PATCHES
from wsi_patches.datasets.annotations_only import ANNOTATIONS_ONLY
from wsi_patches.datasets.bccd import BCCD
from wsi_patches.datasets.c_nmc import C_NMC
from wsi_patches.datasets.cell_sets import AML_LMU, AML_MLL, BONE_MARROW, MLL23, PBC, RAABIN
from wsi_patches.datasets.coco_folder import COCO
from wsi_patches.datasets.folders import listing, looked_at_once, suffix
from wsi_patches.datasets.four_classes import FOUR_CLASSES
from wsi_patches.datasets.image_folder import IMAGE_FOLDER
from wsi_patches.datasets.layout import Layout
from wsi_patches.datasets.leukemia_attri import LEUKEMIA_ATTRI
from wsi_patches.datasets.voc_folder import VOC
from wsi_patches.datasets.white_cell_masks import WHITE_CELL_MASKS
from wsi_patches.datasets.yolo_folder import YOLO
from wsi_patches.slides import SUFFIXES

__all__ = ["LAYOUTS", "recognise"]

LAYOUTS: tuple[Layout, ...] = (
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
    ANNOTATIONS_ONLY,
)
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
    if len(there.folders) != 1 or any(suffix(name) in SUFFIXES for name in there.files):
        return None
    inner = there.folders[0]
    return folder / inner if suffix(inner) != ".zarr" else None
