"""ALL-IDB2: one cell a picture, ``ImNNN_C.tif``; ``C`` is 1 for a probable lymphoblast and 0 for any other cell.

Source: DOI 10.1109/ICIP.2011.6115881. Patients are not named, so there is no group.
"""

from __future__ import annotations

import re
from pathlib import Path

from wsi_patches.datasets.all_idb1 import LICENCE
from wsi_patches.datasets.folders import pictures, subfolder
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.datasets.small_pictures import are_small

__all__ = ["ALL_IDB2"]

NAME = re.compile(r"^Im\d{3}_(?P<label>[01])\.(tiff?|bmp|png)$", re.IGNORECASE)
LABELS = {"1": "blast", "0": "other"}
LEAST = 2


def _images(folder: Path) -> Path:
    return subfolder(folder, "img") or folder


def _recognise(folder: Path) -> bool:
    """Say whether all pictures are named as those of ALL-IDB2, and are not the fields of ALL-IDB1, named the same."""
    images = _images(folder)
    names = pictures(images)
    matching = [name for name in names if NAME.match(name)]
    return (
        len(matching) >= LEAST and len(matching) > len(names) / 2 and are_small(images / name for name in matching[:2])
    )


def _read(folder: Path) -> Dataset:
    images = _images(folder)
    matched = {name: NAME.match(name) for name in pictures(images)}
    items = tuple(
        SlideItem(
            path=str(images / name),
            layout=ALL_IDB2.name,
            unit="cell",
            label=LABELS[match["label"]] if match else None,
            licence=LICENCE,
        )
        for name, match in matched.items()
    )
    odd = [name for name, match in matched.items() if not match]
    return Dataset(items, tuple(told({"pictures not named ImNNN_0.tif or ImNNN_1.tif, so without a label": odd})))


ALL_IDB2 = Layout(
    "all-idb2",
    "ALL-IDB2: single cells, lymphoblasts and others (Labati, Piuri, Scotti, 2011)",
    "cell",
    LICENCE,
    _recognise,
    _read,
)
