"""COCO: pictures in ``images/SPLIT``, and the boxes of a split's cells in ``annotations/instances_SPLIT.json``.

Source: Lin et al., Microsoft COCO, DOI 10.1007/978-3-319-10602-1_48, and its data format page. The JSON is written row
by row, so memory does not grow with the patches; each file is whole or absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import boxes_of
from wsi_patches.export.base import ExportJob
from wsi_patches.export.boxes import annotated_job, boxed_cells, boxes_sentence, check
from wsi_patches.stores.files import replacing

__all__ = ["check", "export_coco"]

WHOLE = "all"
"""Stands for the split's name where there are no splits."""


def export_coco(job: ExportJob) -> str:
    """Write pictures, and for each split one JSON file of the boxes of its cells.

    Parameters
    ----------
    job
        What is exported; patches of slides without annotated cells are left out. `box_px` is the side of the square
        that stands for a cell, and is written into each JSON file's ``info``.

    Raises
    ------
    StoreError
        A patch cannot be read.
    UsageError
        No slide has annotated cells, or the side is not above 0.
    """
    boxed = annotated_job(job)
    patches = boxed.patches
    (job.out / "annotations").mkdir(exist_ok=True)
    for split in np.unique(patches.split).tolist():
        folder = patches.split_folders[split]
        (job.out / "images" / folder).mkdir(parents=True, exist_ok=True)
        path = job.out / "annotations" / f"instances_{folder if split >= 0 else WHOLE}.json"
        if not path.is_file():
            with replacing(path) as beside, beside.open("w", encoding="utf-8") as stream:
                _write(stream, boxed, np.flatnonzero(patches.split == split))
    boxed.write_pictures(lambda row: Path("images", patches.split_folders[patches.split[row]], _file_name(boxed, row)))
    name, folder = ("SPLIT", "images/SPLIT") if patches.split_names else (WHOLE, "images")
    return (
        f"`{folder}/NAME{job.image.suffix}` and `annotations/instances_{name}.json`. Load with "
        f'`torchvision.datasets.CocoDetection("{folder}", "annotations/instances_{name}.json")` or '
        f"`pycocotools.coco.COCO`. {boxes_sentence(job, boxed)}"
    )


def _file_name(job: ExportJob, row: int) -> str:
    return f"{job.patches.name(row)}{job.image.suffix}"


def _write(stream: IO[str], job: ExportJob, rows: NDArray[np.int64]) -> None:
    """Write one split's file: ``info`` and the categories, then an image and then a box a line."""
    info = {"description": "annotated cells of wsi-patches", "version": "1.0", "box_px": job.box_px}
    categories = [{"id": index, "name": name} for index, name in enumerate(job.patches.class_names, start=1)]
    stream.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": {json.dumps(categories)},\n')
    _write_list(stream, "images", _images(job, rows))
    stream.write(",\n")
    _write_list(stream, "annotations", _annotations(job, rows))
    stream.write("}\n")


def _write_list(stream: IO[str], name: str, values: Iterator[dict[str, Any]]) -> None:
    stream.write(f'"{name}": [')
    for number, value in enumerate(values):
        stream.write(f"{',' if number else ''}\n{json.dumps(value)}")
    stream.write("]")


def _images(job: ExportJob, rows: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Yield what is said of each picture; its id is its row, counted from 1, so it is one in all splits."""
    for row in rows.tolist():
        size = {"width": job.patches.side_px, "height": job.patches.side_px}
        yield {"id": row + 1, "file_name": _file_name(job, row), **size, "patch": job.patches.columns(row)}


def _annotations(job: ExportJob, rows: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    number = 0
    for row in rows.tolist():
        cells = boxed_cells(job.patches, row, job.box_px)
        for cell, (left, top, right, bottom) in enumerate(boxes_of(cells).tolist()):
            number += 1
            width, height = right - left + 1, bottom - top + 1
            yield {
                "id": number,
                "image_id": row + 1,
                "category_id": int(cells.class_index[cell]) + 1,
                "bbox": [left, top, width, height],
                "area": width * height,
                "iscrowd": 0,
                **{name: float(cells.attributes[name][cell]) for name in ("slide_x", "slide_y")},
            }
