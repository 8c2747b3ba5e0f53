"""COCO: pictures in ``images/SPLIT``, and the boxes of a split's cells in ``annotations/instances_SPLIT.json``.

Source: Lin et al., Microsoft COCO, DOI 10.1007/978-3-319-10602-1_48, and its data format page. The JSON is written row
by row, so memory does not grow with the patches; each file is whole or absent.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

import numpy as np

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
    with ExitStack() as stack:
        files = dict[int, _Instances]()
        for split in np.unique(patches.split).tolist():
            folder = patches.split_folders[split]
            (job.out / "images" / folder).mkdir(parents=True, exist_ok=True)
            path = job.out / "annotations" / f"instances_{folder if split >= 0 else WHOLE}.json"
            if not path.is_file():
                beside = stack.enter_context(replacing(path))
                files[split] = stack.enter_context(_Instances(boxed, beside))

        def write_known(row: int) -> None:
            split = int(patches.split[row])
            if split in files:
                files[split].add(row)

        boxed.write_pictures(
            lambda row: Path("images", patches.split_folders[patches.split[row]], _file_name(boxed, row)), write_known
        )
    name, folder = ("SPLIT", "images/SPLIT") if patches.split_names else (WHOLE, "images")
    return (
        f"`{folder}/NAME{job.image.suffix}` and `annotations/instances_{name}.json`. Load with "
        f'`torchvision.datasets.CocoDetection("{folder}", "annotations/instances_{name}.json")` or '
        f"`pycocotools.coco.COCO`. {boxes_sentence(job, boxed)}"
    )


def _file_name(job: ExportJob, row: int) -> str:
    return f"{job.patches.name(row)}{job.image.suffix}"


class _Instances:
    """A split's file while it is written: ``info``, the categories, a line an image, and at its end a line a box.

    The boxes wait in a temporary file, so that memory does not grow with them.
    """

    def __init__(self, job: ExportJob, path: Path) -> None:
        self.job, self.path = job, path
        self.images = self.boxes = 0

    def __enter__(self) -> Self:
        self._stream: IO[str] = self.path.open("w", encoding="utf-8")
        self._boxes: IO[str] = TemporaryFile("w+", encoding="utf-8")
        names = enumerate(self.job.patches.class_names, start=1)
        info = {"description": "annotated cells of wsi-patches", "version": "1.0", "box_px": self.job.box_px}
        categories = [{"id": index, "name": name} for index, name in names]
        self._stream.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": {json.dumps(categories)},\n')
        self._stream.write('"images": [')
        return self

    def add(self, row: int) -> None:
        """Write what is said of a picture and its boxes; its id is its row from 1, so it is one in all splits."""
        patches = self.job.patches
        size = {"width": patches.side_px, "height": patches.side_px}
        image = {"id": row + 1, "file_name": _file_name(self.job, row), **size, "patch": patches.columns(row)}
        self._stream.write(f"{',' if self.images else ''}\n{json.dumps(image)}")
        self.images += 1
        for box in _annotations(self.job, row):
            self._boxes.write(f"{',' if self.boxes else ''}\n{json.dumps({'id': self.boxes + 1, **box})}")
            self.boxes += 1

    def __exit__(self, *_: object) -> None:
        self._boxes.seek(0)
        self._stream.write('],\n"annotations": [')
        shutil.copyfileobj(self._boxes, self._stream)
        self._stream.write("]}\n")
        self._boxes.close()
        self._stream.close()


def _annotations(job: ExportJob, row: int) -> Iterator[dict[str, Any]]:
    """Yield the boxes of a patch."""
    cells = boxed_cells(job.patches, row, job.box_px)
    for cell, (left, top, right, bottom) in enumerate(boxes_of(cells).tolist()):
        width, height = right - left + 1, bottom - top + 1
        yield {
            "image_id": row + 1,
            "category_id": int(cells.class_index[cell]) + 1,
            "bbox": [left, top, width, height],
            "area": width * height,
            "iscrowd": 0,
            **{name: float(cells.attributes[name][cell]) for name in ("slide_x", "slide_y")},
        }
