"""ALL-IDB Patches: ``ImNNN_C_patch_K.tif``, ``info/ImNNN_C_patch_K.mat`` and the CSV of labels and centres.

Names, columns and coordinates are the reference's, its off-by-ones included: a local coordinate is the offset from the
patch's first pixel, counted from 0 and then clamped into 1..side; patches are numbered from 1, left to right, then
down; `Start` and `End` are the first and last (row, column), counted from 1. Source: launch_create_labels_patches of
ALL-IDB Patches (DOI 10.1109/ICASSPW59220.2023.10193429). Each file is whole or absent, so ``--resume`` writes those
that are missing; the CSV is written last.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.io import savemat

from wsi_patches.annotations.labels import local_xy
from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.errors import UsageError
from wsi_patches.export.base import ExportJob
from wsi_patches.export.images import ImageSettings
from wsi_patches.export.patches import ExportPatches
from wsi_patches.stores.files import replacing, write_whole

__all__ = ["COLUMNS", "check", "export_all_idb"]

COLUMNS = (
    "Filename",
    "White blood cell probable ALL lymphoblast",
    "Other cases",
    "Centroids blasts",
    "Centroids other cases",
)
MAT_HEADER = b"MATLAB 5.0 MAT-file".ljust(116)
"""The text that a file begins with; SciPy's has the time in it, and equal exports are equal bytes."""
START, END = np.array([-1.5, -2.5]), np.array([-3.5, -4.5])
"""Places that no patch has."""
NONE = "N/A"
"""In place of centres, where a patch holds no such cell."""


def export_all_idb(job: ExportJob) -> str:
    """Write patches, their origins and the CSV as the reference does; pictures are TIFF, whatever was asked.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    patches = job.patches
    protocol = _protocol(patches)
    folder = Path(f"patches_{protocol}")
    (job.out / folder / "info").mkdir(parents=True, exist_ok=True)

    def write_info(row: int) -> None:
        path = job.out / folder / "info" / f"{_stem(patches, row)}.mat"
        if not path.is_file():
            write_whole(path, _info(patches, row), durable=False)

    in_tiff = replace(job, image=ImageSettings("tiff"))
    in_tiff.write_pictures(lambda row: folder / f"{_stem(patches, row)}.tif", write_info)
    table = folder / f"ALL_IDB1_patches_{protocol}.csv"
    with (
        replacing(job.out / table, durable=True) as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(patches))
    return (
        f"The layout of ALL-IDB Patches: `{folder}/ImNNN_C_patch_K.tif`, `info/ImNNN_C_patch_K.mat` (`info.Start`, "
        f"`info.End`: row and column, counted from 1) and `{table}`, with labels and centres in the reference's local "
        f'pixels. Load the table with `pandas.read_csv("{table}", keep_default_na=False)`.'
    )


def check(job: ExportJob) -> None:
    """Refuse a store that the layout cannot hold.

    Raises
    ------
    UsageError
        The store's classes are not ALL-IDB's, or its patches were not read at level 0.
    """
    patches = job.patches
    if patches.class_names != ALL_IDB_CLASSES:
        msg = (
            f"the format all-idb has the classes {' and '.join(ALL_IDB_CLASSES)}, and {patches.store.path} has "
            f"{', '.join(patches.class_names) or 'none'}: choose the format csv"
        )
        raise UsageError(msg)
    scaled = [slide.id for slide in patches.store.slides if slide.downsample != 1]
    if scaled:
        msg = (
            f"the format all-idb has patches of full resolution, and those of {scaled[0]} were read at another one: "
            "extract at level 0, or choose the format csv"
        )
        raise UsageError(msg)


def _protocol(patches: ExportPatches) -> str:
    """Return what the reference puts into its names: ``256_overlap_0.25_toll_5``."""
    spec, rule = patches.store.settings.spec, patches.store.settings.rule
    return f"{spec.size_px}_overlap_{1 - spec.step_px / spec.size_px:g}_toll_{rule.tolerance_px}"


def _stem(patches: ExportPatches, row: int) -> str:
    return f"{patches.slide_names[patches.slide_rows[row]]}_patch_{patches.index[row] + 1}"


def _info(patches: ExportPatches, row: int) -> bytes:
    box = patches.box(row)
    start, end = np.array([box.y + 1.0, box.x + 1.0]), np.array([float(box.bottom), float(box.right)])
    return _info_of_marks().replace(START.tobytes(), start.tobytes()).replace(END.tobytes(), end.tobytes())


@cache
def _info_of_marks() -> bytes:
    """Return the file of the places `START` and `END`: those of all patches differ in these bytes alone."""
    stream = BytesIO()
    savemat(stream, {"info": {"Start": START[None], "End": END[None]}})
    return MAT_HEADER + stream.getvalue()[len(MAT_HEADER) :]


def _rows(patches: ExportPatches) -> Iterator[list[object]]:
    """Yield the lines of the CSV: images by name, and the patches of each by number."""
    names = np.argsort(np.argsort(np.array(patches.slide_names)))
    for row in np.lexsort((patches.index, names[patches.slide_rows])).tolist():
        cells = patches.cells(row).cells
        centres = local_xy(cells, patches.box(row), patches.store.settings.rule)
        of_class = [centres[cells.class_index == number] for number in range(len(ALL_IDB_CLASSES))]
        labels = [int(len(one) > 0) for one in of_class]
        texts = [" ".join(map(str, one.ravel().tolist())) or NONE for one in of_class]
        yield [f"{_stem(patches, row)}.tif", *labels, *texts]
