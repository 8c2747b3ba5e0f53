"""``wsi-patches train all_idb1_counts --data FOLDER``: marked fields into a counter, and how far its counts are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL
from wsi_patches.evaluate.slides import SlideCounts, SlidesResult, measure_slides
from wsi_patches.infer.patches import count_patches, slide_figures
from wsi_patches.models.card import CounterCard
from wsi_patches.models.classifier import choose_device
from wsi_patches.models.count_calibration import CountCalibration
from wsi_patches.models.counter import CellCounter
from wsi_patches.outcome import Interval
from wsi_patches.pipeline import Progress
from wsi_patches.slides import open_slide
from wsi_patches.train.classifier_settings import TEST, TRAIN, VALIDATION
from wsi_patches.train.counter import TrainedCounter, train_counter
from wsi_patches.train.counter_settings import CounterSettings
from wsi_patches.train.marked_fields import SplitField
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import DRAWS, TrainingData, open_training
from wsi_patches.workflows.train_looks import reference_of_fields
from wsi_patches.workflows.train_measured import MeasuredTraining, write_measured

__all__ = ["CounterTraining", "train_counter_on_folder"]


CounterTraining = MeasuredTraining[TrainedCounter, CounterCard, SlidesResult]
"""What was trained, and how good it is."""


def train_counter_on_folder(
    settings: CounterSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> CounterTraining:
    """Train a counter on annotated fields, calibrate its intervals, and measure it on the test split.

    Slides of both splits are counted as ``infer`` counts them, without overlap. Parameters and errors are those of
    `train_on_folder`; every white cell of a field must be marked.
    """
    items, notes = open_training(data, out, existing)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    trained = train_counter(settings, items, out, told, resume=existing.resume)
    card = _calibrated(settings, trained)
    seen = (*trained.of(TRAIN), *trained.of(VALIDATION))
    card = replace(card, reference=reference_of_fields(seen, card, settings.slide_mpp))
    test = trained.of(TEST)
    counted = _counted(settings, trained, test)
    results = _measured(trained, card, counted, settings.split_seed)
    scores = {
        f"test_{name}_{figure}": result.metrics[figure].value
        for name, result in results.items()
        for figure in ("count_mae", "count_bias", "interval_coverage")
    }
    card = replace(card, scores={**scores, "test_slides": float(len(test)), "best_epoch": float(trained.best_epoch)})
    return write_measured(settings, trained, card, results, out, notes)


def _counted(settings: CounterSettings, trained: TrainedCounter, fields: Sequence[SplitField]) -> NDArray[np.float64]:
    """Return what the network says of each field, ``(fields, classes)``."""
    device = choose_device(settings.training.device)
    counter = CellCounter.of(trained.network, trained.card, "", device)
    counts = []
    for one in fields:
        with open_slide(one.item.path, mpp=settings.slide_mpp) as slide:
            counts.append(count_patches(slide, one.id, counter, red_px=one.marked.red_cell_px)[1].counts.sum(axis=0))
    return np.array(counts, np.float64)


def _calibrated(settings: CounterSettings, trained: TrainedCounter) -> CounterCard:
    """Return the card with what the validation split says of the counts."""
    fields = trained.of(VALIDATION)
    said, true = _counted(settings, trained, fields), trained.true(fields)
    groups = len({one.group for one in fields})
    classes = trained.card.classes
    calibration = {
        name: CountCalibration.fit(said[:, column], true[:, column], groups) for column, name in enumerate(classes)
    }
    if classes == ALL_IDB_CLASSES:  # all together are the sum of what the classes come to
        factors = np.array([calibration[name].factor for name in classes])
        calibration[WHITE_CELL] = CountCalibration.fit(said @ factors, true.sum(axis=1), groups, factor=1.0)
    return replace(trained.card, calibration=calibration)


def _measured(
    trained: TrainedCounter, card: CounterCard, counted: NDArray[np.float64], seed: int
) -> dict[str, SlidesResult]:
    """Measure the counts of each class, and of all white cells, against what is marked."""
    fields, figures = trained.of(TEST), [slide_figures(one, card) for one in counted]
    true = trained.true(fields).astype(np.float64)
    kind = "patient" if all(one.item.group_kind == "patient" for one in fields) else "slide"
    found: dict[str, tuple[list[Interval], NDArray[np.float64]]] = {
        "white_cells": ([one.white_cells for one in figures], true.sum(axis=1))
    }
    if card.classes == ALL_IDB_CLASSES:
        found["blasts"] = ([one.blasts for one in figures if one.blasts is not None], true[:, 0])
    return {
        name: measure_slides(_columns(fields, intervals, marked), draws=DRAWS, seed=seed, group_kind=kind)
        for name, (intervals, marked) in found.items()
    }


def _columns(fields: Sequence[SplitField], intervals: Sequence[Interval], true: NDArray[np.float64]) -> SlideCounts:
    value, low, high = np.array([(one.value, one.low, one.high) for one in intervals], np.float64).T
    return SlideCounts(
        ids=np.array([one.id for one in fields], str),
        groups=np.array([one.group for one in fields], str),
        predicted=value,
        true=true,
        low=low,
        high=high,
    )
