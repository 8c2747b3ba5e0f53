"""Precision, recall and count error of the learned finder on slides that it was not trained on; galleries of errors.

    python benchmarks/finder_folds.py --data FOLDER -o OUT [--train] [--only fold1 ...] [--epochs 30]

FOLDER holds bccd, wbc_fov and txl_pbc as their authors published them. With ``--train``, each run that has no weights
under OUT yet is trained first, and a run that was interrupted goes on: five folds by slide (fold1 .. fold5, each
without a fifth of the slides of every set), one run without each set (not_bccd, not_pbc, not_wbc_fov), and ``all``,
which is not measured. Raabin is never trained on: each fold measures a fifth of it. Scale is never told.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from wsi_patches.annotations import boxes_of, read_annotations
from wsi_patches.counting import find_cells
from wsi_patches.counting.matching import assign_points_to_boxes
from wsi_patches.datasets import SlideItem, find_slides
from wsi_patches.datasets.splits import make_folds
from wsi_patches.evaluate.detection import DetectionResult, FieldDetections, measure_detection
from wsi_patches.evaluate.gallery import detection_errors, detection_gallery
from wsi_patches.evaluate.reliability import fit_recall, found_scores
from wsi_patches.geometry import Box
from wsi_patches.models.cell_finder import LearnedCellFinder
from wsi_patches.models.efficientnet_lite0 import load_imagenet
from wsi_patches.models.finder_network import FINDER_CLASSES, CellFinderNet, finder_from_imagenet
from wsi_patches.models.precision import uses_bf16
from wsi_patches.slides import open_slide
from wsi_patches.train.calibrate import fit_isotonic
from wsi_patches.train.engine import EngineSettings, fit
from wsi_patches.train.finder import FinderTask
from wsi_patches.train.finder_fields import FinderField, paint_field, read_field, red_cell_px

SETS = {"bccd": "bccd", "pbc": "txl_pbc/pbc", "wbc_fov": "wbc_fov", "raabin": "txl_pbc/raabin"}
TRAINED = ("bccd", "pbc", "wbc_fov")
SHARES = {"bccd": 6.0, "pbc": 3.0, "wbc_fov": 2.5, "painted": 4.0, "empty": 0.5}
FOLDS, SEED = 5, 0
RUNS = (*(f"fold{number + 1}" for number in range(FOLDS)), *(f"not_{name}" for name in TRAINED), "all")
LOWEST = 0.05
"""Least score of a point that is kept for the curve."""
VIEW_PX = 240
KEPT = ("f1", "count_mae")
"""Figures that go into the card of the weights that ship."""


def group_of(name: str, item: SlideItem) -> str:
    """Return the slide that a field was taken from: in wbc_fov the file's name says it, elsewhere a field is one."""
    stem = Path(item.path).stem
    return stem.rsplit("_", 1)[0] if name == "wbc_fov" else stem


def folded(data: Path, name: str) -> tuple[list[SlideItem], np.ndarray]:
    """Return a set's fields and the fold of each, 0 to 4."""
    items = find_slides([data / SETS[name]])
    return items, make_folds([None] * len(items), [group_of(name, item) for item in items], FOLDS, SEED)


def training_fields(data: Path, run: str) -> tuple[dict[str, list[FinderField]], list[FinderField]]:
    """Return the fields that a run is trained on, by set, and those that its epochs are judged by."""
    sets, held_out = {}, []
    for name in TRAINED:
        if run == f"not_{name}":
            continue
        items, fold = folded(data, name)
        usual = red_cell_px(items)
        fields = [read_field(item, usual) for item, one in zip(items, fold, strict=True) if run != f"fold{one + 1}"]
        order = np.random.default_rng(SEED).permutation(len(fields))
        held_out += [fields[row] for row in order[: len(fields) // 16]]
        sets[name] = [fields[row] for row in order[len(fields) // 16 :]]
    crowded = {"blasts_per_mpx": 40.0, "others_per_mpx": 40.0, "touching": 0.6}
    sets["painted"] = [paint_field(seed) for seed in range(60)] + [
        paint_field(seed, **crowded) for seed in range(60, 80)
    ]
    sets["painted"] += [paint_field(seed, red_coverage=0.01, blur_px=0.5 * (seed % 6)) for seed in range(100, 112)]
    dirty = {"smudges_per_mpx": 10.0, "precipitate_per_mpx": 10.0, "dirt_per_mpx": 5.0, "platelets_on_red": 0.05}
    sets["painted"] += [paint_field(seed, platelet_clumps_per_mpx=5.0, **dirty) for seed in range(120, 144)]
    bare = {"blasts": 0, "others": 0, "debris_per_mpx": 40.0}
    sets["empty"] = [paint_field(80 + row, red_coverage=0.1 * row, **bare) for row in range(8)]
    sets["empty"] += [paint_field(150 + row, red_coverage=0.1 * row, **bare, **dirty) for row in range(4)]
    return sets, held_out + [paint_field(seed) for seed in range(90, 96)]


def train(data: Path, run: str, folder: Path, epochs: int) -> None:
    """Train one run, or go on with it, and write its weights."""
    sets, held_out = training_fields(data, run)
    torch.manual_seed(SEED)
    network = finder_from_imagenet(load_imagenet()).to(memory_format=torch.channels_last)
    task = FinderTask(network, sets, SHARES, held_out)
    settings = EngineSettings(
        epochs=epochs, learning_rate=2e-3, warmup_epochs=0.5, clip_norm=5.0, ema_decay=0.99, steps_per_epoch=task.steps
    )
    fitted = fit(task, settings, folder, resume=True, progress=lambda epoch: print(run, epoch, flush=True))
    save_file({name: tensor.contiguous() for name, tensor in fitted.best_state.items()}, folder / "weights.safetensors")


def measured_items(data: Path, run: str) -> Iterator[tuple[str, SlideItem]]:
    """Yield the fields that a run was not trained on, and is to be measured on, each with its set."""
    for name in SETS:
        items, fold = folded(data, name)
        for item, one in zip(items, fold, strict=True):
            if run in (f"fold{one + 1}", f"not_{name}"):
                yield name, item


def detections(item: SlideItem, group: str, finder: LearnedCellFinder) -> FieldDetections:
    """Find the white cells of a field and match them with its boxes."""
    with open_slide(item.path) as slide:
        found = find_cells(slide, finder)
        marked = read_annotations(item.annotations, item.classes, slide.info.size)
    white = np.array([name not in FINDER_CLASSES[1:] for name in marked.class_names])[marked.class_index]
    boxes, score = boxes_of(marked)[white], found.score.astype(np.float64)
    return FieldDetections(
        Path(item.path).stem, group, found.xy, score, assign_points_to_boxes(found.xy, score, boxes), boxes
    )


def row(name: str, fields: Sequence[FieldDetections], result: DetectionResult) -> str:
    """Return one row of the table."""
    figures = []
    for key in ("precision", "recall", "f1", "count_mae"):
        interval = result.metrics[key].interval
        figures.append(f"{interval.value:.3f} ({interval.low:.3f}-{interval.high:.3f})")
    totals = (f"{result.metrics[key].value:5.0f}" for key in ("true_positives", "false_positives", "misses"))
    return f"{name:16} {len(fields):6} " + " ".join(f"{figure:21}" for figure in figures) + " ".join(totals)


def write_gallery(fields: Sequence[FieldDetections], items: Sequence[SlideItem], threshold: float, path: Path) -> None:
    """Write a picture of what was made up and what was missed."""
    errors, crops = detection_errors(fields, threshold), []
    for error in errors:
        with open_slide(items[error.field].path) as slide:
            box = Box(round(error.x) - VIEW_PX // 2, round(error.y) - VIEW_PX // 2, VIEW_PX, VIEW_PX)
            crops.append(slide.read(box, 0))
    picture = detection_gallery(crops, errors)
    if picture is not None:
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def write_reliability(fields: Sequence[FieldDetections], threshold: float, path: Path) -> None:
    """Write what the intervals of counts need to know: how recall differs from slide to slide, and what scores mean."""
    found, marked = ({}, {})
    for one in fields:
        right = int((one.assigned[one.scores >= threshold] >= 0).sum())
        found[one.group], marked[one.group] = found.get(one.group, 0) + right, marked.get(one.group, 0) + len(one.truth)
    told = [name for name, count in marked.items() if count]
    recall = fit_recall([found[name] for name in told], [marked[name] for name in told])
    scores, right = found_scores(fields, threshold)
    points = fit_isotonic(scores, right)
    path.write_text(json.dumps({"recall": recall, "precision": points}, indent=2) + "\n", encoding="utf-8")
    print(f"recall over slides: beta({recall[0]:.1f}, {recall[1]:.2f}); a score's share of cells: {points}")


def measure(data: Path, out: Path, runs: Sequence[str], threshold: float, precision: str) -> None:
    """Print the table of all runs that have weights, pooled by set, and write the galleries."""
    cpu = torch.device("cpu")
    bf16 = uses_bf16(precision, cpu)
    pooled: dict[str, list[tuple[FieldDetections, SlideItem]]] = {}
    for run in runs:
        network = CellFinderNet()
        network.load_state_dict(load_file(out / run / "weights.safetensors"))
        finder = LearnedCellFinder.of(network, cpu, threshold=LOWEST, bf16=bf16)
        for name, item in measured_items(data, run):
            kind = f"{name}, left out" if run.startswith("not_") else name
            pooled.setdefault(kind, []).append((detections(item, group_of(name, item), finder), item))
    heads = ("precision", "recall", "F1", "count MAE")
    print(f"threshold {threshold}, {'bf16' if bf16 else 'fp32'}")
    print(f"{'data':16} fields " + " ".join(f"{head:21}" for head in heads) + "right wrong missed")
    scores: dict[str, float] = {}
    for kind, found in pooled.items():
        fields, items = [one for one, _ in found], [item for _, item in found]
        result = measure_detection(fields, threshold, group_kind="slide")
        scores |= {f"{kind.replace(', ', '_').replace(' ', '_')}_{key}": result.metrics[key].value for key in KEPT}
        print(row(kind, fields, result), flush=True)
        write_gallery(fields, items, threshold, out / f"errors_{re.sub(r'[^a-z]+', '_', kind)}.png")
    unseen = [one for kind, found in pooled.items() if "left out" not in kind for one, _ in found]
    if unseen:
        write_reliability(unseen, threshold, out / "reliability.json")
    (out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Train what is asked for, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder of the runs' weights and of the galleries"
    )
    parser.add_argument("--train", action="store_true", help="train the runs that have no weights yet")
    parser.add_argument("--only", nargs="*", choices=RUNS, default=RUNS)
    parser.add_argument("--epochs", type=int, default=30, help="of 50 steps of 16 crops")
    parser.add_argument("--threshold", type=float, default=LearnedCellFinder.threshold)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto", help="as infer takes it")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    for run in options.only:
        if options.train and not (options.out / run / "weights.safetensors").is_file():
            train(options.data, run, options.out / run, options.epochs)
    ready = [run for run in options.only if run != "all" and (options.out / run / "weights.safetensors").is_file()]
    if not ready:
        parser.error(f"no weights of any run under {options.out}: add --train")
    measure(options.data, options.out, ready, options.threshold, options.precision)


if __name__ == "__main__":
    main()
