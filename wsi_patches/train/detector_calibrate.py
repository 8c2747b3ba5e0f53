"""The least score that counts as a cell, and how sure the classes are: chosen on fields that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_patches.counting.boxes import SlideBoxes, find_boxes, square_edges
from wsi_patches.counting.matching import assign_points_to_boxes
from wsi_patches.models.cell_finder import RED_CELL_UM, FieldScale
from wsi_patches.models.detector import CellDetector
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.detector_network import CellDetectorNet
from wsi_patches.slides import ArraySlide
from wsi_patches.train.calibrate import fit_temperature
from wsi_patches.train.counter_fields import CountedField
from wsi_patches.train.finder_fields import HELD_RED_CELL_PX

__all__ = ["best_threshold", "calibrated_card"]

LOWEST, HIGHEST = 0.05, 0.95
"""Of a threshold: validation that is small or found easily would choose a bold one."""
UNKNOWN = 0.3
"""Where no marked cell is found on validation."""


class _Seen(NamedTuple):
    """What is found in fields; columns of length ``n`` over all of them."""

    score: NDArray[np.float64]
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]
    """Class of the marked cell that it is, -1 for none."""


@dataclass(frozen=True)
class _Stated:
    """For fields whose resolution is stated."""

    def calibrate(self, samples: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> FieldScale:  # noqa: ARG002
        return FieldScale(None if mpp is None else RED_CELL_UM / mpp)


def calibrated_card(
    network: CellDetectorNet, card: DetectorCard, fields: Sequence[CountedField], device: torch.device
) -> DetectorCard:
    """Return the card with the threshold of best F1, and the temperature of best likelihood of the classes.

    Parameters
    ----------
    network
        In evaluation mode, on the device.
    card
        Its threshold is the least that may be chosen.
    fields
        That were not trained on, with radii.
    device
        Where the network runs.
    """
    detector = CellDetector.of(network, card, "", _Stated(), device)
    seen = [_seen(detector, one) for one in fields]
    score, logits, truth = (np.concatenate(column) for column in zip(*seen, strict=True))
    threshold = best_threshold(score, truth >= 0, sum(len(one.class_index) for one in fields))
    told = (truth >= 0) & (score >= threshold)
    if len(card.classes) < 2 or not told.any():
        return replace(card, threshold=threshold)
    return replace(card, threshold=threshold, temperature=fit_temperature(logits[told], truth[told].astype(np.int32)))


def best_threshold(score: NDArray[np.float64], right: NDArray[np.bool_], marked: int) -> float:
    """Return the threshold of best F1: half way between the lowest score that is kept and the next one below.

    Parameters
    ----------
    score
        Of found cells, ``(n,)``.
    right
        Whether each is a marked one.
    marked
        How many are marked.
    """
    if not right.any():
        return UNKNOWN
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + marked)
    # Equal scores are kept or left together.
    last = np.append(ranked[:-1] > ranked[1:], True)
    best = int(np.argmax(np.where(last, f1, -1)))
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[best] + below) / 2, LOWEST, HIGHEST))


def _seen(detector: CellDetector, one: CountedField) -> _Seen:
    """Return what is found in a field, and which marked cell each is."""
    slide = ArraySlide(one.field.image, mpp=RED_CELL_UM / HELD_RED_CELL_PX)
    found: SlideBoxes = find_boxes(slide, detector)
    cells = one.field.cells
    boxes = square_edges(cells.x, cells.y, cells.radius_px)
    xy = (found.edges[:, :2] + found.edges[:, 2:]) / 2
    row = assign_points_to_boxes(xy, found.score, boxes)
    truth = np.where(row >= 0, np.append(one.class_index, -1)[row], -1)
    # Whether what is found where nobody looked is a cell, nobody knows.
    told = np.ones(len(row), bool) if one.details is None else (row >= 0) | ~one.details.regions.unknown(xy)
    logits = np.log(np.maximum(found.probabilities, 1e-12)).astype(np.float32)
    return _Seen(found.score[told], logits[told], truth[told])
