"""ALL-IDB1: ``im/ImNNN_C.jpg``, blasts in ``xyc/``, other white cells in ``other/``.

``C`` is 1 for a patient with acute lymphoblastic leukemia and 0 for a healthy one (DOI 10.1109/ICIP.2011.6115881).
Patients are not named, so there is no group.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from wsi_patches.annotations import AnnotationFile
from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.datasets.folders import listing, pictures, stem, subfolder, suffix
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told

__all__ = ["ALL_IDB1", "LICENCE"]

LAYOUT = "all-idb1"
LICENCE = "ALL-IDB: given out by its authors on request"
NAME = re.compile(r"^Im\d+_(?P<label>[01])$", re.IGNORECASE)
LABELS = {"1": "ALL", "0": "healthy"}
CLASSES = {"xyc": "blast", "other": "other"}


def _recognise(folder: Path) -> bool:
    """Return whether a folder has the layout of ALL-IDB1: images beside at least one kind of annotation."""
    return subfolder(folder, "im") is not None and subfolder(folder, *CLASSES) is not None


def _read(folder: Path) -> Dataset:
    images = subfolder(folder, "im") or folder
    marks = {kind: _marks(subfolder(folder, kind)) for kind in CLASSES}
    names = pictures(images)
    items = tuple(_item(images / name, marks) for name in names)
    return Dataset(items, tuple(_problems(names, marks)))


def _marks(folder: Path | None) -> dict[str, Path]:
    """Return the annotation files of a folder by their stems."""
    if folder is None:
        return {}
    return {stem(name): folder / name for name in listing(folder).files if suffix(name) == ".xyc"}


def _item(image: Path, marks: dict[str, dict[str, Path]]) -> SlideItem:
    present = tuple(
        AnnotationFile(str(files[image.stem]), format="xyc", class_name=CLASSES[kind])
        for kind, files in marks.items()
        if image.stem in files
    )
    missing = tuple(
        f"{kind}/{image.stem}.xyc is missing: no {CLASSES[kind]} cell is known in this image"
        for kind, files in marks.items()
        if image.stem not in files
    )
    name = NAME.match(image.stem)
    return SlideItem(
        path=str(image),
        annotations=present,
        layout=LAYOUT,
        label=LABELS[name["label"]] if name else None,
        classes=ALL_IDB_CLASSES,
        licence=LICENCE,
        warnings=missing,
    )


def _problems(names: Sequence[str], marks: dict[str, dict[str, Path]]) -> list[str]:
    stems = {stem(name) for name in names}
    found = {"images not named ImNNN_0 or ImNNN_1, so without a label": [n for n in names if not NAME.match(stem(n))]}
    for kind, files in marks.items():
        found[f"images without a file in {kind}/"] = [name for name in names if stem(name) not in files]
        found[f"files of {kind}/ without an image"] = sorted(files.keys() - stems)
    return told(found)


ALL_IDB1 = Layout(
    LAYOUT,
    "ALL-IDB1: fields of blood with marked lymphoblasts (Labati, Piuri, Scotti, 2011)",
    "slide",
    LICENCE,
    _recognise,
    _read,
)
