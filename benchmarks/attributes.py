"""A detector of types and attributes on painted smears through two microscopes, beside the majority and one domain.

    python benchmarks/attributes.py -o OUT [--smears 24] [--steps 200] [--only both,first,background,unknown]

Smears are painted with equal seeds through both microscopes, the second being blurred, noisy, greenish and stained
less. Attributes follow from a cell's painted kind, its size from the radius that it was drawn with. Four runs, of equal
settings and seeds: learnt through both microscopes; through the first alone; and, through both with half of the cells
marked, the others being background, or left open where the shipped finder sees one. All are measured on the same
held-back smears, of which all cells are marked in the first two and half in the others: these are therefore measured
anew on fields of which every cell is known.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.painted_attributes import DOMAINS, MPP, SIZE, TYPES, paint_field, told, write_leukemia_attri
from wsi_patches.annotations import boxes_of
from wsi_patches.counting import assign_points_to_boxes
from wsi_patches.evaluate.detection import FieldDetections, measure_detection
from wsi_patches.evaluate.tables import align, figure, interval_text
from wsi_patches.infer.detect import detect_cells, load_detector
from wsi_patches.slides import ArraySlide
from wsi_patches.train.attribute_settings import AttributeDetectorSettings
from wsi_patches.train.detector_settings import DetectorLook
from wsi_patches.train.engine_settings import EngineSettings
from wsi_patches.workflows.output import Existing
from wsi_patches.workflows.train_attributes import train_attributes_on_folder
from wsi_patches.workflows.train_folder import TrainingData

RUNS = ("both", "first", "background", "unknown")
SEED, FRESH_SEED, FRESH = 900, 5000, 12
"""Of the smears learnt from, and of those that are painted anew to be measured, all cells of which are known."""
EPOCHS = 4


def settings(run: str, steps: int) -> AttributeDetectorSettings:
    """Return what one run trains: small enough for a processor core."""
    return AttributeDetectorSettings(
        types=TYPES,
        width=32,
        convs=1,
        crop_px=96,
        batch_size=8,
        slide_mpp=MPP,
        smear_pattern=r"^(\d+)_",
        shares={"train": 0.5, "validation": 0.2, "test": 0.3},
        look=DetectorLook(blur_px=1.0, precipitate=0.0, coarse=0.0, scale=1.1),
        train_domains=DOMAINS[:1] if run == "first" else (),
        unmarked="unknown" if run == "unknown" else "background",
        training=EngineSettings(
            epochs=EPOCHS, steps_per_epoch=max(1, steps // EPOCHS), learning_rate=4e-3, clip_norm=5.0, device="cpu"
        ),
    )


def half(cells, rng):
    """Return half of a field's cells, as a person who stopped would have marked them."""
    return cells.take(np.sort(rng.permutation(len(cells))[: (len(cells) + 1) // 2]))


def measured_anew(weights: Path) -> str:
    """Return how many of all cells of fresh smears a detector finds."""
    detector, fields = load_detector(str(weights), "cpu", "fp32").detector, []
    for seed in range(FRESH):
        pixels, painted = paint_field(FRESH_SEED + seed, seed % 2)
        cells, _ = detect_cells(ArraySlide(pixels, mpp=MPP), detector)
        edges, score = boxes_of(told(painted)), cells.attributes["finder_score"].astype(np.float64)
        assigned = assign_points_to_boxes(cells.xy, score, edges)
        fields.append(FieldDetections(str(seed), str(seed), cells.xy, score, assigned, edges))
    result = measure_detection(fields)
    names = ("recall", "precision", "f1")
    return ", ".join(
        f"{one} {figure(one, result.metrics[one])} ({interval_text(result.metrics[one])})" for one in names
    )


def main() -> None:
    """Train and measure what is asked for, and print it run by run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--smears", type=int, default=24)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", default=",".join(RUNS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shutil.rmtree(asked.out, ignore_errors=True)
    write_leukemia_attri(asked.out / "whole", asked.smears, seed=SEED)
    write_leukemia_attri(asked.out / "half", asked.smears, seed=SEED, marked=half)
    print(f"{asked.smears} smears of {SIZE.width} x {SIZE.height} px through {', '.join(DOMAINS)}, {asked.steps} steps")
    for run in asked.only.split(","):
        began, data = time.process_time(), asked.out / ("whole" if run in RUNS[:2] else "half")
        done = train_attributes_on_folder(
            replace(settings(run, asked.steps), name=run), TrainingData((data,)), asked.out / run, Existing()
        )
        print(f"\n== {run}: {time.process_time() - began:.0f} s of one core; {done.results['white_cells'].sampling}")
        attributes = done.results["attributes"]
        names = [name for name in attributes.metrics if name.endswith(("balanced_accuracy", "majority_accuracy"))]
        rows = [[name, figure(name, one := attributes.metrics[name]), interval_text(one)] for name in names]
        print("\n".join(align(rows)))
        types = done.results["types"].metrics["balanced_accuracy"]
        print(f"types: balanced accuracy {types.value:.3f} ({interval_text(types)}), chance {1 / len(TYPES):.3f}")
        print((asked.out / run / "test" / "domains.csv").read_text())
        print(f"all cells of {FRESH} fresh smears: {measured_anew(done.weights)}", flush=True)


if __name__ == "__main__":
    main()
