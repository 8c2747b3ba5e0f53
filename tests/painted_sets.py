"""Small painted sets of single cells, as labelled pictures lie on disk, and the same with labels dealt by chance."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.synthetic import paint_cell_patches

CELL_DIAMETERS = 1.5


@cache
def painted_cells(count, side_px=64, seed=0):
    """Return patches of painted cells, uint8 RGB ``(count, s, s, 3)``, and 0 for a blast or 1 for another cell."""
    images, truth = paint_cell_patches(count, seed, side_px, CELL_DIAMETERS)
    return images, np.asarray(truth)


def write_all_idb2(folder, count=80, side_px=64, seed=0, *, shuffled=False):
    """Write painted cells under ALL-IDB2's names; ``shuffled`` deals the same labels out by chance, for a control."""
    images, truth = painted_cells(count, side_px, seed)
    for number, (image, label) in enumerate(zip(images, _dealt(truth, seed, shuffled), strict=True), 1):
        _write(Path(folder) / f"Im{number:03d}_{int(label == 0)}.png", image)
    return folder


def write_class_folders(folder, names=("blast", "other"), count=80, side_px=64, seed=0, patients=0, *, shuffled=False):
    """Write painted cells as class/image, or class/patient/image where a class has ``patients``, whole ones each."""
    images, truth = painted_cells(count, side_px, seed)
    seen = dict.fromkeys(names, 0)
    for number, (image, label) in enumerate(zip(images, _dealt(truth, seed, shuffled), strict=True), 1):
        name = names[int(label)]
        below = f"{name[:2]}{seen[name] % patients:02d}" if patients else ""
        seen[name] += 1
        _write(Path(folder) / name / below / f"image_{number:03d}.png", image)
    return folder


def _dealt(truth, seed, shuffled):
    return np.random.default_rng(seed).permutation(truth) if shuffled else truth


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
