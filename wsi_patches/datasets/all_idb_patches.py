"""ALL-IDB Patches: ``ImNNN_C_patch_K.tif`` and a CSV of the centres of blasts and other cells in each.

The CSV lies among the patches or beside their folder. A patch's group is its image, for patches of one image overlap.
Source: DOI 10.1109/ICASSPW59220.2023.10193429, github.com/AngeloUNIMI/ALL-IDB-Patches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from wsi_patches.annotations import AllIdbPatch, AnnotationFile, all_idb_patches_index
from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.datasets.folders import listing, pictures
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.errors import AnnotationError

__all__ = ["ALL_IDB_PATCHES"]

NAME = re.compile(r"^(?P<image>Im\d+_(?P<diagnosis>[01]))_patch_\d+\.(tiff?|png|bmp)$", re.IGNORECASE)
TABLE = re.compile(r"patch.*\.csv$", re.IGNORECASE)
DIAGNOSES = {"1": "ALL", "0": "healthy"}
LABELS = {
    (True, False): "blast",
    (False, True): "other",
    (True, True): "blast and other",
    (False, False): "no white cell",
}
"""By whether a patch holds blasts, and other white cells."""
LICENCE = "repository GPL-3.0; the images are ALL-IDB's, given out by its authors on request"


def _patches(folder: Path) -> Path | None:
    """Return the folder of the patches: this one, or one in it."""
    places = (folder, *(folder / name for name in listing(folder).folders if name.lower().startswith("patches")))
    return next((place for place in places if any(NAME.match(name) for name in pictures(place)[:1])), None)


def _recognise(folder: Path) -> bool:
    return _patches(folder) is not None


def _read(folder: Path) -> Dataset:
    patches = _patches(folder) or folder
    names, problems = pictures(patches), list[str]()
    table = _table((patches, patches.parent), problems)
    rows = _rows(table, problems)
    odd = [name for name in names if not NAME.match(name)]
    items = tuple(_item(patches / name, table, rows.get(name)) for name in names if NAME.match(name))
    found = {
        "pictures not named ImNNN_C_patch_K.tif, so left out": odd,
        "rows of the CSV without a patch": sorted(rows.keys() - set(names)),
        "patches without a row in the CSV, so without a label": [name for name in names if rows and name not in rows],
    }
    return Dataset(items, (*problems, *told(found)))


def _table(places: tuple[Path, ...], problems: list[str]) -> Path | None:
    for place in places:
        names = [name for name in listing(place).files if TABLE.search(name)]
        problems += told({f"CSV files of patches, of which {names[0]} is taken": names}) if len(names) > 1 else []
        if names:
            return place / names[0]
    problems.append("the CSV of the patches is missing (ALL_IDB1_patches_*.csv): no labels and no cells are known")
    return None


def _rows(table: Path | None, problems: list[str]) -> Mapping[str, AllIdbPatch]:
    if table is None:
        return {}
    try:
        return all_idb_patches_index(table)
    except AnnotationError as error:
        problems.append(f"no labels and no cells are known: {error}")
        return {}


def _item(path: Path, table: Path | None, row: AllIdbPatch | None) -> SlideItem:
    name = NAME.match(path.name)
    located = row is not None and row.blast_xy is not None and row.other_xy is not None
    marks = (AnnotationFile(str(table), format="all_idb_patches", image=path.name),) if located else ()
    return SlideItem(
        path=str(path),
        annotations=marks,
        layout=ALL_IDB_PATCHES.name,
        unit="patch",
        group=name["image"] if name else None,
        group_kind="slide" if name else None,
        label=LABELS[row.blast, row.other] if row is not None else None,
        classes=ALL_IDB_CLASSES,
        licence=LICENCE,
        attributes=(("diagnosis", DIAGNOSES[name["diagnosis"]]),) if name else (),
    )


ALL_IDB_PATCHES = Layout(
    "all-idb-patches",
    "ALL-IDB Patches: 256 px patches of ALL-IDB1 with the cells in each (Genovese and others, 2023)",
    "patch",
    LICENCE,
    _recognise,
    _read,
)
