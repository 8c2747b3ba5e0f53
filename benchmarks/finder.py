"""Precision, recall and F1 of the white-cell finder on annotated smears, a row a data set.

    python benchmarks/finder.py --data FOLDER [--overlays DIR]

FOLDER holds bccd, wbc_fov and txl_pbc as their authors published them.
"""

from __future__ import annotations

import argparse
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.counting import find_cells, match_points_to_boxes
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.slides import ArraySlide

SETS = {"bccd": "bccd", "wbc_fov": "wbc_fov", "raabin": "txl_pbc/raabin", "pbc": "txl_pbc/pbc"}


def voc_boxes(path: Path) -> np.ndarray:
    """White cells of a Pascal VOC file as left, top, right, bottom."""
    white = [found.find("bndbox") for found in ET.parse(path).iter("object") if found.findtext("name") == "WBC"]
    corners = [[float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")] for box in white]
    return np.array(corners).reshape(-1, 4)


def yolo_boxes(path: Path, width: int, height: int, only: int | None) -> np.ndarray:
    """Boxes of a YOLO file, of one class or of all, as left, top, right, bottom."""
    rows = np.array([line.split() for line in path.read_text().splitlines() if line.strip()], float).reshape(-1, 5)
    rows = rows if only is None else rows[rows[:, 0] == only]
    middle, half = rows[:, 1:3], rows[:, 3:5] / 2
    return np.hstack([middle - half, middle + half]) * (width, height, width, height)


def annotated(folder: Path, name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every image of a data set with its boxes."""
    root = folder / SETS[name]
    for path in sorted((root / "images").iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        if name == "bccd":
            yield path.stem, image, voc_boxes(root / "annotations" / f"{path.stem}.xml")
        else:
            only = None if name == "wbc_fov" else 0
            yield path.stem, image, yolo_boxes(root / "labels_yolo" / f"{path.stem}.txt", width, height, only)


def draw(image: np.ndarray, cells, boxes: np.ndarray, path: Path) -> None:
    """Write the picture with boxes green and found cells red."""
    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for left, top, right, bottom in boxes.round().astype(int).tolist():
        cv2.rectangle(picture, (left, top), (right, bottom), (0, 200, 0), 2)
    for x, y, radius in zip(cells.x, cells.y, cells.attributes["radius_px"], strict=True):
        cv2.circle(picture, (round(x), round(y)), round(radius), (0, 0, 255), 1)
        cv2.circle(picture, (round(x), round(y)), 3, (0, 0, 255), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def score(folder: Path, name: str, overlays: Path | None) -> str:
    """One row of the table."""
    total, seconds, pixels = np.zeros(3, int), 0.0, 0
    for stem, image, boxes in annotated(folder, name):
        began = time.perf_counter()
        cells = find_cells(ArraySlide(image), WhiteCellFinder())
        seconds, pixels = seconds + time.perf_counter() - began, pixels + image.shape[0] * image.shape[1]
        result = match_points_to_boxes(cells.xy, cells.score, boxes)
        total += result
        if overlays is not None:
            draw(image, cells, boxes, overlays / name / f"{'right' if sum(result[1:]) == 0 else 'wrong'}_{stem}.png")
    right, wrong, missed = total.tolist()
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    f1 = 2 * right / max(1, 2 * right + wrong + missed)
    figures = [f"{value:9.3f}" for value in (precision, recall, f1)]
    counts = [f"{value:9d}" for value in (right + missed, right + wrong, wrong, missed)]
    return " ".join([f"{name:8}", *figures, *counts, f"{pixels / 1e6 / seconds:9.1f}"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = os.environ.get("WSI_PATCHES_SHARED")
    parser.add_argument("--data", type=Path, default=None if shared is None else Path(shared) / "data")
    parser.add_argument("--overlays", type=Path, default=None, help="folder for pictures: boxes green, points red")
    options = parser.parse_args()
    if options.data is None or not options.data.is_dir():
        parser.error(f"no folder of data at {options.data}: give --data FOLDER, or set WSI_PATCHES_SHARED")
    cv2.setNumThreads(1)
    heads = ("precision", "recall", "F1", "boxes", "found", "wrong", "missed", "Mpx/s")
    print(f"{'data':8} " + " ".join(f"{head:>9}" for head in heads))
    for name in SETS:
        print(score(options.data, name, options.overlays))


if __name__ == "__main__":
    main()
