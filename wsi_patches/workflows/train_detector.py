"""``wsi-patches train all_idb1_detector --data FOLDER``: marked fields into a detector, and how good it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.regions import Regions
from wsi_patches.cells import Cells
from wsi_patches.counting import assign_points_to_boxes
from wsi_patches.counting.boxes import AS_LINES, square_edges
from wsi_patches.datasets import SlideItem
from wsi_patches.evaluate.detection import FieldDetections, measure_detection
from wsi_patches.evaluate.gallery import DetectionError, detection_errors, detection_gallery
from wsi_patches.evaluate.reliability import fit_recall
from wsi_patches.evaluate.result import Result
from wsi_patches.geometry import Box, Size
from wsi_patches.infer.classify import FINDER_SCORE
from wsi_patches.infer.detect import detect_cells
from wsi_patches.models import LearnedCellFinder
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.detector import CellDetector
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.pipeline import Progress
from wsi_patches.slides import ArraySlide, open_slide
from wsi_patches.train.calibrate import fit_isotonic, fit_slide_shift
from wsi_patches.train.classifier_settings import TEST, TRAIN, VALIDATION
from wsi_patches.train.detector import TrainedDetector, train_detector
from wsi_patches.train.detector_settings import DetectorSettings, NetworkOfBoxes
from wsi_patches.train.marked_fields import SplitField
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import DRAWS, TrainingData, open_training
from wsi_patches.workflows.train_looks import reference_of_fields
from wsi_patches.workflows.train_measured import MeasuredTraining, write_measured

__all__ = [
    "BLASTS",
    "WHITE_CELLS",
    "DetectedTest",
    "DetectorTraining",
    "SeenField",
    "detected_test",
    "detection_scores",
    "train_detector_on_folder",
]

WHITE_CELLS, BLASTS = "white_cells", "blasts"
FIGURES = ("f1", "precision", "recall", "count_mae")
ERROR_PX = 160
"""Side of an error's picture, in the pixels of a field as training held it: two and a half white cells."""


DetectorTraining = MeasuredTraining[TrainedDetector, DetectorCard, Result]
"""What was trained, and how good it is."""


def train_detector_on_folder(
    settings: DetectorSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> DetectorTraining:
    """Train a detector on annotated fields, and measure it on the test split.

    The test slides are opened anew, and cells are detected on them as ``infer`` does it. Parameters and errors are
    those of `train_on_folder`; every white cell of a field must be marked.
    """
    items, notes = open_training(data, out, existing)
    done = detected_test(settings, items, out, existing, progress)
    scored = replace(done.card, scores={**detection_scores(done.results), **done.told})
    return write_measured(settings, done.trained, scored, done.results, out, notes, done.galleries)


class DetectedTest(NamedTuple):
    """A trained detector, and what it finds on the slides of its test split."""

    trained: TrainedDetector
    card: DetectorCard
    """Without scores."""
    results: dict[str, Result]
    """Of white cells and, where they are told, blasts."""
    told: dict[str, float]
    """Further scores: slides, and the epoch."""
    galleries: dict[str, NDArray[np.uint8] | None]
    test: list[SeenField]
    fields: dict[str, list[FieldDetections]]
    """Found and marked cells, by result, in the order of ``test``."""
    kind: str
    """What groups are: patients or slides."""


def detected_test(
    settings: NetworkOfBoxes,
    items: Sequence[SlideItem],
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> DetectedTest:
    """Train a detector and find the cells of its test slides; parameters are those of `train_detector_on_folder`."""
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    finder = LearnedCellFinder.load(device=settings.training.device)
    trained = train_detector(settings, items, out, told, resume=existing.resume, finder=finder)
    device = choose_device(settings.training.device)
    detector = CellDetector.of(trained.network, trained.card, "", finder, device)
    held_out, test = ([_seen(settings, detector, one) for one in trained.of(name)] for name in (VALIDATION, TEST))
    card = _reliable(trained.card, held_out)
    seen = (*trained.of(TRAIN), *trained.of(VALIDATION))
    card = replace(card, reference=reference_of_fields(seen, card, settings.slide_mpp))
    fields = _fields(card, test)
    kind = "patient" if all(one.field.item.group_kind == "patient" for one in test) else "slide"
    results: dict[str, Result] = {
        name: measure_detection(found, draws=DRAWS, seed=settings.split_seed, group_kind=kind)
        for name, found in fields.items()
    }
    told_of = {"test_slides": float(len(test)), "best_epoch": float(trained.best_epoch)}
    galleries = {name: _gallery(test, found) for name, found in fields.items()}
    return DetectedTest(trained, card, results, told_of, galleries, test, fields, kind)


def detection_scores(results: Mapping[str, Result]) -> dict[str, float]:
    """Return the card's figures; the precision of nothing is none."""
    named = {f"test_{name}_{one}": result.metrics[one].value for name, result in results.items() for one in FIGURES}
    return {name: value for name, value in named.items() if np.isfinite(value)}


class SeenField(NamedTuple):
    """What is found on a slide beside what is marked there."""

    field: SplitField
    cells: Cells
    score: NDArray[np.float64]
    """That each is a cell, ``(n,)``."""
    chance: NDArray[np.float64] | None
    """That each is a blast, ``(n,)``; None where only white cells are told."""
    marked: NDArray[np.float64]
    """Boxes of the marked cells, level-0 pixels, ``(m, 4)``."""
    assigned: NDArray[np.int64]
    """Row of the marked cell that each is, -1 for none, ``(n,)``."""


def _seen(settings: NetworkOfBoxes, detector: CellDetector, one: SplitField) -> SeenField:
    """Detect the cells of a slide as ``infer`` does it."""
    with open_slide(one.item.path, mpp=settings.slide_mpp) as slide:
        cells, chance = detect_cells(slide, detector)
        size = slide.info.size
    marked = _marked_edges(one, size)
    cells, chance = _where_known(one, size, cells, chance, marked)
    score = np.asarray(cells.attributes.get(FINDER_SCORE, cells.score), np.float64)
    return SeenField(one, cells, score, chance, marked, assign_points_to_boxes(cells.xy, score, marked))


def _where_known(
    one: SplitField, size: Size, cells: Cells, chance: NDArray[np.float64] | None, marked: NDArray[np.float64]
) -> tuple[Cells, NDArray[np.float64] | None]:
    """Return the found cells without those of which nobody knows whether they are any, since nobody looked there."""
    details = one.marked.details
    if details is None:
        return cells, chance
    unknown = details.regions.scaled(*_step(one, size)).unknown(cells.xy)
    known = ~unknown | Regions(marked, np.empty((0, 4))).unknown(cells.xy)
    return cells.take(known), None if chance is None else chance[known]


def _reliable(card: DetectorCard, held_out: Sequence[SeenField]) -> DetectorCard:
    """Return the card with what the validation split says of how far the detector can be believed."""
    right = [one.assigned >= 0 for one in held_out]
    recall = fit_recall([one.sum() for one in right], [len(one.marked) for one in held_out])
    score, is_cell = np.concatenate([one.score for one in held_out]).astype(np.float32), np.concatenate(right)
    # Where nothing was made up, nothing says which scores are doubtful.
    precision = fit_isotonic(score, is_cell) if is_cell.any() and not is_cell.all() else ()
    card = replace(card, recall=recall, precision=precision)
    if not card.blast_rows or len(card.classes) < 2 or not is_cell.any():
        return card
    said, blast, slides = [], [], []
    for one, found in zip(held_out, right, strict=True):
        if one.chance is not None:
            said.append(one.chance[found])
            blast.append(np.isin(one.field.marked.class_index[one.assigned[found]], card.blast_rows))
            slides += [one.field.id] * int(found.sum())
    shift = fit_slide_shift(np.concatenate(said).astype(np.float32), np.concatenate(blast), np.array(slides, str))
    return replace(card, slide_shift=shift)


def _fields(card: DetectorCard, test: Sequence[SeenField]) -> dict[str, list[FieldDetections]]:
    """Return what is to be measured: white cells and, where they are told, blasts."""
    fields = {WHITE_CELLS: [_field(one, one.cells.xy, one.score, one.marked) for one in test]}
    if card.blast_rows:
        fields[BLASTS] = [
            _field(one, one.cells.xy[rows], (one.score * one.chance)[rows], one.marked[is_blast])
            for one in test
            if one.chance is not None
            for rows, is_blast in [(one.chance >= 0.5, np.isin(one.field.marked.class_index, card.blast_rows))]
        ]
    return fields


def _field(
    one: SeenField, points: NDArray[np.float64], score: NDArray[np.float64], marked: NDArray[np.float64]
) -> FieldDetections:
    assigned = assign_points_to_boxes(points, score, marked)
    return FieldDetections(one.field.id, one.field.group, points, score, assigned, marked)


def _marked_edges(one: SplitField, size: Size) -> NDArray[np.float64]:
    """Return the boxes of a field's marked cells in level-0 pixels, ``(n, 4)``."""
    held = one.marked.field.cells
    step = np.array(_step(one, size) * 2)
    edges = (square_edges(held.x, held.y, held.radius_px) + AS_LINES) * step - AS_LINES
    return np.asarray(edges, np.float64)


def _step(one: SplitField, size: Size) -> tuple[float, float]:
    """Return how many level-0 pixels a pixel of the held field is wide and high."""
    height, width = one.marked.field.image.shape[:2]
    return size.width / width, size.height / height


def _gallery(test: Sequence[SeenField], fields: Sequence[FieldDetections]) -> NDArray[np.uint8] | None:
    errors = detection_errors(fields)
    return detection_gallery(list(_crops(test, errors)), errors)


def _crops(test: Sequence[SeenField], errors: Sequence[DetectionError]) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture around each error, from the fields as training held them."""
    for error in errors:
        one = test[error.field].field
        with open_slide(one.item.path) as slide:
            step_x, step_y = _step(one, slide.info.size)
        x, y = (round(at / step - ERROR_PX / 2) for at, step in ((error.x, step_x), (error.y, step_y)))
        yield ArraySlide(one.marked.field.image).read(Box(x, y, ERROR_PX, ERROR_PX))
