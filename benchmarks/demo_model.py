"""How far the demo's model is off on all cells of a painted field at once, for its card, and how often intervals hold.

    python benchmarks/demo_model.py [--fields 144] [--seed 77001] [-o WEIGHTS.safetensors]

Fields like the demo's three slides are painted from seeds that neither it nor the model's training uses, and counted
as ``infer`` does it: leukemic ones, healthy ones, and ones of many cells, on which it shows best whether errors come
together. Printed are the share of fields whose painted blasts lie in the interval, with the card as it is, and the
slide shift that the found cells bear out. With ``-o`` the model is written with that shift in its card; its tensors
stay as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES
from wsi_patches.counting import assign_points_to_points
from wsi_patches.geometry import Size
from wsi_patches.infer import FINDER_SCORE, ModelChoice, count_by
from wsi_patches.models.table import MODELS
from wsi_patches.models.weights import build_model, save_weights
from wsi_patches.slides import ArraySlide
from wsi_patches.synthetic import LARGE_FIELD, SMALL_FIELD, SmearSettings
from wsi_patches.synthetic.smear import paint_smear
from wsi_patches.train.calibrate import fit_slide_shift

MODEL = "painted-cells-lbp"
BLAST = ALL_IDB_CLASSES.index("blast")
KINDS = ((9, 4, SMALL_FIELD), (0, 14, LARGE_FIELD), (30, 30, LARGE_FIELD))
"""Blasts, other white cells and size of fields, in turn."""


class Field(NamedTuple):
    """The found cells of one field that are painted ones."""

    said: NDArray[np.float32]
    """Probability of being a blast."""
    is_blast: NDArray[np.bool_]
    held: bool
    """Whether the interval holds the painted number of blasts."""


def counted(seed: int, blasts: int, others: int, size: Size) -> Field:
    """Paint and count one field."""
    image, truth = paint_smear(size, SmearSettings.random(seed, blasts=blasts, others=others))
    done = count_by(ModelChoice(model=MODEL, device="cpu"), ArraySlide(image), str(seed))
    cells, interval = done.cells, done.report.blasts
    row = assign_points_to_points(cells.xy, cells.attributes[FINDER_SCORE], truth.xy, truth.attributes["radius_px"])
    right = row >= 0
    said = np.where(cells.class_index == BLAST, cells.score, 1 - cells.score)[right]
    held = interval.low <= truth.count("blast") <= interval.high
    return Field(said, truth.class_index[row[right]] == BLAST, held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=144)
    parser.add_argument("--seed", type=int, default=77001)
    parser.add_argument("-o", "--out", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    fields = [counted(asked.seed + number, *KINDS[number % len(KINDS)]) for number in range(asked.fields)]
    network, card, _ = build_model(MODELS[MODEL].path)
    print(f"{sum(one.held for one in fields)} of {len(fields)} intervals hold the truth (shift {card.slide_shift:.2f})")
    names = np.repeat(np.arange(len(fields)).astype(str), [len(one.said) for one in fields])
    said, is_blast = (np.concatenate(column) for column in list(zip(*fields, strict=True))[:2])
    shift = fit_slide_shift(said.astype(np.float32), is_blast, names)
    right = np.mean((said >= 0.5) == is_blast)
    print(f"{len(said)} found cells, {right:.3f} of them told rightly: slide_shift {shift:.3f}")
    if asked.out is not None:
        save_weights(asked.out, network, replace(card, slide_shift=shift))


if __name__ == "__main__":
    main()
