"""``wsi-patches train slide_bags --data STORE``: labelled slides or patients into a model that tells their labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.groups import GroupRule
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.models.bag_card import BagCard
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.pipeline import Progress
from wsi_patches.train.bag_settings import BagSettings
from wsi_patches.train.bag_training import TrainedBags, simpler, train_bags
from wsi_patches.train.bags import Bag, BagSet, mean_vectors
from wsi_patches.train.features import colour_of
from wsi_patches.train.network_settings import TEST
from wsi_patches.train.store_patches import StorePatches, some_of
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.probe import COLOUR
from wsi_patches.workflows.store_bags import describe_stores, find_store_bags
from wsi_patches.workflows.train_folder import DRAWS, TEST_SPLIT, TrainingData
from wsi_patches.workflows.train_measured import MeasuredTraining, check_training, write_measured

__all__ = ["MEAN", "BagTraining", "bag_set", "bag_vectors", "train_bags_on_stores"]

BagTraining = MeasuredTraining[TrainedBags, BagCard, ClassificationResult]
"""What was trained, and how good it is."""
MEAN = "mean of the features"
COLOUR_PATCHES = 256
"""Of a bag, evenly spaced: so many patches tell its colours."""


def train_bags_on_stores(
    settings: BagSettings,
    data: TrainingData,
    out: Path,
    existing: Existing,
    progress: Progress | None = None,
) -> BagTraining:
    """Train an aggregator on the labelled slides or patients of stores, and measure it on those that it never saw.

    Parameters and errors are those of `train_on_folder`; the data are stores of patches.
    """
    if data.annotations is not None or data.groups != GroupRule():
        msg = (
            "task: bags learns from stores, which hold the patients of their slides: give --group-table or "
            "--group-pattern to extract, and labels with --labels TABLE.csv"
        )
        raise UsageError(msg)
    there = check_training(out, existing)
    found = find_store_bags(data.inputs, settings.bag, settings.labels)
    labelled, notes = _labelled(found.bags)
    encoder = FrozenEncoder.load(settings.encoder, settings.training.device)
    bags = bag_set(labelled, describe_stores(found.patches, encoder, progress))
    if there and existing.overwrite:
        shutil.rmtree(out)
    origin = {"encoder": encoder.encoder.identity, "patches": found.patches.cut}
    told = None if progress is None else lambda _what, done, total: progress(done, total)
    left_out = (*found.notes, *notes)
    trained = train_bags(settings, bags, origin, out, told, resume=existing.resume, left_out=left_out)
    result = _measured(trained, trained.probabilities, settings.split_seed)
    baselines, more = _baselines(trained, found.patches, settings)
    trained = replace(trained, card=_with_scores(trained, result))
    return write_measured(settings, trained, trained.card, {TEST_SPLIT: result}, out, notes=more, baselines=baselines)


def bag_set(bags: Sequence[Bag], features: NDArray[np.float32]) -> BagSet:
    """Return labelled bags as they are learnt from.

    Raises
    ------
    UsageError
        They have fewer than two labels.
    """
    names = tuple(sorted({bag.label for bag in bags if bag.label is not None}))
    if len(names) < 2:
        found = f"all {len(bags)} are {names[0]!r}" if names else "none has one"
        msg = f"bags of two or more labels are needed, and {found}: extract labelled slides, or give --labels TABLE.csv"
        raise UsageError(msg)
    truth = np.array([names.index(str(bag.label)) for bag in bags], np.int32)
    return BagSet(tuple(bags), features, names, truth)


def bag_vectors(bags: BagSet, patches: StorePatches) -> dict[str, NDArray[np.float32]]:
    """Return what simpler models go by, a vector a bag: the mean of its features, and of its patches' colours."""
    rows = [some_of(bag.rows, COLOUR_PATCHES) for bag in bags.bags]
    colours = np.stack([colour_of(_Some(patches, some)).mean(axis=0) for some in rows])
    return {MEAN: mean_vectors(bags.features, bags.bags), COLOUR: colours}


class _Some:
    """Some patches of stores."""

    def __init__(self, patches: StorePatches, rows: NDArray[np.int64]) -> None:
        self.patches, self.rows = patches, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: object) -> NDArray[np.uint8]:
        return self.patches.read(self.rows[np.asarray(positions, np.int64)])


def _labelled(bags: Sequence[Bag]) -> tuple[list[Bag], tuple[str, ...]]:
    kept = [bag for bag in bags if bag.label is not None]
    lost = len(bags) - len(kept)
    return kept, (f"{lost} of {len(bags)} bags have no label and were left out",) if lost else ()


def _measured(trained: TrainedBags, said: NDArray[np.float32], seed: int) -> ClassificationResult:
    bags, test = trained.bags, trained.sides[TEST]
    predictions = Predictions(bags.class_names, bags.ids[test], bags.groups[test], bags.truth[test], said)
    unit = "patient" if trained.card.bag == "patient" and bags.group_kind == "patient" else "slide"
    return measure_classes(predictions, draws=DRAWS, seed=seed, group_kind=bags.group_kind, unit=unit)


def _baselines(
    trained: TrainedBags, patches: StorePatches, settings: BagSettings
) -> tuple[dict[str, ClassificationResult], tuple[str, ...]]:
    """Measure simpler models on the same test bags, where train and validation are enough for them."""
    found = {}
    try:
        for name, vectors in bag_vectors(trained.bags, patches).items():
            said = simpler(trained.bags, trained.sides, vectors)
            found[name] = _measured(trained, said, settings.split_seed)
    except UsageError as error:
        return {}, (f"Simpler models could not be measured: {error}",)
    return found, ()


def _with_scores(trained: TrainedBags, result: ClassificationResult) -> BagCard:
    scores = {f"test_{name}": metric.value for name, metric in result.metrics.items() if not np.isnan(metric.value)}
    counts = {"test_bags": float(len(trained.sides[TEST])), "best_epoch": float(trained.best_epoch)}
    return replace(trained.card, scores={**scores, **counts})
