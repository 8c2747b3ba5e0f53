"""Folders of classes, ``SPLIT/CLASS/NAME.png``, as torchvision's ImageFolder and many others load them.

Beside them is the table of the format ``csv``. Each file is whole or absent, so ``--resume`` writes those that are
missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsi_patches.export.base import ExportJob
from wsi_patches.export.csv_table import TABLE, write_with_table

__all__ = ["export_imagefolder"]


def export_imagefolder(job: ExportJob) -> str:
    """Write a picture a patch into the folder of its class, in that of its split where there are splits.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    patches = job.patches
    labels, splits = np.unique(patches.label).tolist(), np.unique(patches.split).tolist()
    # torchvision numbers the classes that it finds, so each split has a folder of every class, even an empty one.
    for split in splits:
        for label in labels:
            _folder(job, split, label).mkdir(parents=True, exist_ok=True)

    def path_of(row: int) -> Path:
        folder = Path(patches.split_folders[patches.split[row]], patches.label_folders[patches.label[row]])
        return folder / f"{patches.name(row)}{job.image.suffix}"

    write_with_table(job, path_of)
    where = "SPLIT/CLASS" if patches.split_names else "CLASS"
    pairs = len(set(zip(patches.split.tolist(), patches.label.tolist(), strict=True)))
    empty = "" if pairs == len(labels) * len(splits) else ", allow_empty=True"
    return (
        f"`{where}/NAME{job.image.suffix}`. Load {'a split' if patches.split_names else 'this folder'} with "
        f"`torchvision.datasets.ImageFolder(folder{empty})`. `{TABLE}` has a row a patch, with all that is known of it."
    )


def _folder(job: ExportJob, split: int, label: int) -> Path:
    return job.out / job.patches.split_folders[split] / job.patches.label_folders[label]
