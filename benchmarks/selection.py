"""Selected features and HOSVD beside all features, as many by chance and colour alone, on real and painted images.

    python benchmarks/selection.py --data FOLDER

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}. Patients are not published: each class is cut into five runs of
its files in name order, and each run is predicted from the other four, within which features and ranks are chosen.
Painted cells are dealt to five folds. Balanced accuracies have 95 % intervals over images; seeds are 0. The linear
probe has the one penalty C = 0.1 throughout, which spares most of the time.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from probe import CLASSES, FOLDS, read_set
from sklearn.metrics import balanced_accuracy_score

from wsi_patches.models.encoders import ENCODERS, FrozenEncoder
from wsi_patches.synthetic import paint_cell_patches
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.features import colour_of, features_of
from wsi_patches.train.probe import probe
from wsi_patches.train.selection import SelectionSettings, chance_masks, select_in_folds

DRAWS = 1000
PENALTY = (0.1,)
CELLS, CELL_PX = 120, 64


class Table:
    """Rows of one set: what predicts its folds, and how well."""

    def __init__(self, truth: np.ndarray, folds: np.ndarray, names: tuple[str, ...]) -> None:
        self.truth, self.folds, self.names = truth, folds, names
        self.groups = np.arange(len(truth))
        rng = np.random.default_rng(0)
        of_class = [np.flatnonzero(truth == one) for one in range(len(names))]
        self.draws = [rng.choice(rows, (DRAWS, len(rows))) for rows in of_class]
        self.began = time.monotonic()

    def predicted(self, features: np.ndarray, kind: str, **more: object) -> np.ndarray:
        """The class of each image, by the other folds."""
        grid = PENALTY if kind == "linear" else None
        return probe(features, self.truth, self.groups, self.folds, self.names, kind, grid, **more).argmax(axis=1)

    def drawn(self, predicted: np.ndarray) -> np.ndarray:
        """Balanced accuracy of each draw: images are drawn within their class, so that it is a mean of means."""
        right = predicted == self.truth
        return np.mean([right[rows].mean(axis=1) for rows in self.draws], axis=0)

    def figure(self, predicted: np.ndarray) -> str:
        """Balanced accuracy with its interval."""
        low, high = np.percentile(self.drawn(predicted), [2.5, 97.5])
        return f"{balanced_accuracy_score(self.truth, predicted):.3f} ({low:.3f} to {high:.3f})"

    def gain(self, predicted: np.ndarray, other: np.ndarray) -> str:
        """What one reaches more than another, by the same draws."""
        low, high = np.percentile(self.drawn(predicted) - self.drawn(other), [2.5, 97.5])
        value = balanced_accuracy_score(self.truth, predicted) - balanced_accuracy_score(self.truth, other)
        return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"

    def tell(self, name: str, kept: str, figure: str, gain: str = "") -> None:
        """Print a row, with the seconds since the last one."""
        now = time.monotonic()
        print(f"{name:34} {kept:>12} {figure:24} {gain:26} {now - self.began:6.1f} s", flush=True)
        self.began = now


def selections(table: Table, features: np.ndarray, kind: str) -> None:
    """Rows of all features, of those that two searches keep, and of as many by chance."""
    everything = table.predicted(features, kind)
    table.tell(f"lite0, {kind}", f"{features.shape[1]}", table.figure(everything))
    for search in ("ga", "pso"):
        found = select_in_folds(features, table.truth, table.folds, SelectionSettings(search=search, judged_by=kind))
        kept = np.stack([one.kept for one in found])
        counts = f"{kept.sum(axis=1).min()}-{kept.sum(axis=1).max()}"
        selected = table.predicted(features, kind, kept=kept)
        table.tell(f"lite0, {kind}, {search}", counts, table.figure(selected), table.gain(selected, everything))
        by_chance = table.predicted(features, kind, kept=chance_masks(found))
        table.tell("    as many by chance", "", table.figure(by_chance), "kept: " + table.gain(selected, by_chance))
        inside = (
            f"{np.mean([one.of_all for one in found]):.3f} -> {np.mean([one.history[-1].score for one in found]):.3f}"
        )
        print(f"    within the training folds, all -> kept: {inside}")


def measured(images: np.ndarray, truth: np.ndarray, folds: np.ndarray, names: tuple[str, ...]) -> None:
    """Print the rows of a set."""
    table, source = Table(truth, folds, names), ArrayPatches(images)
    colour = colour_of(source)
    for kind in ("linear", "knn"):
        table.tell(f"colour alone, {kind}", f"{colour.shape[1]}", table.figure(table.predicted(colour, kind)))
    described = {name: features_of(source, FrozenEncoder.load(name, "cpu")) for name in ("lite0", "lite0-map")}
    table.tell("(features)", "", "")
    shapes = {name: ENCODERS[name].shape or None for name in described}
    line = table.predicted(described["lite0"], "linear")
    for name, features in described.items():
        said = table.predicted(features, "hosvd", shape=shapes[name])
        table.tell(f"{name}, hosvd", f"{features.shape[1]}", table.figure(said), table.gain(said, line) + " linear")
    flat = table.predicted(described["lite0-map"], "hosvd")
    table.tell("lite0-map as a vector, hosvd", "", table.figure(flat))
    for kind in ("linear", "knn"):
        table.tell(f"lite0-map, {kind}", "", table.figure(table.predicted(described["lite0-map"], kind)))
    for kind in ("linear", "knn"):
        selections(table, described["lite0"], kind)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--only", choices=("real", "painted"), help="one of the two tables")
    options = parser.parse_args()
    if options.only != "painted":
        real_fields(parser, options.data)
    if options.only != "real":
        cells, classes = paint_cell_patches(CELLS, 0, CELL_PX, 1.5)
        print(f"{CELLS} painted cells, blast and other, dealt to {FOLDS} folds")
        measured(cells, np.asarray(classes), np.arange(CELLS) % FOLDS, ("blast", "other"))


def real_fields(parser: argparse.ArgumentParser, data: Path | None) -> None:
    """Print the table of the four-class set."""
    if data is None or not data.is_dir():
        parser.error(f"no folder of data at {data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    images, truth, folds = read_set(data / "all_smears" / "images")
    print(f"{len(images)} real fields of {', '.join(CLASSES)}; the last column but one is the gain over all features")
    measured(images, truth, folds, CLASSES)


if __name__ == "__main__":
    main()
