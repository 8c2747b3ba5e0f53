"""Three CNN-GRUs, their ensemble beside them, and what accuracy is kept when the most uncertain fields are put aside.

    python benchmarks/uncertainty.py --data FOLDER -o OUT [--epochs-factor 1]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}. Each member is trained from chance (seed 0) on the same blocks of
files as benchmarks/published.py, at a size of its own; the later quarter is measured by ``evaluate --ensemble``, with
colour alone beside it. Patients are not published: blocks of files are the nearest to them, so intervals draw fields.
A member that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from published import FIELD_DIAMETERS, FOLD, TURNED

from wsi_patches.datasets.split_file import read_split
from wsi_patches.evaluate.comparison import format_comparison
from wsi_patches.train.augment import Augmentation
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.train.fields import FieldSettings
from wsi_patches.workflows.evaluate import evaluate
from wsi_patches.workflows.evaluate_settings import EvaluateSettings
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import TrainingData, train_on_folder

FIELD_PX = 224
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Member:
    """One network, as it is trained here."""

    architecture: str
    input_px: int
    epochs: int
    hidden: int = 128


MEMBERS = (
    Member("mobilenet_v2_gru", 96, 14),
    Member("efficientnet_b3_gru", 64, 10),
    Member("inception_v3_gru", 107, 8),
)


def train(member: Member, data: Path, out: Path, factor: float) -> Path:
    """Train a member, or take the one that is there; return its weights."""
    if not (out / WEIGHTS).exists():
        epochs = max(1, round(factor * member.epochs))
        settings = FieldSettings(
            name=member.architecture, architecture=member.architecture, network={"hidden": member.hidden},
            input_px=member.input_px, patch_cell_diameters=FIELD_DIAMETERS, batch_size=16,
            augmentation=Augmentation(**TURNED), **FOLD,
            training=EngineSettings(
                epochs=epochs, optimizer="sgd", learning_rate=0.05, weight_decay=5e-4, warmup_epochs=1, keep="last"
            ),
        )  # fmt: skip
        train_on_folder(settings, TrainingData((data,)), out, Existing(overwrite=out.exists()))
    return out / WEIGHTS


def test_store(trained: Path, out: Path) -> Path:
    """Extract the fields that no member saw, as they are, into a store of labelled patches."""
    store = out / "test.zarr"
    if not store.exists():
        split = read_split(trained / "split.csv")
        for row, name in zip(split.rows, split.names, strict=True):
            if name == "test":
                path = out / "test" / Path(row.path).parent.name / Path(row.path).name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(row.path, path)
        extract(ExtractSettings((out / "test",), store, patch_size=FIELD_PX))
    return store


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--epochs-factor", type=float, default=1.0)
    asked = parser.parse_args()
    if asked.data is None or not asked.data.is_dir():
        parser.error(f"no folder of data at {asked.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    fields, weights = asked.data / "all_smears", []
    for member in MEMBERS:
        began = time.monotonic()
        weights.append(str(train(member, fields, asked.out / member.architecture, asked.epochs_factor)))
        print(f"{member.architecture}: {time.monotonic() - began:.0f} s", flush=True)
    store = test_store(asked.out / MEMBERS[0].architecture, asked.out)
    first, *others = weights
    done = evaluate(
        EvaluateSettings(store, asked.out / "doubt", model=first, ensemble=tuple(others), by="block", overwrite=True)
    )
    print(*format_comparison(done.results["classes"], done.baselines), sep="\n")
    with (asked.out / "doubt" / "risk_coverage.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            print(*row.values(), sep=" | ")


if __name__ == "__main__":
    main()
