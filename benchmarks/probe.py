"""What frozen features and colours alone tell of the four classes of a leukemia image set, a row a probe.

    python benchmarks/probe.py --data FOLDER

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}. Patients are not published: each class is cut into five runs of
its files in name order, and each run is predicted from the other four.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import balanced_accuracy_score, recall_score

from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.features import colour_of, features_of
from wsi_patches.train.probe import probe

CLASSES = ("Benign", "Early", "Pre", "Pro")
FOLDS, DRAWS = 5, 2000


def read_set(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All images, their classes, and their folds: runs of file order within each class."""
    files = [sorted((folder / name).iterdir()) for name in CLASSES]
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for of_class in files for path in of_class]
    truth = np.repeat(np.arange(len(CLASSES)), [len(of_class) for of_class in files])
    folds = np.concatenate([np.arange(len(of_class)) * FOLDS // len(of_class) for of_class in files])
    return np.stack(images), truth, folds


def interval(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """95 % of the balanced accuracies of images drawn again within their class, the trained probes as they are."""
    rng = np.random.default_rng(0)
    correct = [(predicted == truth)[truth == one] for one in range(len(CLASSES))]
    draws = [np.mean([rng.choice(of_class, len(of_class)).mean() for of_class in correct]) for _ in range(DRAWS)]
    return tuple(np.percentile(draws, [2.5, 97.5]).tolist())


def row(name: str, kind: str, features: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> str:
    """One row of the table."""
    groups = truth * FOLDS + folds
    predicted = probe(features, truth, groups, folds, CLASSES, kind).argmax(axis=1)
    low, high = interval(truth, predicted)
    by_fold = [balanced_accuracy_score(truth[folds == one], predicted[folds == one]) for one in range(FOLDS)]
    figures = [balanced_accuracy_score(truth, predicted), low, high, min(by_fold), max(by_fold)]
    figures += recall_score(truth, predicted, average=None).tolist()
    return f"{name:8} {kind:8} " + " ".join(f"{figure:8.3f}" for figure in figures)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    images, truth, folds = read_set(options.data / "all_smears" / "images")
    source = ArrayPatches(images)
    described = {"colour": colour_of(source), "lite0": features_of(source, FrozenEncoder.load("lite0"))}
    heads = ("balanced", "low", "high", "worst", "best", *CLASSES)
    print(f"{len(images)} images, {FOLDS} folds; worst and best are single folds, classes are recalls")
    print(f"{'features':8} {'probe':8} " + " ".join(f"{head:>8}" for head in heads))
    for name, features in described.items():
        for kind in ("linear", "knn"):
            print(row(name, kind, features, truth, folds))


if __name__ == "__main__":
    main()
