"""How fast the cells of a large painted slide are found, and how many of them: finders and precisions side by side.

    python benchmarks/finder_speed.py -o FOLDER [--side 8192] [--seed 0] [--threads 2] [--turns 2]

Paints a slide of 0.25 um a pixel once, finds its white cells in turns, and prints the best turn of each: 256 x 256 px
of slide a second, calibration and reading of the file included, and the ratio to the classical finder of the same run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from wsi_patches.counting import find_cells, match_points_to_boxes
from wsi_patches.geometry import Size
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.models import LearnedCellFinder
from wsi_patches.slides import open_slide
from wsi_patches.synthetic import SmearSettings, write_slide

MPP, PATCH_PX, CELL_UM = 0.25, 256, 12.0


def painted(folder: Path, side: int, seed: int) -> tuple[Path, np.ndarray]:
    """Return a slide and boxes round its cells whose centre lies on it; painted unless they are there."""
    path, truth = folder / f"painted_{side}_{seed}.tif", folder / f"painted_{side}_{seed}.npy"
    if not truth.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings = SmearSettings.random(seed, cell_diameter_px=CELL_UM / MPP)
        cells = write_slide(path, Size(side, side), settings, MPP, overwrite=True)
        seen = ((cells.xy >= 0) & (cells.xy < side)).all(axis=1)
        xy, radius = cells.xy[seen], cells.attributes["radius_px"][seen, None]
        np.save(truth, np.hstack([xy - radius, xy + radius]))
    return path, np.load(truth)


def row(name: str, path: Path, finder: Any, boxes: np.ndarray, turns: int) -> tuple[str, float]:
    """Return the figures of one finder, and the patches that it does in a second."""
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        with open_slide(path) as slide:
            area, cells = slide.info.size.width * slide.info.size.height, find_cells(slide, finder)
        seconds.append(time.perf_counter() - began)
    right, wrong, missed = match_points_to_boxes(cells.xy, cells.score, boxes)
    speed = area / PATCH_PX**2 / min(seconds)
    return f"| {name} | {right / (right + wrong):.3f} | {right / (right + missed):.3f} | {min(seconds):.1f}", speed


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the slide")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(asked.threads)
    path, boxes = painted(asked.out, asked.side, asked.seed)
    finders: dict[str, Any] = {"classical": WhiteCellFinder()}
    finders |= {f"learned, {one}": LearnedCellFinder.load(device="cpu", precision=one) for one in ("fp32", "bf16")}
    print(f"{len(boxes)} white cells on {asked.side} x {asked.side} px, {asked.threads} threads")
    print("| finder | precision | recall | seconds | patches/s | ratio |\n|---|---|---|---|---|---|")
    usual = 0.0
    for name, finder in finders.items():
        figures, speed = row(name, path, finder, boxes, asked.turns)
        usual = usual or speed
        print(f"{figures} | {speed:.1f} | {speed / usual:.2f} |", flush=True)


if __name__ == "__main__":
    main()
