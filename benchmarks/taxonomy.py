"""Labels in a tree: a loss a level beside the leaves alone, and beside colour alone.

    python benchmarks/taxonomy.py --data FOLDER -o OUT [--only real|painted] [--epochs 8]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}: the tree is malignant {early, pre, pro} and benign, on the fold
of benchmarks/published.py (the last quarter of each class's files is measured). The painted set has the seven kinds of
white cells under blast and other; of one kind of each, eight pictures are learnt from. All begin from the same ImageNet
weights (EfficientNet-Lite0), with equal seeds and epochs; figures are of each level, with 95 % intervals over pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from four_classes import colour_alone
from published import FIELD_DIAMETERS, FOLD

from wsi_patches.datasets import find_inputs
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.taxonomy import TaxonomyResult, measure_taxonomy
from wsi_patches.models.label_tree import LabelTree
from wsi_patches.recipe import settings_from
from wsi_patches.synthetic import BLAST_KINDS, KINDS
from wsi_patches.train.classifier import TrainedClassifier, train_classifier
from wsi_patches.train.fields import cut_fields
from wsi_patches.train.patch_set import PatchSet, PatchSplit, split_patches
from wsi_patches.train.taxonomy import TaxonomySettings

ROOT = Path(__file__).parents[1]
REAL = {"malignant": ["early", "pre", "pro"], "benign": None}
PAINTED = {"blast": list(BLAST_KINDS), "other": [name for name in KINDS if name not in BLAST_KINDS]}
FEW, MANY, RARE = 8, 48, ("small_blast", "lymphocyte")
WAYS: Mapping[str, Mapping[str, Any]] = {
    "flat": {"levels": "flat"},
    "a loss a level, nothing shared": {"share": False},
    "a loss a level, shared": {},
}


def settings_of(tree: Mapping[str, Any], way: Mapping[str, Any], values: Mapping[str, Any], epochs: int) -> Any:
    """Return the settings of one training."""
    training = {"epochs": epochs, "learning_rate": 1e-3, "warmup_epochs": 0.5, "keep": "last"}
    plain = {"architecture": "efficientnet_lite0", "batch_size": 16, "calibration": "none", "training": training}
    return settings_from(TaxonomySettings, {}, {"tree": tree, **plain, **values, **way})


def measured(trained: TrainedClassifier, tree: Mapping[str, Any], said: np.ndarray) -> TaxonomyResult:
    """Return the figures of what is said of the test split."""
    test = trained.test
    rows = Predictions(test.class_names, test.ids, test.groups, test.truth, said.astype(np.float32))
    return measure_taxonomy(rows, LabelTree.of(tree), test.groups)


def rows(
    name: str, data: Path, tree: Mapping[str, Any], values: Mapping[str, Any], epochs: int, out: Path
) -> Iterator[str]:
    """Train each way and yield its row, and what colour alone tells of the same pictures."""
    items = find_inputs([data]).items
    for number, (way, more) in enumerate(WAYS.items()):
        settings, folder = settings_of(tree, more, values, epochs), out / f"{name}{number}"
        patches, words = cut_fields(settings, items, folder)
        made = thinned(patches, split_patches(patches, settings.by, settings.shares, settings.split_seed))
        trained = train_classifier(settings, patches, words, folder, resume=True, made=made)
        yield row(f"{name}: {way}", measured(trained, tree, trained.test.probabilities))
    yield row(f"{name}: colour alone", measured(trained, tree, colour_alone(trained, range(0))[0]))


def thinned(patches: PatchSet, made: PatchSplit) -> PatchSplit:
    """Leave all but `FEW` training pictures of the rare kinds aside; other sets have none of that name."""
    split, names = made[0], made[1].astype("U16")
    for kind in RARE:
        if kind in patches.class_names:
            mine = (patches.truth == patches.class_names.index(kind)) & (names == "train")
            names[np.flatnonzero(mine)[FEW:]] = "aside"
    return split, names


def row(name: str, result: TaxonomyResult) -> str:
    """Return one row of the table."""
    figures = [one for one in result.metrics if one.startswith("balanced_accuracy") or one == "levels_contradict"]
    cells = [f"{one.replace('balanced_accuracy_', '')} {result.metrics[one].interval}" for one in figures]
    return " | ".join([f"{name:40}", *cells, f"n {result.sampling.n}"])


def painted(folder: Path) -> Path:
    """Paint the kinds once."""
    sys.path.insert(0, str(ROOT))
    from tests.painted_kinds import write_kinds

    if not folder.exists():
        write_kinds(folder, {name: name for name in KINDS}, MANY, 64)
    return folder


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--only", choices=("real", "painted"), default=None)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    if options.only != "painted":
        if options.data is None or not options.data.is_dir():
            parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
        values = {**FOLD, "patch_cell_diameters": FIELD_DIAMETERS, "input_px": 96}
        for line in rows("real", options.data / "all_smears", REAL, values, options.epochs, options.out):
            print(line, flush=True)
    if options.only != "real":
        values = {"by": "slide", "shares": {"train": 0.5, "validation": 0.1, "test": 0.4}, "input_px": 64}
        values |= {"patch_cell_diameters": 1.5}
        for line in rows("painted", painted(options.out / "kinds"), PAINTED, values, options.epochs, options.out):
            print(line, flush=True)


if __name__ == "__main__":
    main()
