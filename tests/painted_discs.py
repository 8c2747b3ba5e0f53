"""Cells as plain discs on glass, of which one thing says the class: how large the nucleus is, or a mark beside it."""

from pathlib import Path

import cv2
import numpy as np

GLASS, CYTOPLASM, NUCLEUS, RED = (236, 226, 232), (170, 180, 222), (88, 40, 140), (222, 150, 150)


def paint_disc(rng, side_px=48, *, large=False, marked=False):
    """Return one cell, uint8 RGB: its nucleus is large or small, and a red cell lies in the corner or does not."""
    image = np.full((side_px, side_px, 3), GLASS, np.float64)
    unit = side_px / 48
    middle = tuple(round(value) for value in side_px / 2 + rng.normal(0, 1.0, 2))
    if marked:
        corner = round(6 * unit)
        cv2.circle(image, (corner, corner), round(5 * unit), RED, -1, cv2.LINE_AA)
    cv2.circle(image, middle, round(15 * unit), CYTOPLASM, -1, cv2.LINE_AA)
    cv2.circle(image, middle, round((12 if large else 7) * unit), NUCLEUS, -1, cv2.LINE_AA)
    light = rng.uniform(0.93, 1.0)
    return np.clip(image * light + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def write_discs(folder, count=80, told_by="nucleus", side_px=48, seed=0, *, shuffled=False):
    """Write cells as blast/ and other/, the class told by the ``nucleus`` or by the ``corner`` alone."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 2
    labels = rng.permutation(truth) if shuffled else truth
    for number, (one, label) in enumerate(zip(truth, labels, strict=True)):
        of_class, by_chance = bool(one), bool(rng.integers(2))
        kind = {"nucleus": (of_class, by_chance), "corner": (by_chance, of_class)}[told_by]
        image = paint_disc(rng, side_px, large=kind[0], marked=kind[1])
        path = Path(folder) / ("blast" if label else "other") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image[..., ::-1])
    return folder
