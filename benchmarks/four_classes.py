"""Balanced accuracy of a classifier of whole fields on later files, as they are and with their colours jittered hard.

    python benchmarks/four_classes.py --data FOLDER -o OUT

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}. The recipe is trained as ``wsi-patches train`` trains it; a run
that was interrupted goes on. Its test block is asked as it is and with other colours (each channel x0.65-1.35, hue
+-30 of OpenCV's 180, saturation x0.5-1.5), several draws pooled; colour alone (mean and standard deviation of the
channels, logistic regression) stands beside it. Patients are not published: blocks of files are the nearest to them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from wsi_patches.datasets import find_inputs
from wsi_patches.evaluate.bootstrap import GroupBootstrap, percentile_interval
from wsi_patches.models import CellClassifier
from wsi_patches.outcome import Interval
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.classifier import TestPatches, TrainedClassifier
from wsi_patches.train.features import colour_of
from wsi_patches.train.fields import FieldSettings, train_fields
from wsi_patches.train.probe import probe

GAIN, HUE, SATURATION = (0.65, 1.35), 30, (0.5, 1.5)
HUES = 180
"""OpenCV's circle of hues, for uint8."""
SPLITS = ("train", "validation", "test")
BENIGN = "benign"


def jittered(images: np.ndarray, seed: int) -> np.ndarray:
    """Return images with other colours, each by amounts of its own; by other code than that which trains."""
    rng, out = np.random.default_rng(seed), np.empty_like(images)
    for row, image in enumerate(images):
        lit = np.clip(image * rng.uniform(*GAIN, 3), 0, 255).round().astype(np.uint8)
        hsv = cv2.cvtColor(lit, cv2.COLOR_RGB2HSV).astype(np.float64)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-HUE, HUE)).round() % HUES
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(*SATURATION), 0, 255).round()
        out[row] = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    return out


@dataclass(frozen=True)
class Measured:
    """Balanced accuracy of what was said of the test fields, once or in several draws of colours."""

    names: tuple[str, ...]
    confusion: np.ndarray
    interval: Interval

    @classmethod
    def of(cls, names: tuple[str, ...], ids: np.ndarray, truth: np.ndarray, said: Sequence[np.ndarray]) -> Measured:
        """Compare probabilities with the truth; whole fields, with all their draws, are drawn for the interval."""
        bootstrap, classes = GroupBootstrap.of(np.tile(ids, len(said))), len(names)
        pairs = np.tile(truth, len(said)) * classes + np.concatenate(said).argmax(axis=1)
        confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        drawn = bootstrap.tallies(pairs, classes**2).reshape(-1, classes, classes)
        means = recalls(drawn).mean(axis=1)
        return cls(names, confusion, percentile_interval(float(recalls(confusion).mean()), means))

    def row(self, name: str) -> str:
        """Return one row of the table."""
        value, low, high = self.interval.value, self.interval.low, self.interval.high
        shares = zip(self.names, recalls(self.confusion).tolist(), strict=True)
        return f"{name:34} {value:.3f} ({low:.3f}-{high:.3f})  " + " ".join(
            f"{one} {share:.3f}" for one, share in shares
        )


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Return the recall of each class of one or many confusion matrices, truth in rows; nan for an absent class."""
    totals = confusion.sum(axis=-1)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.divide(right, totals, out=np.full(totals.shape, np.nan), where=totals > 0)


def two_classes(test: TestPatches, said: Sequence[np.ndarray]) -> Measured:
    """Measure leukemic against benign, from the same probabilities."""
    benign = test.class_names.index(BENIGN)
    merged = [np.stack([rows[:, benign], 1 - rows[:, benign]], axis=1) for rows in said]
    return Measured.of((BENIGN, "leukemic"), test.ids, (test.truth != benign).astype(np.int64), merged)


def colour_alone(trained: TrainedClassifier, seeds: range) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return what colours say of the test fields, learnt from all others: as they are, and jittered."""
    patches = trained.test.images.patches
    side = dict(zip((row.id for row in trained.split.rows), trained.split.names, strict=True))
    folds = np.array([SPLITS.index(side[one]) for one in patches.ids.tolist()])
    images, is_test = np.asarray(patches.images), folds == SPLITS.index("test")

    def said(test_images: np.ndarray) -> np.ndarray:
        seen = images.copy()
        seen[is_test] = test_images
        colours = colour_of(ArrayPatches(seen))
        return probe(colours, patches.truth, patches.ids, folds, patches.class_names)[is_test]

    return said(images[is_test]), [said(jittered(images[is_test], seed)) for seed in seeds]


def report(trained: TrainedClassifier, draws: int) -> Iterator[str]:
    """Yield the lines of the report."""
    test, seeds = trained.test, range(draws)
    classifier = CellClassifier.load(trained.weights, "cpu")
    images = test.images.read(range(len(test.ids)))
    plain = [classifier.probabilities(images)]
    hard = [classifier.probabilities(jittered(images, seed)) for seed in seeds]
    colour, colour_hard = colour_alone(trained, seeds)

    def of(said: Sequence[np.ndarray]) -> Measured:
        return Measured.of(test.class_names, test.ids, test.truth, said)

    yield f"{len(test.ids)} test fields; balanced accuracy (95 % of fields drawn again), recalls"
    yield of(plain).row("as they are")
    yield of(hard).row(f"jittered hard, {draws} draws")
    yield of([colour]).row("colour alone, as they are")
    yield of(colour_hard).row("colour alone, jittered hard")
    yield two_classes(test, plain).row("leukemic or benign, as they are")
    yield two_classes(test, hard).row("leukemic or benign, jittered hard")
    yield f"truth in rows: {', '.join(test.class_names)}"
    yield f"as they are\n{of(plain).confusion}\njittered hard\n{of(hard).confusion}"


def told(what: str, done: int, total: int) -> None:
    """Print how many epochs are done."""
    if what == "epochs":
        print(f"epoch {done} of {total}", flush=True)


def main() -> None:
    """Train, or go on with it, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--recipe", default="all_four_classes", help="a shipped one's name, or a file")
    parser.add_argument("--draws", type=int, default=5, help="of colours, each of all test fields")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    settings = settings_from(FieldSettings, {}, read_recipe(find_recipe(options.recipe)))
    items = find_inputs([options.data / "all_smears"]).items
    trained = train_fields(settings, items, options.out, told, resume=True)
    print(*report(trained, options.draws), *trained.warnings, sep="\n")


if __name__ == "__main__":
    main()
