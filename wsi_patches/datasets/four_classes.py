"""The four-class set of acute lymphoblastic leukemia: ``Original/CLASS/*.jpg`` and, named the same, ``Segmented``.

Benign fields show hematogones, which are no leukemia; Early, Pre and Pro are stages of malignant B-ALL. Of the 89
patients none is named. Source: Aria and others, DOI 10.34740/KAGGLE/DSV/2175623.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from wsi_patches.datasets.class_folders import Attributes, ClassFolders
from wsi_patches.datasets.folders import pictures, subfolder
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told

__all__ = ["FOUR_CLASSES"]

DIAGNOSES = {
    "benign": "hematogones, no leukemia",
    "early": "early pre-B ALL",
    "pre": "pre-B ALL",
    "pro": "pro-B ALL",
}


def _diagnosis(code: str, name: re.Match[str]) -> Attributes | None:
    named = (name["stage"] or "Benign").lower()
    return (("diagnosis", DIAGNOSES[named]),) if named == code.lower() else None


FOLDERS = ClassFolders(
    "all-four-classes",
    "Acute Lymphoblastic Leukemia image set: small fields of four classes (Aria and others, Taleqani, 2021)",
    "its authors ask not to pass it on (Kaggle), check before use",
    {name: name for name in DIAGNOSES},
    re.compile(r"WBC-(Benign|Malignant-(?P<stage>Early|Pre|Pro))-\d+\.(jpe?g|png|bmp|tiff?)$", re.IGNORECASE),
    _diagnosis,
    unit="patch",
)


def _originals(folder: Path) -> Path:
    return subfolder(folder, "original", "images") or folder


def _recognise(folder: Path) -> bool:
    return FOLDERS.recognise(_originals(folder))


def _read(folder: Path) -> Dataset:
    """Return the original pictures, each with the path of its segmented twin."""
    dataset = FOLDERS.read(_originals(folder))
    twins = _twins(folder)
    if not twins:
        return dataset
    items = tuple(_with_twin(item, twins) for item in dataset.items)
    alone = [Path(item.path).name for item in items if "segmented" not in dict(item.attributes)]
    lost = sorted(set(twins) - {Path(item.path).name.lower() for item in items})
    found = {"pictures without a segmented twin": alone, "segmented pictures without an original": lost}
    return Dataset(items, (*dataset.problems, *told(found)))


def _twins(folder: Path) -> dict[str, str]:
    """Return the segmented pictures by their names in lower case."""
    segmented = subfolder(folder, "segmented")
    inside = [subfolder(segmented, name) for name in DIAGNOSES] if segmented is not None else []
    beside = [subfolder(folder, f"segmented_{name}") for name in DIAGNOSES]
    places = [place for place in (*inside, *beside) if place is not None]
    return {name.lower(): str(place / name) for place in places for name in pictures(place)}


def _with_twin(item: SlideItem, twins: dict[str, str]) -> SlideItem:
    twin = twins.get(Path(item.path).name.lower())
    return replace(item, attributes=(*item.attributes, ("segmented", twin))) if twin else item


FOUR_CLASSES = Layout(FOLDERS.name, FOLDERS.title, FOLDERS.unit, FOLDERS.licence, _recognise, _read)
