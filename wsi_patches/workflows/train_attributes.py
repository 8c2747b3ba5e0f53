"""``wsi-patches train leukemia_attri --data FOLDER``: a detector of types and attributes, measured by each domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.attributes import attribute_numbers
from wsi_patches.evaluate.attributes import MEAN, AttributesResult, ToldCells, measure_attributes
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.detection import FieldDetections, measure_detection
from wsi_patches.evaluate.domains import DOMAINS, DomainFigures, domain_rows, write_domains
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.result import Result
from wsi_patches.infer.types import CHANCE
from wsi_patches.pipeline import Progress
from wsi_patches.train.attribute_settings import AttributeDetectorSettings, domain_of
from wsi_patches.train.classifier_settings import TRAIN
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_detector import (
    WHITE_CELLS,
    DetectedTest,
    DetectorTraining,
    SeenField,
    detected_test,
    detection_scores,
)
from wsi_patches.workflows.train_folder import DRAWS, TrainingData, open_training
from wsi_patches.workflows.train_measured import write_measured

__all__ = ["train_attributes_on_folder"]

ATTRIBUTES, TYPES = "attributes", "types"
ACROSS = "By the domain of the slides that are measured"
NOBODY_LOOKED = (
    "only some cells of the test fields are marked: what is found and not marked counts for nothing where the shipped "
    "finder sees a cell too, so precision flatters"
)


def train_attributes_on_folder(
    settings: AttributeDetectorSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> DetectorTraining:
    """Train a detector of types and attributes on fields that may be marked in part, and measure it on the test split.

    The results are those of a detector, the types and attributes of the cells that were found, and ``domains.csv``, a
    table across domains, also on the page of the white cells. Parameters and errors are those of `train_on_folder`.
    """
    items, notes = open_training(data, out, existing)
    settings = settings.for_items(items)
    done = detected_test(settings, settings.grouped(items), out, existing, progress)
    settings = settings.telling(done.card.attributes)
    learnt = settings.learnt(done.trained.fields)
    card = replace(done.card, learnt_domains=learnt)
    results: dict[str, Result] = {**done.results, **_told_results(settings, done)}
    domains = _by_domain(settings, done, learnt)
    scores = {**detection_scores(done.results), **done.told, **_scores(results)}
    more = () if settings.unmarked == "background" else (NOBODY_LOOKED,)
    tables = {WHITE_CELLS: {ACROSS: domain_rows(domains)}} if any(one.domain for one in domains) else {}
    training = write_measured(
        settings,
        done.trained,
        replace(card, scores=scores),
        results,
        out,
        (*notes, *more),
        done.galleries,
        tables=tables,
    )
    write_domains(out / "test" / DOMAINS, domains)
    return training


def _scores(results: dict[str, Result]) -> dict[str, float]:
    named = {
        f"test_{ATTRIBUTES}_{MEAN}": (ATTRIBUTES, MEAN),
        f"test_{TYPES}_balanced_accuracy": (TYPES, "balanced_accuracy"),
    }
    told = {name: results[of].metrics[one].value for name, (of, one) in named.items() if of in results}
    return {name: value for name, value in told.items() if np.isfinite(value)}


def _told_results(settings: AttributeDetectorSettings, done: DetectedTest) -> dict[str, Result]:
    """Return the figures of the attributes and of the types, over the cells that were found and are marked."""
    cells, results = _told_cells(settings, done, range(len(done.test))), dict[str, Result]()
    attributes = _measured_attributes(settings, done, cells)
    if attributes is not None:
        results[ATTRIBUTES] = attributes
    types = _measured_types(settings, done)
    return results if types is None else {**results, TYPES: types}


def _measured_attributes(
    settings: AttributeDetectorSettings, done: DetectedTest, cells: ToldCells
) -> AttributesResult | None:
    """Return the figures of the attributes; None where none is told, or known of any cell."""
    values = {one.name: len(one.values) for one in settings.morphology}
    if not any((column >= 0).any() for column in cells.true.values()):
        return None
    return measure_attributes(cells, values, draws=DRAWS, seed=settings.split_seed, group_kind=done.kind)


def _told_cells(settings: AttributeDetectorSettings, done: DetectedTest, rows: Sequence[int]) -> ToldCells:
    """Return what is marked and said of the attributes of the cells that were found on some test slides."""
    none = np.empty((0, len(settings.morphology)), np.int64)
    true, said, groups = [none], [none], list[str]()
    for row in rows:
        one = done.test[row]
        found = np.flatnonzero(one.assigned >= 0)
        details = one.field.marked.details
        assert details is not None
        true.append(details.attributes[one.assigned[found]])
        said.append(attribute_numbers(one.cells.take(found), settings.morphology))
        groups += [one.field.group] * len(found)
    names = [one.name for one in settings.morphology]
    marked, told = (dict(zip(names, np.concatenate(table).T, strict=True)) for table in (true, said))
    return ToldCells(np.array(groups, str), marked, told, _usual(settings, done))


def _usual(settings: AttributeDetectorSettings, done: DetectedTest) -> dict[str, int]:
    """Return the value of each attribute that the cells learnt from mostly have."""
    learnt = [one.marked.details.attributes for one in done.trained.of(TRAIN) if one.marked.details is not None]
    table = np.concatenate(learnt)
    usual = {}
    for column, one in enumerate(settings.morphology):
        known = table[table[:, column] >= 0, column]
        if len(known):
            usual[one.name] = int(np.bincount(known).argmax())
    return usual


def _measured_types(settings: AttributeDetectorSettings, done: DetectedTest) -> ClassificationResult | None:
    """Return the figures of the types of the cells that were found; None where there is one type, or no cell."""
    parts = [_predicted(one, settings.types) for one in done.test]
    truth = np.concatenate([one for one, _ in parts])
    if len(settings.types) < 2 or not len(truth):
        return None
    ids = [f"{one.field.id}#{row}" for one, (true, _) in zip(done.test, parts, strict=True) for row in range(len(true))]
    groups = np.repeat([one.field.group for one in done.test], [len(true) for true, _ in parts])
    chances = np.concatenate([said for _, said in parts])
    said = Predictions(settings.types, np.array(ids, str), groups, truth.astype(np.int32), chances.astype(np.float32))
    return measure_classes(said, draws=DRAWS, seed=settings.split_seed, group_kind=done.kind, unit="cell")


def _predicted(one: SeenField, types: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the marked type of each cell that was found, and the probabilities of all types."""
    found = np.flatnonzero(one.assigned >= 0)
    chances = np.stack([one.cells.attributes[f"{CHANCE}{name}"][found] for name in types], axis=1)
    return one.field.marked.class_index[one.assigned[found]], chances


def _by_domain(settings: AttributeDetectorSettings, done: DetectedTest, learnt: Sequence[str]) -> list[DomainFigures]:
    """Return the figures of each domain of the test slides, in the order of their names."""
    of = [domain_of(one.field.item) for one in done.test]
    figures = []
    for domain in sorted(set(of)):
        rows = [row for row, name in enumerate(of) if name == domain]
        fields: list[FieldDetections] = [done.fields[WHITE_CELLS][row] for row in rows]
        cells = measure_detection(fields, draws=DRAWS, seed=settings.split_seed, group_kind=done.kind)
        attributes = None
        told = _told_cells(settings, done, rows)
        if len(told.groups):
            attributes = _measured_attributes(settings, done, told)
        figures.append(DomainFigures(domain, domain in learnt or not domain, cells, attributes))
    return figures
