"""Labels in a tree on frozen features: a loss a level, shared or not, beside the leaves alone and beside colour alone.

    python benchmarks/taxonomy.py --data FOLDER [--only real|painted] [--few 6] [--draws 10]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}: the tree is malignant {early, pre, pro} and benign, on the fold
of benchmarks/published.py (the last quarter of each class's files is measured). The painted set has the seven kinds of
white cells under blast and other, the last 16 of each being measured. Of some leaves --few training pictures are drawn,
again and again; each way learns a linear layer on the same frozen features (EfficientNet-Lite0 of ImageNet), by equal
steps from equal seeds. Balanced accuracy of each level is over all draws pooled, its 95 % interval draws pictures
again, with all that was said of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from balancing import drawn
from four_classes import Measured
from published import FIELD_DIAMETERS, FOLD
from torch import nn
from torch.nn.utils import parametrize

from wsi_patches.datasets import find_inputs
from wsi_patches.models.encoders import FrozenEncoder
from wsi_patches.models.label_tree import LabelTree, Level
from wsi_patches.recipe import settings_from
from wsi_patches.synthetic import BLAST_KINDS, KINDS
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.features import colour_of, features_of
from wsi_patches.train.fields import FieldSettings, field_patches
from wsi_patches.train.patch_set import split_patches
from wsi_patches.train.taxonomy import SharedPaths, level_losses

ROOT = Path(__file__).parents[1]
REAL = {"malignant": ["early", "pre", "pro"], "benign": None}
PAINTED = {"blast": list(BLAST_KINDS), "other": [name for name in KINDS if name not in BLAST_KINDS]}
RARE = {"real": ("early", "pro"), "painted": ("small_blast", "lymphocyte")}
EACH, TESTED, PAINTED_PX = 48, 16, 96
STEPS, RATE, DECAY = 200, 1e-3, 1e-2
WAYS = {"flat": (False, False), "a loss a level": (True, False), "a loss a level, shared": (True, True)}


class Pictures(NamedTuple):
    """Pictures of a set, and which of them are learnt from and measured."""

    class_names: tuple[str, ...]
    ids: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    train: np.ndarray
    test: np.ndarray


def real(data: Path) -> Pictures:
    """Return the four-class fields in the fold of benchmarks/published.py."""
    settings = settings_from(FieldSettings, {}, {**FOLD, "patch_cell_diameters": FIELD_DIAMETERS, "input_px": 224})
    with tempfile.TemporaryDirectory() as folder:
        patches = field_patches(find_inputs([data / "all_smears"]).items, settings, Path(folder))
        names = split_patches(patches, settings.by, settings.shares, settings.split_seed)[1]
        images, sides = np.asarray(patches.images), [np.flatnonzero(names == one) for one in ("train", "test")]
    return Pictures(patches.class_names, patches.ids, images, patches.truth.astype(np.int64), *sides)


def painted() -> Pictures:
    """Paint cells of each kind; the last of each, on smears of their own, are measured."""
    sys.path.insert(0, str(ROOT))
    from tests.painted_kinds import cells_of_kinds

    cells = cells_of_kinds(tuple(KINDS), EACH, PAINTED_PX)
    truth, number = np.repeat(np.arange(len(KINDS)), EACH), np.tile(np.arange(EACH), len(KINDS))
    sides = np.flatnonzero(number < EACH - TESTED), np.flatnonzero(number >= EACH - TESTED)
    return Pictures(tuple(KINDS), np.arange(len(truth)).astype(str), cells.reshape(-1, *cells.shape[2:]), truth, *sides)


def learnt(features: torch.Tensor, truth: torch.Tensor, levels: Sequence[Level], way: str, seed: int) -> nn.Linear:
    """Return a linear layer that learnt by one of the ways."""
    of_levels, shared = WAYS[way]
    torch.manual_seed(seed)
    layer = nn.Linear(features.shape[1], len(levels[-1].names))
    if shared:
        parametrize.register_parametrization(layer, "weight", SharedPaths(levels))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        losses = level_losses(layer(features), truth, levels)
        (losses.mean() if of_levels else losses[-1]).backward()
        optimizer.step()
    return layer


@torch.no_grad()
def said_by(layer: nn.Linear, features: torch.Tensor) -> np.ndarray:
    """Return probabilities of the leaves."""
    return layer(features).softmax(1).numpy()


def told(pictures: Pictures, level: Level, said: Sequence[np.ndarray]) -> Measured:
    """Measure a level by the path of the best leaf."""
    nodes = [np.eye(len(level.names))[level.of_class[one.argmax(1)]] for one in said]
    return Measured.of(level.names, pictures.ids[pictures.test], level.of_class[pictures.truth[pictures.test]], nodes)


def report(name: str, pictures: Pictures, tree: Mapping[str, Any], few: int, draws: int) -> None:
    """Print the rows of a set."""
    levels = LabelTree.of(tree).levels(pictures.class_names)
    rare = [pictures.class_names.index(one) for one in RARE[name]]
    print(f"{name}: {few} training pictures of {' and '.join(RARE[name])}, {draws} draws, n = {len(pictures.test)}")
    source = ArrayPatches(pictures.images)
    described = {"frozen": features_of(source, FrozenEncoder.load("lite0", "cpu")), "colour alone": colour_of(source)}
    for kind, features in described.items():
        for way in WAYS if kind == "frozen" else ("flat",):
            said = []
            for seed in range(draws):
                rows = drawn(pictures.truth, pictures.train, rare, few, seed)
                mean, std = features[rows].mean(0), features[rows].std(0) + 1e-6
                given = torch.from_numpy((features - mean) / std).float()
                layer = learnt(given[rows], torch.from_numpy(pictures.truth[rows]), levels, way, seed)
                said.append(said_by(layer, given[pictures.test]))
            for number, level in enumerate(levels, 1):
                print(told(pictures, level, said).row(f"{kind}, {way}, level {number}"), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--only", choices=("real", "painted"), default=None)
    parser.add_argument("--few", type=int, default=6, help="training pictures of each rare leaf")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    if options.only != "painted":
        if options.data is None or not options.data.is_dir():
            parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
        report("real", real(options.data), REAL, options.few, options.draws)
    if options.only != "real":
        report("painted", painted(), PAINTED, options.few, options.draws)


if __name__ == "__main__":
    main()
