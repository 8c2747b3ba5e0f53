"""A target as C-NMC lies on disk and a source as ADP does, painted: cells of two kinds, and patches of many labels."""

import csv
from pathlib import Path

import cv2
import numpy as np

from wsi_patches.models.histotnet import ADP_LEVELS

LABELS = ADP_LEVELS[2]
LEARNABLE = [LABELS.index(one) for one in ("E", "E.M", "H")]
"""The others are dealt out by chance, but for two that no patch bears."""


def write_c_nmc(folder, count=96, side_px=32, seed=0, patients=12, *, shuffled=False):
    """Write painted cells under C-NMC's names, blasts as those of leukemic subjects; each subject has one class."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(count) % 2)
    named = rng.permutation(truth) if shuffled else truth
    seen = {0: 0, 1: 0}
    for one, label in zip(truth.tolist(), named.tolist(), strict=True):
        image = _cell(one == 0, side_px, rng)
        name, seen[label] = ("all", "hem")[label], seen[label] + 1
        subject = f"{'H' if label else ''}{seen[label] % (patients // 2) + 1}"
        _write(Path(folder) / "fold_0" / name / f"UID_{subject}_{seen[label]}_1_{name}.bmp", image)
    return folder


def _cell(is_blast, side_px, rng):
    """Paint a round nucleus that fills the cell, or two small ones, on black as C-NMC's cells lie."""
    image = np.zeros((side_px, side_px, 3), np.uint8)
    shift = rng.integers(-2, 3, 2)
    middle = tuple(int(one) for one in side_px // 2 + shift)
    cv2.circle(image, middle, side_px * 2 // 5, (190, 170, 210), -1)
    for sideways in (0,) if is_blast else (-1, 1):
        at = (middle[0] + sideways * side_px // 5, middle[1])
        cv2.circle(image, at, side_px * (11 if is_blast else 5) // 32, (90, 60, 140), -1)
    return (image * rng.uniform(0.8, 1.1, 3) + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def write_adp(folder, count=60, side_px=32, seed=5, slides=6, *, table=True):
    """Write patches whose colour and grain are three of their labels; a slide's own tint tells it from others."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        labels, slide = rng.integers(0, 2, len(LABELS)), number % slides
        labels[-2:] = 0
        red, green, grain = labels[LEARNABLE]
        pixels = rng.normal(150, 4 + 30 * grain, (side_px, side_px, 3))
        pixels += [40 * red, -60 * green, 10 * slide]
        name = f"{slide + 1:03d}.png_crop_{number}.png"
        _write(Path(folder) / "img" / name, pixels.clip(0, 255).astype(np.uint8))
        rows.append([name, *labels.tolist()])
    if table:
        with (Path(folder) / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["Patch Names", *LABELS], *rows])
    return folder


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
