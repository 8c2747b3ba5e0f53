"""Pictures, and one CSV with all that is known of each: ``images/SLIDE/NAME.png`` and ``patches.csv``.

Each picture is whole or absent, so ``--resume`` writes those that are missing; the table gets its name last.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from wsi_patches.export.base import ExportJob
from wsi_patches.stores.files import replacing

__all__ = ["TABLE", "export_csv", "write_with_table"]

TABLE = "patches.csv"


def export_csv(job: ExportJob) -> str:
    """Write a picture a patch, in a folder a slide, and the table.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    for name in job.patches.used_slide_names:
        Path(job.out, "images", name).mkdir(parents=True, exist_ok=True)
    write_with_table(job, lambda row: _path(job, row))
    return (
        f"`{TABLE}` has a row a patch, its picture is the column `file`; x, y, width and height are level-0 pixels of "
        f"the slide, `mpp` is um per pixel of the patch, `count_CLASS` the cells marked in it. Load it with "
        f'`pandas.read_csv("{TABLE}", keep_default_na=False, na_values=[""])`.'
    )


def write_with_table(job: ExportJob, path_of: Callable[[int], Path]) -> None:
    """Write pictures, what the store says of their slides, and the table of all that is known of each patch.

    Parameters
    ----------
    job
        The export.
    path_of
        Where the picture of a row is, relative to `out`.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    with (
        replacing(job.out / TABLE, durable=True) as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.DictWriter(stream, ["file", *job.patches.columns(0)], lineterminator="\n")
        writer.writeheader()
        job.write_pictures(
            path_of, lambda row: writer.writerow({"file": path_of(row).as_posix(), **job.patches.columns(row)})
        )
        job.write_facts()


def _path(job: ExportJob, row: int) -> Path:
    patches = job.patches
    return Path("images", patches.slide_names[patches.slide_rows[row]], f"{patches.name(row)}{job.image.suffix}")
