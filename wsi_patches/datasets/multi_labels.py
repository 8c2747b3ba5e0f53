"""Images that bear several labels each: a table of zeros and ones beside a folder, as that of ADP.

The Atlas of Digital Pathology (Hosseini et al., CVPR 2019) names its patches after their slide, as
``001.png_crop_16.png``.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.groups import GroupRule, with_groups
from wsi_patches.datasets.item import SlideItem
from wsi_patches.errors import UsageError

__all__ = ["BEFORE_FIRST_DOT", "LabelAgreement", "MultiLabels", "label_agreement", "read_multi_labels"]

BEFORE_FIRST_DOT = GroupRule(r"^([^.]+)")
"""The slide of a patch as ADP names it."""
VALUES = {"0": 0, "1": 1}


@dataclass(frozen=True)
class MultiLabels:
    """Images, and which of some labels each bears."""

    paths: tuple[str, ...]
    names: tuple[str, ...]
    """The labels."""
    values: NDArray[np.uint8]
    """1 where an image bears a label, else 0; shape ``(images, labels)``."""
    slides: tuple[str, ...]
    """What a split keeps together, one for each image."""

    def __len__(self) -> int:
        return len(self.paths)


class LabelAgreement(NamedTuple):
    """How near said labels come to the true ones, an image each; both of shape ``(images,)``, 0 to 1."""

    equal: NDArray[np.float64]
    """Share of the labels that are said rightly, there or not: its mean is 1 - Hamming loss."""
    jaccard: NDArray[np.float64]
    """Labels that are both true and said, over those that are either; 1 where there are none of these."""


def label_agreement(true: NDArray[np.uint8], said: NDArray[np.bool_]) -> LabelAgreement:
    """Compare labels ``(images, labels)``; an image that bears none, and of which none is said, is right."""
    borne = true.astype(bool)
    either, both = (borne | said).sum(axis=1), (borne & said).sum(axis=1)
    jaccard = np.divide(both, either, out=np.ones(len(true)), where=either > 0)
    return LabelAgreement((borne == said).mean(axis=1), jaccard)


def read_multi_labels(
    table: Path, images: Path, columns: Sequence[str] | None = None, groups: GroupRule = BEFORE_FIRST_DOT
) -> MultiLabels:
    """Read a table of labels: an image's name, and a 0 or 1 for each label.

    Parameters
    ----------
    table
        A CSV file with a header; its first column names the image's file.
    images
        The folder that the files lie in.
    columns
        The labels to read, in the order in which they are wanted; all of the table's if None.
    groups
        Tells the slide, or patient, of an image by its name.

    Raises
    ------
    UsageError
        The table cannot be read, a label is not among its columns, a value is neither 0 nor 1, an image is named twice
        or is not there, or nothing tells its slide.
    """
    header, rows = _rows(table)
    names = tuple(header[1:]) if columns is None else tuple(columns)
    missing = [name for name in names if name not in header[1:]]
    if missing or not names:
        msg = f"{table} has no column {', '.join(missing) or 'of labels'}; it has {', '.join(header)}"
        raise UsageError(msg)
    places = [header.index(name, 1) for name in names]
    values = [[_value(table, line, row, place, header) for place in places] for line, row in rows]
    paths = _paths(table, images, [row[0] for _, row in rows])
    return MultiLabels(paths, names, np.array(values, np.uint8), _slides(paths, groups))


def _rows(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and each row with its line's number."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table} cannot be read as CSV: {error}"
        raise UsageError(msg) from error
    if len(rows) < 2:
        msg = f"{table} names no image: it needs a header, and a row for each image"
        raise UsageError(msg)
    return rows[0][1], rows[1:]


def _value(table: Path, line: int, row: list[str], place: int, header: list[str]) -> int:
    found = row[place] if place < len(row) else ""
    if found not in VALUES:
        msg = f"{table}, line {line}: {header[place]} of {row[0]} is {found!r}, and a label is 0 or 1"
        raise UsageError(msg)
    return VALUES[found]


def _paths(table: Path, images: Path, names: Sequence[str]) -> tuple[str, ...]:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        msg = f"{table} names {len(twice)} images more than once, such as {twice[0]}: leave one row of each"
        raise UsageError(msg)
    absent = [name for name in names if not (images / name).is_file()]
    if absent:
        msg = (
            f"{len(absent)} of {len(names)} images that {table} names are not in {images}, such as {absent[0]}: "
            "put them there, or take their rows out of the table"
        )
        raise UsageError(msg)
    return tuple(str(images / name) for name in names)


def _slides(paths: Sequence[str], groups: GroupRule) -> tuple[str, ...]:
    items = with_groups([SlideItem(path) for path in paths], groups)
    untold = [item.path for item in items if item.group is None]
    if untold:
        found = f"nothing tells the slide of {len(untold)} of {len(paths)} images, such as {untold[0]}"
        msg = f"{found}: give --group-pattern or --group-table"
        raise UsageError(msg)
    return tuple(str(item.group) for item in items)
