"""Boxes of the cells of a slide, from a detector or from a finder, with the class of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations import BOX_COLUMNS
from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.counting import CellFinder
from wsi_patches.counting.boxes import (
    BoxFinder,
    SlideBoxes,
    TypeFinder,
    boxes_of,
    columns_of,
    merge_boxes,
    square_edges,
    table_of,
)
from wsi_patches.counting.slide_counts import FinderReliability
from wsi_patches.counting.windows import Prepared, cells_of, circles_of, windows_of
from wsi_patches.infer.classify import FINDER_SCORE
from wsi_patches.infer.finder import CLASSICAL, load_finder
from wsi_patches.infer.types import CHANCE, TYPE, TYPE_SCORE
from wsi_patches.models.table import DEFAULT_FINDER, MODELS
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models.detector_card import DetectorCard

__all__ = ["DETECTED", "ChosenDetector", "detect_cells", "detected", "load_detector", "search"]

BLAST = ALL_IDB_CLASSES[0]
DETECTED = "detector"
"""The method: cells that were found with their boxes."""


@dataclass(frozen=True)
class ChosenDetector:
    """What finds cells with their boxes, and what a report says of it."""

    detector: CellFinder[Any]
    """A detector, or a finder, whose cells get square boxes and no class."""
    name: str
    sha256: str = ""
    """Of its weights, if it has any."""
    card: DetectorCard | None = None
    """Of a detector."""
    reliability: FinderReliability | None = None
    """What is known of how often it is right; None where nobody measured it."""


@lru_cache(maxsize=2)
def load_detector(name_or_file: str = DEFAULT_FINDER, device: str = "auto", precision: str = "auto") -> ChosenDetector:
    """Return what finds cells with their boxes; each process loads it once.

    Parameters
    ----------
    name_or_file
        The weight file of a detector; or a finder, by name or file, whose cells are boxed by their radius and have no
        class.
    device, precision
        Where, and in which arithmetic, a network runs.

    Raises
    ------
    ModelError
        There is no such model, or its file cannot be used.
    UsageError
        The device or its precision is not there.
    """
    if _is_finder(name_or_file):
        finder = load_finder(name_or_file, device, precision)
        return ChosenDetector(finder.finder, finder.name, finder.sha256, reliability=finder.reliability)
    from wsi_patches.models.detector import CellDetector

    detector = CellDetector.load(Path(name_or_file), device, precision)
    card = detector.card
    measured = None if card.recall is None else FinderReliability(card.recall, card.precision)
    return ChosenDetector(detector, card.name, detector.sha256, card, measured)


def _is_finder(name_or_file: str) -> bool:
    if name_or_file == CLASSICAL or name_or_file in MODELS:
        return True
    from wsi_patches.models.weights import kind_of

    return Path(name_or_file).is_file() and kind_of(name_or_file) == "finder"


def detect_cells(
    slide: Slide,
    detector: CellFinder[Any],
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Cells, NDArray[np.float64] | None]:
    """Find the cells of a slide with their boxes, window by window, each cell once.

    Parameters
    ----------
    slide
        The open slide, or a store's patches put together.
    detector
        A `BoxFinder`; of any other finder, boxes are the squares around its circles.
    on_progress
        Called with windows done and windows in all.

    Returns
    -------
    cells
        Level-0 pixels, with ``radius_px`` and the boxes' ``left_px``, ``top_px``, ``right_px`` and ``bottom_px``, first
        and last pixel, both inclusive. Of the classes ``blast`` and ``other``, the score being the probability of the
        class and ``finder_score`` that there is a cell; or of the class ``white_cell``, the score being the latter.
        Of a detector of types they have ``type`` and ``type_score`` besides, of one of attributes a column of texts for
        each.
    probabilities
        Of being a blast, for each cell, ``(n,)``; None where the class is ``white_cell``.

    Raises
    ------
    SlideError
        Pixels cannot be read.
    """
    return detected(detector, search(slide, detector, on_progress=on_progress))


def search(
    slide: Slide,
    finder: CellFinder[Any],
    prepared: Prepared | None = None,
    part: range | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Return what some of a slide's windows answer for, one row each, as `detected` and `cells_of` take them.

    Parameters are those of `wsi_patches.counting.windows.windows_of`.
    """
    windows = windows_of(slide, finder, on_progress=on_progress, prepared=prepared, part=part)
    return table_of(windows, columns_of(finder)) if isinstance(finder, BoxFinder) else circles_of(windows)


def detected(detector: CellFinder[Any], table: NDArray[np.float64]) -> tuple[Cells, NDArray[np.float64] | None]:
    """Return the cells of a slide from what all its windows answer for, as `detect_cells` does."""
    if not isinstance(detector, BoxFinder):
        cells = cells_of(table)
        edges = square_edges(cells.x, cells.y, cells.attributes["radius_px"])
        kept = merge_boxes(edges, cells.score)
        return _with_boxes(cells.take(kept), edges[kept]), None
    names = detector.class_names
    found = boxes_of(table, len(names))
    edges, xy = found.edges, (found.edges[:, :2] + found.edges[:, 2:]) / 2
    radius = np.sqrt(np.prod(edges[:, 2:] - edges[:, :2] + 1, axis=1)) / 2
    types = detector.blast_names if isinstance(detector, TypeFinder) else None
    classes = names if types is None else (WHITE_CELL,)
    cells = _with_boxes(Cells.at(xy, classes, score=found.score, radius_px=radius), edges)
    if isinstance(detector, TypeFinder):
        cells = replace(cells, attributes={**cells.attributes, **_attributes(found, detector)})
    if types:
        return _told(cells, found.probabilities[:, np.isin(names, types)].sum(axis=1))
    return _told(cells, found.probabilities[:, names.index(BLAST)]) if names == ALL_IDB_CLASSES else (cells, None)


def _attributes(found: SlideBoxes, detector: TypeFinder[Any]) -> dict[str, NDArray[Any]]:
    """Return the likeliest type of each cell, where types are told, and the likeliest value of each attribute."""
    columns: dict[str, NDArray[Any]] = {}
    if detector.blast_names is not None:
        names, best = detector.class_names, found.probabilities.argmax(axis=1)
        columns = {TYPE: np.array(names, str)[best], TYPE_SCORE: found.probabilities.max(axis=1)}
        columns |= {f"{CHANCE}{name}": found.probabilities[:, column] for column, name in enumerate(names)}
    first = 0
    for name, values in detector.attribute_values.items():
        chances = found.attributes[:, first : first + len(values)]
        columns[name] = np.array(values, str)[chances.argmax(axis=1)]
        first += len(values)
    return columns


def _with_boxes(cells: Cells, edges: NDArray[np.float64]) -> Cells:
    return replace(cells, attributes={**cells.attributes, **dict(zip(BOX_COLUMNS, edges.T, strict=True))})


def _told(cells: Cells, blast: NDArray[np.float64]) -> tuple[Cells, NDArray[np.float64]]:
    """Return cells with their likelier class and its probability as score, and the probability of being a blast."""
    is_other = (blast < 0.5).astype(np.int32)
    score = np.where(is_other, 1 - blast, blast).astype(np.float32)
    attributes = {**cells.attributes, FINDER_SCORE: cells.score}
    told = replace(cells, class_index=is_other, score=score, attributes=attributes, class_names=ALL_IDB_CLASSES)
    return told, blast
