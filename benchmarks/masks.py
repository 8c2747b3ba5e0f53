"""What it does for a classifier to be shown the cell or its nucleus alone: paired, on real cells and fields.

    python benchmarks/masks.py --data FOLDER [--repetitions 10] [--only cells|fields]

FOLDER holds all_smears/images/{Benign,Early,Pre,Pro}, fields of the four-class ALL set. ``fields`` are these, whose
masks keep the cells in the middle; ``cells`` are the white cells that our finder finds on them, two of a field at most,
each labelled as its field. Each row is one run of ``wsi-patches effect``: frozen EfficientNet-Lite0, nearest neighbour,
ten times two halves by blocks of files, seed 0; the arm without a mask is the same in all rows of a set. Glass, red
cells and stain tell these classes by themselves (colour alone: 0.77), which a mask takes away in part.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from wsi_patches.counting import find_cells
from wsi_patches.counting.centred import centred_patch, diameter_of
from wsi_patches.datasets import find_inputs
from wsi_patches.models import LearnedCellFinder
from wsi_patches.slides import open_slide
from wsi_patches.workflows.effect import measure_step
from wsi_patches.workflows.effect_settings import MASK_STEPS, EffectSettings

CELL_DIAMETERS = 1.75
MOST = 2
"""Cells of a field."""
SIDE_PX = {"cells": 96, "fields": 224}
METHODS = ("otsu", "hue")


def write_cells(source: Path, folder: Path) -> Counter[str]:
    """Cut the surest white cells that lie whole on their fields into class folders; return how many of each class."""
    counts, finder = Counter[str](), LearnedCellFinder.load(device="cpu")
    for item in find_inputs([source]).items:
        with open_slide(item.path) as slide:
            cells = find_cells(slide, finder)
            side, (width, height) = CELL_DIAMETERS * diameter_of(cells), slide.info.size
            x, y = cells.xy.T
            margin = np.minimum.reduce([x, y, width - x, height - y])
            whole = np.flatnonzero(margin >= side / 2)
            for number, row in enumerate(whole[np.argsort(-cells.score[whole])][:MOST].tolist()):
                patch = centred_patch(slide, x[row], y[row], side, SIDE_PX["cells"])
                path = folder / str(item.label) / f"{Path(item.path).stem}_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), patch[..., ::-1])
                counts[str(item.label)] += 1
    return counts


def row_of(source: Path, kind: str, step: str, method: str, repetitions: int, out: Path) -> str:
    """Return a row of the table for people."""
    began = time.monotonic()
    done = measure_step(
        EffectSettings(
            source, out, step=step, mask_by=method, patch_px=SIDE_PX[kind], input_px=SIDE_PX[kind], by="block",
            repetitions=repetitions, overwrite=True, group_pattern=r"^(.+)_\d+$" if kind == "cells" else None,
        )
    )  # fmt: skip
    cells = [kind, step, method, str(done.patches)]
    for one in done.figures[:2]:
        (without, with_step), (low, high) = one.means, (one.difference.low, one.difference.high)
        cells += [f"{without:.3f}", f"{with_step:.3f}", f"{one.difference.value:+.3f} ({low:+.3f} to {high:+.3f})"]
    blank = next((told for told in done.warnings if "no nucleus stands out" in told), "With the step: in 0")
    return " | ".join([*cells, blank.split(" in ")[1].split()[0], f"{time.monotonic() - began:.0f} s"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--only", choices=("cells", "fields"))
    asked = parser.parse_args()
    if asked.data is None or not asked.data.is_dir():
        parser.error(f"no folder of data at {asked.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print("set | step | by | n | accuracy without | with | difference | balanced without | with | difference | black")
    with tempfile.TemporaryDirectory() as name:
        if asked.only != "fields":
            counts = write_cells(asked.data / "all_smears", Path(name, "cells"))
            print("cells:", ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())), flush=True)
        sources = {"cells": Path(name, "cells"), "fields": asked.data / "all_smears"}
        for kind, step, method in product(sources, MASK_STEPS, METHODS):
            if asked.only in (None, kind):
                print(row_of(sources[kind], kind, step, method, asked.repetitions, Path(name, "out")), flush=True)


if __name__ == "__main__":
    main()
