"""ALL-IDB's ``.xyc`` files: one centre a line, ``x y``, counted from 1 as MATLAB does.

Three kinds are read: points of one class (``xyc/`` and ``other/`` of ALL-IDB1), and two kinds of merged file whose
sections begin with a class's name. Tabs or spaces, CRLF, blank lines, trailing blanks, a missing last newline, a
byte-order mark and files of 0 bytes are all taken. Source: the files of ALL-IDB Patches (DOI
10.1109/ICASSPW59220.2023.10193429) and of its 2026 tutorial.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.text import text_of
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import AnnotationError

__all__ = ["read_xyc", "write_xyc"]

SECTIONS = {
    "wbc_probable_lymphoblasts": "blast",
    "other_cases": "other",
    "blasts": "blast",
    "normal": "other",
}


def read_xyc(path: Path, class_name: str | None = None) -> Cells:
    """Read the cells of one file.

    Parameters
    ----------
    path
        The file.
    class_name
        ``blast`` or ``other``: the class of points that no section's name precedes, as in ``xyc/`` and ``other/``.

    Returns
    -------
    Cells in file order with the classes ``blast`` and ``other``, in level-0 pixels counted from 0.

    Raises
    ------
    AnnotationError
        The file cannot be read, a line is no point, or a point has no class; file and line are named.
    """
    rows = _read_rows(path, class_name)
    xy = np.array([(x, y) for x, y, _ in rows], np.float64).reshape(-1, 2)
    return Cells.at(xy - 1, ALL_IDB_CLASSES, [ALL_IDB_CLASSES.index(name) for _, _, name in rows])


def _read_rows(path: Path, class_name: str | None) -> list[tuple[float, float, str]]:
    rows = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) == 1 and words[0].lower() in SECTIONS:
            class_name = SECTIONS[words[0].lower()]
            continue
        rows.append((*_point(words, path, number), _known(class_name, path, number)))
    return rows


def _point(words: list[str], path: Path, number: int) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in words)
    except ValueError:
        x = y = float("nan")
    if not (np.isfinite(x) and np.isfinite(y)):
        msg = f"{path}, line {number}: expected two numbers `x y`, found {' '.join(words)!r}"
        raise AnnotationError(msg)
    return x, y


def _known(class_name: str | None, path: Path, number: int) -> str:
    if class_name not in ALL_IDB_CLASSES:
        msg = f"{path}, line {number}: a point before any of the section names {', '.join(SECTIONS)}"
        raise AnnotationError(msg)
    return class_name


def write_xyc(path: Path, xy: NDArray[np.float64], delimiter: str = "\t") -> None:
    """Write points of one class, level-0 pixels counted from 0, as whole numbers counted from 1."""
    rows = np.floor(np.asarray(xy, np.float64).reshape(-1, 2) + 1.5).astype(int).tolist()
    path.write_text("".join(f"{x}{delimiter}{y}\n" for x, y in rows), encoding="ascii", newline="\n")
