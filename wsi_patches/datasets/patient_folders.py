"""Folders that bear the names of classes, and in each a folder a patient: class / patient / image.

A lab's slides sorted by ward and patient look much the same, so the rule is strict, and in doubt the answer is no:

- at least two class folders, one of which is named for controls: ``control``, ``healthy``, ``normal``;
- a class folder holds folders alone, and each of these plain pictures alone;
- the first pictures of the first patients are at most 1024 px wide and high.
"""

from __future__ import annotations

import re
from pathlib import Path

from wsi_patches.datasets.class_folders import ClassFolders
from wsi_patches.datasets.folders import listing, pictures
from wsi_patches.datasets.image_folder import CELL_PX, holds_pictures_alone
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.small_pictures import are_small

__all__ = ["PATIENT_FOLDERS"]

CONTROLS = re.compile(r"(healthy|normal|control)s?([ _-](control|donor)s?)?", re.IGNORECASE)
NAME, TITLE = "patient-folders", "Folders that bear the names of classes, controls among them, with a folder a patient"
LEAST, LOOKED_AT = 2, 12


def _recognise(folder: Path) -> bool:
    there = listing(folder)
    if there.pictures or len(there.folders) < LEAST or not any(map(CONTROLS.fullmatch, there.folders)):
        return False
    return all(_holds_patients_alone(folder / name) for name in there.folders) and are_small(_firsts(folder))


def _holds_patients_alone(folder: Path) -> bool:
    there = listing(folder)
    return bool(there.folders) and not there.files and all(holds_pictures_alone(folder / one) for one in there.folders)


def _firsts(folder: Path) -> list[Path]:
    """Return the first picture of the first patient of some of the class folders."""
    patients = [folder / name / listing(folder / name).folders[0] for name in listing(folder).folders[:LOOKED_AT]]
    return [one / pictures(one)[0] for one in patients]


def _read(folder: Path) -> Dataset:
    return ClassFolders(
        NAME,
        TITLE,
        None,
        {name: name for name in listing(folder).folders},
        re.compile(""),
        unit="cell" if are_small(_firsts(folder), CELL_PX) else "slide",
        patients=True,
    ).read(folder)


PATIENT_FOLDERS = Layout(NAME, TITLE, "cell", None, _recognise, _read)
