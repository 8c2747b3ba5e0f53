"""Single white cells with masks: ``Dataset 1/001.bmp`` and ``001.png``, classes in ``Class Labels of Dataset 1.csv``.

In a mask the nucleus is white, the cytoplasm grey and everything else black. Source: Zheng and others, DOI
10.1016/j.micron.2018.01.010, github.com/zxaoyou/segmentation_WBC.
"""

from __future__ import annotations

import re
from pathlib import Path

from wsi_patches.annotations import AnnotationFile
from wsi_patches.datasets.folders import listing, stem, suffix
from wsi_patches.datasets.item import SlideItem
from wsi_patches.datasets.label_table import read_rows
from wsi_patches.datasets.layout import Dataset, Layout
from wsi_patches.datasets.sentences import told

__all__ = ["WHITE_CELL_MASKS"]

FOLDER = re.compile(r"^Dataset \d+$", re.IGNORECASE)
NAME = re.compile(r"^\d+$")
CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")
"""In the order of the table's numbers, which begin at 1."""
LICENCE = "see LICENSE in its repository (zxaoyou/segmentation_WBC)"


def _table(folder: Path, part: str) -> Path | None:
    wanted = f"class labels of {part}.csv".lower()
    return next((folder / name for name in listing(folder).files if name.lower() == wanted), None)


def _parts(folder: Path) -> list[str]:
    return [name for name in listing(folder).folders if FOLDER.match(name)]


def _recognise(folder: Path) -> bool:
    for part in _parts(folder):
        files = listing(folder / part).files
        cells = {stem(name) for name in files if suffix(name) == ".bmp" and NAME.match(stem(name))}
        if cells & {stem(name) for name in files if suffix(name) == ".png"}:
            return True
    return False


def _read(folder: Path) -> Dataset:
    items, problems = list[SlideItem](), list[str]()
    for part in _parts(folder):
        labels = _labels(folder, part, problems)
        files = listing(folder / part).files
        masks = {stem(name): str(folder / part / name) for name in files if suffix(name) == ".png"}
        cells = {stem(name): name for name in files if suffix(name) == ".bmp"}
        items += [_item(folder / part / name, masks.get(key), labels.get(_key(key))) for key, name in cells.items()]
        problems += _unpaired(part, set(cells), set(masks), set(labels))
    return Dataset(tuple(items), tuple(problems))


def _key(number: str) -> str:
    """Return a picture's number as the table writes it: 1 for 001."""
    return number.lstrip("0") or "0"


def _labels(folder: Path, part: str, problems: list[str]) -> dict[str, str]:
    table = _table(folder, part)
    if table is None:
        problems.append(f"Class Labels of {part}.csv is missing: the classes of {part} are not known")
        return {}
    rows, problem = read_rows(table, ("image ID", "class label"))
    numbers = {str(number): name for number, name in enumerate(CLASSES, start=1)}
    wrong = [f"{image},{number}" for image, number in rows if number not in numbers]
    problems += [problem] if problem else []
    problems += told({f"rows of {table.name} without a class of 1 to 5": wrong})
    return {_key(image): numbers[number] for image, number in rows if number in numbers}


def _unpaired(part: str, cells: set[str], masks: set[str], labelled: set[str]) -> list[str]:
    keys = {_key(cell) for cell in cells}
    found = {
        "pictures without a mask": cells - masks,
        "masks without a picture": masks - cells,
        "rows of the table without a picture": labelled - keys,
        "pictures without a row in the table": {cell for cell in cells if labelled and _key(cell) not in labelled},
    }
    return told({f"{part}, {what}": sorted(names) for what, names in found.items()})


def _item(path: Path, mask: str | None, label: str | None) -> SlideItem:
    marks = (AnnotationFile(mask, format="mask", class_name=label),) if mask and label else ()
    return SlideItem(
        path=str(path),
        annotations=marks,
        layout=WHITE_CELL_MASKS.name,
        unit="cell",
        label=label,
        classes=CLASSES,
        licence=LICENCE,
        attributes=(("part", path.parent.name), *((("mask", mask),) if mask else ())),
    )


WHITE_CELL_MASKS = Layout(
    "wbc-masks",
    "White cells with masks of nucleus and cytoplasm (Zheng and others, 2018)",
    "cell",
    LICENCE,
    _recognise,
    _read,
)
