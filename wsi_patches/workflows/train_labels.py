"""``wsi-patches train allnet_adp --data FOLDER``: patches of tissue with many labels into weights to start from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.datasets.label_folder import find_label_table
from wsi_patches.datasets.multi_labels import BEFORE_FIRST_DOT, read_multi_labels
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.labels import LabelPredictions, LabelsResult, measure_labels
from wsi_patches.models.card import LabelCard
from wsi_patches.models.weights import save_weights
from wsi_patches.pipeline import Progress
from wsi_patches.stores.files import write_json
from wsi_patches.train.curves import write_training_page
from wsi_patches.train.label_set import cut_labels
from wsi_patches.train.label_settings import LabelSettings
from wsi_patches.train.labels import TrainedLabels, train_labels
from wsi_patches.train.logs import HISTORY
from wsi_patches.workflows.evaluation_files import write_evaluation
from wsi_patches.workflows.output import Existing, check_output
from wsi_patches.workflows.train_folder import TrainingData, plain

__all__ = ["LabelTraining", "train_labels_on_folder"]

DRAWS = 1000
"""Of the bootstrap over slides."""
WEIGHTS = "weights.safetensors"
SPLIT = "test_split"


@dataclass(frozen=True)
class LabelTraining:
    """What was trained, and how good it is."""

    trained: TrainedLabels
    card: LabelCard
    """With its scores."""
    weights: Path
    """The weight file, its card within."""
    page: Path
    """Curves and settings."""
    results: Mapping[str, LabelsResult]
    """On the test split."""
    evaluations: Mapping[str, Path]
    """The page of the test split."""
    notes: tuple[str, ...] = ()

    @property
    def baselines(self) -> Mapping[str, ClassificationResult]:
        """Nothing simpler is measured."""
        return {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        return self.trained.warnings


def train_labels_on_folder(
    settings: LabelSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> LabelTraining:
    """Train a network on images with many labels, and measure it on slides that it never saw.

    Parameters
    ----------
    settings
        What to train, and how.
    data
        One folder, which holds a table of labels and the images that it names.
    out
        The folder to write: ``weights.safetensors``, ``card.json``, the split, the curves, and ``test/``.
    existing
        What to do with a training that is there.
    progress
        Told how many images are read, then how many epochs are done.

    Raises
    ------
    UsageError
        What was asked cannot be done.
    ModelError
        The training diverged.
    OutputExists
        There is a training, and it is neither to be resumed nor replaced.
    """
    if len(data.inputs) != 1 or data.annotations is not None:
        msg = "task: labels learns from one folder, given with --data: a table of labels (CSV) and its images"
        raise UsageError(msg)
    ours = any((out / name).exists() for name in (HISTORY, WEIGHTS, "checkpoint.pt"))
    there = check_output(out, existing, ours=ours, what="a training")
    table, images = find_label_table(data.inputs[0])
    rule = BEFORE_FIRST_DOT if data.groups == GroupRule() else data.groups
    labels = read_multi_labels(table, images, settings.columns, rule)
    if there and existing.overwrite:
        shutil.rmtree(out)
    patches = cut_labels(settings, labels, out, progress)
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    trained = train_labels(settings, patches, out, told, resume=existing.resume)
    return _written(settings, trained, _measured(trained, settings.split_seed), out)


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


def _written(settings: LabelSettings, trained: TrainedLabels, result: LabelsResult, out: Path) -> LabelTraining:
    """Write the model, what it was measured at, and, last, the page."""
    scores = {f"test_{name}": metric.value for name, metric in result.metrics.items() if not np.isnan(metric.value)}
    counts = {"test_images": float(len(trained.test)), "best_epoch": float(trained.best_epoch)}
    card = replace(trained.card, scores={**scores, **counts})
    save_weights(out / WEIGHTS, trained.network, card)
    write_json(out / "card.json", card.to_dict(), durable=False)
    told = {"Model": card.title, "Trained on": card.trained_on, "Split": card.split, "Limits": card.limits}
    evaluation = write_evaluation(out / "test", f"{card.name} on its test split", result, details=told)
    page, details = out / "training.html", {name: plain(value) for name, value in asdict(settings).items()}
    said = {"Scores on the test split": ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items())}
    title = f"Training of {card.name}"
    write_training_page(page, title, trained.history, trained.best_epoch, {**told, **said, **details}, trained.warnings)
    return LabelTraining(trained, card, out / WEIGHTS, page, {SPLIT: result}, {SPLIT: evaluation})
