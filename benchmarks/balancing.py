"""What to do about rare classes: nothing, weights, repeated samples or SMOTE, on the same frozen features.

    python benchmarks/balancing.py --data FOLDER [--few 6] [--draws 10]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}; the fold is that of benchmarks/published.py: the last quarter of
each class's files is measured, none of it is learnt from, repeated or made a SMOTE sample of. Of two classes (early and
pro) --few training fields are drawn, again and again; all draws learn a logistic regression on frozen features
(EfficientNet-Lite0 of ImageNet) and, beside it, on the mean and deviation of the colours. Balanced accuracy is over all
draws pooled; its 95 % interval draws fields again, with all that was said of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from four_classes import Measured
from published import FIELD_DIAMETERS, FOLD
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from wsi_patches.datasets import find_inputs
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.recipe import settings_from
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.features import colour_of, features_of
from wsi_patches.train.fields import FieldSettings, field_patches
from wsi_patches.train.patch_set import split_patches
from wsi_patches.train.sampling import oversampled, smote

RARE = ("early", "pro")
PENALTY = 0.1
Grown = tuple[np.ndarray, np.ndarray]
WAYS: dict[str, Callable[[np.ndarray, np.ndarray, int], Grown]] = {
    "none": lambda features, truth, _: (features, truth),
    "weights": lambda features, truth, _: (features, truth),
    "oversample": lambda features, truth, seed: _repeated(features, truth, seed),
    "smote": lambda features, truth, seed: smote(features, truth, seed),
}


def _repeated(features: np.ndarray, truth: np.ndarray, seed: int) -> Grown:
    counts = np.bincount(truth)
    rows = oversampled(truth, len(counts), int(counts.max()), seed)
    return features[rows], truth[rows]


def said_of(
    features: np.ndarray, truth: np.ndarray, rows: np.ndarray, test: np.ndarray, way: str, seed: int
) -> np.ndarray:
    """Return the probabilities of test fields by a regression on some training rows."""
    scale = StandardScaler().fit(features[rows])
    grown, classes = WAYS[way](scale.transform(features[rows]).astype(np.float32), truth[rows], seed)
    model = LogisticRegression(C=PENALTY, max_iter=5000, class_weight="balanced" if way == "weights" else None)
    return np.asarray(model.fit(grown, classes).predict_proba(scale.transform(features[test])))


def drawn(truth: np.ndarray, train: np.ndarray, rare: list[int], few: int, seed: int) -> np.ndarray:
    """Return training rows, of rare classes a few."""
    rng = np.random.default_rng(seed)
    kept = [train[~np.isin(truth[train], rare)]]
    kept += [rng.choice(train[truth[train] == one], few, replace=False) for one in rare]
    return np.sort(np.concatenate(kept))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--few", type=int, default=6, help="training fields of each rare class; SMOTE takes 6 or more")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    values = {**FOLD, "patch_cell_diameters": FIELD_DIAMETERS, "input_px": 224}
    settings = settings_from(FieldSettings, {}, values)
    with tempfile.TemporaryDirectory() as folder:
        patches = field_patches(find_inputs([options.data / "all_smears"]).items, settings, Path(folder))
        names = split_patches(patches, settings.by, settings.shares, settings.split_seed)[1]
        images = ArrayPatches(np.asarray(patches.images))
        described = {
            "EfficientNet-Lite0, frozen": features_of(images, FrozenEncoder.load("lite0", "cpu")),
            "colour alone": colour_of(images),
        }
    truth, test = patches.truth.astype(np.int64), np.flatnonzero(names == "test")
    train, rare = np.flatnonzero(names == "train"), [patches.class_names.index(name) for name in RARE]
    counts = np.bincount(truth[drawn(truth, train, rare, options.few, 0)])
    told = ", ".join(f"{count} {name}" for count, name in zip(counts, patches.class_names, strict=True))
    print(f"learnt from {told}; {options.draws} draws, measured on {len(test)} fields")
    for name, features in described.items():
        for way in WAYS:
            said = [
                said_of(features, truth, drawn(truth, train, rare, options.few, seed), test, way, seed)
                for seed in range(options.draws)
            ]
            print(
                Measured.of(patches.class_names, patches.ids[test], truth[test], said).row(f"{name}: {way}"), flush=True
            )


if __name__ == "__main__":
    main()
