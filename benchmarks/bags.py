"""Painted patients of five diagnoses, told by all patches of their slides: attention beside the mean, a row a model.

    python benchmarks/bags.py --folder WORK [--patients 60] [--slides-each 2] [--encoder lite0]
    python benchmarks/bags.py --folder WORK --counted WORK_OF_PATIENTS

WORK gets the slides, their store and its features, which a second run takes as they are. The second command takes the
slides, counts and classifier of types that ``benchmarks/patients.py --folder WORK_OF_PATIENTS`` left: a bag is then the
cells that ``infer`` found, a patch each, and the features are that classifier's, before its last layer. Each of five
folds of patients is predicted from the others: the next fold chooses the epoch and calibrates, the rest is learnt from.
Figures are over all patients, intervals over 1000 draws of patients, seed 0.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from wsi_patches.counting.centred import centred_patch
from wsi_patches.datasets.splits import make_folds
from wsi_patches.evaluate.classification import measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.slides import open_slide
from wsi_patches.synthetic.patients import paint_patients, write_patients
from wsi_patches.train.bag_settings import BagSettings
from wsi_patches.train.bag_training import simpler, split_bags, train_bags
from wsi_patches.train.bags import BagSet
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.store_bags import FoundBags, describe_stores, find_store_bags
from wsi_patches.workflows.train_bags import bag_set, bag_vectors

AGGREGATORS = ("attention", "gated", "set_transformer", "mean")
FOLDS, PATCH_PX = 5, 96
SHOWN = ("macro_f1", "balanced_accuracy", "macro_roc_auc")


def painted(folder: Path, patients: int, slides_each: int, seed: int) -> FoundBags:
    """Bags of the painted patients; slides and store are made if they are not there."""
    store = folder / "patches.zarr"
    if not store.exists():
        write_patients(folder, paint_patients(patients, seed, slides_each=slides_each))
        whose = "^(?P<patient>P[0-9]+)"
        extract(ExtractSettings((folder / "slides",), store, patch_size=PATCH_PX, group_pattern=whose, fsync=False))
    return find_store_bags([store], "patient", folder / "patients.csv")


def counted(work: Path, folder: Path) -> FoundBags:
    """Bags of the cells that were found on the slides of `benchmarks/patients.py`."""
    store, card = folder / "cells.zarr", json.loads((work / "types" / "card.json").read_text())
    if not store.exists():
        (folder / "cells").mkdir(parents=True)
        for table in sorted((work / "counts").glob("*/cells.csv")):
            cut_cells(work / "cohort" / "slides" / f"{table.parent.name}.svs", table, card, folder / "cells")
        whose = "^(?P<patient>P[0-9]+)"
        asked = ExtractSettings((folder / "cells",), store, patch_size=card["input_px"], group_pattern=whose)
        extract(replace(asked, fsync=False))
    return find_store_bags([store], "patient", work / "cohort" / "patients.csv")


def cut_cells(path: Path, table: Path, card: dict[str, Any], out: Path) -> None:
    """Write one picture around each cell of a slide, as its type was told from."""
    with open_slide(path) as slide, table.open(encoding="utf-8") as rows:
        side = card["patch_um"] / slide.info.mpp
        for number, row in enumerate(csv.DictReader(rows)):
            patch = centred_patch(slide, float(row["x"]), float(row["y"]), side, card["input_px"])
            cv2.imwrite(str(out / f"{path.stem}_{number:03d}.png"), patch[..., ::-1])


def types_encoder(work: Path, folder: Path) -> Path:
    """Describe the classifier of types as an encoder."""
    weights = work / "types" / "weights.safetensors"
    card = json.loads((work / "types" / "card.json").read_text())
    values = {
        "name": "types", "library": "wsi-patches", "network": card["architecture"], "dim": 1280,
        "weights": str(weights.absolute()), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input_px": card["input_px"], "mean": card["mean"], "std": card["std"],
    }  # fmt: skip
    path = folder / "types.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def settings() -> BagSettings:
    """The recipe."""
    values = read_recipe(find_recipe("slide_bags"))
    return settings_from(BagSettings, {}, {name: one for name, one in values.items() if name != "command"}, "recipe")


def write_sides(path: Path, bags: BagSet, folds: np.ndarray, fold: int) -> None:
    """One fold as test, the next as validation."""
    names = {fold: "test", (fold + 1) % FOLDS: "validation"}
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = [(one, names.get(of, "train")) for one, of in zip(bags.ids.tolist(), folds.tolist(), strict=True)]
        csv.writer(stream).writerows([("id", "split"), *rows])


def predicted(bags: BagSet, vectors: dict[str, np.ndarray], folds: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """Probabilities of each model for each bag, each fold predicted from the others."""
    said = {name: np.zeros((len(bags), len(bags.class_names)), np.float32) for name in (*AGGREGATORS, *vectors)}
    for fold in range(FOLDS):
        write_sides(folder / "sides.csv", bags, folds, fold)
        for name in AGGREGATORS:
            shutil.rmtree(folder / "training", ignore_errors=True)
            asked = replace(settings(), aggregator=name, split=folder / "sides.csv", network={})
            origin = {"encoder": {"encoder": "of the benchmark"}, "patches": {}}
            trained = train_bags(asked, bags, origin, folder / "training")
            said[name][folds == fold] = trained.probabilities
            print(f"fold {fold + 1}, {name}: best epoch {trained.best_epoch} of {len(trained.history)}", flush=True)
        sides = split_bags(asked, bags)[1]
        for name, of_bag in vectors.items():
            said[name][folds == fold] = simpler(bags, sides, of_bag)
    return said


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--slides-each", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="lite0")
    parser.add_argument("--counted", type=Path, help="what benchmarks/patients.py left")
    options = parser.parse_args()
    began = time.process_time()
    if options.counted:
        found, encoder = counted(options.counted, options.folder), str(types_encoder(options.counted, options.folder))
    else:
        found = painted(options.folder, options.patients, options.slides_each, options.seed)
        encoder = options.encoder
    bags = bag_set(found.bags, describe_stores(found.patches, FrozenEncoder.load(encoder, "cpu")))
    labels = [bags.class_names[one] for one in bags.truth.tolist()]
    folds = make_folds(labels, bags.groups.tolist(), FOLDS, options.seed)
    said = predicted(bags, bag_vectors(bags, found.patches), folds, options.folder)
    print(f"{len(bags)} patients, {len(bags.features)} patches, features: {Path(encoder).name}")
    print(f"{'model':28} " + " ".join(f"{name:>27}" for name in SHOWN))
    for name, probabilities in said.items():
        predictions = Predictions(bags.class_names, bags.ids, bags.groups, bags.truth, probabilities)
        metrics = measure_classes(predictions, group_kind="patient", unit="patient").metrics
        cells = [metrics[one].interval for one in SHOWN]
        print(f"{name:28} " + " ".join(f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})".rjust(27) for one in cells))
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
