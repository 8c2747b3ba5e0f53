"""``wsi-patches train allnet_adp --data FOLDER``: patches of tissue with many labels into weights to start from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.datasets.label_folder import find_label_table
from wsi_patches.datasets.multi_labels import BEFORE_FIRST_DOT, read_multi_labels
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.labels import LabelPredictions, LabelsResult, measure_labels
from wsi_patches.models.card import LabelCard
from wsi_patches.pipeline import Progress
from wsi_patches.train.label_set import cut_labels
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.labels import TrainedLabels, train_labels
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import DRAWS, TEST_SPLIT, TrainingData
from wsi_patches.workflows.train_measured import MeasuredTraining, check_training, write_measured

__all__ = ["LabelTraining", "train_labels_on_folder"]


LabelTraining = MeasuredTraining[TrainedLabels, LabelCard, LabelsResult]
"""What was trained, and how good it is."""


def train_labels_on_folder(
    settings: LabelSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> LabelTraining:
    """Train a network on images with many labels, and measure it on slides that it never saw.

    Parameters and errors are those of `train_on_folder`; the data are one folder, which holds a table of labels and the
    images that it names.
    """
    if len(data.inputs) != 1 or data.annotations is not None:
        msg = "task: labels learns from one folder, given with --data: a table of labels (CSV) and its images"
        raise UsageError(msg)
    there = check_training(out, existing)
    table, images = find_label_table(data.inputs[0])
    rule = BEFORE_FIRST_DOT if data.groups == GroupRule() else data.groups
    labels = read_multi_labels(table, images, settings.columns, rule)
    if there and existing.overwrite:
        shutil.rmtree(out)
    patches = cut_labels(settings, labels, out, progress)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    trained = train_labels(settings, patches, out, told, resume=existing.resume)
    result = _measured(trained, settings.split_seed)
    return write_measured(settings, trained, _with_scores(trained, result), {TEST_SPLIT: result}, out)


def _measured(trained: TrainedLabels, seed: int) -> LabelsResult:
    test, patches = trained.test, trained.test.patches
    said = LabelPredictions(
        names=trained.card.classes,
        ids=patches.ids[test.rows],
        groups=np.array(patches.labels.slides, str)[test.rows],
        true=test.values,
        probabilities=trained.probabilities,
        threshold=trained.card.threshold,
    )
    return measure_labels(said, draws=DRAWS, seed=seed)


def _with_scores(trained: TrainedLabels, result: LabelsResult) -> LabelCard:
    scores = {f"test_{name}": metric.value for name, metric in result.metrics.items() if not np.isnan(metric.value)}
    counts = {"test_images": float(len(trained.test)), "best_epoch": float(trained.best_epoch)}
    return replace(trained.card, scores={**scores, **counts})
