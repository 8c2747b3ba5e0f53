"""Types of cells: what a classifier of many types says of each cell, and how many of each type a slide holds.

Which types are blasts is said by the model's card, or by their names; counts of blasts go by that alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.words import HEMATOGONE, NOT_WHITE_CELLS, blast_or_other, our_class, unclear
from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.errors import ModelError
from wsi_patches.outcome import SlideReport

if TYPE_CHECKING:
    from wsi_patches.models.card import ModelCard
    from wsi_patches.models.detector_card import DetectorCard

__all__ = ["TYPE", "TYPES", "TYPE_SCORE", "are_blasts", "tells_types", "type_columns", "with_types"]

TYPE, TYPE_SCORE = "type", "type_score"
"""Attributes of cells: the most probable type, and its probability."""
TYPES = "types"
"""What the counts of types are called in a report's ``extra``."""
CHANCE = "chance of "
"""Attributes that hold each type's probability until the slide's expected counts are known; no file has them."""
BLAST, OTHER = ALL_IDB_CLASSES


def tells_types(card: ModelCard | DetectorCard) -> bool:
    """Say whether a classifier tells more than blast and other."""
    return card.classes != ALL_IDB_CLASSES


def are_blasts(card: ModelCard | DetectorCard, model: str = "") -> NDArray[np.bool_]:
    """Return which of a classifier's classes are blasts, shape ``(classes,)``.

    Parameters
    ----------
    card
        Of the classifier; what it says of its blasts wins over the names of its classes.
    model
        What the user called it, for the message.

    Raises
    ------
    ModelError
        Neither the card nor the names say which are blasts, or none is.
    """
    if card.blasts is not None:
        return np.isin(card.classes, card.blasts)
    found, doubtful = ", ".join(card.classes), unclear(card.classes)
    said = np.array([blast_or_other(name) == BLAST for name in card.classes])
    if doubtful or not said.any():
        why = f"which may or may not be blasts: {', '.join(doubtful)}" if doubtful else "none of which is a blast"
        msg = (
            f"model {model or card.name} tells {found}; counting blasts needs one that tells "
            f"{', '.join(ALL_IDB_CLASSES)}, or types of which it is known which are blasts ({why}): train it by a "
            "recipe whose `classes:` call each of its labels blast or other, or measure this one on labelled patches "
            "with wsi-patches evaluate"
        )
        raise ModelError(msg)
    return said


def type_columns(card: ModelCard | DetectorCard, probabilities: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return attributes of cells, shape ``(n,)`` each, of the types' probabilities ``(n, types)``."""
    best = probabilities.argmax(axis=1)
    chances = {f"{CHANCE}{name}": probabilities[:, column] for column, name in enumerate(card.classes)}
    return {TYPE: np.array(card.classes, str)[best], TYPE_SCORE: probabilities.max(axis=1), **chances}


def with_types(report: SlideReport, cells: Cells, card: ModelCard | DetectorCard) -> tuple[SlideReport, Cells]:
    """Return a report with the counts of a slide's types, and the cells without the columns that made them.

    The report's ``extra`` gets ``types``: the names, how many cells are most probably of each, how many are expected by
    the calibrated probabilities, and what the card says of blasts and of types that are taken for each other.
    """
    if not tells_types(card):
        return report, cells
    counts = [int(np.count_nonzero(cells.attributes[TYPE] == name)) for name in card.classes]
    expected = [round(float(cells.attributes[f"{CHANCE}{name}"].sum(dtype=np.float64)), 4) for name in card.classes]
    blasts = [name for name, is_one in zip(card.classes, are_blasts(card).tolist(), strict=True) if is_one]
    types: Mapping[str, object] = {
        "names": list(card.classes),
        "counts": counts,
        "expected": expected,
        "blasts": blasts,
        "confusion": [list(row) for row in card.confusion],
    }
    kept = {name: column for name, column in cells.attributes.items() if not name.startswith(CHANCE)}
    told = (*_no_white_cells(card.classes, counts), *_hematogones(card.classes, counts, blasts))
    warnings = (*report.warnings, *told)
    return replace(report, extra={**report.extra, TYPES: types}, warnings=warnings), replace(cells, attributes=kept)


def _hematogones(names: Sequence[str], counts: Sequence[int], blasts: Sequence[str]) -> list[str]:
    """Return a sentence on normal precursors, which look like blasts and must not be taken for them unseen."""
    told = []
    for name, n in zip(names, counts, strict=True):
        if n and our_class(name) == HEMATOGONE:
            among = "blasts, as the model says" if name in blasts else "other white cells, and not among the blasts"
            told.append(
                f"{n} cells are by their type hematogones, normal precursors of B cells: counted among the {among}"
            )
    return told


def _no_white_cells(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Return a sentence on found cells whose type says that they are none."""
    told = [f"{n} {name}" for name, n in zip(names, counts, strict=True) if n and our_class(name) in NOT_WHITE_CELLS]
    return [f"among the white cells that were found are, by their type, {', '.join(told)}"] if told else []
