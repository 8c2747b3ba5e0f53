"""Each family of classifiers once on the same real fields and the same blocked fold, with colour alone beside it.

    python benchmarks/published.py --data FOLDER -o OUT [--only NAME,NAME] [--epochs-factor 0.5]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro} and, for DL4ALL's other set, bccd/. Of each class the first files
are learnt from, the last quarter is measured; patients are not published, blocks of files are the nearest to them. All
but EfficientNet-Lite0 start from chance, since no other weights come with a package. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import torch
from four_classes import colour_alone

from wsi_patches.annotations import read_annotations
from wsi_patches.datasets import find_inputs
from wsi_patches.evaluate.classification import ClassificationResult, measure_classes
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.geometry import Box
from wsi_patches.recipe import find_recipe, read_recipe, settings_from
from wsi_patches.slides import open_slide
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_folder import TrainingData
from wsi_patches.workflows.trainable import TRAINABLE

FOLD = {"by": "block", "split_seed": 1300, "shares": {"train": 0.7, "validation": 0.05, "test": 0.25}}
"""The same for all, and the same as the recipe all_four_classes takes."""
FIELD_DIAMETERS = 5.5
CLASSES = 4
MARKED = ("white_cell", "platelet")


@dataclass(frozen=True)
class Family:
    """One row: a recipe, and what is otherwise than in it."""

    name: str
    recipe: str
    input_px: int
    epochs: int
    values: Mapping[str, Any]
    training: Mapping[str, Any]

    def settings(self, factor: float, precision: str, source: Path) -> Any:
        """Return the settings of its task; ``source`` is DL4ALL's other set."""
        values = {**read_recipe(find_recipe(self.recipe)), **FOLD, "patch_cell_diameters": FIELD_DIAMETERS}
        values.pop("tune", None)
        task = values.get("task", "fields")
        epochs = max(1, round(self.epochs * factor))
        training = {
            **values.get("training", {}),
            **self.training,
            "epochs": epochs,
            "precision": precision,
            "keep": "last",
        }
        training.pop("patience", None)
        values |= {"input_px": self.input_px, "calibration": "none", "training": training, **self.values}
        if "source" in values:
            values["source"] = {**values["source"], "folder": source}
        return settings_from(TRAINABLE[task].settings, {}, values, self.recipe)


NO_COLOUR = (
    "stain",
    "brightness",
    "lamp",
    "contrast",
    "gamma",
    "hue",
    "saturation",
    "blur_share",
    "noise",
    "jpeg_share",
)
TURNED = {"turn": "full", "flip": True, "shift": 0, "scale": 0, **dict.fromkeys(NO_COLOUR, 0)}
"""As ALLNet's recipe augments: from chance and of so few fields, nothing is learnt through a jitter of colours."""


def plain(name: str, input_px: int, epochs: int, rate: float, **values: Any) -> Family:
    """Return a network without a recipe of its own: as all_four_classes trains, by SGD from chance."""
    sgd = {"optimizer": "sgd", "learning_rate": rate, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "cosine"}
    of_recipe = {"name": name, "architecture": name, "network": values.pop("network", {}), "pretrained": False}
    of_recipe |= {"augmentation": TURNED}
    return Family(name, "all_four_classes", input_px, epochs, {**of_recipe, **values}, {**sgd, "ema_decay": None})


FROM_CHANCE = {"start": None, "batch_size": 16}
AGAINST_BENIGN = {
    "control": "benign",
    "network": {"image_px": 64},
    "subtypes": {
        "early": {"network": {"variant": "pml_rara"}},
        "pre": {"network": {"variant": "npm1"}},
        "pro": {"network": {"variant": "cbfb_myh11"}},
    },
    "batch_size": 8,
}
"""The three stages of leukemia in the place of subtypes of AML, which are not at hand."""
BESIDE = {"by": "block", "source": {"slide_pattern": "^(.+)_"}, "batch_size": 16, "augmentation": TURNED}
"""DL4ALL's other set: pieces of BCCD's fields, and whether each holds white cells or platelets."""
AT_RANDOM = {"classes": {}, "network": {"backbone": "random"}}
FAMILIES = (
    Family("efficientnet_lite0 (ImageNet)", "all_four_classes", 128, 10, {}, {}),
    Family("allnet", "allnet", 96, 40, {**FROM_CHANCE, "network": {"depth": 18, "kernel": "binary"}}, {}),
    Family("histotnet resnet18", "histotnet", 96, 24, FROM_CHANCE, {}),
    Family("histotnet six_conv", "histotnet", 224, 6, {**FROM_CHANCE, "architecture": "six_conv"}, {}),
    Family("dss_xai", "dss_xai", 96, 24, {"batch_size": 16}, {}),
    Family("cotconet", "cotconet", 96, 24, {"batch_size": 16, "augmentation": TURNED}, {}),
    Family("dl4all regular", "dl4all", 64, 16, {**BESIDE, "strategy": "regular"}, {"learning_rate": 0.01}),
    Family("dl4all self", "dl4all", 64, 16, {**BESIDE, "strategy": "self"}, {"learning_rate": 0.01}),
    Family("dl4all greedy", "dl4all", 64, 16, {**BESIDE, "strategy": "greedy"}, {"learning_rate": 0.01}),
    Family("aml_cnn against control", "aml_one_against_control", 64, 20, AGAINST_BENIGN, {"learning_rate": 1e-4}),
    Family("aml_resnet50 (frozen at chance)", "aml_resnet50", 224, 4, AT_RANDOM, {}),
    plain("alexnet", 128, 16, 0.01),
    plain("vgg16", 64, 8, 0.01),
    plain("resnet50", 96, 12, 0.02),
    plain("densenet201", 96, 8, 0.02),
    plain("plain_cnn", 96, 24, 0.02, batch_size=16),
    plain("mobilenet_v2", 96, 20, 0.05, batch_size=16),
    plain("efficientnet_b0", 96, 20, 0.05, batch_size=16),
    plain("vit_b_16", 96, 5, 0.005, network={"image_px": 96}),
)


def trained(family: Family, settings: Any, data: Path, out: Path) -> Iterator[dict[str, Any]]:
    """Train one family, or go on with it; yield its row, and what colour alone tells of the same test fields."""
    began = time.monotonic()
    inputs = TrainingData((data / "all_smears",))
    done: Any = TRAINABLE[settings.task].run(settings, inputs, out, Existing(resume=True))
    result = next(one for one in done.results.values() if len(one.predictions.class_names) == CLASSES)
    how = {"px": family.input_px, "epochs": settings.training.epochs, "seconds": round(time.monotonic() - began)}
    yield {"name": family.name, **how, **figures(result)}
    if family is FAMILIES[0]:
        test = done.trained.test
        said, _ = colour_alone(done.trained, range(0))
        alone = measure_classes(Predictions(test.class_names, test.ids, test.groups, test.truth, said))
        yield {"name": "colour alone", **dict.fromkeys(how, ""), **figures(alone)}


def write_source(fields: Path, folder: Path) -> None:
    """Cut BCCD's fields into six pieces of 213 x 240 px, with a table of what is marked in each."""
    folder.mkdir(parents=True)
    rows = []
    for item in find_inputs([fields]).items:
        with open_slide(item.path) as slide:
            pixels = slide.read(Box(0, 0, *slide.info.size))
            cells = read_annotations(item.annotations, None, slide.info.size)
        for number, (top, left) in enumerate(product(range(0, 480, 240), range(0, 639, 213))):
            inside = (cells.x // 213 == left // 213) & (cells.y // 240 == top // 240)
            names = [cells.class_names[one] for one in cells.class_index[inside]]
            file = f"{Path(item.path).stem}_{number}.png"
            cv2.imwrite(str(folder / file), pixels[top : top + 240, left : left + 213, ::-1])
            rows.append([file, *(int(name in names) for name in MARKED)])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["image", *MARKED], *rows])


def figures(result: ClassificationResult) -> dict[str, Any]:
    """Return what a row of the table says of a result."""
    balanced = result.metrics["balanced_accuracy"].interval
    return {
        "balanced_accuracy": f"{balanced.value:.3f}",
        "low": f"{balanced.low:.3f}",
        "high": f"{balanced.high:.3f}",
        "macro_f1": f"{result.metrics['macro_f1'].value:.3f}",
        "fields": result.sampling.n,
    }


def main() -> None:
    """Train the families one after another; print and write a row of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the trainings, and of published.csv")
    parser.add_argument("--only", default="", help="names, or parts of names, between commas")
    parser.add_argument("--epochs-factor", type=float, default=1.0)
    parser.add_argument(
        "--precision", default="bf16", choices=("bf16", "fp32"), help="bf16 is slow without AVX-512 BF16"
    )
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    wanted = [part for part in options.only.split(",") if part] or [""]
    rows: list[dict[str, Any]] = []
    if not (options.out / "source").exists():
        write_source(options.data / "bccd", options.out / "source")
    for number, family in enumerate(FAMILIES):
        if not any(part in family.name for part in wanted):
            continue
        settings = family.settings(options.epochs_factor, options.precision, options.out / "source")
        for row in trained(family, settings, options.data, options.out / f"{number:02d}"):
            rows.append(row)
            print(*(f"{value}" for value in row.values()), sep=" | ", flush=True)
            write_rows(options.out / "published.csv", rows)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table as far as it has come."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
