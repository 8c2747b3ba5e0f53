"""The CSV of ALL-IDB Patches: for each patch its two labels and the centres of its cells.

Frame: the patch's own pixels as the reference writes them, which is the offset from the patch's first pixel, counted
from 0, and then clamped into 1..side: an offset of 0 reads 1, and only a centre up to 5 px beyond the patch reads as
its side. What was lost by that cannot be told, so the values are taken as they are. (The 2026 tutorial's own files are
one more.) Source: launch_create_labels_patches of ALL-IDB Patches (DOI 10.1109/ICASSPW59220.2023.10193429).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.once import parsed_once
from wsi_patches.annotations.text import column_key, csv_rows, finite
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError

__all__ = ["AllIdbPatch", "all_idb_patches_index", "read_all_idb_patches"]

TITLES = {
    "file": ("Filename",),
    "blast": ("White blood cell probable ALL lymphoblast", "Blast_present"),
    "other": ("Other cases", "White blood cell NOT a probable lymphoblast", "Normal_present"),
    "blast_centres": ("Centroids blasts",),
    "other_centres": ("Centroids other cases", "Centroids NOT blasts"),
}
"""The columns, under every title that published files have."""
NONE = ("", "n/a", "nan")


class AllIdbPatch(NamedTuple):
    """One row: what a patch holds."""

    blast: bool
    """Whether it is labelled as holding a probable lymphoblast."""
    other: bool
    """Whether it is labelled as holding another white cell."""
    blast_xy: NDArray[np.float64] | None
    """Centres, shape ``(n, 2)``, in the reference's local pixels; None where the file has no such column."""
    other_xy: NDArray[np.float64] | None
    """The same of other white cells."""


@parsed_once
def all_idb_patches_index(path: Path) -> Mapping[str, AllIdbPatch]:
    """Parse the table; its last result is kept, so asking for each patch is cheap.

    Returns
    -------
    The rows by the patch's file name, in the file's order.

    Raises
    ------
    AnnotationError
        It is no such table, a patch is named twice, a label is neither 0 nor 1, or centres are no pairs of numbers.
    """
    titles, rows = csv_rows(path)
    columns = _columns(titles, path)
    patches: dict[str, AllIdbPatch] = {}
    for line, fields in rows:
        name = fields[columns["file"]]
        if not name or name in patches:
            msg = f"{path}, line {line}: expected a patch's file name that no other row has, found {name!r}"
            raise AnnotationError(msg)
        patches[name] = _patch({ours: fields[title] for ours, title in columns.items()}, f"{path}, line {line}")
    return patches


def _columns(titles: tuple[str, ...], path: Path) -> dict[str, str]:
    columns: dict[str, str] = {}
    for ours, known in TITLES.items():
        present = [key for key in map(column_key, known) if key in titles]
        if present:
            columns[ours] = present[0]
        elif not ours.endswith("_centres"):
            msg = f"{path}, line 1: expected a column {' or '.join(map(repr, known))}, found {', '.join(titles)}"
            raise AnnotationError(msg)
    return columns


def _patch(fields: Mapping[str, str], where: str) -> AllIdbPatch:
    centres = [_centres(fields.get(f"{name}_centres"), f"{where}, centres of {name}") for name in ALL_IDB_CLASSES]
    return AllIdbPatch(_label(fields["blast"], where), _label(fields["other"], where), *centres)


def _label(text: str, where: str) -> bool:
    value = finite(text, where)
    if value not in (0, 1):
        msg = f"{where}: expected a label of 0 or 1, found {text!r}"
        raise AnnotationError(msg)
    return value == 1


def _centres(text: str | None, where: str) -> NDArray[np.float64] | None:
    if text is None:
        return None
    numbers = [] if text.lower() in NONE else [finite(word, where) for word in text.split()]
    if len(numbers) % 2:
        msg = f"{where}: expected pairs `x y`, found {len(numbers)} numbers"
        raise AnnotationError(msg)
    return np.array(numbers, np.float64).reshape(-1, 2)


def read_all_idb_patches(path: Path, image: str) -> Cells:
    """Read the cells of one patch.

    Parameters
    ----------
    path
        The CSV.
    image
        The patch's file name, such as ``Im001_1_patch_28.tif``.

    Returns
    -------
    Cells of the classes ``blast`` and ``other``, in that order, in the reference's local pixels: see the module.

    Raises
    ------
    AnnotationError
        The file is no such table, has no centres, or does not speak of the patch.
    """
    patches = all_idb_patches_index(path)
    if image not in patches:
        msg = f"{path} does not speak of a patch {image!r}: it has {len(patches)} others"
        raise AnnotationError(msg)
    patch = patches[image]
    if patch.blast_xy is None or patch.other_xy is None:
        msg = f"{path} has labels but no centres of cells: use it for labels of patches only"
        raise AnnotationError(msg)
    classes = np.repeat([0, 1], [len(patch.blast_xy), len(patch.other_xy)])
    return Cells.at(np.concatenate([patch.blast_xy, patch.other_xy]), ALL_IDB_CLASSES, classes)
