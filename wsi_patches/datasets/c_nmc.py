"""C-NMC 2019: single cells of patients with acute lymphoblastic leukemia and of healthy people, on black.

Training pictures lie in ``fold_N/all`` and ``fold_N/hem`` and are named ``UID_<subject>_<image>_<cell>_<all or hem>``;
a healthy subject's key begins with H, and is another subject than the one of the same number. The preliminary test is
numbered, ``phase2/1.bmp``, and a table says which picture each was; the final test is numbered, and its labels are not
published. Mirrors call the folders otherwise, so files are known by their names. Source: the layout that
github.com/jprellberg/isbi2019cancer describes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wsi_patches.datasets.folders import PICTURES, Listing, listing, suffix
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.label_table import read_rows
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told
from wsi_patches.slides import SUFFIXES

__all__ = ["C_NMC"]

NAME = re.compile(r"^UID_(?P<subject>H?\d+)_\d+_\d+_(?P<label>all|hem)\.\w+$", re.IGNORECASE)
NUMBER = re.compile(r"^\d+\.\w+$")
TABLE = re.compile(r"^(phase2|.*prelim.*)\.csv$", re.IGNORECASE)
PRELIMINARY = re.compile(r"^phase2$|prelim", re.IGNORECASE)
FINAL = re.compile(r"^phase3$|final", re.IGNORECASE)
FOLD = re.compile(r"^fold_\d+$", re.IGNORECASE)
LABELS = {"all": "ALL", "hem": "healthy"}
LICENCE = "believed CC BY 3.0 (TCIA), check before use"
SCANS = SUFFIXES - PICTURES
DEEPEST = 4
MOST_FOLDERS = 40
"""The set has under twenty; a tree of more is somebody else's."""


def _walk(folder: Path, depth: int = 0) -> Iterator[tuple[Path, Listing]]:
    """Yield folders and what lies in them, from the top down."""
    there = listing(folder)
    yield folder, there
    if depth < DEEPEST:
        for name in there.folders:
            yield from _walk(folder / name, depth + 1)


def _recognise(folder: Path) -> bool:
    """Say whether pictures are named as those of C-NMC in each folder that has any, and in one they say all."""
    certain = False
    for number, (path, there) in enumerate(_walk(folder)):
        if number >= MOST_FOLDERS or any(suffix(name) in SCANS for name in there.files):
            return False
        for name in there.pictures[:1]:
            if not NAME.match(name) and not _is_numbered(path, name):
                return False
            certain = certain or bool(NAME.match(name))
        certain = certain or any(TABLE.match(name) and _rows(path / name)[0] for name in there.files)
    return certain


def _is_numbered(folder: Path, name: str) -> bool:
    """Say whether a picture is one of a test's, which are numbered."""
    return bool(NUMBER.match(name) and (PRELIMINARY.search(folder.name) or FINAL.search(folder.name)))


def _rows(table: Path) -> tuple[list[list[str]], str | None]:
    return read_rows(table, ("Patient_ID", "new_names", "labels"))


def _read(folder: Path) -> Dataset:
    found, tables = list[tuple[Path, str]](), list[Path]()
    for path, there in _walk(folder):
        found += [(path, name) for name in there.pictures]
        tables += [path / name for name in there.files if TABLE.match(name)]
    named, problems = _named(tables)
    items = {(path, name): _item(path, name, named) for path, name in found}
    preliminary = {name for path, name in found if PRELIMINARY.search(path.name) and NUMBER.match(name)}
    troubles = {
        "pictures not named as those of C-NMC, so left out": [name for (_, name), item in items.items() if not item],
        "pictures of the preliminary test that no table names": sorted(preliminary - named.keys()),
        "rows of the preliminary test's table without a picture": sorted(named.keys() - preliminary),
    }
    return Dataset(tuple(item for item in items.values() if item), (*problems, *told(troubles)))


def _named(tables: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Return the names that the preliminary test's pictures had before they were numbered."""
    named, problems = dict[str, str](), list[str]()
    for table in tables:
        rows, problem = _rows(table)
        wrong = [new for old, new, label in rows if not (match := NAME.match(old)) or _number(match) != label]
        named |= {new: old for old, new, _ in rows if new not in wrong}
        problems += [problem] if problem else []
        problems += told({f"rows of {table.name} whose subject and label do not fit": wrong})
    return named, problems


def _number(match: re.Match[str]) -> str:
    return "1" if match["label"].lower() == "all" else "0"


def _item(folder: Path, name: str, named: dict[str, str]) -> SlideItem | None:
    """Return a picture's item; None if it is not one of C-NMC's."""
    split = next((part.lower() for part in (folder.name, folder.parent.name) if FOLD.match(part)), None)
    if PRELIMINARY.search(folder.name):
        split = "validation"
    elif FINAL.search(folder.name):
        split = "test"
    match = NAME.match(named.get(name, name) if split == "validation" else name)
    if match is None and not _is_numbered(folder, name):
        return None
    return SlideItem(
        path=str(folder / name),
        layout=C_NMC.name,
        unit="cell",
        group=match["subject"].upper() if match else None,
        group_kind="patient" if match else None,
        label=LABELS[match["label"].lower()] if match else None,
        split=split,
        licence=LICENCE,
    )


C_NMC = Layout(
    "c-nmc",
    "C-NMC 2019: single cells, acute lymphoblastic leukemia and healthy (Gupta and Gupta, SBILab, TCIA)",
    "cell",
    LICENCE,
    _recognise,
    _read,
)
