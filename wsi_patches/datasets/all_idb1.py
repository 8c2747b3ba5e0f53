"""ALL-IDB1: ``im/ImNNN_C.jpg``, blasts in ``xyc/``, other white cells in ``other/``.

``C`` is 1 for a patient with acute lymphoblastic leukemia and 0 for a healthy one (DOI 10.1109/ICIP.2011.6115881).
Patients are not named, so there is no group.
"""

from __future__ import annotations

import re
from pathlib import Path

from wsi_patches.annotations import AnnotationFile
from wsi_patches.datasets.item import SlideItem

__all__ = ["LAYOUT", "is_all_idb1", "read_all_idb1"]

LAYOUT = "all-idb1"
LICENCE = "ALL-IDB: given out by its authors on request"
NAME = re.compile(r"^Im\d+_(?P<label>[01])$", re.IGNORECASE)
LABELS = {"1": "ALL", "0": "healthy"}
IMAGES = (".jpg", ".jpeg", ".tif", ".tiff", ".png", ".bmp")


def is_all_idb1(folder: Path) -> bool:
    """Return whether a folder has the layout of ALL-IDB1: images beside at least one kind of annotation."""
    return (folder / "im").is_dir() and ((folder / "xyc").is_dir() or (folder / "other").is_dir())


def read_all_idb1(folder: Path) -> list[SlideItem]:
    """Return the images in name order, each with its annotation files and label."""
    images = sorted(path for path in (folder / "im").iterdir() if path.suffix.lower() in IMAGES)
    return [_item(folder, image) for image in images if not image.name.startswith(".")]


def _item(folder: Path, image: Path) -> SlideItem:
    files = {kind: folder / kind / f"{image.stem}.xyc" for kind in ("xyc", "other")}
    classes = {"xyc": "blast", "other": "other"}
    present = tuple(
        AnnotationFile(str(path), class_name=classes[kind]) for kind, path in files.items() if path.is_file()
    )
    missing = tuple(
        f"{kind}/{path.name} is missing: no {classes[kind]} cell is known in this image"
        for kind, path in files.items()
        if not path.is_file()
    )
    name = NAME.match(image.stem)
    return SlideItem(
        path=str(image),
        annotations=present,
        layout=LAYOUT,
        label=LABELS[name["label"]] if name else None,
        licence=LICENCE,
        warnings=missing,
    )
