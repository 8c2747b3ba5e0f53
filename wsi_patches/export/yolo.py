"""YOLO: pictures in ``images/SPLIT``, a text file of boxes for each in ``labels/SPLIT``, and ``data.yaml``.

Each file is whole or absent, so ``--resume`` writes those that are missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wsi_patches.annotations import write_yolo
from wsi_patches.datasets.folders import SPLITS
from wsi_patches.export.base import ExportJob
from wsi_patches.export.boxes import annotated_job, boxed_cells, boxes_sentence, check
from wsi_patches.export.patches import ExportPatches
from wsi_patches.geometry import Size
from wsi_patches.stores.files import replacing, write_whole

__all__ = ["check", "export_yolo"]


def export_yolo(job: ExportJob) -> str:
    """Write a picture and a text file of boxes a patch; one without cells has an empty file.

    Parameters
    ----------
    job
        What is exported; patches of slides without annotated cells are left out. `box_px` is the side of the square
        that stands for a cell.

    Raises
    ------
    StoreError
        A patch cannot be read.
    UsageError
        No slide has annotated cells, or the side is not above 0.
    """
    boxed = annotated_job(job)
    patches = boxed.patches
    for split in np.unique(patches.split).tolist():
        for kind in ("images", "labels"):
            (job.out / kind / patches.split_folders[split]).mkdir(parents=True, exist_ok=True)
    size = Size(patches.side_px, patches.side_px)

    def write_labels(row: int) -> None:
        path = job.out / "labels" / _path_of(patches, row, ".txt")
        if not path.is_file():
            with replacing(path) as beside:
                write_yolo(beside, boxed_cells(patches, row, job.box_px), size)

    boxed.write_pictures(lambda row: "images" / _path_of(patches, row, job.image.suffix), write_labels)
    content = yaml.safe_dump(_data(patches), sort_keys=False, allow_unicode=True)
    write_whole(job.out / "data.yaml", content.encode(), durable=False)
    inside = "SPLIT/" if patches.split_names else ""
    return (
        f"`images/{inside}NAME{job.image.suffix}`, `labels/{inside}NAME.txt` and `data.yaml`, as YOLO's trainers read "
        f"them; these ask for the splits `train` and `val`. {boxes_sentence(job, boxed)}"
    )


def _path_of(patches: ExportPatches, row: int, suffix: str) -> Path:
    return Path(patches.split_folders[patches.split[row]], f"{patches.name(row)}{suffix}")


def _data(patches: ExportPatches) -> dict[str, Any]:
    """Return the content of ``data.yaml``: the splits' folders, by the names that trainers ask for, and the classes.

    There is no ``path``: trainers then look for the folders beside the file, wherever it was moved.
    """
    folders = {} if patches.split_names else {"train": "images"}
    for code in np.unique(patches.split[patches.split >= 0]).tolist():
        split = patches.split_names[code]
        word = SPLITS.get(split.lower(), split)
        key = "val" if word == "validation" else word
        folders[split if key in folders else key] = f"images/{patches.split_folders[code]}"
    return {**folders, "nc": len(patches.class_names), "names": dict(enumerate(patches.class_names))}
