"""Painted cells of patients, as folders class / patient / image hold them, and how many a classifier gets right."""

from functools import cache

import cv2
import numpy as np

from tests.painted_sets import painted_cells

NAMES = ("control", "PML_RARA", "NPM1")
PATIENTS, CELLS = 6, 10


@cache
def cells_of(seed):
    """Return the cells of each class, one after the other: controls are no blasts, the others blasts of two stains."""
    images, truth = painted_cells(len(NAMES) * PATIENTS * CELLS * 2, side_px=32, seed=seed)
    wanted, (blasts, others) = PATIENTS * CELLS, (images[truth == one] for one in (0, 1))
    stained = blasts[:wanted, ..., [2, 0, 1]], blasts[wanted : 2 * wanted, ..., [1, 2, 0]]
    return np.concatenate([others[:wanted], *stained])


def write_patients(folder, *, shuffled=False, seed=3):
    """Write class / patient / image; ``shuffled`` deals the same cells out to all patients by chance."""
    cells = cells_of(seed)
    assert len(cells) == len(NAMES) * PATIENTS * CELLS
    if shuffled:
        cells = np.random.default_rng(seed).permutation(cells)
    for row, image in enumerate(cells):
        patient, cell = divmod(row, CELLS)
        path = folder / NAMES[patient // PATIENTS] / f"P{patient:02d}" / f"image_{cell}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image[..., ::-1])
    return folder


def balanced_accuracy(test):
    said = test.probabilities.argmax(axis=1)
    return np.mean([(said[test.truth == one] == one).mean() for one in np.unique(test.truth)])
